"""The line that opens a notebook on Colab or Binder: there where the repository has an address, and nothing else is."""

import ast
import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.utils import new_document

from book._ext import launch
from scripts import colab
from tests.conftest import ROOT
from tests.test_packaging import EXTRAS

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOURCE = "git+https://github.com/someone/book@main"


def project(folder: Path, url: str | None) -> Path:
    """A pyproject.toml with this address, or without one."""
    path = folder / "pyproject.toml"
    urls = f'[project.urls]\nRepository = "{url}"\n' if url else ""
    path.write_text(f'[project]\nname = "x"\n{urls}', encoding="utf-8")
    return path


def page() -> nodes.document:
    """A page with a title and a paragraph."""
    document = new_document("notebooks/00_a")
    section = nodes.section("", nodes.title("", "Title"), nodes.paragraph("", "words"), ids=["title"])
    document += section
    return document


def test_address(tmp_path: Path) -> None:
    """GitHub's, in its usual forms; none where none is told; another host is an error that says what to give."""
    assert colab.address(project(tmp_path, None)) is None
    for url in ("https://github.com/some-one/book.x", "https://github.com/some-one/book.x.git"):
        assert colab.address(project(tmp_path, url)) == "some-one/book.x"
    with pytest.raises(ValueError, match=r"'https://example\.org/book'; give https://github\.com/OWNER/NAME"):
        colab.address(project(tmp_path, "https://example.org/book"))


def test_the_line_is_under_the_title(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of notebooks alone, with both addresses; without an address the page stays as it is."""
    monkeypatch.setattr(colab, "address", lambda: "someone/book")
    document = page()
    launch.add_line(None, document, "notebooks/00_a")
    title, line, words = document[0].children
    assert title.astext() == "Title" and words.astext() == "words"
    assert line.astext() == "Run this chapter on Colab or Binder, without installing anything."
    first, second = (one["refuri"] for one in line.findall(nodes.reference))
    assert first == "https://colab.research.google.com/github/someone/book/blob/main/colab/00_a.ipynb"
    assert second == "https://mybinder.org/v2/gh/someone/book/main?labpath=notebooks%2F00_a.ipynb"
    for name, repository in (("book/index", "someone/book"), ("notebooks/00_a", None)):
        monkeypatch.setattr(colab, "address", lambda repository=repository: repository)
        untouched = page()
        launch.add_line(None, untouched, name)
        assert len(untouched[0].children) == 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_copies_have_the_cell_and_no_outputs(path: Path) -> None:
    """Everything else is the notebook's; and the notebook itself knows nothing of it."""
    copy, original = colab.copy_of(path, SOURCE), nbformat.read(path, as_version=4)
    nbformat.validate(copy)
    (at,) = (i for i, cell in enumerate(copy.cells) if cell.id == "install")
    rest = copy.cells[:at] + copy.cells[at + 1 :]
    assert [cell.source for cell in rest] == [cell.source for cell in original.cells]
    assert all(cell.cell_type == "markdown" for cell in copy.cells[:at]) and rest[at].cell_type == "code"
    assert not any(cell.get("outputs") for cell in copy.cells) and "widgets" not in copy.metadata
    assert "pip install" not in "".join(cell.source for cell in original.cells if cell.cell_type == "code")


def test_the_cell_installs_only_what_is_missing() -> None:
    """Its Python is Python, its extras exist, and chapter 10 gets its compiler and emulator, by apt.txt's names."""
    for name in ("00_a", "10_deployment"):
        text = colab.first_cell(SOURCE, name)
        ast.parse(re.sub(r"^(\s+)[%!].*$", r"\1pass", text, flags=re.M))
        assert f'    %pip install -q "uvlm_mini[{colab.EXTRAS}] @ {SOURCE}"' in text
    assert set(colab.EXTRAS.split(",")) <= set(EXTRAS)
    listed = (ROOT / "apt.txt").read_text(encoding="utf-8").split()
    assert all(package in listed for line in colab.SYSTEM.values() for package in line.split())
    assert set(colab.SYSTEM) <= {path.stem for path in NOTEBOOKS}


def test_binder_installs_what_is_here() -> None:
    """postBuild is a program whose extras exist; its list of system packages is part of apt.txt."""
    post = ROOT / "binder" / "postBuild"
    assert subprocess.run(["bash", "-n", str(post)]).returncode == 0 and post.stat().st_mode & 0o100
    (extras,) = re.findall(r"\.\[([\w,]+)\]", post.read_text(encoding="utf-8"))
    assert set(extras.split(",")) <= set(EXTRAS)
    listed = (ROOT / "apt.txt").read_text(encoding="utf-8").split()
    assert set((ROOT / "binder" / "apt.txt").read_text(encoding="utf-8").split()) <= set(listed)
    environment = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text(encoding="utf-8"))
    assert "python=3.11" in environment["dependencies"]


def test_pages_and_copies_are_as_the_address_says(built_book: Path) -> None:
    """With an address every notebook's page has the line, and every copy is up to date; without, there is neither."""
    repository = colab.address()
    for path in NOTEBOOKS:
        html = (built_book / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
        found = [str(a["href"]) for a in BeautifulSoup(html, "html.parser").select("p.launch a")]
        assert found == ([*launch.links(repository, path.stem).values()] if repository else [])
    made = sorted((ROOT / "colab").glob("*.ipynb"))
    if repository is None:
        assert made == []
        return
    assert [path.name for path in made] == [path.name for path in NOTEBOOKS]
    for path in made:
        wanted = colab.copy_of(ROOT / "notebooks" / path.name, f"git+https://github.com/{repository}@{colab.BRANCH}")
        assert json.loads(path.read_text(encoding="utf-8")) == json.loads(nbformat.writes(wanted)), path.name
