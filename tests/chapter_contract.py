"""What makes a notebook a chapter: objectives, exercises that are judged, a quiz, and words that are explained.

Like notebook_lint.py, but about the lesson instead of the notebook: each rule is a function from a chapter to the
sentences that say what is wrong with it, RULES lists them, broken() applies them all.

How a chapter passes
--------------------
- First cell: a title, "**You will be able to**" with a numbered list, "**You need** ..." that names earlier chapters
  only, "**About 50 minutes**".
- The last four sections are Exercises, Quiz, Summary and Further reading, and these cite something.
- An exercise is ``### Exercise 1: title (objective 2)``, or "(objectives 1 and 3)", with a Solution of the same number.
- Two exercises or more are judged: a code cell tagged "hide-cell" and "solution" defines the answer, and the next one,
  tagged "check", prints what a checker of uvlm_mini.exercises says of it.
- A question is ``### Question 1 (objective 2)`` and three or four choices ``:::{admonition} (a) A sentence.`` with
  ``:class: dropdown choice``, of the one right choice ``:class: dropdown choice right``. Behind "Right:" or "Not so:"
  stands why.
- A term of book/glossary.md that the body uses is linked once with {term}`...`, wherever that is.
"""

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from tests.notebook_lint import ADMONITION, code_cells, markdown, outputs_text, tags, tree

ROOT = Path(__file__).resolve().parent.parent
LAST = ["Exercises", "Quiz", "Summary", "Further reading"]
QUESTIONS, CHOICES = range(4, 7), range(3, 5)
MIN_JUDGED = 2
MIN_WORDS = 6  # of an explanation
OBJECTIVE = r"\(objectives? (\d+(?:(?:, | and )\d+)*)\)"
NUMBERS = r"\bchapters? (\d+(?:(?:, | and | to )\d+)*)"
CHECKERS = "uvlm_mini.exercises"
EVERYDAY = {"baseline", "claim", "clipping", "scale"}  # words with other meanings, too, which only a reader tells apart


@dataclass(frozen=True)
class Chapter:
    """A notebook, and its number in the book."""

    number: int
    nb: NotebookNode

    @property
    def opening(self) -> str:
        """The first cell."""
        return str(self.nb.cells[0].source) if self.nb.cells else ""

    @property
    def objectives(self) -> list[int]:
        """The numbers of the objectives, as they are written."""
        listed = re.search(r"will be able to\W*\n+(.*?)(?=\n\*\*|\n:::|\Z)", self.opening, re.DOTALL)
        return [int(n) for n in re.findall(r"^(\d+)\. \S", listed[1], re.MULTILINE)] if listed else []

    def section(self, title: str) -> list[NotebookNode]:
        """The cells of a section of the second level; one that holds several headings is cut at them."""
        found, inside = [], False
        for cell in self.nb.cells:
            if cell.cell_type != "markdown":
                found += [cell] * inside
                continue
            for piece in re.split(r"^(?=## )", cell.source, flags=re.MULTILINE):
                heading = re.match(r"## (.+)", piece)
                inside = heading[1].strip() == title if heading else inside
                if inside:
                    found.append(nbformat.v4.new_markdown_cell(piece))
        return found

    def parts(self, title: str) -> list[tuple[str, list[NotebookNode]]]:
        """The sections of the third level in a section of the second, each as its heading and its cells."""
        found: list[tuple[str, list[NotebookNode]]] = []
        for cell in self.section(title):
            if cell.cell_type == "markdown":
                for piece in re.split(r"^(?=### )", cell.source, flags=re.MULTILINE):
                    if piece.startswith("### "):
                        found.append((piece.splitlines()[0][4:].strip(), []))
                    if found:
                        found[-1][1].append(nbformat.v4.new_markdown_cell(piece))
            elif found:
                found[-1][1].append(cell)
        return found


@dataclass(frozen=True)
class Choice:
    """One answer to a question of the quiz."""

    letter: str
    title: str
    classes: str
    body: str

    @property
    def right(self) -> bool:
        """Whether it is marked as the right one."""
        return "right" in self.classes.split()


Rule = Callable[[Chapter], Iterator[str]]


def read(path: Path) -> Chapter:
    """Read the chapter of a notebook whose name begins with its number."""
    return Chapter(int(path.name[:2]), nbformat.read(path, as_version=4))


def text_of(cells: list[NotebookNode]) -> str:
    """The text of markdown cells, the code left out."""
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def choices(text: str) -> list[Choice]:
    """The choices of a question."""
    pattern = r"^(:{3,})\{admonition\} \((\w)\) ([^\n]+)\n:class: ([^\n]+)\n(.*?)^\1\s*$"
    return [Choice(*found[1:]) for found in re.findall(pattern, text, re.MULTILINE | re.DOTALL)]


def numbers(text: str) -> list[int]:
    """The whole numbers in a text."""
    return [int(n) for n in re.findall(r"\d+", text)]


def served(heading: str) -> list[int]:
    """The objectives that a heading names at its end."""
    found = re.search(OBJECTIVE + r"$", heading)
    return numbers(found[1]) if found else []


# --- the first cell and the order of the sections -------------------------------------------------------------------


def objectives_are_numbered(chapter: Chapter) -> Iterator[str]:
    """Exercises and questions name them by number."""
    found = chapter.objectives
    if len(found) < 2 or found != list(range(1, len(found) + 1)):
        yield f"the objectives in the first cell are numbered {found}, not 1, 2 and so on"


def needs_earlier_chapters_only(chapter: Chapter) -> Iterator[str]:
    """A chapter can be read when those before it have been."""
    needed = re.search(r"^\*\*You need\*\* .+?(?=\n\n|\n:::|\Z)", chapter.opening, re.MULTILINE | re.DOTALL)
    if not needed:
        yield "the first cell does not say what '**You need**'"
        return
    for group in re.findall(NUMBERS, " ".join(needed[0].split())):
        for number in numbers(group):
            if number >= chapter.number:
                yield f"it needs chapter {number}, which is not before chapter {chapter.number}"


def says_minutes(chapter: Chapter) -> Iterator[str]:
    """An instructor plans with them."""
    if not re.search(r"^\*\*About \d+ minutes\*\*", chapter.opening, re.MULTILINE):
        yield "the first cell does not say '**About 50 minutes**'"


def ends_in_order(chapter: Chapter) -> Iterator[str]:
    """A reader knows where to find what."""
    found = re.findall(r"^## (.+?)\s*$", markdown(chapter.nb), re.MULTILINE)
    if found[-len(LAST) :] != LAST or any(found.count(name) > 1 for name in LAST):
        yield f"the last sections are {found[-len(LAST) :]}, not {LAST}"


def cites_further_reading(chapter: Chapter) -> Iterator[str]:
    """Whoever wants to know more is sent somewhere."""
    if "{cite}" not in text_of(chapter.section("Further reading")):
        yield "Further reading cites nothing"


# --- exercises ------------------------------------------------------------------------------------------------------


def exercises_are_numbered(chapter: Chapter) -> Iterator[str]:
    """Each says which objective it serves, and holds its own solution."""
    for place, (heading, cells) in enumerate(chapter.parts("Exercises"), start=1):
        if not re.match(rf"Exercise {place}: \S.* {OBJECTIVE}$", heading):
            yield f"'### {heading}' is not '### Exercise {place}: title (objective 1)'"
        solutions = re.findall(rf"{ADMONITION}Solution (\w+)", text_of(cells), re.MULTILINE)
        if solutions != [str(place)]:
            yield f"under '### {heading}' there are the solutions {solutions}, not one, Solution {place}"


def two_exercises_are_judged(chapter: Chapter) -> Iterator[str]:
    """A reader who works alone is told whether an answer is right."""
    judged = [heading for heading, cells in chapter.parts("Exercises") if any("check" in tags(c) for c in cells)]
    if len(judged) < MIN_JUDGED:
        yield f"{len(judged)} exercises have a cell tagged 'check'; {MIN_JUDGED} are wanted"


def checks_follow_solutions(chapter: Chapter) -> Iterator[str]:
    """The student's copy takes the solution out, and the check then says that there is none."""
    cells = chapter.nb.cells
    for i, cell in code_cells(chapter.nb):
        after = cells[i + 1] if i + 1 < len(cells) else None
        if "solution" in tags(cell):
            if "hide-cell" not in tags(cell):
                yield f"cell {i}: a solution that is not tagged 'hide-cell'"
            if after is None or not tags(after) & {"solution", "check"}:
                yield f"cell {i}: a solution that no cell tagged 'check' follows"
        if "check" in tags(cell):
            if i == 0 or "solution" not in tags(cells[i - 1]):
                yield f"cell {i}: a check that follows no cell tagged 'solution'"
            if not outputs_text(cell).startswith("Right:"):
                yield f"cell {i}: the output of this check does not start with 'Right:'"


def solutions_can_be_taken_out(chapter: Chapter) -> Iterator[str]:
    """Functions, classes and names can be left for the reader to fill; a loop or a print could not."""
    kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    for i, cell in code_cells(chapter.nb):
        if "solution" in tags(cell):
            for node in getattr(tree(cell), "body", []):
                named = isinstance(node, ast.Assign) and all(isinstance(target, ast.Name) for target in node.targets)
                if not named and not isinstance(node, kept):
                    yield f"cell {i}: line {node.lineno} of this solution is no import, function, class or name = value"


def checkers_are_the_packages(chapter: Chapter) -> Iterator[str]:
    """A checker written in the chapter would hold the solution."""
    imported: dict[str, str] = {}
    for i, cell in code_cells(chapter.nb):
        for node in ast.walk(tree(cell)):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported |= {alias.asname or alias.name: f"{node.module}:{alias.name}" for alias in node.names}
        if "check" not in tags(cell):
            continue
        calls = [node.func for node in ast.walk(tree(cell)) if isinstance(node, ast.Call)]
        names = [call.id for call in calls if isinstance(call, ast.Name) and call.id != "print"]
        found = [imported[name] for name in names if imported.get(name, "").startswith(CHECKERS)]
        if not found:
            yield f"cell {i}: calls nothing that is imported from {CHECKERS}"
        for module, _, name in (path.partition(":") for path in found):
            if not exists(module, name):
                yield f"cell {i}: there is no {name} in {module}"


@cache
def exists(module: str, name: str) -> bool:
    """Tell whether a module has a public function of this name."""
    try:
        return callable(getattr(importlib.import_module(module), name, None)) and not name.startswith("_")
    except ImportError:
        return False


# --- the quiz -------------------------------------------------------------------------------------------------------


def quiz_has_its_form(chapter: Chapter) -> Iterator[str]:
    """Four to six questions, each with three or four choices of which one is right."""
    questions = chapter.parts("Quiz")
    if len(questions) not in QUESTIONS:
        yield f"the quiz has {len(questions)} questions; {QUESTIONS[0]} to {QUESTIONS[-1]} are wanted"
    for place, (heading, cells) in enumerate(questions, start=1):
        if not re.match(rf"Question {place} {OBJECTIVE}$", heading):
            yield f"'### {heading}' is not '### Question {place} (objective 1)'"
        text, name = text_of(cells), f"question {place}"
        given = choices(text)
        if len(given) != len(re.findall(r"^[:`]{3,}\{", text, re.MULTILINE)):
            yield f"{name}: something is not written as ':::{{admonition}} (a) A sentence.' and ':class: ...' are"
        if len(given) not in CHOICES or [c.letter for c in given] != list("abcd")[: len(given)]:
            yield f"{name}: the choices are {[c.letter for c in given]}, not a, b, c or a to d"
        if sum(c.right for c in given) != 1:
            yield f"{name}: {sum(c.right for c in given)} choices are right"
        asked = text.partition("\n")[2].partition(":::")[0].strip()
        if len(asked.split()) < MIN_WORDS:
            yield f"{name}: no question stands above its choices"


def choices_are_explained(chapter: Chapter) -> Iterator[str]:
    """A wrong choice teaches more than a right one, if it says where it comes from."""
    for place, (_, cells) in enumerate(chapter.parts("Quiz"), start=1):
        for choice in choices(text_of(cells)):
            name = f"question {place} ({choice.letter})"
            if choice.classes.split() not in (["dropdown", "choice"], ["dropdown", "choice", "right"]):
                yield f"{name}: its class is '{choice.classes}', not 'dropdown choice' or 'dropdown choice right'"
            begins = "Right:" if choice.right else "Not so:"
            if not choice.body.strip().startswith(begins):
                yield f"{name}: its body does not begin with '{begins}'"
            if len(choice.body.split(":", 1)[-1].split()) < MIN_WORDS:
                yield f"{name}: its explanation has fewer than {MIN_WORDS} words"


def right_letters_vary(chapter: Chapter) -> Iterator[str]:
    """Otherwise the letter would be the answer."""
    right = [c.letter for _, cells in chapter.parts("Quiz") for c in choices(text_of(cells)) if c.right]
    if len(right) > 1 and len(set(right)) == 1:
        yield f"the right choice is always ({right[0]})"


def objectives_are_served(chapter: Chapter) -> Iterator[str]:
    """What is promised is practised, and nothing that is not promised."""
    found = {n for title in ("Exercises", "Quiz") for heading, _ in chapter.parts(title) for n in served(heading)}
    for number in sorted(set(chapter.objectives) - found):
        yield f"no exercise and no question serves objective {number}"
    for number in sorted(found - set(chapter.objectives)):
        yield f"an exercise or a question serves objective {number}, and there is none"


# --- words ----------------------------------------------------------------------------------------------------------


@cache
def glossary() -> tuple[str, ...]:
    """The terms of the glossary, as they are written there."""
    lines = (ROOT / "book" / "glossary.md").read_text(encoding="utf8").splitlines()
    terms = [line for line in lines if line and line[0] not in " #`"]
    return tuple(terms)


def spelled(term: str) -> re.Pattern[str]:
    """A pattern for a term in a sentence: whole words, in the plural too, with a capital where a sentence begins."""
    words = []
    for name in term.split(", "):
        first = name[0] if not name.islower() else f"[{name[0]}{name[0].upper()}]"
        words.append(first + r"\s+".join(map(re.escape, name[1:].split(" "))))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(words)})(?:e?s)?(?!\w)")


def prose(text: str) -> str:
    """A text without headings, code, formulas, comments, roles and the first lines of directives."""
    text = re.sub(r"<!--.*?-->", " ", text, flags=re.DOTALL)
    text = re.sub(r"^(?:#|[:`]{3,}|:\w+:|\(.*\)=).*$", " ", text, flags=re.MULTILINE)
    text = re.sub(r"\{\w+\}`[^`]*`|`[^`]*`", " ", text)
    return re.sub(r"\$\$.*?\$\$|\$[^$]*\$", " ", text, flags=re.DOTALL)


def links(text: str) -> set[str]:
    """The terms that a text links to, in small letters."""
    found = re.findall(r"\{term\}`(?:[^`<]*<([^`>]+)>|([^`<]+))`", text)
    return {" ".join((target or plain).split()).lower() for target, plain in found}


def terms_are_linked(chapter: Chapter) -> Iterator[str]:
    """A word that is explained somewhere leads there once."""
    text = markdown(chapter.nb)
    body = prose(text.removeprefix(chapter.opening).partition("\n## Exercises")[0])
    for term in glossary():
        if term in EVERYDAY or term.lower() in links(text):
            continue
        if used := spelled(term).search(body):
            yield f"'{' '.join(used[0].split())}' is in the glossary, and never linked: {{term}}`{term}`"


RULES: tuple[Rule, ...] = (
    objectives_are_numbered,
    needs_earlier_chapters_only,
    says_minutes,
    ends_in_order,
    cites_further_reading,
    exercises_are_numbered,
    two_exercises_are_judged,
    checks_follow_solutions,
    solutions_can_be_taken_out,
    checkers_are_the_packages,
    quiz_has_its_form,
    choices_are_explained,
    right_letters_vary,
    objectives_are_served,
    terms_are_linked,
)


def solved(number: int, **given: object) -> dict[str, Any]:
    """What a chapter's imports, its cells tagged 'export' and its solutions define, for the tests of its checkers.

    `given` is what else of the chapter's body the solutions use.
    """
    (path,) = (ROOT / "notebooks").glob(f"{number:02}_*.ipynb")
    names: dict[str, Any] = {**given}
    for _, cell in code_cells(read(path).nb):
        body = tree(cell)
        assert isinstance(body, ast.Module)
        if not tags(cell) & {"export", "solution"}:
            body.body = [node for node in body.body if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(body, path.name, "exec"), names)
    return names


def broken(chapter: Chapter) -> list[str]:
    """Return everything in which a chapter breaks the contract, each with the name of its rule."""
    return [f"{rule.__name__}: {sentence}" for rule in RULES for sentence in rule(chapter)]
