"""The page of times shows what was measured, and says where nothing was."""

import json
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from benchmarks import notebooks, record
from book._ext import times
from tests.conftest import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small notebooks."""
    for name, code in (("00_a", "print(1 + 1)"), ("01_b", "x = 1")):
        cells = [nbformat.v4.new_markdown_cell(f"# Title of {name}\n\nwords"), nbformat.v4.new_code_cell(code)]
        made = nbformat.v4.new_notebook(cells=cells, metadata={"uvlm": {"budget_seconds": 20}})
        nbformat.write(made, tmp_path / f"{name}.ipynb")
    return tmp_path


def test_a_notebook_is_run_and_left_as_it_was(folder: Path) -> None:
    """Its seconds are those of a run, and a cell that fails gives no number."""
    path = folder / "00_a.ipynb"
    before = path.read_bytes()
    row = notebooks.measure(path)
    assert path.read_bytes() == before
    assert 0.05 < row["seconds"] < 120 and row["code cells"] == 1 and row["budget seconds"] == 20
    made = nbformat.read(path, as_version=4)
    made.cells[1].source = "raise ValueError('no')"
    nbformat.write(made, path)
    with pytest.raises(Exception, match="ValueError"):
        notebooks.measure(path)


def test_rows_are_the_files(folder: Path) -> None:
    """In order; what has no number and what has changed since is said."""
    measured = {"00_a": {"seconds": 12.34, **notebooks.described(folder / "00_a.ipynb")}}
    rows, notes = times.rows_of(measured, folder)
    assert rows == [
        ("Title of 00_a", "12.3", "20 s", "1"),
        ("Title of 01_b", "not measured yet", "20 s", "1"),
        ("all that were measured", "12.3", "", ""),
    ]
    assert notes == []
    measured["00_a"]["code sha256"] = "another"
    assert times.rows_of(measured, folder)[1] == ["“Title of 00_a” has changed since it was measured."]


def test_without_a_file_the_page_says_so(tmp_path: Path) -> None:
    """And shows no table."""
    (only,) = times.shown(tmp_path / "none.json", tmp_path)
    assert only.astext() == times.MISSING


def test_the_built_page_shows_the_file(built_book: Path) -> None:
    """Every number of the result file, and no other; or that there is none."""
    soup = BeautifulSoup((built_book / "book" / "times.html").read_text(encoding="utf-8"), "html.parser")
    rows = soup.select("table.times tbody tr")
    shown = [[cell.get_text().strip().replace("’", "'") for cell in row.select("td")] for row in rows]
    path = record.RESULTS / "notebooks.json"
    if not path.is_file():
        assert shown == [] and times.MISSING in soup.get_text()
        return
    rows, _ = times.rows_of(json.loads(path.read_text(encoding="utf-8"))["rows"], ROOT / "notebooks")
    assert shown == [list(row) for row in rows]


def test_the_file_is_of_these_notebooks() -> None:
    """Where there is one: what it measured exists, and took no longer than it promises."""
    path = record.RESULTS / "notebooks.json"
    if not path.is_file():
        return  # the page says so, and the test above sees that it does
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    names = {one.stem for one in (ROOT / "notebooks").glob("*.ipynb")}
    assert rows.keys() - {"machine"} <= names
    for name in rows.keys() - {"machine"}:
        assert rows[name]["seconds"] <= 1.5 * rows[name]["budget seconds"], name
