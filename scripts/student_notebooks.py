"""Make notebooks/student/: copies of the chapters without outputs, solutions and the answers of the quiz.

    python scripts/student_notebooks.py                   all of them
    python scripts/student_notebooks.py --run [NAME ...]  run the copies, and see that their checkers wait for an answer

Everything above the heading "## Exercises" stays, code byte for byte. Below it, in a cell's own words:

- markdown: the admonitions "Solution k" go; of a quiz's choices (class `choice`) the titles stay, as a list;
- code with the tag `solution`: functions and methods keep signature and docstring, and names their place; imports stay;
- code with the tag `check` stays: it judges what the student writes;
- code with the tag `hide-cell` and neither of these is a solution without a checker: "# your code";
- any other code stays. What such a cell of an exercise defines is the student's to change, and is not asked for again.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "notebooks"
TARGET = SOURCES / "student"

EXERCISES = re.compile(r"^## Exercises\b", re.MULTILINE)
ADMONITION = re.compile(r"(?P<fence>:{3,}|`{3,})\{admonition\}\s*(?P<title>.*)")
OF_THE_AUTHORS = {"solution", "hide-cell", "hide-input", "hide-output"}  # tags that a copy has no use for
CODE, ANSWER = "...  # your code", "...  # your answer"
Function = ast.FunctionDef | ast.AsyncFunctionDef


# ----------------------------------------------------------------------------------------------------------------
# Markdown


def without_answers(text: str) -> str:
    """A markdown cell without solutions, and with the choices of a quiz as a list of their titles."""
    kept: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        opening = ADMONITION.fullmatch(line)
        if not opening:
            kept.append(line)
            continue
        inside = []
        for inner in lines:  # up to the closing fence, which is as long as the opening one, or longer
            inside.append(inner)
            if set(inner) == {opening["fence"][0]} and len(inner) >= len(opening["fence"]):
                break
        options = next((one for one in inside if one.startswith(":class:")), "")
        if "choice" in options.split():
            kept.append(f"- {opening['title']}")
        elif not opening["title"].startswith("Solution"):
            kept += [line, *inside]
    joined = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")
    return re.sub(r"(?<=\n)(- .*)\n\n(?=- )", r"\1\n", joined)


def from_one_folder_down(text: str) -> str:
    """Links of a markdown cell for a folder further down; other chapters' copies are beside it there, too."""
    return re.sub(r"(\]\(|\bsrc=\")\.\./", r"\1../../", text)


# ----------------------------------------------------------------------------------------------------------------
# Code


def parsed(source: str) -> ast.Module:
    """The syntax tree of a cell, its lines of IPython (%magic, !command) left out but counted."""
    return ast.parse("\n".join("" if re.match(r"\s*[%!?]", line) else line for line in source.splitlines()))


def bound(node: ast.stmt) -> list[str]:
    """The plain names that an assignment gives a value."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    flat = [part for target in targets for part in getattr(target, "elts", [target])]
    flat = [part.value if isinstance(part, ast.Starred) else part for part in flat]
    return [part.id for part in flat if isinstance(part, ast.Name) and part.id != "_"]


def names(source: str) -> set[str]:
    """Everything that a cell defines at its top level: functions, classes, names."""
    body = parsed(source).body
    defined = {node.name for node in body if isinstance(node, Function | ast.ClassDef)}
    return defined | {name for node in body for name in bound(node)}


def heading(node: Function | ast.ClassDef, lines: list[str]) -> str:
    """Decorators and signature as they were written, the comment behind the colon included."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    begun = node.body[0]
    for last in range(node.lineno, begun.lineno):  # the shortest beginning that wants nothing but a body
        shown = "\n".join(lines[first - 1 : last])
        try:
            ast.parse(_dedent(shown, node.col_offset) + "\n    ...")
        except SyntaxError:
            continue
        return shown
    body = lines[begun.lineno - 1].encode()[: begun.col_offset].decode()  # def f(x): return x
    return "\n".join([*lines[first - 1 : begun.lineno - 1], body.rstrip()])


def _dedent(text: str, columns: int) -> str:
    return "\n".join(line[columns:] for line in text.splitlines())


def shell(node: Function | ast.ClassDef, lines: list[str]) -> str:
    """A function with no body but its docstring, or a class of such methods."""
    indent = " " * (node.col_offset + 4)
    made = [heading(node, lines)]
    begun = node.body[0]
    if ast.get_docstring(node) is not None:
        made.append("\n".join([indent + lines[begun.lineno - 1].strip(), *lines[begun.lineno : begun.end_lineno]]))
    parts = []
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, Function):
                parts.append(("\n" if parts else "") + shell(inner, lines))
            elif isinstance(inner, ast.AnnAssign):
                parts.append(f"{indent}{ast.unparse(inner.target)}: {ast.unparse(inner.annotation)} = {ANSWER}")
            else:
                parts += [f"{indent}{name} = {ANSWER}" for name in bound(inner)]
    return "\n".join([*made, *(parts or [indent + CODE])])


def stubbed(source: str, given: set[str]) -> str:
    """What a solution leaves of itself; names that the student was given before are not asked for again."""
    lines = source.splitlines()
    made = ""
    asked = set(given)
    space = "\n"  # before what comes next: two empty lines on both sides of a function
    for node in parsed(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            made += space + "\n".join(lines[node.lineno - 1 : node.end_lineno])
            space = "\n"
        elif isinstance(node, Function | ast.ClassDef) and node.name not in asked:
            asked.add(node.name)
            made += "\n\n\n" + shell(node, lines)
            space = "\n\n\n"
        for name in bound(node):
            if name not in asked:
                asked.add(name)
                made += f"{space}{name} = {ANSWER}"
                space = "\n"
    return made.strip("\n")


# ----------------------------------------------------------------------------------------------------------------
# Notebooks


def student(notebook: NotebookNode, name: str) -> NotebookNode:
    """The copy of a notebook that stands under this name."""
    number = int(name.split("_")[0])
    note = (
        f"*The student's copy of chapter {number}. The solutions and the answers of the quiz are in the book, which "
        f"`make book` builds. This file was made from `notebooks/{name}` by `scripts/student_notebooks.py`: whoever "
        "changes the chapter changes that one.*"
    )
    cells = [new_markdown_cell(note, id="student")]
    below = False
    given: set[str] = set()
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", []))
        text = cell.source
        if cell.cell_type == "markdown":
            below = below or bool(EXERCISES.search(text))
            text = from_one_folder_down(without_answers(text))
            given = set() if "### Exercise" in text else given
        elif below and "solution" in tags:
            text = stubbed(text, given)
        elif below and "hide-cell" in tags and "check" not in tags:
            text = "" if cells[-1].source == "# your code" else "# your code"
        elif below and "check" not in tags:
            given |= names(text)
        if not text:
            continue
        kept = sorted(tag for tag in tags - OF_THE_AUTHORS if not tag.startswith("nbval-"))
        make = new_markdown_cell if cell.cell_type == "markdown" else new_code_cell
        cells.append(make(text, id=cell.id, metadata={"tags": kept} if kept else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def sources() -> list[Path]:
    """The notebooks of the book, in order."""
    return sorted(SOURCES.glob("*.ipynb"))


def text_of(source: Path) -> str:
    """The copy of a notebook as it stands in its file."""
    return nbformat.writes(student(nbformat.read(source, as_version=4), source.name)) + "\n"


def write() -> None:
    """Make every copy anew, and remove those of notebooks that are gone."""
    TARGET.mkdir(exist_ok=True)
    for old in {path.name for path in TARGET.glob("*.ipynb")} - {path.name for path in sources()}:
        (TARGET / old).unlink()
    for source in sources():
        (TARGET / source.name).write_text(text_of(source), encoding="utf-8", newline="\n")


# ----------------------------------------------------------------------------------------------------------------
# Run


def printed(cell: NotebookNode) -> str:
    """What a cell wrote to stdout."""
    return "".join(out.text for out in cell.outputs if out.output_type == "stream" and out.name == "stdout")


def wrong_when_run(notebook: NotebookNode, folder: Path) -> list[str]:
    """Run a copy from the top to its end; returns a sentence for each checker that does not say "Not yet".

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises: a checker, too, has to take whatever a student has written so far.
    """
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
    checks = [cell for cell in notebook.cells if "check" in cell.metadata.get("tags", [])]
    waiting = [any(line.startswith("Not yet") for line in printed(cell).splitlines()) for cell in checks]
    return [
        f"The checker {cell.source.splitlines()[-1]} printed {printed(cell)!r} before there was an answer."
        for cell, waits in zip(checks, waiting, strict=True)
        if not waits
    ]


def main(words: list[str]) -> int:
    """Write the copies, or run those that are there; returns the exit status."""
    if words[:1] != ["--run"]:
        write()
        return 0
    failed = 0
    for path in [TARGET / Path(word).name for word in words[1:]] or sorted(TARGET.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        try:
            wrong = wrong_when_run(notebook, path.parent)
        except Exception as error:  # a cell that raised, a kernel that died: the next copy is run all the same
            wrong = [str(error)]
        checks = sum("check" in cell.metadata.get("tags", []) for cell in notebook.cells)
        print(f"{path.name}: {'FAILED' if wrong else f'{checks} checkers wait for an answer'}", flush=True)
        print(*wrong, sep="\n", end="\n" if wrong else "")
        failed += bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
