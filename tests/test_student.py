"""The students' copies of the notebooks: everything but the answers, made from the sources and from nothing else."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def scripts() -> ModuleType:
    """The module scripts/student_notebooks.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        return importlib.import_module("student_notebooks")


def code(nb: NotebookNode) -> list[NotebookNode]:
    """The code cells."""
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def is_exercises(cell: NotebookNode) -> bool:
    """Whether the exercises begin here."""
    return cell.cell_type == "markdown" and "## Exercises" in cell.source.splitlines()


def before_exercises(nb: NotebookNode) -> list[NotebookNode]:
    """The cells above the exercises."""
    return nb.cells[: next(i for i, cell in enumerate(nb.cells) if is_exercises(cell))]


# --- those that are committed ---------------------------------------------------------------------------------------


def test_there_is_a_copy_of_every_chapter_and_nothing_else() -> None:
    """A notebook that is gone leaves none behind."""
    assert sorted(path.name for path in (ROOT / "notebooks" / "student").iterdir() if path.is_file()) == [
        path.name for path in NOTEBOOKS
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_copy_is_a_fresh_one(path: Path, scripts: ModuleType) -> None:
    """Whoever edits a chapter runs `make student`."""
    committed = (ROOT / "notebooks" / "student" / path.name).read_text(encoding="utf-8")
    assert committed == scripts.text_of(path), "run: make student"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_copy_keeps_the_chapter_and_not_the_answers(path: Path) -> None:
    """Code above the exercises is byte for byte the chapter's; no output, state, solution or budget is left."""
    whole = nbformat.read(path, as_version=4)
    copy = nbformat.read(ROOT / "notebooks" / "student" / path.name, as_version=4)
    nbformat.validate(copy)
    kept = [cell.source for cell in code(new_notebook(cells=before_exercises(copy)))]
    assert kept == [cell.source for cell in code(new_notebook(cells=before_exercises(whole)))] and kept
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code(copy))
    assert set(copy.metadata) == {"kernelspec", "language_info"}

    text = "\n".join(cell.source for cell in copy.cells if cell.cell_type == "markdown")
    assert "{admonition} Solution" not in text and "dropdown choice" not in text
    assert all(f"## {part}" in text for part in ("Exercises", "Summary", "Further reading"))
    assert f"chapter {int(path.name[:2])}." in copy.cells[0].source and path.name in copy.cells[0].source

    tags = [set(cell.metadata.get("tags", [])) for cell in copy.cells]
    assert not any(one & {"solution", "hide-cell"} or any(t.startswith("nbval") for t in one) for one in tags)
    checks = [c.source for c in whole.cells if "check" in c.metadata.get("tags", [])]
    assert [c.source for c in copy.cells if "check" in c.metadata.get("tags", [])] == checks
    after = code(new_notebook(cells=copy.cells[len(before_exercises(copy)) :]))
    for cell in after:
        ast.parse(cell.source)


# --- how a copy is made ---------------------------------------------------------------------------------------------

SOLUTION = '''
import math
from os import (  # both
    path,
    sep,
)

# the trick is the sign
LIMIT: float = 3.5
low, *high = [1, 2, 3]
box.limit = LIMIT
_ = torch.manual_seed(0)
low += 1


@torch.no_grad()
@wrapped(lambda x: {"a": x})
def first(x, scale={"a:b": 1}):  # (B, C)
    """Shift an x.

    Of any shape.
    """
    # the trick is the sign
    return -x * scale


def second(x) -> dict[str, int]: return {"answer": 1}


def third(
    x: int,  # what comes in
    *rest: int,
) -> int:
    # the trick is the rest
    def inner():
        return x

    return inner() + sum(rest)


class Layer(torch.nn.Module):
    """A layer."""

    width: int = 4
    depth = 5

    def __init__(self, width):
        super().__init__()
        self.width = width

    async def forward(self, x):
        """Apply it."""
        return x * self.width


for i in range(3):
    print(first(i))
assert low == 2
low = 7
'''

STUB = '''import math
from os import (  # both
    path,
    sep,
)
LIMIT = ...  # your answer
low = ...  # your answer
high = ...  # your answer


@torch.no_grad()
@wrapped(lambda x: {"a": x})
def first(x, scale={"a:b": 1}):  # (B, C)
    """Shift an x.

    Of any shape.
    """
    ...  # your code


def second(x) -> dict[str, int]:
    ...  # your code


def third(
    x: int,  # what comes in
    *rest: int,
) -> int:
    ...  # your code


class Layer(torch.nn.Module):
    """A layer."""
    width: int = ...  # your answer
    depth = ...  # your answer

    def __init__(self, width):
        ...  # your code

    async def forward(self, x):
        """Apply it."""
        ...  # your code'''


def test_what_a_solution_leaves_of_itself(scripts: ModuleType) -> None:
    """Signatures, docstrings, names and imports, and no line of how it is done."""
    assert scripts.stubbed(SOLUTION, set()) == STUB
    ast.parse(STUB)
    assert scripts.stubbed("def f(\n    x): return x", set()) == "def f(\n    x):\n    ...  # your code"
    assert scripts.stubbed("%matplotlib inline\na = 1\n!ls", set()) == "a = ...  # your answer"
    assert scripts.stubbed("print(1)", set()) == ""
    assert scripts.stubbed("def f():\n    return 1\n\n\na = 1\nb = 2", {"f", "a"}) == "b = ...  # your answer"


QUESTION = """### Question 1 (objective 1)

Which?

:::{admonition} (a) The first, $x > 0$.
:class: dropdown choice
Not so.
:::

:::{admonition} (b) The second.
:class: dropdown choice right
Right: it is.
:::

Mind the difference."""

ANSWERED = """### Question 1 (objective 1)

Which?

- (a) The first, $x > 0$.
- (b) The second.

Mind the difference."""

EXERCISE = """### Exercise 1: add (objective 1)

Write `add`.

:::{admonition} A hint
It is short. See [the page](../book/coco.md).
:::

::::{admonition} Solution 1
:class: dropdown
:::{note}
The sum.
:::
Really.
::::

Then go on."""

ASKED = """### Exercise 1: add (objective 1)

Write `add`.

:::{admonition} A hint
It is short. See [the page](../../book/coco.md).
:::

Then go on."""


def test_markdown_loses_solutions_and_explanations_only(scripts: ModuleType) -> None:
    """Other admonitions stay, also around and inside."""
    assert scripts.without_answers(QUESTION) == ANSWERED
    assert scripts.from_one_folder_down(scripts.without_answers(EXERCISE)) == ASKED
    assert scripts.without_answers(":::{admonition} Solution 1\n:class: dropdown\nx\n:::") == ""


def tagged(source: str, *tags: str) -> NotebookNode:
    """A code cell that was run."""
    ran = [new_output("stream", name="stdout", text="1\n")]
    return new_code_cell(source, metadata={"tags": [*tags]} if tags else {}, outputs=ran, execution_count=3)


def chapter(answer: str = "def add(a, b):\n    return a + b") -> NotebookNode:
    """A small chapter with every kind of cell."""
    check = f"print('Right: it is.' if {'add(1, 2)'} == 3 else 'Not yet: it is another.')"
    cells = [
        new_markdown_cell("# A title"),
        tagged("x = 1  \nprint(x)", "nbval-ignore-output", "hide-input"),
        tagged("y = 2", "hide-cell", "raises-exception"),
        new_markdown_cell("## Exercises\n\nWrite."),
        new_markdown_cell("### Exercise 1: add (objective 1)\n\n:::{admonition} Solution 1\n:class: dropdown\nx\n:::"),
        tagged(answer, "hide-cell", "solution"),
        tagged(check, "check"),
        tagged("print(add(3, 4))", "hide-cell"),
        tagged("print(add(5, 6))", "hide-cell"),
        new_markdown_cell("### Exercise 2: mend (objective 1)"),
        tagged("def mend(a):\n    return a"),
        new_markdown_cell(":::{admonition} Solution 2\n:class: dropdown\nx\n:::"),
        tagged("def mend(a):\n    return -a", "hide-cell", "solution"),
        tagged("print('Not yet: it is', mend(1))", "check"),
        new_markdown_cell("### Exercise 3: mend again (objective 1)"),
        tagged("def mend(a):\n    return 2 * a", "hide-cell", "solution"),
        new_markdown_cell("## Summary\n\n## Further reading"),
    ]
    return new_notebook(cells=cells, metadata={"widgets": {"x": {}}, "uvlm": {"budget_seconds": 5}})


def test_cells_become_what_they_should(scripts: ModuleType) -> None:
    """Each kind, in order; tags that make a copy worse go, others stay."""
    copy = scripts.student(chapter(), "04_a_title.ipynb")
    nbformat.validate(copy)
    shown = [(cell.source, cell.metadata.get("tags", [])) for cell in copy.cells[1:]]
    assert shown == [
        ("# A title", []),
        ("x = 1  \nprint(x)", []),
        ("y = 2", ["raises-exception"]),
        ("## Exercises\n\nWrite.", []),
        ("### Exercise 1: add (objective 1)", []),
        ("def add(a, b):\n    ...  # your code", []),
        (chapter().cells[6].source, ["check"]),
        ("# your code", []),
        ("### Exercise 2: mend (objective 1)", []),
        ("def mend(a):\n    return a", []),
        ("print('Not yet: it is', mend(1))", ["check"]),
        ("### Exercise 3: mend again (objective 1)", []),
        ("def mend(a):\n    ...  # your code", []),
        ("## Summary\n\n## Further reading", []),
    ]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code(copy))
    assert copy.cells[0].source.startswith("*The student's copy of chapter 4.")


@pytest.mark.slow
def test_a_copy_that_is_run_has_checkers_that_wait(scripts: ModuleType, tmp_path: Path) -> None:
    """A checker that praises an empty answer is named, and one that raises stops the copy."""
    copy = scripts.student(chapter(), "04_a_title.ipynb")
    assert scripts.wrong_when_run(copy, tmp_path) == []
    copy.cells[6].source = "def add(a, b):\n    return 3"
    (said,) = scripts.wrong_when_run(copy, tmp_path)
    assert "printed 'Right: it is.\\n' before there was an answer" in said
    copy.cells[6].source = "def add(a, b):\n    return a + c"
    with pytest.raises(Exception, match="name 'c' is not defined"):
        scripts.wrong_when_run(copy, tmp_path)


def test_copies_are_left_alone_by_linter_and_nbval() -> None:
    """They have no outputs to compare, and a name that is used before it is written is meant there."""
    ruff = [sys.executable, "-m", "ruff", "check", "--show-files", "notebooks"]
    listed = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert NOTEBOOKS[0].name in listed and "student" not in listed
    nbval = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", "--nbval", "notebooks"]
    listed = subprocess.run(nbval, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"notebooks/{NOTEBOOKS[0].name}::" in listed and "student" not in listed
