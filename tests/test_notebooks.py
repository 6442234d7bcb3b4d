"""The committed notebooks keep the rules, and every rule can fail."""

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests import notebook_lint as rules
from tests.conftest import ROOT
from tests.test_book import PAGES

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_every_notebook_is_a_page_of_the_book() -> None:
    """A chapter that is not in the table of contents would be run and never shown."""
    assert NOTEBOOKS
    assert {f"notebooks/{path.stem}" for path in NOTEBOOKS} == {page for page in PAGES if page.startswith("notebooks/")}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rules(path: Path) -> None:
    """See notebook_lint.py for each rule and its reason."""
    nb = nbformat.read(path, as_version=4)
    nbformat.validate(nb)
    assert rules.lint(nb) == []


# --- the rules themselves -------------------------------------------------------------------------------------------

PNG = "iVBORw0KGgo="


def text(value: str) -> NotebookNode:
    """Return what print leaves behind."""
    return new_output("stream", name="stdout", text=value)


def good_notebook() -> NotebookNode:
    """Return a small notebook that keeps every rule."""
    alt = {"mystnb": {"image": {"alt": "A line that rises from 0 to 3."}}}
    picture = new_output("display_data", data={"image/png": PNG, "text/plain": "<Figure size 640x480 with 1 Axes>"})
    widget = new_output("display_data", data={rules.WIDGET_VIEW: {"model_id": "a1"}, "text/plain": "IntSlider()"})
    cells = [
        new_markdown_cell("# A title\n\nTakes 10 minutes.\n\n:::{admonition} Objectives\n1. add numbers\n:::"),
        new_markdown_cell("## A section\n\nWith words."),
        new_code_cell("x = 1 + 1\nprint(x)", outputs=[text("2\n")], execution_count=1),
        new_code_cell("x", outputs=[new_output("execute_result", data={"text/plain": "2"})], execution_count=2),
        new_markdown_cell("A figure."),
        new_code_cell("assert x == 2\nplt.show()", outputs=[picture], metadata=alt, execution_count=3),
        new_code_cell("w.IntSlider()", outputs=[widget], execution_count=4),
        new_code_cell("print('done')", outputs=[text("done\n")], execution_count=5),
        new_markdown_cell("## Exercises\n\n:::{admonition} Exercise 1\nAdd one.\n:::"),
        new_markdown_cell(":::{admonition} Solution 1\n:class: dropdown\n`x + 1`\n:::"),
    ]
    state = {rules.WIDGET_STATE: {"version_major": 2, "version_minor": 0, "state": {"a1": {}}}}
    return new_notebook(cells=cells, metadata={"uvlm": {"budget_seconds": 5}, "widgets": state})


Spoiler = Callable[[NotebookNode], object]


def source(index: int, value: str) -> Spoiler:
    """Return a change that puts another source into a cell."""
    return lambda nb: nb.cells[index].update(source=value)


def output(index: int, *values: NotebookNode) -> Spoiler:
    """Return a change that adds outputs to a cell."""
    return lambda nb: nb.cells[index].outputs.extend(values)


def tag(index: int, value: str) -> Spoiler:
    """Return a change that tags a cell."""
    return lambda nb: nb.cells[index].metadata.update(tags=[value])


SVG = new_output("display_data", data={"image/svg+xml": "<svg/>"})
ERROR = new_output("error", ename="E", evalue="", traceback=[])
STDERR = new_output("stream", name="stderr", text="warning\n")

SPOILERS: list[tuple[rules.Rule, Spoiler]] = [
    (rules.counts_run_from_one, lambda nb: nb.cells[2].update(execution_count=None)),
    (rules.counts_run_from_one, lambda nb: nb.cells[2].update(execution_count=7)),
    (rules.most_outputs_are_compared, lambda nb: nb.cells[2].update(outputs=[])),
    (rules.most_outputs_are_compared, tag(2, "nbval-ignore-output")),
    (rules.most_outputs_are_compared, source(2, "# NBVAL_SKIP\nprint(2)")),
    (rules.figures_are_asserted, source(5, "plt.show()")),
    (rules.no_errors, output(2, ERROR)),
    (rules.no_trailing_semicolon, source(3, "x;")),
    (rules.no_trailing_semicolon, source(3, "x;  # quiet")),
    (rules.no_trailing_semicolon, source(3, 'c = """\nint a;\n"""\nx;')),
    (rules.no_output_history, source(3, "Out[1]")),
    (rules.no_svg, output(5, SVG)),
    (rules.no_svg, source(2, "%config InlineBackend.figure_format = 'svg'")),
    (rules.no_text_progress_bar, source(2, "from tqdm import tqdm")),
    (rules.no_text_progress_bar, source(2, "from tqdm.auto import tqdm")),
    (rules.no_clear_output, source(2, "clear_output()")),
    (rules.no_display_id, source(2, "display(x, display_id=True)")),
    (rules.no_interact, source(2, "w.interact(f, x=3)")),
    (rules.no_interact, source(2, "@w.interact(x=3)\ndef f(x):\n    print(x)")),
    (rules.no_interact, source(2, "out = widgets.Output()")),
    (rules.no_stderr, output(2, STDERR)),
    (rules.known_nbval_marks_only, tag(2, "nbval-ignore-outputs")),
    (rules.known_nbval_marks_only, source(2, "# NBVAL_CHECK_OUTPUTS\nprint(2)")),
    (rules.no_addresses_of_objects, output(2, text("<object at 0x7f00deadbeef>"))),
    (rules.no_absolute_paths, source(2, "open('/home/me/file')")),
    (rules.no_absolute_paths, output(2, text("C:\\Users\\me"))),
    (rules.no_absolute_paths, output(2, text(str(ROOT)))),
    (rules.outputs_are_small, output(2, text("x" * rules.MAX_OUTPUT_BYTES))),
    (rules.widgets_are_saved, lambda nb: nb.metadata.pop("widgets")),
    (rules.widgets_are_saved, lambda nb: nb.metadata.widgets[rules.WIDGET_STATE].state.a1.update(x="x" * 1_000_001)),
    (rules.cells_are_short, source(2, "x = 1\n" * 31)),
    (rules.cells_are_short, lambda nb: [source(i, "x = 1\n" * 7)(nb) for i in (2, 3, 7)]),
    (rules.lines_fit_the_page, source(2, "x = 1  # " + "x" * (rules.MAX_COLUMNS - 8))),
    (rules.lines_fit_the_page, output(2, text("x" * (rules.MAX_COLUMNS + 1)))),
    (rules.code_follows_prose, source(1, "## A section")),
    (rules.starts_with_title, source(0, "## Objectives\n\nTakes 10 minutes.")),
    (rules.starts_with_title, source(4, "# Another title")),
    (rules.states_objectives, source(0, "# A title\n\nTakes 10 minutes.")),
    (rules.states_minutes, source(0, "# A title\n\n## Objectives")),
    (rules.states_budget, lambda nb: nb.metadata.pop("uvlm")),
    (rules.every_exercise_has_a_solution, source(9, "No solution.")),
    (rules.every_exercise_has_a_solution, source(9, ":::{admonition} Solution 1\nIn the open.\n:::")),
    (rules.every_exercise_has_a_solution, source(9, ":::{admonition} Solution 2\n:class: dropdown\nOther.\n:::")),
    (rules.every_exercise_has_a_solution, source(8, "No exercises.")),
    (rules.figures_have_alternative_text, lambda nb: nb.cells[5].metadata.pop("mystnb")),
    (rules.figures_have_alternative_text, lambda nb: output(5, nb.cells[5].outputs[0])(nb)),
    (rules.figures_have_alternative_text, source(4, "![](picture.png)")),
]


def test_good_notebook_passes() -> None:
    """Otherwise the test below would prove nothing."""
    nb = good_notebook()
    nbformat.validate(nb)
    assert rules.lint(nb) == []


def test_c_in_a_string_may_end_in_semicolons() -> None:
    """It is no Python."""
    nb = good_notebook()
    source(3, 'c = """\nint a;\nint b;\n"""\nx')(nb)
    assert rules.lint(nb) == []


@pytest.mark.parametrize(("rule", "spoil"), SPOILERS, ids=lambda value: getattr(value, "__name__", ""))
def test_rule_notices(rule: rules.Rule, spoil: Spoiler) -> None:
    """Each spoiled notebook is reported by the rule that is meant to."""
    nb = copy.deepcopy(good_notebook())
    spoil(nb)
    assert list(rule(nb))


def test_every_rule_is_listed_and_spoiled() -> None:
    """No rule is forgotten in RULES or in SPOILERS."""
    assert {rule for rule, _ in SPOILERS} == set(rules.RULES)


# --- nbval, as this repository calls it -----------------------------------------------------------------------------


def run_nbval(folder: Path, source_text: str, committed: str, budget: float = 60) -> str:
    """Run nbval over a notebook of one cell, with the settings of this repository, and return what it reports."""
    cell = new_code_cell(source_text, outputs=[text(committed)], execution_count=1)
    nbformat.write(new_notebook(cells=[cell], metadata={"uvlm": {"budget_seconds": budget}}), folder / "n.ipynb")
    (folder / "conftest.py").write_bytes((ROOT / "conftest.py").read_bytes())
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider"]
    command += [f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}", f"--rootdir={folder}", "n.ipynb"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source_text", "committed", "budget", "verdict"),
    [
        ("print(2)", "2\n", 60, "1 passed"),
        ("print(3)", "2\n", 60, "1 failed"),
        ("print('took 3.21 s, at 0x7f00deadbeef')", "took 9 ms, at 0x7f00facade00\n", 60, "1 passed"),
        ("import sys; print(2); print('w', file=sys.stderr)", "2\n", 60, "1 passed"),
        ("import time; time.sleep(1); print(2)", "2\n", 0.2, "1 failed"),
    ],
    ids=["same", "different", "sanitized", "stderr", "over budget"],
)
def test_nbval_compares(source_text: str, committed: str, budget: float, verdict: str, tmp_path: Path) -> None:
    """Equal outputs pass, others fail; times and addresses are no difference; a slow notebook fails."""
    report = run_nbval(tmp_path, source_text, committed, budget)
    assert verdict in report, report


@pytest.mark.slow
def test_a_crash_in_c_fails_soon_and_names_the_cell(tmp_path: Path) -> None:
    """nbval alone would wait until the time of the cell is over, which here is longer than a test may take."""
    report = run_nbval(tmp_path, "import ctypes; ctypes.string_at(0)", "2\n")
    assert "1 failed" in report and "n.ipynb::Cell 0" in report, report
    assert "The kernel died in this cell" in report, report
