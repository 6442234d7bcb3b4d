"""The claims as text of 88 columns and as one figure: the paper's cell, ours, what made it, the verdict (chapter 11).

    python -m uvlm_mini.claims_show                     all tables, and how often each verdict falls
    python -m uvlm_mini.claims_show "Table 6" --why     one of them, with the reasons

matplotlib is imported where it is used.
"""

from __future__ import annotations

import argparse
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from . import paths
from .claims import (
    DIRECTION,
    ELSEWHERE,
    OPPOSITE,
    REPRODUCED,
    UNDECIDED,
    UNTRIED,
    VERDICTS,
    Apart,
    Bound,
    Claim,
    Found,
    Read,
)
from .claims_list import CLAIMS, TABLES, of
from .viz import PALETTE, WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 88
NAME = 24  # of them for the name
NAMES = {  # fields of paper.py as a reader knows them
    "size_mb": "MB",
    "operators": "operators",
    "hardware_aware": "aware",
    "bleu4": "BLEU-4",
    "meteor": "METEOR",
    "spice": "SPICE",
    "cider": "CIDEr",
    "parameters_m": "M parameters",
    "top1": "top-1",
    "power_below_mw": "mW",
    "TTFT_MS": "ms",
    "TBT_MS": "ms",
    "SRAM_MB": "MB",
}
MARKS = {REPRODUCED: "o", DIRECTION: "^", UNDECIDED: "D", OPPOSITE: "X", ELSEWHERE: "s", UNTRIED: "."}
COLOURS = dict(zip(VERDICTS, (PALETTE[2], PALETTE[0], PALETTE[4], PALETTE[1], "#888888", "#CCCCCC"), strict=True))


def title(claim: Claim, width: int = COLUMNS) -> str:
    """Row, column and reading of a claim; a row that is too long for the width is cut."""
    tail = ", ".join([NAMES.get(claim.what, claim.what), *([claim.reading] if claim.reading else [])])
    room = width - len(tail) - 2
    row = claim.row if len(claim.row) <= room else claim.row[: max(room - 2, 8)].rstrip(" ,") + ".."
    return f"{row}, {tail}"


def figure_of(value: float) -> str:
    """A number in three digits, or all of them before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 0.1 else f"{value:#.3g}"


def told(claim: Claim, found: Found | None) -> str:
    """Our cell: the number, and its interval where it has one."""
    if found is None:
        return "-"
    if claim.unit == "yes":
        return f"{found.value:.0f} outside"
    ends = f" ({figure_of(found.low)}-{figure_of(found.high)})" if found.low < found.high else ""
    return figure_of(found.value) + ends


def by(claim: Claim) -> str:
    """What made our number: a benchmark's name, or a module of the package."""
    return claim.command.removeprefix("python -m ").removeprefix("benchmarks.").removeprefix("uvlm_mini.") or "-"


def lines(claims: Iterable[Claim], read: Read = paths.result) -> list[str]:
    """A line a claim, 88 columns wide: cell, paper, ours with its interval, verdict, what made it.

    A name that is too long for its column has a line of its own.
    """
    rows = [f"{'':{NAME}}{'paper':>11} {'ours':>18}  {'verdict':14} made by"]
    for claim in claims:
        name = title(claim)
        if len(name) >= NAME:
            rows.append(name)
            name = ""
        paper = claim.cell if len(claim.cell) <= 11 else figure_of(claim.paper or 0)
        ours = told(claim, claim.found(read))
        rows.append(f"{name:{NAME}}{paper:>11} {ours:>18}  {claim.verdict(read):14} {by(claim)}")
    return rows


def counts(claims: Iterable[Claim] = CLAIMS, read: Read = paths.result) -> list[str]:
    """How often each verdict falls, table by table."""
    claims = list(claims)
    found = Counter((claim.table, claim.verdict(read)) for claim in claims)
    rows = [f"{'':12}" + "".join(f"{verdict:>{len(verdict) + 2}}" for verdict in VERDICTS)]
    for table in dict.fromkeys(claim.table for claim in claims):
        rows.append(f"{table:12}" + "".join(f"{found[table, v]:{len(v) + 2}}" for v in VERDICTS))
    total = Counter(claim.verdict(read) for claim in claims)
    return [*rows, f"{'together':12}" + "".join(f"{total[v]:{len(v) + 2}}" for v in VERDICTS)]


def reasons(claims: Iterable[Claim]) -> list[str]:
    """Why each claim is judged as it is, a paragraph each; claims of one reason share it."""
    grouped: dict[str, list[str]] = {}
    for claim in claims:
        grouped.setdefault(claim.why, []).append(title(claim, 60))
    rows: list[str] = []
    for why, names in grouped.items():
        named = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        rows += textwrap.wrap(f"{named}: {why}.", COLUMNS, subsequent_indent="    ", break_on_hyphens=False)
    return rows


def drawn(claims: Iterable[Claim] = CLAIMS, read: Read = paths.result) -> list[tuple[Claim, float, str]]:
    """The claims that the figure shows, each with ours over the paper's and its verdict.

    Those with a number on both sides, of the same thing: what is judged by `Apart` or `Bound` has none.
    """
    shares = [(claim, claim.share(read)) for claim in claims if not isinstance(claim.rule, Apart | Bound)]
    return [(claim, share, claim.verdict(read)) for claim, share in shares if share is not None]


def ratios(claims: Sequence[Claim] = CLAIMS, read: Read = paths.result) -> Figure:
    """Draw ours over the paper's, a mark a claim on a logarithmic axis; colour and form of the mark are the verdict."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    shown = drawn(claims, read)
    fig, axis = plt.subplots(figsize=(WIDTH, 0.19 * len(shown) + 1.0))
    for verdict in VERDICTS:
        places = [i for i, (_, _, v) in enumerate(shown) if v == verdict]
        if places:
            x, form, colour = [shown[i][1] for i in places], MARKS[verdict], COLOURS[verdict]
            axis.plot(x, places, form, color=colour, label=verdict, ms=6)
    axis.axvline(1, color="black", lw=1)
    axis.set_yticks(range(len(shown)), [f"{claim.table}: {title(claim, 46)}" for claim, _, _ in shown], fontsize=7)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", lw=0.3)
    axis.set(xscale="log", ylim=(len(shown) - 0.5, -0.5), xlabel="ours, over the paper's")
    marks = [m for m in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if _near(m, [s for _, s, _ in shown])]
    axis.set_xticks(marks, [f"{m:g}" for m in marks])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.legend(loc="lower center", bbox_to_anchor=(0.2, 1.0), ncols=5, fontsize=8, frameon=False)
    return fig


def _near(mark: float, shares: Sequence[float]) -> bool:
    return min(shares) / 1.5 <= mark <= max(shares) * 1.5


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description="The paper's cells beside ours, each with a verdict.")
    parser.add_argument("table", nargs="?", choices=[*TABLES], help="one table; without it, all")
    parser.add_argument("--why", action="store_true", help="say why, too")
    args = parser.parse_args()
    for table in [args.table] if args.table else TABLES:
        print(f"\n{table}: {TABLES[table]}", *lines(of(table)), *(reasons(of(table)) if args.why else []), sep="\n")
    print("", *counts(of(args.table) if args.table else CLAIMS), sep="\n")


if __name__ == "__main__":
    main()
