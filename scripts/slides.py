"""Three lectures, made of the chapters: book/_static/lectures/one.html, two.html, three.html.

scripts/lectures.py lists the parts. Everything on a slide is text, code, output or a picture of a committed notebook,
so that a lecture cannot say what its chapter does not; a file asks for nothing beside itself, and works from a disk.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from scripts.lectures import LECTURES, PARTS, Lecture, Quiz, Show  # noqa: E402
from scripts.slide_text import block, inline  # noqa: E402

SOURCE = ROOT / "book" / "lectures"
TARGET = ROOT / "book" / "_static" / "lectures"
SCRIPTS = tuple(ROOT / "scripts" / f"{name}.py" for name in ("slides", "slide_text", "lectures"))
CHOICE = re.compile(
    r"^(:{3,})\{admonition\} \((\w)\) ([^\n]+)\n:class: ([^\n]+)\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL
)
WIDTH, HEIGHT = 1152, 530  # pixels for code and output
SMALLEST, LARGEST = 14, 25  # pixels, of code
MOST_WORDS = 120  # on a slide of points
TALL = 0.6  # a figure of this height over width has its caption beside it


# ----------------------------------------------------------------------------------------------------------------
# A chapter, looked through


@dataclass
class Chapter:
    """What a notebook offers to a lecture.

    Attributes
    ----------
    number : of the chapter
    path : of the notebook
    cells : the notebook's cells
    free : points of the summary that no slide has taken yet
    """

    number: int
    path: Path
    cells: list[dict[str, Any]]
    free: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.free = self.listed(self.section("## Summary"), "- ")

    @cached_property
    def text(self) -> str:
        """All that is no code."""
        return "\n\n".join("".join(c["source"]) for c in self.cells if c["cell_type"] == "markdown")

    def gone(self, what: str) -> ValueError:
        """An error that names the chapter and the part."""
        return ValueError(f"{self.path.name} has {what}; mend the list of chapter {self.number} in scripts/lectures.py")

    @property
    def opening(self) -> str:
        """The first cell."""
        return "".join(self.cells[0]["source"])

    @property
    def title(self) -> str:
        """Of the chapter."""
        return self.opening.splitlines()[0].removeprefix("# ")

    @property
    def minutes(self) -> int:
        """That it asks for."""
        found = re.search(r"\*\*About (\d+) minutes\*\*", self.opening)
        if not found:
            raise self.gone("no minutes in its first cell")
        return int(found[1])

    @property
    def goals(self) -> list[str]:
        """Its objectives."""
        listed = re.search(r"will be able to\*\*\n\n(.*?)\n\n", self.opening, re.DOTALL)
        found = re.split(r"\s*^\d+\. ", listed[1], flags=re.MULTILINE)[1:] if listed else []
        if not found:
            raise self.gone("no objectives in its first cell")
        return found

    @property
    def judged(self) -> list[str]:
        """The titles of the exercises that a checker judges."""
        found, title = [], ""
        for cell in self.cells:
            source = "".join(cell["source"])
            for heading in re.findall(r"^### Exercise \d+: (.+?) \(objective", source, re.MULTILINE):
                title = heading
            if "check" in cell["metadata"].get("tags", []) and title not in found:
                found.append(title)
        return found

    def section(self, heading: str) -> str:
        """The text below a heading, up to the next one."""
        parts = re.split(r"^(#{2,} .+)\n", self.text, flags=re.MULTILINE)
        for line, below in zip(parts[1::2], parts[2::2], strict=True):
            if line.strip() == heading or line.startswith(f"{heading} ("):
                return below
        raise self.gone(f"no '{heading}'")

    def listed(self, text: str, mark: str) -> list[str]:
        """The items of a list."""
        found = re.split(rf"^{re.escape(mark)}", text, flags=re.MULTILINE)[1:]
        return [item.partition("\n\n")[0].strip() for item in found]

    def point(self, words: str) -> str:
        """The point of the summary that begins so; it is given once."""
        found = [one for one in self.free if " ".join(one.split()).startswith(words)]
        if len(found) != 1:
            raise self.gone(f"{len(found)} free points in its summary that begin with '{words}'")
        self.free.remove(found[0])
        return found[0]

    def cell(self, name: str, heading: str) -> dict[str, Any]:
        """The cell with an id, if it stands below this heading."""
        above = ""
        for cell in self.cells:
            if cell["cell_type"] == "markdown":
                above = [above, *re.findall(r"^#+ (.+?)\s*$", "".join(cell["source"]), re.MULTILINE)][-1]
            elif cell["id"] == name:
                if above != heading:
                    raise self.gone(f"{name} below '{above}', not below '{heading}'")
                return cell
        raise self.gone(f"no cell of code with the id {name}")


def read(number: int) -> Chapter:
    """The chapter with this number."""
    (path,) = (ROOT / "notebooks").glob(f"{number:02}_*.ipynb")
    return Chapter(number, path, json.loads(path.read_text(encoding="utf-8"))["cells"])


# ----------------------------------------------------------------------------------------------------------------
# Slides


@dataclass(frozen=True)
class Slide:
    """One page: its title as text, what stands below it as HTML, a class for the style, a line for the foot."""

    title: str
    body: str
    kind: str
    foot: str


def bullets(points: list[str], name: str = "ul") -> str:
    """Points as a list."""
    return f"<{name}>{''.join(f'<li>{inline(one)}</li>' for one in points)}</{name}>" if points else ""


def listing(text: str, language: str, size: float, kind: str) -> str:
    """Code or output in colours, its letters so many pixels large."""
    formatter = HtmlFormatter(nowrap=True)
    inner = highlight(text, get_lexer_by_name(language), formatter) if language else escape(text)
    return f'<pre class="{kind} highlight" style="font-size:{size:.1f}px"><code>{inner.rstrip()}</code></pre>'


def joined(text: str | list[str]) -> str:
    """Text of a notebook, which may be a list of its lines."""
    return text if isinstance(text, str) else "".join(text)


def printed(chapter: Chapter, cell: dict[str, Any]) -> str:
    """What a cell printed."""
    text = "".join(joined(o["text"]) for o in cell["outputs"] if o["output_type"] == "stream" and o["name"] == "stdout")
    if not text.strip():
        raise chapter.gone(f"nothing printed by {cell['id']}")
    return text.rstrip()


def picture(chapter: Chapter, cell: dict[str, Any]) -> str:
    """The picture of a cell with its caption and the text for those who do not see it."""
    drawn = [o["data"]["image/png"] for o in cell["outputs"] if "image/png" in o.get("data", {})]
    told = cell["metadata"].get("mystnb", {})
    if len(drawn) != 1 or "image" not in told or "figure" not in told:
        raise chapter.gone(f"not one picture with caption and alternative text in {cell['id']}")
    data = joined(drawn[0]).replace("\n", "")
    caption = inline(told["figure"]["caption"])
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(told["image"]["alt"])}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def steep(html: str) -> float:
    """Height over width of the first picture in a text, both of which a PNG file says in its head."""
    head = base64.b64decode(html.partition("base64,")[2][:32])
    return int.from_bytes(head[20:24], "big") / int.from_bytes(head[16:20], "big")


def shown(chapter: Chapter, part: Show) -> Slide:
    """The slide of a part."""
    points = bullets([chapter.point(words) for words in part.points])
    if part.figure:
        body = picture(chapter, chapter.cell(part.figure, part.heading)) + points
        kind = "alone" if not points else "seen tall" if steep(body) > TALL else "seen"
    else:
        cells = [chapter.cell(name, part.heading) for name in part.code.split()]
        code = "\n\n\n".join(joined(cell["source"]) for cell in cells)
        output, language = "", ""
        if part.output:
            cell = chapter.cell(part.output, part.heading)
            output, language = printed(chapter, cell), "c" if "excerpt(" in joined(cell["source"]) else ""
        lines = [*code.splitlines(), *output.splitlines()]
        room = HEIGHT - 40 - (110 if points else 0) - (40 if code and output else 0)
        size = min(LARGEST, room / (1.4 * len(lines)), (WIDTH - 40) / (0.605 * max(map(len, lines))))
        if size < SMALLEST:
            raise chapter.gone(f"too much below '{part.heading}' for one slide, {len(lines)} lines")
        body = listing(code, "python", size, "code") if code else ""
        body += listing(output, language, size, "output") if output else ""
        body, kind = points + body, "read"
    return Slide(inline(part.heading), body, kind, foot(chapter))


def foot(chapter: Chapter) -> str:
    """Which chapter a slide is of, as a link into the book."""
    return f'<a href="../../notebooks/{chapter.path.stem}.html">Chapter {chapter.number}</a>: {inline(chapter.title)}'


def asked(chapter: Chapter, part: Quiz) -> list[Slide]:
    """A question, and its answers."""
    text = chapter.section(f"### Question {part.number}")
    question = text.partition(":::")[0].strip()
    choices = [found[1:] for found in CHOICE.findall(text)]
    if not question or not choices:
        raise chapter.gone(f"no choices below question {part.number}")
    titles = "".join(f"<li>{inline(title)}</li>" for _, title, _, _ in choices)
    told = ""
    for _, title, classes, body in choices:
        right = "right" if "right" in classes.split() else "wrong"
        told += f'<li class="{right}"><strong>{inline(title)}</strong> {inline(body)}</li>'
    name = f"Question {part.number}"
    return [
        Slide(name, f'{block(question)}<ol type="a">{titles}</ol>', "question", foot(chapter)),
        Slide(f"{name}: the answers", f'<ol type="a">{told}</ol>', "answers", foot(chapter)),
    ]


def grouped(points: list[str], most: int) -> list[list[str]]:
    """Points in their order, in groups of at most so many words; a longer point is alone."""
    groups: list[list[str]] = []
    for point in points:
        if not groups or sum(len(one.split()) for one in [*groups[-1], point]) > most:
            groups.append([])
        groups[-1].append(point)
    return groups


def rest(chapter: Chapter) -> list[Slide]:
    """The points that no slide has taken, on as few slides as hold them, and equally many words on each."""
    fewest = len(grouped(chapter.free, MOST_WORDS))
    even = next(most for most in range(1, MOST_WORDS + 1) if len(grouped(chapter.free, most)) == fewest)
    groups = grouped(chapter.free, even)
    chapter.free.clear()
    count = f" ({{}} of {len(groups)})" if len(groups) > 1 else ""
    return [
        Slide("In short" + count.format(i), bullets(group), "points", foot(chapter))
        for i, group in enumerate(groups, start=1)
    ]


def slides(lecture: Lecture) -> list[Slide]:
    """All slides of a lecture."""
    chapters = [read(number) for number in lecture.chapters]
    rows = "".join(f"<li>{foot(one)} <small>{one.minutes} minutes</small></li>" for one in chapters)
    made = [Slide(escape(lecture.title), f'<ul class="plain">{rows}</ul>', "first", "")]
    for chapter in chapters:
        goals = f"<p>You will be able to</p>{bullets(chapter.goals, 'ol')}"
        made.append(Slide(inline(chapter.title), goals, "goals", foot(chapter)))
        for part in PARTS[chapter.number]:
            made += [shown(chapter, part)] if isinstance(part, Show) else asked(chapter, part)
        made += rest(chapter)
    rows = "".join(f"<li>{foot(one)} <small>{inline('; '.join(one.judged))}</small></li>" for one in chapters)
    return [*made, Slide("Exercises that a checker judges", f'<ul class="plain">{rows}</ul>', "last", "")]


# ----------------------------------------------------------------------------------------------------------------
# Files


def colours() -> str:
    """Rules for code in both schemes, those of the book."""
    light = HtmlFormatter(style="a11y-high-contrast-light").get_style_defs(".highlight")
    dark = HtmlFormatter(style="a11y-high-contrast-dark").get_style_defs(".highlight")
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def page(lecture: Lecture, number: int) -> str:
    """A lecture as one file of HTML."""
    made = slides(lecture)
    parts = []
    for place, one in enumerate(made, start=1):
        level = "h1" if place == 1 else "h2"
        parts.append(
            f'<section class="slide {one.kind}" id="slide-{place}" tabindex="-1" '
            f'aria-label="Slide {place} of {len(made)}">\n<{level}>{one.title}</{level}>\n'
            f'<div class="body">{one.body}</div>\n'
            f'<footer><span>{one.foot or "µVLM-mini"}</span><span class="place">{place} / {len(made)}</span></footer>\n'
            "</section>\n"
        )
    style = (SOURCE / "lecture.css").read_text(encoding="utf-8")
    script = (SOURCE / "lecture.js").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Lecture {number}: {escape(lecture.title)}</title>\n"
        f"<style>\n{colours()}{style}</style>\n</head>\n<body>\n<main>\n{''.join(parts)}</main>\n"
        '<nav aria-label="Slides"><button type="button" data-by="-1" aria-label="Slide before">‹</button>'
        '<button type="button" data-by="1" aria-label="Next slide">›</button></nav>\n'
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )


def build() -> Path:
    """Write book/_static/lectures/ anew; raise SystemExit with one sentence where a part is gone."""
    try:
        made = {one.name: page(one, number) for number, one in enumerate(LECTURES, start=1)}
    except ValueError as error:
        raise SystemExit(f"The lectures were not made: {error}.") from error
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    for name, text in made.items():
        (TARGET / f"{name}.html").write_text(text, encoding="utf-8")
    return TARGET


if __name__ == "__main__":
    for path in sorted(build().iterdir()):
        count = path.read_text(encoding="utf-8").count("<section")
        print(f"{path.relative_to(ROOT)}: {count} slides, {path.stat().st_size:,} bytes")
