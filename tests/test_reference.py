"""The reference pages: every public name of package and headers is on exactly one of them, with what is said of it."""

import ast
import inspect
import re
from collections import Counter
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from docutils import nodes

from book._ext import reference
from tests.conftest import ROOT

PAGES = sorted((ROOT / "book" / "reference").glob("*.md"))
# What has a reference of its own: the command line tells by --help.
TOLD_ELSEWHERE = {"cli", "deploy.commands", "kernels.__main__", "exercises.c_worker"}


def modules() -> set[str]:
    """Modules of the package that have public names."""
    found = set()
    for path in (ROOT / "uvlm_mini").rglob("*.py"):
        if reference.public(ast.parse(path.read_text(encoding="utf-8")).body):
            parts = path.relative_to(ROOT / "uvlm_mini").with_suffix("").parts
            found.add(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found - TOLD_ELSEWHERE


def listed() -> Counter[str]:
    """Modules that the pages ask for."""
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    return Counter(name for line in re.findall(r"```\{reference\} (.*)", text) for name in line.split())


def test_every_module_is_on_one_page() -> None:
    """A new module has to be put on a page."""
    assert listed() == Counter(f"uvlm_mini.{name}" for name in modules())


def test_every_name_is_in_the_built_book(built_book: Path) -> None:
    """With an address of its own."""
    ids: set[str] = set()
    for page in PAGES:
        html = (built_book / "book" / "reference" / f"{page.stem}.html").read_text(encoding="utf-8")
        ids |= {str(tag["id"]) for tag in BeautifulSoup(html, "html.parser").find_all(id=True)}
    for name in listed():
        place = ROOT.joinpath(*name.split("."))
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        for node in reference.public(ast.parse(path.read_text(encoding="utf-8")).body):
            assert nodes.make_id(f"{name}.{node.name}") in ids
            assert ast.get_docstring(node), f"{name}.{node.name} says nothing of itself"


@pytest.mark.parametrize("header", ["uvlm.h", "status.h", "program.h", "kernels_s8.h", "kernels_f32.h"])
def test_every_function_of_the_headers_is_told(header: str, built_book: Path) -> None:
    """Every prototype, and every comment above one."""
    text = BeautifulSoup((built_book / "book" / "reference" / "c.html").read_text(encoding="utf-8"), "html.parser").text
    found = reference.declared((ROOT / "csrc" / header).read_text(encoding="utf-8"))
    names = {name for _, code in found for name in re.findall(r"\b(uvlm_\w+)\(", code)}
    assert names and all(f"{name}(" in text for name in names)
    flat = re.sub(r"\W+", " ", text)
    assert all(re.sub(r"\W+", " ", comment).strip() in flat for comment, _ in found)


def test_a_docstring_becomes_sections_and_lists() -> None:
    """Names of arguments, texts that go on, code as it stands, and what is between backquotes and stars."""
    text = """One *short* line of `code`.

    Parameters
    ----------
    x, y : (B, C) first
        and second.
    z : third.

    Raises
    ------
    ValueError : never.

        indented = as it is
    """
    made = nodes.section("", *reference.docstring(inspect.cleandoc(text)))
    terms = [term.astext() for term in made.findall(nodes.term)]
    assert terms == ["x, y", "z", "ValueError"]
    assert next(d.astext() for d in made.findall(nodes.definition)) == "(B, C) first and second."
    assert [n.astext() for n in made.findall(nodes.emphasis)] == ["short"]
    assert [n.astext() for n in made.findall(nodes.literal_block)] == ["indented = as it is"]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def f(a: int, *, b=2, **c) -> str: ...", "f(a: int, *, b = 2, **c) -> str"),
        ("class A:\n    def __init__(self, x: int = 1) -> None: ...", "A(x: int = 1)"),
        ("class A:\n    x: int\n    y: str = 'a'", "A(x: int, y: str = 'a')"),
        ("def f(self, /, *a: int): ...", "f(*a: int)"),
    ],
)
def test_signatures(source: str, line: str) -> None:
    """As they are written, without self."""
    assert reference.signature(ast.parse(source).body[0]) == line
