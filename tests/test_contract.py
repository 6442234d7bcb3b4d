"""Every chapter keeps the contract, and every rule of the contract can be broken."""

import copy
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests import chapter_contract as contract
from tests.chapter_contract import Chapter
from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapter_keeps_the_contract(path: Path) -> None:
    """See chapter_contract.py for each rule and its reason."""
    assert contract.broken(contract.read(path)) == []


# --- the rules themselves -------------------------------------------------------------------------------------------

OPENING = """# A title

:::{admonition} In this chapter
**You will be able to**

1. add numbers, and say
   what comes out;
2. subtract them.

**You need** chapters 0 to 2, and
chapter 3 for the end.

**About 10 minutes**, of which the computer needs none.
:::"""

BODY = "## A section\n\nA {term}`beam search` keeps three beginnings."

EXERCISE = """### Exercise {k}: one more (objective {k})

Write `add(a, b)`.

:::{{admonition}} Solution {k}
:class: dropdown
The sum.
:::"""

QUESTION = """### Question {k} (objective 1)

What is the sum of one and two, if both are whole numbers?

:::{{admonition}} (a) It is three.
:class: dropdown choice{a}
{says_a} one and two are three, as can be counted with fingers.
:::

:::{{admonition}} (b) It is two.
:class: dropdown choice{b}
{says_b} that would be their product, which is another thing.
:::

:::{{admonition}} (c) It is twelve.
:class: dropdown choice
Not so: that writes the figures side by side, as with texts.
:::"""

END = "## Summary\n\n- A sum.\n\n## Further reading\n\nMore in {cite}`someone2020sums`."


def question(k: int, right: str) -> str:
    """A question whose right choice is (a) or (b)."""
    marks = {letter: " right" * (letter == right) for letter in "ab"}
    says = {f"says_{letter}": "Right:" if letter == right else "Not so:" for letter in "ab"}
    return QUESTION.format(k=k, **marks, **says)


def judged(k: int) -> list[nbformat.NotebookNode]:
    """An exercise with its solution and its check."""
    check = "from uvlm_mini.exercises.munpus import check_unpack\n\nprint(check_unpack(add))"
    right = new_output("stream", name="stdout", text="Right: it adds.\n")
    return [
        new_markdown_cell(EXERCISE.format(k=k)),
        new_code_cell("def add(a, b):\n    return a + b", metadata={"tags": ["hide-cell", "solution"]}),
        new_code_cell(check, metadata={"tags": ["check"]}, outputs=[right]),
    ]


def good_chapter() -> Chapter:
    """A small chapter that keeps every rule."""
    quiz = "\n\n".join(["## Quiz", *(question(k, "abab"[k - 1]) for k in range(1, 5))])
    cells = [new_markdown_cell(OPENING), new_markdown_cell(BODY), new_markdown_cell("## Exercises\n\nTwo of them.")]
    cells += [*judged(1), *judged(2), new_markdown_cell(quiz), new_markdown_cell(END)]
    return Chapter(4, new_notebook(cells=cells))


Spoiler = Callable[[Chapter], object]
SOLUTION, CHECK, QUIZ = 4, 5, 9


def swap(old: str, new: str, times: int = 1) -> Spoiler:
    """A change of the text or code, the first so many times that `old` stands there."""

    def spoil(chapter: Chapter) -> None:
        left = times
        for cell in chapter.nb.cells:
            found = min(left, cell.source.count(old))
            cell.source, left = cell.source.replace(old, new, found), left - found
        assert not left, f"{old!r} does not stand in the good chapter so often"

    return spoil


def tagged(index: int, *names: str) -> Spoiler:
    """A change of the tags of a cell."""
    return lambda chapter: chapter.nb.cells[index].metadata.update(tags=list(names))


def said(text: str) -> Spoiler:
    """A change of what the first check prints."""
    return lambda chapter: chapter.nb.cells[CHECK].outputs[0].update(text=text)


def dropped(index: int) -> Spoiler:
    """A chapter without one of its cells."""
    return lambda chapter: chapter.nb.cells.pop(index)


RIGHT_A = "(a) It is three.\n:class: dropdown choice right"
SPOILERS: list[tuple[contract.Rule, Spoiler]] = [
    (contract.objectives_are_numbered, swap("2. subtract", "3. subtract")),
    (contract.objectives_are_numbered, swap("1. add", "- add")),
    (contract.objectives_are_numbered, swap("You will be able to", "You will learn to")),
    (contract.needs_earlier_chapters_only, swap("chapter 3", "chapter 4")),
    (contract.needs_earlier_chapters_only, swap("0 to 2", "0, 2 and 7")),
    (contract.needs_earlier_chapters_only, swap("**You need**", "Helpful:")),
    (contract.says_minutes, swap("**About 10 minutes**", "Not long")),
    (contract.ends_in_order, swap("## Quiz\n", "## Questions\n")),
    (contract.ends_in_order, swap("## Further reading", "## More\n\nText.\n\n## Further reading")),
    (contract.ends_in_order, swap("## A section", "## Summary")),
    (contract.cites_further_reading, swap("{cite}`someone2020sums`", "the library")),
    (contract.exercises_are_numbered, swap("Exercise 2:", "Exercise 3:")),
    (contract.exercises_are_numbered, swap("one more (objective 1)", "one more")),
    (contract.exercises_are_numbered, swap("{admonition} Solution 2", "{admonition} Solution 1")),
    (contract.exercises_are_numbered, swap("{admonition} Solution 2", "{note} Solution 2")),
    (contract.two_exercises_are_judged, dropped(CHECK)),
    (contract.two_exercises_are_judged, tagged(CHECK)),
    (contract.checks_follow_solutions, tagged(SOLUTION, "hide-cell")),
    (contract.checks_follow_solutions, tagged(SOLUTION, "solution")),
    (contract.checks_follow_solutions, tagged(CHECK)),
    (contract.checks_follow_solutions, said("Not yet: it adds nothing.\n")),
    (contract.checks_follow_solutions, lambda chapter: chapter.nb.cells[CHECK].update(outputs=[])),
    (contract.solutions_can_be_taken_out, swap("def add", "for i in range(3):\n    print(i)\n\ndef add")),
    (contract.solutions_can_be_taken_out, swap("def add", "one, two = 1, 2\n\n\ndef add")),
    (contract.checkers_are_the_packages, swap("from uvlm_mini.exercises.munpus import", "from my import", 2)),
    (contract.checkers_are_the_packages, swap("check_unpack", "check_nothing", 4)),
    (contract.checkers_are_the_packages, swap("print(check_unpack(add))", "print(add(1, 2))")),
    (contract.quiz_has_its_form, swap("### Question 4 (objective 1)", "And another one.")),
    (contract.quiz_has_its_form, swap("### Question 1 (objective 1)", "### Question 1")),
    (contract.quiz_has_its_form, swap("(c) It is twelve.", "(d) It is twelve.")),
    (contract.quiz_has_its_form, swap(":::{admonition} (c) It", ":::{admonition} It")),
    (contract.quiz_has_its_form, swap(RIGHT_A, RIGHT_A.removesuffix(" right"))),
    (contract.quiz_has_its_form, swap("twelve.\n:class: dropdown choice", "12.\n:class: dropdown choice right")),
    (contract.quiz_has_its_form, swap("What is the sum of one and two, if both are whole numbers?", "How many?")),
    (contract.quiz_has_its_form, lambda chapter: chapter.nb.cells.__setitem__(
        QUIZ, new_markdown_cell("## Quiz\n\n" + "\n\n".join(question(k, "ab"[k % 2]) for k in range(1, 8))))),
    (contract.choices_are_explained, swap("Right: one", "Yes: one")),
    (contract.choices_are_explained, swap("Not so: that writes", "Right: that writes")),
    (contract.choices_are_explained, swap(" the figures side by side, as with texts", " twelve")),
    (contract.choices_are_explained, swap("twelve.\n:class: dropdown choice", "12.\n:class: choice")),
    (contract.right_letters_vary, lambda chapter: chapter.nb.cells[QUIZ].update(
        source="## Quiz\n\n" + "\n\n".join(question(k, "b") for k in range(1, 5)))),
    (contract.objectives_are_served, swap("one more (objective 2)", "one more (objective 1)")),
    (contract.objectives_are_served, swap("Question 4 (objective 1)", "Question 4 (objectives 1 and 3)")),
    (contract.terms_are_linked, swap("{term}`beam search`", "beam search")),
    (contract.terms_are_linked, swap("A {term}`beam search`", "Some beam\nsearches")),
    (contract.terms_are_linked, swap("three beginnings", "`three` LSTMs")),
]  # fmt: skip


def test_a_good_chapter_passes() -> None:
    """Otherwise the test below would prove nothing."""
    chapter = good_chapter()
    nbformat.validate(chapter.nb)
    assert contract.broken(chapter) == []
    assert chapter.objectives == [1, 2]
    assert [heading for heading, _ in chapter.parts("Quiz")][3] == "Question 4 (objective 1)"


@pytest.mark.parametrize(("rule", "spoil"), SPOILERS, ids=lambda value: getattr(value, "__name__", ""))
def test_rule_notices(rule: contract.Rule, spoil: Spoiler) -> None:
    """Each spoiled chapter is reported by the rule that is meant to, in sentences."""
    chapter = copy.deepcopy(good_chapter())
    spoil(chapter)
    assert list(rule(chapter))


def test_every_rule_is_listed_and_spoiled() -> None:
    """No rule is forgotten in RULES or in SPOILERS."""
    assert {rule for rule, _ in SPOILERS} == set(contract.RULES)


@pytest.mark.parametrize(
    "text",
    [
        "The {term}`greedy search` and {term}`searches <beam search>`.",
        "In code, `BOS` and `LSTM`; in a formula, $BLEU$.",
        "### A heading with int8\n\nA pre-entropy, a scale, METEORology.",
        "{numref}`fig-GSM` and <!-- GSM --> nothing.",
    ],
)
def test_what_is_no_use_of_a_term(text: str) -> None:
    """A link, code, a formula, a heading, part of a longer word, and words of everyday English."""
    chapter = good_chapter()
    chapter.nb.cells[1].source += "\n\n" + text
    assert list(contract.terms_are_linked(chapter)) == []


def test_where_a_term_is_used() -> None:
    """Also in the plural, after a hyphen's left side, at a line's end, and with a capital at the beginning."""
    used = {"Logits": "logit", "BLEU-4": "BLEU", "Bias\nmaps": "bias map", "EOS": "BOS, EOS", "µNPU": "µNPU"}
    for words, term in used.items():
        chapter = good_chapter()
        chapter.nb.cells[1].source += f"\n\n{words} are used."
        (sentence,) = contract.terms_are_linked(chapter)
        assert sentence.endswith(f"{{term}}`{term}`")
