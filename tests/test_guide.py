"""The instructor's guide says of the chapters what the chapters say of themselves."""

import json
import re

import pytest

from tests.conftest import ROOT

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
    for name, minutes in ROWS:
        said = re.search(r"\*\*About (\d+) minutes\*\*", cells(name)[0])
        assert said and said[1] == minutes, name


def test_a_week_fits_its_sittings() -> None:
    """Two of 90 minutes."""
    weeks: dict[str, int] = {}
    for week, minutes in re.findall(r"\| (\d) \| \[[^\]]+\]\([^)]+\) \| (\d+) \|", GUIDE):
        weeks[week] = weeks.get(week, 0) + int(minutes)
    assert list(weeks) == list("123456") and max(weeks.values()) <= 180


@pytest.mark.parametrize(("chapter", "exercise"), re.findall(r"chapter (\d+), exercise (\d+)", GUIDE))
def test_exercises_that_are_named_exist(chapter: str, exercise: str) -> None:
    """By number; and the one whose answer is shown by its title, too."""
    (name,) = (n for n in NOTEBOOKS if n.startswith(f"{int(chapter):02d}_"))
    assert any(re.search(rf"^### Exercise {exercise}: ", text, re.M) for text in cells(name))


def test_the_sample_answer_is_of_that_exercise() -> None:
    """The guide quotes its title."""
    (name,) = (n for n in NOTEBOOKS if n.startswith("08_"))
    assert any("### Exercise 6: a gap, or luck" in text for text in cells(name)) and '"a gap, or luck"' in GUIDE


@pytest.mark.parametrize("words", re.findall(r"`uvlm ([a-z]+)[^`]*`", GUIDE))
def test_commands_exist(words: str) -> None:
    """Every `uvlm ...` that the guide names."""
    from uvlm_mini.cli import main

    with pytest.raises(SystemExit) as end:
        main([words, "--help"])
    assert end.value.code == 0
