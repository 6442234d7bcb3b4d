"""The rules that a notebook keeps, so that it reads well and its outputs can be compared by nbval.

Each rule is a function from a notebook to the sentences that say what is wrong with it. RULES lists them, lint()
applies them all. Cells are counted from 0, markdown cells included, as JupyterLab's debugger and nbformat do.

How a notebook passes
---------------------
- Alternative text of a figure: cell metadata ``{"mystnb": {"image": {"alt": "..."}}}``. One figure a cell, and an
  ``assert`` on what it shows, in its cell or between it and the figure before.
- A number and caption for a figure: ``{"mystnb": {"figure": {"caption": "...", "name": "fig-..."}}}``.
- Time: notebook metadata ``{"uvlm": {"budget_seconds": 30}}``; minutes of reading in the first two cells.
- Exercises: a section ``## Exercises`` with ``### Exercise 1: ...`` (or an admonition of that name); each with
  ``:::{admonition} Solution 1`` and ``:class: dropdown``.
- Widgets: set the value of an Image, HTML or Label widget from ``observe``. ``interact`` and ``Output`` send messages
  that nbval does not know. The state of the widgets is saved in the notebook, or the book cannot show their start.
"""

import ast
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from nbformat import NotebookNode

MAX_OUTPUT_BYTES = 200_000  # of one cell
MAX_WIDGET_BYTES = 1_000_000  # of one notebook
MAX_COLUMNS = 88  # what the page of the book shows in a window of 1280 pixels; test_book.py measures it
MAX_LINES, MAX_P90_LINES, MAX_MEDIAN_LINES = 30, 20, 6
MIN_COMPARED = 0.6
MIN_ALT_LETTERS = 15

ADMONITION = r"^[:`]{3,}\{admonition\}\s*"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
NBVAL_TAGS = {"nbval-ignore-output", "nbval-check-output", "nbval-raises-exception", "raises-exception", "nbval-skip"}
NBVAL_MARKERS = {tag.upper().replace("-", "_") for tag in NBVAL_TAGS if tag.startswith("nbval")}
UNCOMPARED_TAGS = {"nbval-ignore-output", "nbval-skip", "nbval-raises-exception", "raises-exception"}
NOT_FOR_NBVAL = {"interact", "interactive", "interact_manual", "interactive_output", "Output"}
KNOWN_ROOTS = "home|root|Users|tmp|usr|opt|mnt|var|srv|content|workspace|builds"

Rule = Callable[[NotebookNode], Iterator[str]]


def code_cells(nb: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """Return the code cells with their places."""
    return [(i, cell) for i, cell in enumerate(nb.cells) if cell.cell_type == "code"]


def markdown(nb: NotebookNode) -> str:
    """Return the whole text."""
    return "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")


def tags(cell: NotebookNode) -> set[str]:
    """Return the tags of a cell, its nbval comments written as tags."""
    found = set(cell.metadata.get("tags", []))
    for line in cell.source.splitlines():
        comment = line.strip().lstrip("#").strip()
        if line.strip().startswith("#") and comment in NBVAL_MARKERS:
            found.add(comment.lower().replace("_", "-"))
    return found


def tree(cell: NotebookNode) -> ast.AST:
    """Return the syntax tree of a cell; lines of IPython (%magic, !command) are left out."""
    lines = ["" if re.match(r"\s*[%!?]", line) else line for line in cell.source.splitlines()]
    try:
        return ast.parse("\n".join(lines))
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


def called(cell: NotebookNode) -> set[str]:
    """Return the last names of everything that a cell calls or decorates with."""
    found: set[str] = set()
    for node in ast.walk(tree(cell)):
        targets = [node.func] if isinstance(node, ast.Call) else list(getattr(node, "decorator_list", []))
        for target in targets:
            if isinstance(target, ast.Call):
                target = target.func
            found.add(target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", ""))
    return found


def asserts(cell: NotebookNode) -> bool:
    """Tell whether a cell asserts something, by the statement or by a function such as assert_close."""
    statement = any(isinstance(node, ast.Assert) for node in ast.walk(tree(cell)))
    return statement or any(name.startswith("assert_") for name in called(cell))


def figures(cell: NotebookNode) -> int:
    """Return the number of pictures among the outputs of a cell."""
    return sum(any(kind.startswith("image/") for kind in out.get("data", {})) for out in cell.outputs)


def is_compared(cell: NotebookNode) -> bool:
    """Tell whether nbval compares something in this cell that carries meaning.

    Pictures, stderr and the ids of widgets are not compared; the text that stands in for a picture or a widget
    ("<Figure size ...>") is, but says nothing.
    """
    if tags(cell) & UNCOMPARED_TAGS:
        return False
    for out in cell.outputs:
        if out.output_type == "stream" and out.name == "stdout" and out.text.strip():
            return True
        kinds = set(out.get("data", {}))
        if kinds and WIDGET_VIEW not in kinds and not any(kind.startswith("image/") for kind in kinds):
            return True
    return False


def outputs_text(cell: NotebookNode) -> str:
    """Return the text outputs of a cell."""
    parts = [out.get("text", "") for out in cell.outputs]
    parts += [str(value) for out in cell.outputs for kind, value in out.get("data", {}).items() if "text/" in kind]
    return "\n".join(parts)


# --- run from top to bottom, with outputs that are compared ---------------------------------------------------------


def counts_run_from_one(nb: NotebookNode) -> Iterator[str]:
    """Without counts nbval compares nothing and passes."""
    found = [cell.execution_count for _, cell in code_cells(nb)]
    if found != list(range(1, len(found) + 1)):
        yield f"the execution counts are {found}, not 1 to {len(found)}: run the notebook once, from top to bottom"


def most_outputs_are_compared(nb: NotebookNode) -> Iterator[str]:
    """A notebook of which nbval compares little proves little."""
    cells = [cell for _, cell in code_cells(nb)]
    share = sum(map(is_compared, cells)) / max(len(cells), 1)
    if share < MIN_COMPARED:
        yield f"{share:.0%} of the code cells have a compared output; {MIN_COMPARED:.0%} are wanted"


def figures_are_asserted(nb: NotebookNode) -> Iterator[str]:
    """Pictures are never compared, so what they show is asserted."""
    asserted = False
    for i, cell in code_cells(nb):
        asserted = asserted or asserts(cell)
        if figures(cell):
            if not asserted:
                yield f"cell {i}: no assert on what this figure shows, here or since the figure before"
            asserted = False


def no_errors(nb: NotebookNode) -> Iterator[str]:
    """An exception is shown only where it is the point."""
    for i, cell in code_cells(nb):
        if any(out.output_type == "error" for out in cell.outputs) and "raises-exception" not in tags(cell):
            yield f"cell {i}: an error among the outputs"


# --- what nbval cannot stand ----------------------------------------------------------------------------------------


def no_trailing_semicolon(nb: NotebookNode) -> Iterator[str]:
    """nbval runs cells without history, where a semicolon hides nothing."""
    for i, cell in code_cells(nb):
        # C in a string may end its lines as it has to
        source = re.sub(r'"""(?:.|\n)*?"""', '""', cell.source)
        lines = [re.sub(r"\s+#[^'\"]*$", "", line).rstrip() for line in source.splitlines()]
        if any(line.endswith(";") and not re.match(r"\s*[%!]", line) for line in lines):
            yield f"cell {i}: a line ends in ';': assign the result to _, or end with plt.show()"


def no_output_history(nb: NotebookNode) -> Iterator[str]:
    """Out[1] does not exist under nbval."""
    for i, cell in code_cells(nb):
        if re.search(r"\b(Out|_oh)\s*\[", cell.source):
            yield f"cell {i}: Out[...] does not exist under nbval: give the value a name"


def no_svg(nb: NotebookNode) -> Iterator[str]:
    """An SVG carries a date and random ids, which nbval compares."""
    for i, cell in code_cells(nb):
        if any("image/svg+xml" in out.get("data", {}) for out in cell.outputs):
            yield f"cell {i}: an SVG among the outputs: use PNG"
        if re.search(r"(figure_format|set_matplotlib_formats|SVG\().*", cell.source) and "svg" in cell.source.lower():
            yield f"cell {i}: asks for SVG figures: use PNG"


def no_text_progress_bar(nb: NotebookNode) -> Iterator[str]:
    """A progress bar in text prints its speed."""
    for i, cell in code_cells(nb):
        if re.search(r"from tqdm import|from tqdm\.(auto|std|asyncio) import|^\s*import tqdm\s*$", cell.source, re.M):
            yield f"cell {i}: tqdm in text prints its speed: use tqdm.notebook, or none"


def no_clear_output(nb: NotebookNode) -> Iterator[str]:
    """nbval does not know the message."""
    for i, cell in code_cells(nb):
        if "clear_output" in cell.source:
            yield f"cell {i}: clear_output is unknown to nbval"


def no_display_id(nb: NotebookNode) -> Iterator[str]:
    """Nor updates of a display."""
    for i, cell in code_cells(nb):
        if "display_id" in cell.source or "update_display" in cell.source:
            yield f"cell {i}: display_id is unknown to nbval"


def no_interact(nb: NotebookNode) -> Iterator[str]:
    """Nor what is printed or shown inside of interact or an Output widget."""
    for i, cell in code_cells(nb):
        for name in sorted(called(cell) & NOT_FOR_NBVAL):
            yield f"cell {i}: {name} sends messages that nbval does not know: set a widget's value from observe"


def no_stderr(nb: NotebookNode) -> Iterator[str]:
    """Warnings belong repaired, not shown."""
    for i, cell in code_cells(nb):
        if any(out.output_type == "stream" and out.name == "stderr" for out in cell.outputs):
            yield f"cell {i}: stderr among the outputs"


def known_nbval_marks_only(nb: NotebookNode) -> Iterator[str]:
    """A misspelt mark is ignored without a word."""
    for i, cell in code_cells(nb):
        for tag in cell.metadata.get("tags", []):
            if re.match(r"nb_?val|raises", tag, re.IGNORECASE) and tag not in NBVAL_TAGS:
                yield f"cell {i}: unknown tag {tag}"
        for mark in re.findall(r"#\s*((?:nb[_-]?val|pytest_validate)\w*)", cell.source, re.IGNORECASE):
            if mark not in NBVAL_MARKERS:
                yield f"cell {i}: unknown mark {mark}"


def no_addresses_of_objects(nb: NotebookNode) -> Iterator[str]:
    """They differ from run to run, and tell a reader nothing."""
    for i, cell in code_cells(nb):
        if re.search(r"\bat 0x[0-9a-f]{6,}", outputs_text(cell)):
            yield f"cell {i}: the address of an object among the outputs: print something that means something"


def no_absolute_paths(nb: NotebookNode) -> Iterator[str]:
    """They exist on the author's machine."""
    pattern = re.compile(rf"(?<![\w.:/-])/(?:{KNOWN_ROOTS})/\w|\b[A-Za-z]:\\\w")
    for i, cell in enumerate(nb.cells):
        text = cell.source + ("\n" + outputs_text(cell) if cell.cell_type == "code" else "")
        here = str(Path(__file__).resolve().parent.parent)
        if pattern.search(text) or here in text:
            yield f"cell {i}: an absolute path"


# --- size and shape -------------------------------------------------------------------------------------------------


def outputs_are_small(nb: NotebookNode) -> Iterator[str]:
    """Outputs are committed and downloaded."""
    for i, cell in code_cells(nb):
        size = len(json.dumps(cell.outputs))
        if size > MAX_OUTPUT_BYTES:
            yield f"cell {i}: {size:,} bytes of output; {MAX_OUTPUT_BYTES:,} are allowed"


def widgets_are_saved(nb: NotebookNode) -> Iterator[str]:
    """The book shows how a widget starts from its saved state, which is small."""
    saved = nb.metadata.get("widgets", {}).get(WIDGET_STATE, {})
    size = len(json.dumps(saved))
    if size > MAX_WIDGET_BYTES:
        yield f"{size:,} bytes of saved widgets; {MAX_WIDGET_BYTES:,} are allowed"
    for i, cell in code_cells(nb):
        for out in cell.outputs:
            view = out.get("data", {}).get(WIDGET_VIEW)
            if view and view["model_id"] not in saved.get("state", {}):
                yield f"cell {i}: the state of this widget is not saved: run nbclient with store_widget_state"


def cells_are_short(nb: NotebookNode) -> Iterator[str]:
    """A cell is one thought."""
    lengths = []
    for i, cell in code_cells(nb):
        lengths.append(len([line for line in cell.source.splitlines() if line.strip()]))
        if lengths[-1] > MAX_LINES:
            yield f"cell {i}: {lengths[-1]} lines of code; {MAX_LINES} are allowed"
    if lengths:
        p90 = sorted(lengths)[math.ceil(0.9 * len(lengths)) - 1]
        if p90 > MAX_P90_LINES:
            yield f"one cell in ten has {p90} lines or more; {MAX_P90_LINES} are allowed"
        if median(lengths) > MAX_MEDIAN_LINES:
            yield f"the median cell has {median(lengths)} lines; {MAX_MEDIAN_LINES} are allowed"


def lines_fit_the_page(nb: NotebookNode) -> Iterator[str]:
    """Nobody scrolls sideways to read code, or what it prints."""
    for i, cell in code_cells(nb):
        printed = "".join(out.text for out in cell.outputs if out.output_type == "stream")
        for what, text in (("code", cell.source), ("output", printed)):
            longest = max(map(len, text.splitlines()), default=0)
            if longest > MAX_COLUMNS:
                yield f"cell {i}: a line of {what} has {longest} columns; {MAX_COLUMNS} fit the page"


def code_follows_prose(nb: NotebookNode) -> Iterator[str]:
    """A section opens with words, not with code under a bare heading."""
    for i, (before, cell) in enumerate(zip(nb.cells, nb.cells[1:], strict=False), start=1):
        bare = all(line.startswith("#") or not line.strip() for line in before.source.splitlines())
        if cell.cell_type == "code" and before.cell_type == "markdown" and bare:
            yield f"cell {i}: code under a bare heading"


# --- the form of a chapter ------------------------------------------------------------------------------------------


def starts_with_title(nb: NotebookNode) -> Iterator[str]:
    """The first cell carries the only title."""
    if not nb.cells or nb.cells[0].cell_type != "markdown" or not re.match(r"# \S", nb.cells[0].source):
        yield "the first cell is not a markdown cell that starts with '# ' and a title"
    prose = re.sub(r"(`{3,}).*?\1", "", markdown(nb), flags=re.DOTALL)
    if len(re.findall(r"^# \S", prose, re.MULTILINE)) > 1:
        yield "more than one heading of the first level"


def states_objectives(nb: NotebookNode) -> Iterator[str]:
    """A reader knows what they will be able to do."""
    words = r"^.*(\bobjectives|will be able to)\b.*\n+(1\.|[-*]) \S"
    if not re.search(words, markdown(nb), re.MULTILINE | re.IGNORECASE):
        yield "no list under the words 'Objectives' or 'you will be able to'"


def states_minutes(nb: NotebookNode) -> Iterator[str]:
    """And how long it takes."""
    opening = "\n".join(cell.source for cell in nb.cells[:2] if cell.cell_type == "markdown")
    if not re.search(r"\d+\s+minutes", opening):
        yield "the first two cells do not say how many minutes the chapter takes"


def states_budget(nb: NotebookNode) -> Iterator[str]:
    """And the machine knows how long the code may run."""
    budget = nb.metadata.get("uvlm", {}).get("budget_seconds")
    if not isinstance(budget, int | float) or isinstance(budget, bool) or budget <= 0:
        yield "the notebook's metadata have no positive uvlm.budget_seconds"


def every_exercise_has_a_solution(nb: NotebookNode) -> Iterator[str]:
    """Exercises and solutions carry the same numbers, and solutions unfold."""
    text = markdown(nb)
    if not re.search(r"^#+ Exercises\b", text, re.MULTILINE):
        yield "no section 'Exercises'"
    exercises = re.findall(rf"(?:{ADMONITION}|^#+\s*)Exercise\s+(\w+)", text, re.MULTILINE)
    solutions = re.findall(ADMONITION + r"Solution\s+(\w+).*\n:class:.*\bdropdown\b", text, re.MULTILINE)
    if not exercises:
        yield "no heading or admonition 'Exercise 1'"
    if exercises != solutions:
        yield f"exercises {exercises} and solutions with ':class: dropdown' {solutions} differ"


def figures_have_alternative_text(nb: NotebookNode) -> Iterator[str]:
    """A reader who cannot see is told what a figure shows."""
    for i, cell in code_cells(nb):
        if figures(cell) > 1:
            yield f"cell {i}: {figures(cell)} figures would share one alternative text: one figure a cell"
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if figures(cell) and len(alt.strip()) < MIN_ALT_LETTERS:
            yield f"cell {i}: a figure without mystnb.image.alt of {MIN_ALT_LETTERS} letters or more in the metadata"
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == "markdown" and re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=\"[^\"]+\")[^>]*>", cell.source):
            yield f"cell {i}: a picture in the text without alternative text"


RULES: tuple[Rule, ...] = (
    counts_run_from_one,
    most_outputs_are_compared,
    figures_are_asserted,
    no_errors,
    no_trailing_semicolon,
    no_output_history,
    no_svg,
    no_text_progress_bar,
    no_clear_output,
    no_display_id,
    no_interact,
    no_stderr,
    known_nbval_marks_only,
    no_addresses_of_objects,
    no_absolute_paths,
    outputs_are_small,
    widgets_are_saved,
    cells_are_short,
    lines_fit_the_page,
    code_follows_prose,
    starts_with_title,
    states_objectives,
    states_minutes,
    states_budget,
    every_exercise_has_a_solution,
    figures_have_alternative_text,
)


def lint(nb: NotebookNode) -> list[str]:
    """Return everything that is wrong with a notebook, each with the name of its rule."""
    return [f"{rule.__name__}: {sentence}" for rule in RULES for sentence in rule(nb)]
