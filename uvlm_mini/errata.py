"""Where figures of the paper's note disagree with each other or with their sources: the computations (book/errata.md).

    python -m uvlm_mini.errata              all of them
    python -m uvlm_mini.errata power        one

The page tells what is claimed and what this book does instead; the lines below its headings are those of this module,
which a test compares. The paper's side comes from paper.py, other sources' from peers.py and npu/operators.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from . import paper, paths, peers
from .claims import Read, at
from .claims_list import MOVES
from .npu.energy import watts
from .npu.operators import CHIPS, RUNS

Check = Callable[[Read], list[str]]
ROWS = {row.model: row for row in paper.COMPARISON}


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(values))


def columns(read: Read) -> list[str]:
    """Three rows of Table 1 have three scores for four columns."""
    short = [row for row in paper.COMPARISON if row.bleu4 is None]
    whole = [row for row in paper.COMPARISON if row.bleu4 is not None]
    (smallcap,) = (peer for peer in peers.PUBLISHED if peer.name == "SmallCap")
    return [
        f"CIDEr of {', '.join(row.model for row in short)}: {_listed([row.cider for row in short])}",
        f"CIDEr of the four others: {_listed([row.cider for row in whole])}",
        f"METEOR of the four others: {_listed([row.meteor for row in whole])}",
        f"METEOR of the three, as printed: {_listed([row.spice for row in short])}",
        f"METEOR of the three, moved by a column: {_listed([row.meteor for row in short])}",
        f"SmallCap's BLEU-4 elsewhere: {smallcap.bleu4.value:g}; as printed: {ROWS['SmallCap'].meteor:g}",
    ]


def spice(read: Read) -> list[str]:
    """RFNet's SPICE has two values."""
    (rfnet,) = (peer for peer in peers.PUBLISHED if peer.name == "RFNet")
    return [f"RFNet's SPICE in Table 1: {ROWS['RFNet'].spice:g}; elsewhere, second-hand: {rfnet.spice.value:g}"]


def operators(read: Read) -> list[str]:
    """The column says yes where the text says no."""
    lines = []
    for name, own in (("Up-Down", "Up-Down"), ("µVLM-b", "AttSSM")):
        (peer,) = (p for p in peers.BUILT if p.name == own)
        outside = [op for op in peers.verdict(peer) if op not in MOVES]
        said = "yes" if ROWS[name].operators else "no"
        lines.append(f"{name}: {said}; no sure place for {', '.join(outside)}")
    return lines


def size(read: Read) -> list[str]:
    """ "Over ten times larger" is loose."""
    own = ROWS["µVLM-b"].size_mb
    return [f"{name}: {ROWS[name].size_mb / own:.1f} times µVLM-b" for name in ("SmallCap", "RFNet", "Up-Down", "NIC")]


def sram(read: Read) -> list[str]:
    """The chip's 4.2 MB."""
    kib = CHIPS["stm32n657"].sram_kib
    return [f"{kib:,} KiB are {kib * 1024 / 1e6:.3f} million bytes; {kib / 1000:.3f} thousand KiB"]


def values(read: Read) -> list[str]:
    """The factor of 250 is the number of filters, for one size of map, of values and not of weights."""
    lines = []
    for side in (7, 14, 28):
        ratio = paper.dynamic_conv_values(256, 192, 7) / paper.gsm_values(192, side, side)
        lines.append(f"kernel 7 x 7, map {side} x {side}, 256 filters: {ratio:g} times as many values")
    rows = read("modulation_cost")["rows"]
    dense, gsm = (at(rows, name, "learned") for name in ("dense dynamic", "GSM"))
    return [*lines, f"learned weights of our modules: {dense:,} and {gsm:,}, {dense / gsm:.0f} times"]


def weights(read: Read) -> list[str]:
    """2rH^2 + 3HN leaves out what a selective SSM has."""
    H, N, r = 512, 16, 2
    rows, lstm = read("core_cost")["rows"][str(H)], paper.lstm_count(H)
    counted = {
        "as the paper counts, 3HN": paper.ssm_count(H, N, r),
        "counted at the inner width, 3rHN": 2 * r * H**2 + 3 * r * H * N,
        "our SSM, no gate, no convolution": at(rows, "SSM", "parameters"),
        "a whole Mamba block": at(rows, "Mamba block", "parameters"),
    }
    lines = [f"{name}: {n:,}, {n / lstm:.2f} of 8H²" for name, n in counted.items()]
    smallest = next(h for h in range(1, 999) if 4 * h > 3 * 63)
    return [*lines, f"N = 63 keeps 3N < 4H from H = {smallest} on"]


def cost(read: Read) -> list[str]:
    """O(H^2) + O(HN) holds for a bias that is the same at all places."""
    rows = read("decoder_cost")["rows"]["look"]
    lines = []
    for name in ("GCDM, all anew", "GCDM", "attention, keys anew", "attention"):
        fit = rows[name]["fit"]
        told = (f"{abs(fit[term]):.1f} {term.replace('^2', '²')}" for term in ("H^2", "L H", "L H^2"))
        lines.append(f"{name}: {' + '.join(told)}")
    dice = np.random.default_rng(0)
    x, b = dice.normal(size=(5, 49)), dice.normal(size=49)
    means = [(x + np.roll(b, k)).mean(1) for k in range(49)]
    moved = max(float(abs(a - c).max()) for a, c in pairwise(means))
    return [*lines, f"a bias moved over the map, then a mean: the result moves by {moved:.0e}" if moved > 1e-9 else
            "a bias moved over the map, then a mean: the result does not move"]  # fmt: skip


def bias(read: Read) -> list[str]:
    """H-Swish has a floor."""
    x = np.linspace(-20, 20, 400_001)
    lowest = (x * np.clip(x + 3, 0, 6) / 6).min()
    return [f"the lowest value of an H-Swish: {lowest:.3f}"]


def step(read: Read) -> list[str]:
    """Of the LSTM's time, bytes explain a part."""
    ssm, lstm = paper.DEPLOYMENT["attssm"], paper.DEPLOYMENT["lstm"]
    rate = ssm.size_mb / ssm.ms  # MB a ms
    held = read("m55")["rows"]["step"]["bytes"]
    ours = at(held, "AttSSM", "bytes") / at(held, "LSTM + Bahdanau", "bytes")
    return [
        f"times: {ssm.ms / lstm.ms:.2f}; published sizes: {ssm.size_mb / lstm.size_mb:.2f}; our bytes: {ours:.2f}",
        f"AttSSM's rate: {1000 * rate:.0f} MB/s; the LSTM's bytes at it: {lstm.size_mb / rate:.1f} of {lstm.ms:g} ms",
    ]


def parameters(read: Read) -> list[str]:
    """Bytes a parameter differ between t and b, if both have the same decoder."""
    decoder = paper.DEPLOYMENT["attssm"].size_mb
    lines = []
    for key in "tb":
        mb, count = ROWS[f"µVLM-{key}"].size_mb - decoder, paper.ENCODERS[key].parameters_m
        assert count is not None
        lines.append(f"{key}: {mb:.1f} MB for {count:g} million parameters, {mb / count:.2f} bytes each")
    return lines


def latency(read: Read) -> list[str]:
    """ "Millisecond-level" is a word; a caption is many of them."""
    return [f"{n} word{'s' * (n > 1)}: {paper.TTFT_MS + n * paper.TBT_MS:g} ms" for n in (1, 10, 20)]


def power(read: Read) -> list[str]:
    """A bound, which the NPU at its nominal rate would break."""
    mw = [1000 * w for w in watts(paper.NOMINAL_GOPS / 2 * 1000, 1000)]
    return [f"multiply-adds at {paper.NOMINAL_GOPS:g} GOPS: {mw[0]:.0f} to {mw[1]:.0f} mW; the bound: "
            f"{paper.POWER_BELOW_MW:g}"]  # fmt: skip


def units(read: Read) -> list[str]:
    """Reported energies of a multiply-add carry the wrong unit."""
    (run,) = (run for run in RUNS if run.model == "n6net b1")
    assert run.mmac is not None
    nano, pico = (watts(run.mmac, run.ms, unit) for unit in ("nJ", "pJ"))
    return [f"{run.model}: {nano[0]:.0f} to {nano[1]:.0f} W by nJ, {pico[0]:.2f} to {pico[1]:.2f} W by pJ"]


def sums(read: Read) -> list[str]:
    """What was checked and holds."""
    parts, scores = paper.DEPLOYMENT, [row.score for row in paper.ABLATION]
    gains = [b - a for a, b in pairwise(scores)]
    return [
        f"{parts['encoder'].size_mb:g} + {parts['attssm'].size_mb:g} = {ROWS['µVLM-b'].size_mb:g} MB",
        f"{parts['encoder'].ms:g} + {parts['attssm'].ms:g} = {paper.TTFT_MS:g} ms",
        f"{scores[0]:g} + {' + '.join(f'{g:.1f}' for g in gains)} = {scores[0] + sum(gains):.1f} = "
        f"{ROWS['µVLM-b'].cider:g}",
        f"{paper.ENCODER_ABLATION[0].score:g} % in Table 4, {paper.ENCODERS['t'].top1:g} % of OverMod-t",
    ]


def missed(read: Read) -> list[str]:
    """What this book set out to show, and did not."""
    asked = read("m55")["rows"]["reached"]
    found = [f"{what}: asked {row['asked']}, is {row['is']:.2f}" for what, row in asked.items() if not row["reached"]]
    return found or ["nothing of what was asked of instructions"]


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        columns, spice, operators, size, sram, values, weights, cost, bias, step, parameters, latency, power, units,
        sums, missed,
    )
}  # fmt: skip
"""By the name that the page gives them."""


def lines(name: str, read: Read = paths.result) -> list[str]:
    """What a check finds, as lines of text.

    Raises
    ------
    KeyError
        If there is no check of that name.
    """
    if name not in CHECKS:
        raise KeyError(f"There is no check {name!r}; use one of {', '.join(CHECKS)}.")
    return CHECKS[name](read)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or CHECKS:
        print(f"{wanted}:", *lines(wanted), "", sep="\n")
