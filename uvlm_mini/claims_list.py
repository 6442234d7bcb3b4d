"""Every cell of the paper's tables, and what its text claims, each with our number and the rule (chapter 11).

The paper's side comes from paper.py, ours from result files: no number of either is typed here. Where the paper leaves
open what was compared, a cell has several readings, and each is judged.
"""

from __future__ import annotations

from itertools import pairwise

from . import paper
from .claims import (
    Apart,
    Bound,
    Chosen,
    Claim,
    Effect,
    Found,
    Modelled,
    Ours,
    Outside,
    Read,
    Stated,
    Under,
    at,
    between,
    made,
    number,
    runs_ratio,
)
from .claims_text import counts, quality, speed

TABLES = {
    "Table 1": "lightweight captioners on COCO, Karpathy's test split",
    "Encoders": "OverMod on ImageNet-1K, as far as it is public",
    "Table 4": "OverMod-t taken apart",
    "Table 6": "µVLM-b put together",
    "Deployment": "int8 on the STM32N657",
    "Text": "what text and formulas say",
}

HERE = "python -m uvlm_mini.claims_show"  # computes what needs no result file
MOVES = frozenset({"Gather", "Split", "Concat", "Transpose"})  # operators that move numbers and compute none

# --------------------------------------------------------------------------------------------------------------------
# Table 1

_SIZE = "our widths: the paper publishes none; both files, encoder and step, in int8"
_NO_SIZE = "built here as a decoder alone, if at all; the paper's size is that of a whole captioner"
_AWARE = "whether a model was made with hardware in mind is said by its authors; there is nothing to measure"
_FOREIGN = {
    "SmallCap": "needs a large language model, CLIP and a store of captions",
    "RFNet": "needs several large encoders",
    "Up-Down": "needs a detector; our Up-Down looks at a grid, and only its CIDEr was kept",
    "NIC": "of our NIC only CIDEr was kept",
}
_NO_COCO = "the preset is there and was not trained: neither COCO nor ImageNet is"
_SCENES = "the shipped model, a small fraction of µVLM-b, on drawn scenes whose captions a grammar makes"
_OPERATORS = {
    "SmallCap": "attends: a softmax, and products of two computed operands",
    "RFNet": "attends, as far as we recall it: a softmax, and products of two computed operands",
    "Up-Down": "attends: a softmax, and products of two computed operands; the decoder alone is judged",
    "NIC": "the decoder alone is judged; what it leaves outside only moves numbers",
    "µVLM": "the SSM's softplus, exp and read-out, and two layer norms; the paper writes such operators by hand",
}


def _outside(name: str) -> Ours:
    """How many operators that compute have no sure place on the NPU, by the table of chapter 1."""

    def count(read: Read) -> Found:
        from . import peers

        (peer,) = (p for p in (*peers.PUBLISHED, *peers.BUILT) if p.name == name)
        return Found.exact(len(set(peers.verdict(peer)) - MOVES))

    return count


def _whole_mb(preset: str) -> Ours:
    """Bytes of encoder and step in int8, in MB."""

    def add(read: Read) -> Found:
        return Found.exact(sum(at(read("sizes")["rows"], preset, "int8").values()) / 1e6)

    return add


def _scores(row: paper.Comparison) -> list[Claim]:
    """BLEU-4, METEOR, SPICE and CIDEr of one row."""
    ours = {"bleu4": "BLEU-4", "meteor": "METEOR", "cider": "CIDEr"} if row.model == "µVLM-b" else {}
    claims = []
    for what in ("bleu4", "meteor", "spice", "cider"):
        value = getattr(row, what)
        if value is None or (row.model, what) in (("NIC", "cider"), ("Up-Down", "cider")):
            continue
        if what in ours:
            source = number("shipped", "test", "model", ours[what], scale=100)
            claims.append(
                Claim("Table 1", row.model, what, f"{value:g}", value, "%", Apart(), _SCENES, source, *made("shipped"))
            )
        else:
            why = _FOREIGN.get(row.model, "its models are not here" if row.model == "µVLM-b" else _NO_COCO)
            claims.append(Claim("Table 1", row.model, what, f"{value:g}", value, "%", Apart(), why))
    return claims


def _beside_uvlm(row: paper.Comparison) -> list[Claim]:
    """CIDEr of a rival that is built here, beside that of µVLM-b: a ratio, so that scales do not matter."""
    (own,) = (r for r in paper.COMPARISON if r.model == "µVLM-b")
    ratio, cell = row.cider / own.cider, f"{row.cider:g}/{own.cider:g}"
    if row.model == "NIC":
        rule, why = Effect(), "ours look at the features of one encoder, the paper's are whole captioners"
    else:
        rule, why = Apart(), "ours looks at a grid, where the paper's has a detector's regions"  # type: ignore[assignment]
    return [
        Claim("Table 1", row.model, "cider", cell, ratio, "x", rule, f"{why}; {more}", source, *made(file), reading)
        for reading, more, file, source in (
            (
                "one encoder",
                "three runs of 800 steps",
                "decoders",
                runs_ratio("decoders", row.model, "AttSSM", "test CIDEr"),
            ),
            (
                "four stages",
                "one run of the rival, three of ours",
                "quarter",
                runs_ratio("quarter", row.model, "AttSSM", "test CIDEr after scst"),
            ),
        )
    ]


def table_1() -> list[Claim]:
    """Sizes, operators, intent, and four scores, for seven captioners."""
    claims = []
    for row in paper.COMPARISON:
        name, own = row.model, row.model.startswith("µVLM")
        size = f"{'~' * row.rough}{row.size_mb:g}"
        if own:
            rule, source, by = Under(paper.BUDGET_MB), _whole_mb(name[-1]), made("sizes")
            claims.append(Claim("Table 1", name, "size_mb", size, row.size_mb, "MB", rule, _SIZE, source, *by))
        else:
            claims.append(Claim("Table 1", name, "size_mb", size, row.size_mb, "MB", Apart(), _NO_SIZE))
        said, why = ("yes" if row.operators else "no"), _OPERATORS["µVLM" if own else name]
        judged = _outside("AttSSM" if own else name)
        claims.append(
            Claim("Table 1", name, "operators", said, float(row.operators), "yes", Outside(), why, judged, HERE)
        )
        said = "yes" if row.hardware_aware else "no"
        claims.append(
            Claim("Table 1", name, "hardware_aware", said, float(row.hardware_aware), "yes", Stated(), _AWARE)
        )
        claims += _scores(row)
        claims += _beside_uvlm(row) if name in ("NIC", "Up-Down") else []
    return claims


# --------------------------------------------------------------------------------------------------------------------
# encoders, Table 4, Table 6


def encoders() -> list[Claim]:
    """Parameters, top-1 and size of OverMod."""
    claims = []
    for key, row in paper.ENCODERS.items():
        if row.parameters_m is not None:
            source = number("decoder_cost", "sizes", key, "encoder parameters with classifiers", scale=1e-6)
            why = "widths and depths are not published; ours were chosen so that this count comes out"
            claims.append(
                Claim("Encoders", row.name, "parameters_m", f"{row.parameters_m:g}", row.parameters_m, "M", Chosen(),
                      why, source, *made("decoder_cost"))
            )  # fmt: skip
        if row.top1 is not None:
            why = "300 epochs of ImageNet-1K, which is not here; `uvlm pretrain` has the recipe"
            claims.append(Claim("Encoders", row.name, "top1", f"{row.top1:g}", row.top1, "%", Apart(), why))
        if row.size_mb is not None:
            claims.append(_encoder_mb("Encoders", row.name, row.size_mb, key))
    return claims


def _encoder_mb(table: str, name: str, mb: float, preset: str) -> Claim:
    source = number("sizes", preset, "int8", "encoder", scale=1e-6)
    why = "ours is without the ImageNet classifiers, which a captioner does not need"
    return Claim(table, name, "size_mb", f"{mb:g}", mb, "MB", Under(paper.BUDGET_MB), why, source, *made("sizes"))


def table_4() -> list[Claim]:
    """What the encoder scores with all parts, and with squeeze-and-excitation besides."""
    full, with_se = paper.ENCODER_ABLATION
    first = number("encoder_ablation", "full", "both", scale=100)
    why = "the share of cells whose kind and colour mini's encoder names after a short training, not of ImageNet"
    second = runs_ratio("encoder_ablation", "with SE", "full", "both")
    also = "on that task, three runs each; the paper's is 0.2 points, as far as is public of one run each"
    return [
        Claim("Table 4", full.parts, "score", f"{full.score:g}", full.score, "%", Apart(), why, first,
              *made("encoder_ablation")),
        Claim("Table 4", with_se.parts, "score", f"{with_se.score:g}/{full.score:g}", with_se.score / full.score, "x",
              Effect(), also, second, *made("encoder_ablation")),
    ]  # fmt: skip


STAYS, ROOM = "convolution stays", "convolution makes room"
_BUILT = {  # of each row of Table 6 after the first: our row and the one before it, by what becomes of the convolution
    "+ multi-scale fusion": {STAYS: ("+ multi-scale fusion", "dynamic convolution")},
    "+ spatial modulation": {
        STAYS: ("+ spatial modulation", "+ multi-scale fusion"),
        ROOM: ("fusion and spatial modulation", "fusion alone"),
    },
    "+ channel modulation (all of µVLM)": {
        STAYS: ("+ channel modulation", "+ spatial modulation"),
        ROOM: ("AttSSM", "fusion and spatial modulation"),
    },
}


def table_6() -> list[Claim]:
    """CIDEr as parts are added; each row beside the one above it."""
    first = paper.ABLATION[0]
    source = number("decoder_ablation", "dynamic convolution", "test CIDEr", scale=100)
    why = "CIDEr of scenes, after 800 steps on a frozen encoder"
    claims = [
        Claim("Table 6", first.parts, "score", f"{first.score:g}", first.score, "%", Apart(), why, source,
              *made("decoder_ablation"))
    ]  # fmt: skip
    why = "the step from the row above, as a ratio, three runs each; what becomes of the convolution is not published"
    for before, row in pairwise(paper.ABLATION):
        for reading, (with_it, without) in _BUILT[row.parts].items():
            source = runs_ratio("decoder_ablation", with_it, without, "test CIDEr")
            cell, ratio = f"{row.score:g}/{before.score:g}", row.score / before.score
            claims.append(
                Claim("Table 6", row.parts, "score", cell, ratio, "x", Effect(), why, source,
                      *made("decoder_ablation"), reading)
            )  # fmt: skip
    return claims


# --------------------------------------------------------------------------------------------------------------------
# deployment


def _arithmetic_mw(key: str, ms: float) -> Ours:
    """Power of the multiply-adds alone, above the idle chip, if they are spread over the published time."""

    def interval(read: Read) -> Found:
        from .npu.energy import watts

        if key == "encoder":
            macs = at(read("latency")["rows"], "encoders", "preset b", "multiply-adds")
        else:
            macs = at(read("decoder_cost")["rows"], "step", "AttSSM", "step", "multiply-adds")
        low, high = (1000 * w for w in watts(macs / 1e6, ms))
        return Found((low + high) / 2, low, high)

    return interval


def deployment() -> list[Claim]:
    """Size, time and power of three networks."""
    claims = []
    time = "no board: a model fitted on other networks' published times, over all readings of what is open"
    power = "the paper's is a bound from above, ours the multiply-adds alone"
    for key, row in paper.DEPLOYMENT.items():
        if key == "encoder":
            claims.append(_encoder_mb("Deployment", row.part, row.size_mb, "b"))
        else:
            name = {"attssm": "AttSSM", "lstm": "LSTM + Bahdanau"}[key]
            source = number("decoder_cost", "step", name, "int8 bytes", scale=1e-6)
            why = "our width of 512 was inferred from the two decoders' published sizes"
            claims.append(
                Claim("Deployment", row.part, "size_mb", f"{row.size_mb:g}", row.size_mb, "MB", Chosen(), why, source,
                      *made("decoder_cost"))
            )  # fmt: skip
        source = between("latency", "paper", key)
        claims.append(
            Claim("Deployment", row.part, "ms", f"{row.ms:g}", row.ms, "ms", Modelled(), time, source, *made("latency"))
        )
        if row.power_below_mw is not None:
            bound, files = row.power_below_mw, ("latency", "decoder_cost")
            claims.append(
                Claim("Deployment", row.part, "power_below_mw", f"<{bound:g}", bound, "mW", Bound(), power,
                      _arithmetic_mw(key, row.ms), HERE, files)
            )  # fmt: skip
    return claims


CLAIMS: tuple[Claim, ...] = (
    *table_1(), *encoders(), *table_4(), *table_6(), *deployment(), *counts(), *speed(), *quality(),
)  # fmt: skip
"""All of them, in the order of TABLES."""


def of(table: str) -> list[Claim]:
    """The claims of one table.

    Raises
    ------
    KeyError
        If there is no table of that name.
    """
    if table not in TABLES:
        raise KeyError(f"There is no table {table!r}; use one of {', '.join(TABLES)}.")
    return [claim for claim in CLAIMS if claim.table == table]
