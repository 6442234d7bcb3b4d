"""What the paper's text and formulas claim, each with our number and the rule: the end of the list (chapter 11)."""

from __future__ import annotations

from . import paper
from .claims import (
    Claim,
    Effect,
    Modelled,
    Number,
    Ours,
    Under,
    between,
    made,
    number,
    paired_ratio,
    quotient,
    runs_ratio,
)

H, N = 512, 16  # width and states for which the paper's formulas are evaluated; our reading, the paper gives neither
PLACES = 49  # of a map of 7 x 7

def _claim(
    row: str, what: str, cell: str, value: float | None, rule: Effect | Number, file: str, ours: Ours, why: str,
    reading: str = "",
) -> Claim:  # fmt: skip
    return Claim("Text", row, what, cell, value, "x", rule, why, ours, *made(file), reading)


def counts() -> list[Claim]:
    """What formulas of the paper count, beside modules that are counted."""
    file, modulation = "core_cost", "modulation_cost"
    saved = paper.dynamic_conv_values(256, 192, 7) / paper.gsm_values(192, 7, 7)
    share = paper.ssm_count(H, N) / paper.lstm_count(H)
    look = (H**2 + H * PLACES) / (PLACES * H**2)
    gcdm = ("look", "GCDM", f"at H = {H}", str(PLACES), "multiply-adds")
    whole = ("look", "attention, keys anew", *gcdm[2:]), ("look", "attention", *gcdm[2:])
    fused, dense = ("fused attention", "exponent"), ("dense dynamic", "49")
    return [
        _claim("dynamic convolution by GSM", "values", ">250", saved, Effect(), modulation,
               quotient(modulation, (*dense, "peak bytes"), ("GSM", "49", "peak bytes")),
               "the paper counts generated values; this is the peak of memory that PyTorch takes", "peak memory"),
        _claim("dynamic convolution by GSM", "values", ">250", saved, Effect(), modulation,
               quotient(modulation, ("dense dynamic", "learned"), ("GSM", "learned")),
               "numbers that are learned, and not those that are generated for a picture", "learned"),
        _claim("SSM by LSTM", "weights", "2rH²+3HN / 8H²", share, Effect(), file,
               quotient(file, (str(H), "SSM", "parameters"), (str(H), "LSTM", "parameters")),
               "the real modules, at a width and a number of states that are ours"),
        _claim("SSM", "state, 1,024 words by 1", "constant", 1.0, Number(0.01), file,
               quotient(file, (str(H), "SSM", "1024", "state bytes"), (str(H), "SSM", "1", "state bytes")),
               "bytes that pass from step to step"),
        _claim("GSM", "exponent in places", "O(L)", 1.0, Number(), modulation,
               number(modulation, "GSM", "exponent", "ms"), "of time, over the last three sizes of map"),
        _claim("attention", "exponent in places", "O(L²)", 2.0, Number(), modulation,
               number(modulation, *fused, "ms"), "of time, fused, over the last three sizes of map", "time"),
        _claim("attention", "exponent in places", "O(L²)", 2.0, Number(), modulation,
               number(modulation, *fused, "peak bytes"),
               "a fused kernel never writes the scores down; no µNPU that we know has one", "memory"),
        _claim("GCDM by cross-attention", "multiply-adds", "(H²+HN)/NH²", look, Effect(), "decoder_cost",
               quotient("decoder_cost", gcdm, whole[0]), "as the paper counts: keys at every word", "keys anew"),
        _claim("GCDM by cross-attention", "multiply-adds", "(H²+HN)/NH²", look, Effect(), "decoder_cost",
               quotient("decoder_cost", gcdm, whole[1]), "keys do not depend on the word; they can stay", "keys once"),
    ]  # fmt: skip


def _steps(file: str, *keys: str, spread: float | None = None) -> Ours:
    """AttSSM's number over the LSTM's; {} in a key stands for the decoder's name."""
    over, under = (tuple(key.format(name) for key in keys) for name in ("AttSSM", "LSTM + Bahdanau"))
    return quotient(file, over, under, spread)


def speed() -> list[Claim]:
    """AttSSM's step beside the LSTM's, and what the hand-written kernels bring."""
    parts = paper.DEPLOYMENT
    ratio, cell = parts["attssm"].ms / parts["lstm"].ms, f"{parts['attssm'].ms:g}/{parts['lstm'].ms:g}"
    row, m55, exp = "AttSSM by LSTM + Bahdanau", "m55", ("exp", "Helium build")
    equal = "the same kernels, tables and care on both sides, keys once a picture"
    return [
        _claim(row, "time of a step", cell, ratio, Effect(), m55, _steps(m55, "step", "Helium", "{}", "whole"),
               f"instructions of an emulated Cortex-M55 with Helium; {equal}", "Helium"),
        _claim(row, "time of a step", cell, ratio, Effect(), m55, _steps(m55, "step", "scalar", "{}", "whole"),
               f"instructions of an emulated Cortex-M55 without Helium; {equal}", "scalar"),
        _claim(row, "time of a step", cell, ratio, Effect(), "kernels",
               _steps("kernels", "step", "{}", "avx512", "step", "us", spread=0.05),
               f"C on a laptop with AVX-512; {equal}; 5% allowed for the clock", "laptop"),
        _claim(row, "time of a step", cell, ratio, Effect(), "vela", _steps("vela", "{}, a step", "cycles"),
               "cycles of the mini model's decoders, estimated by Arm's compiler for another NPU", "Ethos-U55"),
        _claim(row, "time of a step", cell, ratio, Effect(), m55,
               _steps(m55, "step", "bytes", "{}", "bytes", spread=0.0),
               "bytes that a step reads, which are its time where the flash bounds it", "bytes"),
        _claim("expf by a table", "time", "LUT", None, Effect(sign=1), m55,
               quotient(m55, (*exp, "expf of the C library"), (*exp, "table, Helium")),
               "instructions an exponential; a polynomial in vectors is as good as the table"),
        *(
            _claim(f"{norm}, float by fixed point", "time", "fixed point", None, Effect(sign=1), m55,
                   quotient(m55, ("norms", norm, "float32, Helium"), ("norms", norm, "int8, Helium")),
                   "instructions a number; Helium has vectors of float, which need no shifts")
            for norm in ("LayerNorm", "GRN")
        ),
        Claim("Text", "time to the first token", "TTFT_MS", f"{paper.TTFT_MS:g}", paper.TTFT_MS, "ms", Modelled(),
              "no board: the latency model's intervals, added", between("latency", "caption", "TTFT"),
              *made("latency")),
        Claim("Text", "time between tokens", "TBT_MS", f"{paper.TBT_MS:g}", paper.TBT_MS, "ms", Modelled(),
              "no board: the latency model's interval of a step", between("latency", "caption", "TBT"),
              *made("latency")),
        Claim("Text", "activations of µVLM-b", "SRAM_MB", f"{paper.SRAM_MB:g}", paper.SRAM_MB, "MB", Under(),
              "the largest set that lives at one time, in our layout; widths are ours",
              number("memory", "b", "activations", "worst", scale=1e-6), *made("memory")),
    ]  # fmt: skip


def quality() -> list[Claim]:
    """What parts of the model and of its calibration are said to be good for."""
    encoder = "encoder_ablation"
    gate = ("plain encoder, gated decoder", "plain encoder, plain decoder")
    gain = paper.ABLATION[3].score / paper.ABLATION[2].score
    parts = {"ED blocks": "ED", "Dilated RepConv": "Dilated RepConv", "GRN": "GRN", "Layer Scale": "Layer Scale"}
    return [
        _claim("CFQ by independent", "CIDEr", "better", None, Effect(sign=1), "cfq",
               paired_ratio("cfq", "cfq", "independent", "CIDEr"),
               "three lots of calibration pictures, judged on the same 500 test pictures"),
        *(
            _claim(f"unbounded bias by {other}", "cells", "better", None, Effect(sign=1), encoder,
                   runs_ratio(encoder, "full", f"{other} bias", "both"), "cells that mini's encoder names, three runs")
            for other in ("sigmoid", "tanh")
        ),
        *(
            _claim(f"with {part} by without", "cells", "better", None, Effect(sign=1), encoder,
                   runs_ratio(encoder, "full", f"without {name}", "both"),
                   "cells that mini's encoder names, three runs")
            for part, name in parts.items()
        ),
        _claim("gate in the decoder by none", "CIDEr", f"{paper.ABLATION[3].score:g}/{paper.ABLATION[2].score:g}", gain,
               Effect(), "decoder_ablation", runs_ratio("decoder_ablation", *gate, "test CIDEr"),
               "encoders of one short pass; the gate is the one that costs the encoder points in Table 4"),
    ]  # fmt: skip
