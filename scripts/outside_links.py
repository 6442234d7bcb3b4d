"""Every outside link of the built book: its form always, and whether somebody answers, where there is a network.

    python scripts/outside_links.py

Only links that a reader may follow are meant; that no page loads anything from outside is tests/test_book.py's concern.
A page that is gone (404, 410) or a host that does not exist is an error. Whoever refuses programs (401, 403, 429) or
has a bad hour (5xx, no answer) is named, and is none.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from bs4 import BeautifulSoup

HTML = Path(__file__).resolve().parent.parent / "book" / "_build" / "html"
GONE = (404, 410)
SECONDS = 20
AGENT = {"User-Agent": "Mozilla/5.0 (the link check of a book)"}


def links(folder: Path) -> dict[str, list[str]]:
    """Each outside address that a page's text links to, with the pages that do."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.html")):
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for link in soup.select(".bd-article a[href]"):
            if str(link["href"]).lower().startswith(("http:", "https:")):
                pages = found.setdefault(str(link["href"]), [])
                name = path.relative_to(folder).as_posix()
                pages += [] if name in pages else [name]
    return found


def misshapen(address: str) -> str:
    """What is wrong with the form of an address; nothing if it is an address that the world can ask."""
    if address != address.strip() or any(sign in address for sign in ' <>"{}|\\^`'):
        return "it has a sign that no address has"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        return str(error)
    if address[-1] in ".,;:'":
        return f"it ends in {address[-1]!r}, which is the sentence's"
    try:
        return "" if ipaddress.ip_address(host).is_global else f"{host} is an address of one network alone"
    except ValueError:
        pass
    if host == "localhost" or "." not in host.strip("."):
        return f"{host or 'no host'} is not a name of the public network"
    return ""


def has_network(hosts: Iterable[str]) -> bool:
    """Whether one of these hosts can be reached at all."""

    def reach(host: str) -> bool:
        try:
            socket.create_connection((host, 443), timeout=5).close()
        except OSError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        return any(pool.map(reach, hosts))


def answer(address: str) -> tuple[bool, str]:
    """Whether a link is as good as can be told, and what was answered."""
    for method in ("HEAD", "GET"):  # some know the second only
        request = urllib.request.Request(address, headers=AGENT, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as reply:
                return True, str(reply.status)
        except urllib.error.HTTPError as error:
            code = error.code
        except urllib.error.URLError as error:
            nobody = isinstance(error.reason, socket.gaierror)
            return not nobody, f"undecided: {error.reason}" if not nobody else "there is no such host"
        except OSError as error:
            return True, f"undecided: {error}"
    return code not in GONE, str(code) if code in GONE else f"undecided: {code}"


def check(found: dict[str, list[str]]) -> tuple[list[str], str]:
    """What is wrong with the links, a line each, and a sentence on what was checked."""
    wrong = [f"{one} ({', '.join(pages)}): {fault}" for one, pages in found.items() if (fault := misshapen(one))]
    if wrong:
        return wrong, "nobody was asked."
    hosts = {urlsplit(one).hostname or "" for one in found}
    if not has_network(hosts):
        return (
            [],
            f"the form of {len(found)} links is right; asking was skipped: no host of theirs can be reached here.",
        )
    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(found, pool.map(answer, found), strict=True))
    wrong = [f"{one} ({', '.join(found[one])}): {said}" for one, (good, said) in answers.items() if not good]
    for one, (_, said) in answers.items():
        if said.startswith("undecided"):
            print(f"{one}: {said}")
    return wrong, f"{len(found)} links were asked."


def main() -> int:
    """Check the built book; 1 if a link is wrong, or if there is no book."""
    found = links(HTML) if HTML.is_dir() else {}
    if not found:
        print("There is no built book with links; run `python scripts/build_book.py` first.", file=sys.stderr)
        return 1
    wrong, sentence = check(found)
    print("\n".join([*wrong, f"Outside links: {len(wrong)} wrong; {sentence}"]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
