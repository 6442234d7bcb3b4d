"""The instructor's guide says of the chapters what the chapters say of themselves."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup

from book._ext import minutes
from tests.conftest import ROOT
from uvlm_mini import doctor
from uvlm_mini.exercises.munpus import check_unpack
from uvlm_mini.quantize.int4 import pack

GUIDE = (ROOT / "book" / "instructor.md").read_text(encoding="utf-8")
ROWS = re.findall(r"\| \d \| \[[^\]]+\]\(\.\./notebooks/([^)]+)\) \| (\d+) \|", GUIDE)
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def cells(name: str) -> list[str]:
    """The text of a notebook, cell by cell."""
    found = json.loads((ROOT / "notebooks" / name).read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "markdown"]


def test_every_chapter_has_its_minutes() -> None:
    """In order, and with the minutes of its first cell."""
    assert [name for name, _ in ROWS] == NOTEBOOKS
    for name, listed in ROWS:
        said = re.search(r"\*\*About (\d+) minutes\*\*", cells(name)[0])
        assert said and said[1] == listed, name


def test_a_week_fits_its_sittings() -> None:
    """Two of 90 minutes."""
    weeks: dict[str, int] = {}
    for week, listed in re.findall(r"\| (\d) \| \[[^\]]+\]\([^)]+\) \| (\d+) \|", GUIDE):
        weeks[week] = weeks.get(week, 0) + int(listed)
    assert list(weeks) == list("123456") and max(weeks.values()) <= 180


@pytest.mark.parametrize(("chapter", "exercise"), re.findall(r"chapter (\d+), exercise (\d+)", GUIDE))
def test_exercises_that_are_named_exist(chapter: str, exercise: str) -> None:
    """By number; and the one whose answer is shown by its title, too."""
    (name,) = (n for n in NOTEBOOKS if n.startswith(f"{int(chapter):02d}_"))
    assert any(re.search(rf"^### Exercise {exercise}: ", text, re.M) for text in cells(name))


def printed(chapter: int) -> str:
    """What the cells of a chapter print."""
    (name,) = (n for n in NOTEBOOKS if n.startswith(f"{chapter:02d}_"))
    found = json.loads((ROOT / "notebooks" / name).read_text(encoding="utf-8"))["cells"]
    return "".join("".join(o.get("text", "")) for cell in found for o in cell.get("outputs", []))


SAMPLES = re.findall(r'\*\*, for chapter (\d+),\s+exercise (\d+)\s+\("([^"]+)"\)', GUIDE)


def test_there_is_a_sample_answer_of_each_kind() -> None:
    """A derivation, a measurement and code."""
    assert [chapter for chapter, _, _ in SAMPLES] == ["6", "8", "12"]


@pytest.mark.parametrize(("chapter", "exercise", "title"), SAMPLES)
def test_a_sample_answer_is_of_that_exercise(chapter: str, exercise: str, title: str) -> None:
    """The guide quotes its title."""
    (name,) = (n for n in NOTEBOOKS if n.startswith(f"{int(chapter):02d}_"))
    assert any(f"### Exercise {exercise}: {title} (" in text for text in cells(name))


def test_sample_answers_quote_what_the_chapters_print() -> None:
    """The derivation its two numbers, the code the refusal of its checker."""
    text = " ".join(GUIDE.split())
    numbers = r"gives ([\d.]+) for the five captions of the chapter, where the mean reward is ([\d.]+),"
    ((best, mean),) = re.findall(numbers, text)
    assert f"(b) {best}; mean reward {mean}\n" in printed(6)
    (refusal,) = re.findall(r"The checker said: \*(.+?)\*", text)
    assert f"Not yet: {refusal}\n" in printed(12)


def test_the_refusal_is_what_the_checker_says_of_that_mistake() -> None:
    """Both halves as numbers from 0 to 15; and what is said of the harm: 16 too large where the weight is negative."""

    def unpack(packed: np.ndarray, columns: int) -> np.ndarray:
        return np.stack([packed & 15, packed >> 4], 2).reshape(len(packed), -1)[:, :columns]

    assert check_unpack(unpack).says in " ".join(GUIDE.split())
    q = np.arange(-8, 8, dtype=np.int8)[None]
    found = unpack(pack(q), 16).astype(int)
    assert found.shape == q.shape and (found - q == np.where(q < 0, 16, 0)).all()


# --- minutes, section by section ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "said"), ROWS)
def test_sections_share_the_minutes_of_their_chapter(name: str, said: str) -> None:
    """Each section once, in order, with a minute at least, and all of them together with what the chapter says."""
    _, total, sections = minutes.chapter(ROOT / "notebooks" / name)
    assert total == int(said) == sum(share for _, share in sections) and min(share for _, share in sections) >= 1
    headings = re.findall(r"^## (.+?)\s*$", "\n".join(cells(name)), re.MULTILINE)
    wanted = [one.replace("`", "") for one in headings if one not in minutes.APART]
    assert [title for title, _ in sections if title != minutes.OPENING] == wanted


def test_minutes_follow_what_there_is_to_read() -> None:
    """A word counts one, a line of code twelve, a figure sixty; the first cell, exercises and empty lines nothing."""
    code = {"cell_type": "code", "source": "a = 1\n\nb = 2", "outputs": [{"data": {"image/png": ""}}]}
    text = ["# Title\nnot counted", "one two", "## A `b`\nthree\n## Exercises\nleft out", "## Summary\nfour five six"]
    parts = [{"cell_type": "markdown", "source": one} for one in text]
    found = minutes.weights([*parts[:3], code, parts[3], code])
    assert found == [(minutes.OPENING, 2), ("A b", 1), ("Summary", 3 + 2 * minutes.LINE + minutes.FIGURE)]
    assert minutes.shared([("a", 1), ("b", 1), ("c", 8)], 13) == [("a", 2), ("b", 2), ("c", 9)]
    assert minutes.shared([("a", 1), ("b", 1000)], 2) == [("a", 1), ("b", 1)]
    with pytest.raises(ValueError, match="3 sections cannot share 2 minutes"):
        minutes.shared([("a", 1), ("b", 1), ("c", 1)], 2)
    assert f"{WORDS[minutes.LINE]} words, a figure as much as {WORDS[minutes.FIGURE]}" in " ".join(GUIDE.split())


WORDS = {12: "twelve", 60: "sixty"}


def test_the_built_guide_unfolds_a_table_for_each_chapter(built_book: Path) -> None:
    """Under the chapter's title and minutes."""
    html = (built_book / "book" / "instructor.html").read_text(encoding="utf-8")
    page = BeautifulSoup(re.sub("[“”]", '"', html.replace("’", "'")), "html.parser")
    boxes = [box for box in page.select(".admonition.dropdown") if box.select("table.minutes")]
    assert len(boxes) == len(NOTEBOOKS)
    for box, (name, said) in zip(boxes, ROWS, strict=True):
        title, _, sections = minutes.chapter(ROOT / "notebooks" / name)
        assert box.select(".admonition-title")[0].get_text() == f"{int(name[:2])} {title}: {said} minutes"
        rows = [[cell.get_text().strip() for cell in row.select("td")] for row in box.select("tbody tr")]
        assert rows == [[heading, str(share)] for heading, share in sections]


@pytest.mark.parametrize("words", re.findall(r"`uvlm ([a-z]+)[^`]*`", GUIDE))
def test_commands_exist(words: str) -> None:
    """Every `uvlm ...` that the guide names."""
    from uvlm_mini.cli import main

    with pytest.raises(SystemExit) as end:
        main([words, "--help"])
    assert end.value.code == 0


def quoted(text: str) -> bool:
    """Whether the guide says this, however its lines are broken."""
    plain = re.sub(r"\s*\n>?\s*", " ", GUIDE).replace("\\", "")
    return " ".join(text.split()) in re.sub(r" +", " ", plain)


def test_the_students_road_says_what_the_checker_says() -> None:
    """Before there is an answer, and for the one that the guide gives."""
    from uvlm_mini.exercises.captions import check_score

    assert quoted(str(check_score(lambda chances: None)))
    assert "`return sum(np.log(p) for p in chances)`" in GUIDE
    assert quoted(str(check_score(lambda chances: sum(np.log(p) for p in chances))))


def test_the_maintainers_road_says_what_the_programs_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the module that the guide puts before onnxruntime; the version alone may be another."""
    (code,) = re.findall(r"^echo '(.+)' > shadow/onnxruntime\.py$", GUIDE, re.M)
    (tmp_path / "onnxruntime.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    (check,) = (check for check in doctor.CHECKS if check[0] == "onnxruntime")
    line = doctor._line(check)
    line = line.replace(importlib.metadata.version("onnxruntime"), "1.32.0")
    assert line.startswith("FAIL") and quoted(line)
    start = [sys.executable, "-m", "uvlm_mini.cli", "quantize", "--out", str(tmp_path / "int8")]
    done = subprocess.run(start, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "" and quoted(done.stderr.splitlines()[-1])
