"""Outside links: found in the text of pages, judged by form, and asked only where there is a network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from scripts import outside_links


@pytest.fixture
def server() -> Iterator[str]:
    """A host of this machine: /good is there, /get wants GET, /gone is gone, /shut refuses."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response({"/good": 200, "/get": 200, "/gone": 404}.get(self.path, 403))
            self.end_headers()

        def do_HEAD(self) -> None:
            self.send_response(405) if self.path == "/get" else self.do_GET()
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    running = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()


def test_links_are_those_of_the_text(tmp_path: Path) -> None:
    """With the pages that have them; what the theme adds, and links inside the book, are none."""
    page = (
        '<a href="https://theme.org/">x</a><div class=bd-article><a href="https://a.org/">a</a><a href="b.html">b</a>'
    )
    for name in ("one.html", "two.html"):
        (tmp_path / name).write_text(page)
    assert outside_links.links(tmp_path) == {"https://a.org/": ["one.html", "two.html"]}


@pytest.mark.parametrize(
    "address", ["https://doi.org/10.1109/5.771073", "http://www.a-b.co.uk/x?y=1#z", "https://8.8.8.8/"]
)
def test_good_forms(address: str) -> None:
    """Nothing is said of them."""
    assert outside_links.misshapen(address) == ""


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("https://a.org/x y", "a sign that no address has"),
        ("https://a.org/x.", "ends in '.'"),
        ("https://localhost/x", "localhost is not a name"),
        ("https:///x", "no host is not a name"),
        ("https://intranet/x", "intranet is not a name"),
        ("http://192.168.0.1/", "an address of one network alone"),
        ("https://a.org:port/", "Port"),
    ],
)
def test_bad_forms(address: str, fault: str) -> None:
    """Each with its reason, and nobody is asked then."""
    assert fault in outside_links.misshapen(address)
    wrong, sentence = outside_links.check({address: ["p.html"]})
    assert len(wrong) == 1 and "p.html" in wrong[0] and sentence == "nobody was asked."


def test_without_a_network_asking_is_skipped_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The form is checked all the same."""

    def nobody(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(outside_links.socket, "create_connection", nobody)
    monkeypatch.setattr(outside_links, "answer", nobody)
    wrong, sentence = outside_links.check({"https://a.org/": ["p.html"]})
    assert wrong == [] and "skipped" in sentence


def test_answers(server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there is good, what is gone is wrong, who refuses is named; a host that does not exist is wrong."""
    assert outside_links.answer(f"{server}/good") == (True, "200")
    assert outside_links.answer(f"{server}/get") == (True, "200")
    assert outside_links.answer(f"{server}/gone") == (False, "404")
    assert outside_links.answer(f"{server}/shut") == (True, "undecided: 403")
    assert outside_links.answer("https://no-such-host.invalid/")[0] is False
    monkeypatch.setattr(outside_links, "has_network", lambda hosts: True)
    monkeypatch.setattr(outside_links, "misshapen", lambda address: "")
    found = {f"{server}/{name}": ["p.html"] for name in ("good", "gone", "shut")}
    wrong, sentence = outside_links.check(found)
    assert wrong == [f"{server}/gone (p.html): 404"] and sentence == "3 links were asked."
    assert capsys.readouterr().out == f"{server}/shut: undecided: 403\n"
