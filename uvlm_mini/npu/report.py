"""A verdict as text: what `uvlm check` prints."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from uvlm_mini.npu.operators import CHIPS, SOURCES
from uvlm_mini.npu.rows import PLACES, x
from uvlm_mini.paper import BUDGET_MB

if TYPE_CHECKING:
    from uvlm_mini.npu.check import NodeVerdict, Verdict

NARROWEST = 80  # columns that the table needs
HEAD = f"{'node':>5} {'operator':18} {'output':14} {'runs':11} {'src':4} {'kMAC':>7}  "


def table(verdict: Verdict, width: int = 100) -> str:
    """The verdict as text: one line a node that is not folded, then the sums, then the warnings.

    Parameters
    ----------
    verdict : Verdict
    width : int
        Columns, at least 80; no line is longer.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        Fewer columns.
    """
    if width < NARROWEST:
        raise ValueError(f"The table needs {NARROWEST} columns and got {width}; give it more.")
    lines = [
        *_wrapped(f"{Path(verdict.file).name[-30:]} on {verdict.target}: {verdict.precision}, {len(verdict.nodes)} "
                  f"nodes in {verdict.order}", width),
        "",
        f"{HEAD}why",
    ]  # fmt: skip
    said: dict[str, int] = {}  # a reason, and the node that it was printed at
    for node in verdict.nodes:
        if node.where == "folded" and not node.why.startswith("into"):
            continue
        head = _head(node, verdict.target)
        why = textwrap.wrap(node.why, width - len(HEAD)) or [""]
        if len(why) > 1 and said.setdefault(node.why, node.number) != node.number:
            why = [f"as node {said[node.why]}"]
        lines += [(head + why[0]).rstrip(), *(" " * len(HEAD) + more for more in why[1:])]
    return "\n".join([*lines, "", *summary(verdict, width)])


def _head(node: NodeVerdict, target: str) -> str:
    """What stands before the reason, in columns of one width; what does not fit is cut, and the cut is shown."""
    shape = "?" if node.shape is None else x(node.shape) or "scalar"
    row = node.row if node.row and target == "stm32n6" else node.op
    columns = (_cut(row, 18), _cut(shape, 14), node.where, "".join(node.sources))
    name, made, where, src = columns
    number = f"{node.number}"
    return f"{number:>5} {name:18} {made:14} {where:11} {src:4} {_kmac(node.multiply_adds):>7}  "


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _kmac(n: int) -> str:
    """Thousands of multiply-adds in seven columns."""
    text = f"{n / 1e3:.0f}" if n else ""
    return text if len(text) <= 7 else f"{n / 1e3:.1e}"


def summary(verdict: Verdict, width: int = 100) -> list[str]:
    """The sums, the sources and the warnings of a verdict, as lines."""
    macs: Counter[str] = Counter()
    for node in verdict.nodes:
        macs[node.where] += node.multiply_adds
    lines = [f"{'':12}{'nodes':>7}{'MMAC':>10}"]
    for where in PLACES:
        numbers = [str(node.number) for node in verdict.nodes if node.where == where]
        apart = textwrap.wrap(", ".join(numbers), width - 38) if where not in ("hw", "folded") else [""]
        if numbers:
            named = f"   nodes {apart[0]}" if apart[0] else ""
            lines.append(f"{where:12}{len(numbers):7}{_mmac(macs[where]):>10}{named}")
            lines += [" " * 38 + more for more in apart[1:]]
    lines += [f"{'all':12}{len(verdict.nodes):7}{_mmac(verdict.multiply_adds):>10}", ""]
    chip, as_int8 = CHIPS["stm32n657"], "as int8, " if verdict.precision == "float" else ""
    known = verdict.target == "stm32n6"
    sram, flash = (f" of {size:,} KiB" if known else "" for size in (chip.sram_kib, chip.flash_kib))
    at = verdict.nodes[verdict.peak_node]
    file = f" ({_kib(verdict.file_weight_bytes)} in the file)" if as_int8 else ""
    rows = [
        ("activations", f"{_kib(verdict.peak_bytes)} at most, at node {at.number} ({at.op})", f"SRAM{sram}", "sram"),
        ("weights", f"{_kib(verdict.weight_bytes)}{file}", f"flash{flash}", "flash"),
        ("both", _kib(verdict.weight_bytes + verdict.peak_bytes), f"the paper's {BUDGET_MB:g} MB", "budget"),
    ]
    for what, size, memory, key in rows:
        known = verdict.target == "stm32n6" or key == "budget"
        fits = {None: "open, see below" if known else "size not known here", True: "fits", False: "does not fit"}
        lines += _wrapped(f"{what:12} {as_int8}{size}; {memory}: {fits[verdict.fits[key]]}", width)
    return [*lines, "", *(line for text in _notes(verdict) for line in _wrapped(text, width))]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ")


def _notes(verdict: Verdict) -> list[str]:
    letters = sorted({letter for node in verdict.nodes for letter in node.sources if node.where != "folded"})
    return [
        f"Memory by liveness, in {verdict.order}: another order may need less, and a tool's own buffers more. Views "
        "and a ReLU right after its convolution take none of their own. A multiply-add is one of a convolution, a "
        "matrix product or a recurrence.",
        *(f"src {letter}: {SOURCES[letter]}" for letter in letters),
        *(f"! {text}" for text in verdict.warnings),
    ]


def _mmac(n: int) -> str:
    text = f"{n / 1e6:.2f}"
    return text if len(text) < 10 else f"{n / 1e6:.2e}"


def _kib(n: int) -> str:
    return f"{n / 1024:,.0f} KiB"
