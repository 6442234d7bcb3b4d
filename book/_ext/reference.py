"""Pages that tell every public name: of the package from its docstrings, of the C interface from its header.

    ```{reference} uvlm_mini.ssm uvlm_mini.decoder
    :chapter: 4
    ```

A module is read, not imported. The docstrings' form is that of the package: a line, then sections with lines of
"name : what it is".

    ```{c-reference} uvlm.h
    ```

Comments stand above what they tell of, so that header and page are read in the same order.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
from uvlm_mini.kernels.show import fitted  # noqa: E402

ITEM = re.compile(r"(?P<name>[*\w][\w.*, ]*?) : (?P<text>.*)")
Documented = ast.FunctionDef | ast.ClassDef


# ----------------------------------------------------------------------------------------------------------------
# Text


def inline(text: str) -> list[nodes.Node]:
    """Text with what stands between backquotes as code, and between stars with emphasis."""
    made: list[nodes.Node] = []
    for part in re.split(r"(`[^`]+`|(?<![\w*])\*\w[^*]*\w\*(?![\w*]))", text):
        if part[:1] == "`" and len(part) > 2:
            made.append(nodes.literal(part[1:-1], part[1:-1]))
        elif part[:1] == "*" and len(part) > 2:
            made.append(nodes.emphasis(part[1:-1], part[1:-1]))
        elif part:
            made.append(nodes.Text(part))
    return made


def paragraph(text: str) -> nodes.paragraph:
    """One paragraph."""
    return nodes.paragraph("", "", *inline(" ".join(text.split())))


def items(lines: list[str]) -> list[tuple[str, str]]:
    """Lines of "name : text", a text going on in lines that are indented; nothing if they are none."""
    found: list[tuple[str, str]] = []
    for line in lines:
        start = ITEM.fullmatch(line)
        if start:
            found.append((start["name"], start["text"]))
        elif found and line.startswith(" "):
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        else:
            return []
    return found


def definitions(found: list[tuple[str, str]]) -> nodes.definition_list:
    """A list of names and what they are."""
    rows = []
    for name, text in found:
        term = nodes.term("", "", nodes.literal(name, name))
        rows.append(nodes.definition_list_item("", term, nodes.definition("", paragraph(text))))
    return nodes.definition_list("", *rows)


def docstring(text: str) -> list[nodes.Node]:
    """A docstring as nodes: paragraphs, sections, lists of names; what is indented stays as it is."""
    made: list[nodes.Node] = []
    blocks = [block.splitlines() for block in re.split(r"\n\s*\n", text.strip("\n"))]
    for block in blocks:
        lines = block
        if len(block) > 1 and set(block[1].strip()) == {"-"}:
            made.append(nodes.paragraph("", "", nodes.strong(block[0], block[0])))
            lines = block[2:]
        if not lines:
            continue
        if found := items(lines):
            made.append(definitions(found))
        elif all(line.startswith("    ") for line in lines):
            code = "\n".join(line[4:] for line in lines)
            made.append(nodes.literal_block(code, code, language="text", classes=["wrapped"]))
        else:
            made.append(paragraph("\n".join(lines)))
    return made


# ----------------------------------------------------------------------------------------------------------------
# Python


def public(body: list[ast.stmt]) -> list[Documented]:
    """Functions and classes whose names do not begin with a line."""
    return [n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]


def arguments(of: ast.arguments) -> list[str]:
    """Each argument as it is written, without self and cls."""
    plain = [*of.posonlyargs, *of.args]
    values: list[ast.expr | None] = [*[None] * (len(plain) - len(of.defaults)), *of.defaults]
    found = [_argument(a, v) for a, v in zip(plain, values, strict=True) if a.arg not in ("self", "cls")]
    if of.vararg or of.kwonlyargs:
        found.append(f"*{_argument(of.vararg, None)}" if of.vararg else "*")
    found += [_argument(a, v) for a, v in zip(of.kwonlyargs, of.kw_defaults, strict=True)]
    return [*found, *([f"**{_argument(of.kwarg, None)}"] if of.kwarg else [])]


def _argument(a: ast.arg, value: ast.expr | None) -> str:
    typed = a.arg + (f": {ast.unparse(a.annotation)}" if a.annotation else "")
    return typed + (f" = {ast.unparse(value)}" if value is not None else "")


def signature(node: Documented) -> str:
    """How it is called, with types; of a dataclass, its fields. A long one has a line for each argument."""
    name, returns = node.name, ""
    if isinstance(node, ast.FunctionDef):
        inner = arguments(node.args)
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    else:
        begun = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
        inner = (
            arguments(begun[0].args) if begun else [ast.unparse(o) for o in node.body if isinstance(o, ast.AnnAssign)]
        )
    line = f"{name}({', '.join(inner)}){returns}"
    if len(line) <= 84:
        return line
    return "\n".join([f"{name}(", *(f"    {one}," for one in inner), f"){returns}"])


def told(node: Documented, name: str) -> list[nodes.Node]:
    """A function, or a class with its methods."""
    line = signature(node)
    shown = nodes.literal_block(line, line, language="python", classes=["signature", "wrapped"])
    made: list[nodes.Node] = [shown, *docstring(ast.get_docstring(node) or "")]
    if isinstance(node, ast.ClassDef):
        methods = [one for one in public(node.body) if isinstance(one, ast.FunctionDef)]
        for method in methods:
            line = signature(method)
            shown = nodes.literal_block(line, line, language="python", classes=["signature", "wrapped"])
            text = docstring(ast.get_docstring(method) or "")
            made.append(
                nodes.container("", shown, *text, classes=["method"], ids=[nodes.make_id(f"{name}.{method.name}")])
            )
    return made


def module(name: str, chapter: str) -> nodes.section:
    """A module: what it says of itself, then its names in their order."""
    place = ROOT.joinpath(*name.split("."))
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    made = nodes.section(ids=[nodes.make_id(name)], names=[name])
    made += nodes.title("", "", nodes.literal(name, name))
    made += docstring(ast.get_docstring(tree) or "")
    if chapter:
        made += paragraph(f"Derived in chapter {chapter}.")
    for node in public(tree.body):
        full = f"{name}.{node.name}"
        inner = nodes.section(ids=[nodes.make_id(full)], names=[full])
        inner += nodes.title(node.name, node.name)
        inner += told(node, full)
        made += inner
    return made


class Reference(SphinxDirective):
    """The names of modules."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {"chapter": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """One section for each module."""
        self.env.note_dependency(__file__)
        return [module(name, self.options.get("chapter", "")) for name in self.arguments[0].split()]


# ----------------------------------------------------------------------------------------------------------------
# C


def declared(header: str) -> list[tuple[str, str]]:
    """(comment, declaration) pairs of what stands between the lines `declarations` and `end of declarations`."""
    text = header.partition("/* declarations */\n")[2].partition("/* end of declarations */")[0]
    found: list[tuple[str, str]] = []
    for block in re.split(r"\n\s*\n", text.strip()):
        comment, code = "", block
        if block.startswith("/*"):
            comment, _, code = block[2:].partition("*/")
            comment = re.sub(r"\n \* ?", "\n", comment).strip()
        found.append((comment, code.strip("\n")))
    return found


class CReference(SphinxDirective):
    """The declarations of a header."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Comment and code by turns."""
        header = (ROOT / "csrc" / self.arguments[0]).read_text(encoding="utf-8")
        made: list[nodes.Node] = []
        for comment, code in declared(header):
            if comment:
                made.append(paragraph(comment))
            if code:
                code = fitted(code)
                made.append(nodes.literal_block(code, code, language="c"))
        return made


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("reference", Reference)
    app.add_directive("c-reference", CReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
