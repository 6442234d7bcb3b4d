"""The book's Markdown as HTML for a slide, formulas as MathML, which browsers draw without a script.

Only what the chosen parts use is understood: anything else raises ValueError, so that no markup is left on a slide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

# ----------------------------------------------------------------------------------------------------------------
# Formulas

TOKEN = re.compile(r"\s+|\\[a-zA-Z]+|\\[,;! ]|\d+(?:[.,]\d+)*|.", re.DOTALL)
LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "Delta": "Δ", "lambda": "λ", "mu": "µ", "sigma": "σ",
    "nabla": "∇", "tau": "τ", "infty": "∞",
}  # fmt: skip
SIGNS = {"cdot": "·", "times": "×", "le": "≤", "ge": "≥", "approx": "≈", "sum": "∑", "in": "∈", "pm": "±", "to": "→"}
FUNCTIONS = {"max", "min", "log", "exp", "softmax"}
BLACKBOARD = {"E": "𝔼", "R": "ℝ"}
SPACES = {r"\,", r"\;", r"\!", r"\ "}


class Formula:
    """A reader of TeX that goes once through its tokens."""

    def __init__(self, tex: str) -> None:
        self.tex = tex
        self.tokens = [t for t in TOKEN.findall(tex) if not t.isspace() and t not in SPACES]
        self.plain = iter(self._groups())

    def _groups(self) -> Iterator[str]:
        """The text of each \\text{...} in turn, whose spaces count."""
        yield from re.findall(r"\\(?:text|mathrm)\s*\{([^{}]*)\}", self.tex)

    def fail(self, what: str) -> ValueError:
        """An error that names the formula."""
        return ValueError(f"the formula '{self.tex}' has {what}; teach it to scripts/slide_text.py")

    def take(self) -> str:
        """The next token."""
        if not self.tokens:
            raise self.fail("an end where something was expected")
        return self.tokens.pop(0)

    def row(self, end: str = "") -> str:
        """What comes up to a token, or to the end of the formula."""
        made = ""
        while self.tokens and self.tokens[0] != end:
            made += self.scripted()
        if end:
            if not self.tokens:
                raise self.fail(f"no {end}")
            self.take()
        return f"<mrow>{made}</mrow>"

    def scripted(self) -> str:
        """One thing, with what stands above and below its right."""
        base, above, below = self.atom(), "", ""
        while self.tokens and self.tokens[0] in ("^", "_"):
            if self.take() == "^":
                above = self.atom()
            else:
                below = self.atom()
        if above and below:
            return f"<msubsup>{base}{below}{above}</msubsup>"
        if above or below:
            name = "msup" if above else "msub"
            return f"<{name}>{base}{above or below}</{name}>"
        return base

    def atom(self) -> str:
        """A letter, a number, a sign, a command or a group in braces."""
        token = self.take()
        if token == "{":
            return self.row("}")
        if token.startswith("\\"):
            return self.command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{token}</mi>"
        if token in "+-=()[]/,<>|.:":
            return f'<mo stretchy="false">{escape(token.replace("-", "−"))}</mo>'
        raise self.fail(f"the sign {token}")

    def command(self, name: str) -> str:
        """What stands behind a backslash."""
        if name in LETTERS:
            return f"<mi>{LETTERS[name]}</mi>"
        if name in SIGNS:
            return f"<mo>{SIGNS[name]}</mo>"
        if name in FUNCTIONS:
            return f"<mi>{name}</mi><mspace width='0.15em'/>"
        if name == "frac":
            return f"<mfrac>{self.atom()}{self.atom()}</mfrac>"
        if name == "mathbb":
            letter = self.take()
            if letter == "{":
                letter, _ = self.take(), self.take()
            return f"<mi>{BLACKBOARD[letter]}</mi>"
        if name in ("text", "mathrm"):
            while self.take() != "}":
                pass
            return f"<mtext>{escape(next(self.plain))}</mtext>"
        raise self.fail(f"the command \\{name}")


def mathml(tex: str) -> str:
    """A formula of TeX as MathML; what it cannot do raises ValueError."""
    return f"<math>{Formula(tex).row()}</math>"


# ----------------------------------------------------------------------------------------------------------------
# Text


def _math(_: Any, tokens: Sequence[Token], place: int, *__: Any) -> str:
    return mathml(tokens[place].content)


def _role(_: Any, tokens: Sequence[Token], place: int, *__: Any) -> str:
    name, text = tokens[place].meta["name"], tokens[place].content
    if name != "term":
        raise ValueError(f"{{{name}}}`{text}` has no place on a slide; choose a part without it")
    return escape(re.sub(r"\s*<[^>]*>$", "", text))


def _nothing(*_: Any) -> str:
    return ""


def _parser() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "typographer": False}).enable("table")
    made.use(dollarmath_plugin, allow_labels=False, double_inline=True).use(myst_role_plugin)
    rules = {"math_inline": _math, "math_inline_double": _math, "math_block": _math, "myst_role": _role}
    rules |= {"link_open": _nothing, "link_close": _nothing}  # a link leads out of the room
    for name, rule in rules.items():
        made.add_render_rule(name, rule)
    return made


PARSER = _parser()


def block(text: str) -> str:
    """Paragraphs, lists and tables."""
    return str(PARSER.render(text))


def inline(text: str) -> str:
    """One line, without a paragraph around it."""
    return str(PARSER.renderInline(" ".join(text.split())))
