"""Captioners to compare with, as data: what their papers report, and what their operators ask of an NPU (chapter 5).

Two kinds of rows. Those in ``PUBLISHED`` cannot be trained here: they need a detector, a language model or a
collection of captions. Those in ``BUILT`` are modules of this package; their operators are checked against the module
by the tests. The judgement on an operator is never written down: it is looked up in the table of ``npu.operators``.

No figure stands here without a place where it was read. Most of the papers were not at hand in full, so many places
are second-hand, and say so; what was not found is None with a note. Scores are in percent on COCO, Karpathy's test
split (CIDEr 117.8 means 1.178).
"""

from __future__ import annotations

from dataclasses import dataclass

from uvlm_mini.npu.operators import WHERE, lookup

TARGET = "stm32n6"

#: Operators whose condition in the operator table is about the graph, so that a look at the graph settles it.
SETTLED = frozenset({"Gemm", "MatMul", "ReduceMean", "ReduceMax", "Resize", "Div"})
ON_NPU = ("hw", "folded")


@dataclass(frozen=True)
class Figure:
    """One number and where it was read.

    Attributes
    ----------
    value : float or None
        None: not found.
    source : str
        Key in the book's references; empty where there is no number.
    where : str
        Where in the source, or by which second hand; without a number, what is missing.
    """

    value: float | None
    source: str = ""
    where: str = ""


_UNREAD = Figure(None, where="not found: the paper's table was not at hand")
_OWN = Figure(None, where="a small decoder of this book; it has no published score of its own")


@dataclass(frozen=True)
class Peer:
    """One captioner.

    Attributes
    ----------
    name : str
    cite : str
        Key in the book's references.
    parameters_m : Figure
        Parameters in millions; ``counted`` says which.
    counted : str
        "all", "trained" or, without a number, "".
    size_mb : Figure
        Size in MB.
    bleu4, meteor, cider, spice : Figure
    optimised : bool or None
        Whether CIDEr was optimised after cross-entropy; None: not found, or there is no score.
    operators : tuple of str
        ONNX names. For rows of ``BUILT`` all that the decoder needs, for others those that decide.
    unmet : tuple of str
        Those of them that somewhere are used in a way which the table's constraint excludes: a product or a
        convolution of two computed operands, a mean over axes that are not the last.
    basis : str
        How the operators are known.
    peak : str
        What else keeps it off a µNPU; empty where nothing does.
    module : str
        For rows of ``BUILT`` "module:class" in this package.
    note : str
        What else the figures need to be read rightly.
    """

    name: str
    cite: str
    operators: tuple[str, ...]
    unmet: tuple[str, ...]
    basis: str
    peak: str = ""
    module: str = ""
    parameters_m: Figure = _UNREAD
    counted: str = ""
    size_mb: Figure = _UNREAD
    bleu4: Figure = _UNREAD
    meteor: Figure = _UNREAD
    cider: Figure = _UNREAD
    spice: Figure = _UNREAD
    optimised: bool | None = None
    note: str = ""

    def figures(self) -> dict[str, Figure]:
        """The six figures by name."""
        names = ("parameters_m", "size_mb", "bleu4", "meteor", "cider", "spice")
        return {name: getattr(self, name) for name in names}


def _uvlm(value: float, where: str) -> Figure:
    return Figure(value, "chen2026uvlm", f"as cited by the µVLM paper, {where}")


_TABLE = "Table 1"
_SHIFTED = "Table 1 with its columns set right (see paper.COMPARISON)"
_LATER = "second-hand: a comparison table in the README of a public project built on the code of GRIT"
_PWC = "second-hand: the paper's page in the archive of Papers with Code"
_ATTENTION = ("Gather", "LayerNormalization", "MatMul", "Softmax")
_PRODUCT = ("MatMul",)  # attention multiplies what it has computed by what it has computed

PUBLISHED: tuple[Peer, ...] = (
    Peer(
        "SmallCap",
        "ramos2023smallcap",
        (*_ATTENTION, "TopK"),
        _PRODUCT,
        "its abstract: CLIP encoder, GPT-2 decoder, cross-attention between them, captions retrieved from a datastore; "
        "TopK is what the retrieval would be in a graph",
        peak="a datastore of captions, searched for every picture",
        parameters_m=Figure(
            None, where="not found for the larger decoder of these scores; the released base model trains 7 million"
        ),
        size_mb=_uvlm(872.0, _TABLE),
        bleu4=Figure(37.2, "ramos2023smallcap", f"{_PWC}, d = 16, Large"),
        meteor=Figure(28.3, "ramos2023smallcap", f"{_PWC}, d = 16, Large"),
        cider=Figure(121.8, "ramos2023smallcap", f"{_PWC}, d = 16, Large"),
        spice=_uvlm(21.5, _SHIFTED),
        note="whether CIDEr was optimised was not found",
    ),
    Peer(
        "RFNet",
        "jiang2018rfnet",
        ("Gather", "MatMul", "Softmax"),
        _PRODUCT,
        "its abstract: several CNN encoders, fused and decoded by recurrent networks; that these attend is recalled, "
        "not read again",
        peak="several CNN encoders look at every picture",
        size_mb=_uvlm(500.0, f"{_TABLE}, there with a tilde"),
        bleu4=Figure(36.5, "jiang2018rfnet", _LATER),
        meteor=Figure(27.7, "jiang2018rfnet", _LATER),
        cider=Figure(121.9, "jiang2018rfnet", _LATER),
        spice=Figure(21.2, "jiang2018rfnet", f"{_LATER}; the µVLM paper cites 21.1"),
        note="whether CIDEr was optimised was not found; the single model is meant, not the ensemble",
    ),
    Peer(
        "I-Tuning",
        "luo2023ituning",
        _ATTENTION,
        _PRODUCT,
        "its abstract: CLIP-ViT encoder and GPT-2 decoder, cross-attention between them",
        peak="a whole language model, frozen but needed for every word",
        parameters_m=Figure(None, where="not found; the abstract says up to ten times fewer trained than its rivals"),
        cider=_uvlm(119.4, "in a reading note on its limits"),
        note="whether CIDEr was optimised was not found",
    ),
    Peer(
        "LightCap",
        "wang2023lightcap",
        _ATTENTION,
        _PRODUCT,
        "a public summary of the paper: CLIP's ResNet-50 and a TinyBERT of four layers, which attends",
        peak="made for a telephone: 40 million parameters are 40 MB in int8",
        parameters_m=Figure(40.0, "wang2023lightcap", "abstract"),
        counted="all",
        cider=Figure(136.6, "wang2023lightcap", "abstract"),
        note="whether CIDEr was optimised was not found",
    ),
    Peer(
        "mPLUG large",
        "li2022mplug",
        _ATTENTION,
        _PRODUCT,
        "the README of its code: ViT-L/14, text encoder, fusion layers and text decoder, all of them Transformers",
        peak="hundreds of millions of parameters, streamed for every word",
        parameters_m=Figure(600.0, "li2022mplug", "README of its code, table of models"),
        counted="all",
        bleu4=Figure(46.5, "li2022mplug", _PWC),
        meteor=Figure(32.0, "li2022mplug", _PWC),
        cider=Figure(155.1, "li2022mplug", "README of its code, table of results; 141.0 before CIDEr was optimised"),
        spice=Figure(26.0, "li2022mplug", _PWC),
        optimised=True,
    ),
)  # fmt: skip

_LSTM = ("Gemm", "Add", "Split", "Sigmoid", "Tanh", "Mul")
_TRACED = "traced from the module: features to two words; an LSTM cell by its formula, einsum as MatMul"

BUILT: tuple[Peer, ...] = (
    Peer(
        "NIC",
        "vinyals2015show",
        ("Gather", "ReduceMean", *_LSTM),
        (),
        _TRACED,
        module="uvlm_mini.baselines.nic:NIC",
        size_mb=_uvlm(80.0, f"{_TABLE}, there with a tilde"),
        bleu4=_uvlm(28.6, _TABLE),
        meteor=_uvlm(23.8, _TABLE),
        cider=_uvlm(92.0, _TABLE),
        spice=_uvlm(17.7, _TABLE),
        note="whether CIDEr was optimised was not found",
    ),
    Peer(
        "LSTM + Bahdanau",
        "xu2015show",
        ("Gather", "ReduceMean", *_LSTM, "Reshape", "Transpose", "Unsqueeze", "Squeeze", "MatMul", "Softmax", "Concat"),
        ("MatMul", "ReduceMean"),
        _TRACED,
        module="uvlm_mini.baselines.bahdanau:BahdanauLSTM",
        size_mb=_uvlm(9.3, "deployment table; the decoder alone, int8"),
        bleu4=_OWN,
        meteor=_OWN,
        cider=_OWN,
        spice=_OWN,
        note="no score of this decoder stands in what of the µVLM paper was at hand",
    ),
    Peer(
        "Up-Down",
        "anderson2018bottom",
        ("Gather", "ReduceMean", *_LSTM, "Reshape", "Transpose", "Unsqueeze", "Squeeze", "MatMul", "Softmax", "Concat"),
        ("MatMul", "ReduceMean"),
        f"{_TRACED}; on a grid, where the original looks at a detector's regions",
        peak="the original's detector; the decoder on a grid is free of it",
        module="uvlm_mini.baselines.updown:UpDown",
        size_mb=_uvlm(400.0, f"{_TABLE}, there with a tilde; with its detector"),
        bleu4=Figure(36.3, "anderson2018bottom", _LATER),
        meteor=Figure(27.7, "anderson2018bottom", _LATER),
        cider=Figure(120.1, "anderson2018bottom", _LATER),
        spice=Figure(21.4, "anderson2018bottom", _LATER),
        optimised=True,
        note="the scores are the original's, on a detector's regions; a second README says that CIDEr was optimised",
    ),
    Peer(
        "Transformer decoder",
        "vaswani2017attention",
        ("Gather", "Mul", "Add", "LayerNormalization", "Gemm", "Split", "Squeeze", "Reshape", "Transpose", "Unsqueeze",
         "Concat", "MatMul", "Div", "Softmax", "HardSwish"),
        ("MatMul",),
        _TRACED,
        peak="keys and values of all words so far: the state grows with the caption",
        module="uvlm_mini.baselines.transformer:TransformerDecoder",
        parameters_m=_OWN,
        size_mb=_OWN,
        bleu4=_OWN,
        meteor=_OWN,
        cider=_OWN,
        spice=_OWN,
        note="the architecture's source; it describes no captioner",
    ),
    Peer(
        "dynamic convolution",
        "chen2020dynamic",
        ("Conv", "HardSwish", "ReduceMean", "ReduceMax", "Gather", "Gemm", "Softmax", "Softplus", "Exp", "Add", "Sub",
         "Mul", "MatMul", "LayerNormalization", "Split", "Concat", "Reshape", "Unsqueeze"),
        ("Conv", "MatMul"),
        f"{_TRACED}; AttSSM that looks through a convolution with a computed kernel",
        peak="a kernel tensor generated at every word",
        module="uvlm_mini.baselines.dynamic_decoder:DynamicAttSSM",
        cider=_uvlm(95.5, "Table 6, dynamic convolution only"),
        note="the score is that of the µVLM paper's own decoder with it; whether CIDEr was optimised was not found",
    ),
    Peer(
        "AttSSM",
        "chen2026uvlm",
        ("AveragePool", "Conv", "Resize", "HardSwish", "ReduceMean", "ReduceMax", "Gather", "Gemm", "Sigmoid",
         "Softplus", "Exp", "Add", "Sub", "Mul", "MatMul", "LayerNormalization", "Split", "Concat", "Reshape",
         "Unsqueeze"),
        ("MatMul",),
        f"{_TRACED}; the product of two computed operands is how the SSM's state is read out",
        module="uvlm_mini.decoder:AttSSM",
        size_mb=Figure(29.6, "chen2026uvlm", "Table 1, µVLM-b, encoder included"),
        bleu4=Figure(36.1, "chen2026uvlm", "Table 1, µVLM-b"),
        meteor=Figure(26.9, "chen2026uvlm", "Table 1, µVLM-b"),
        cider=Figure(117.8, "chen2026uvlm", "Table 1, µVLM-b"),
        spice=Figure(20.8, "chen2026uvlm", "Table 1, µVLM-b"),
        optimised=True,
    ),
)  # fmt: skip


def place(op: str, met: bool = True) -> str:
    """Where an operator runs on the STM32N6, by the operator table.

    Parameters
    ----------
    op : str
        ONNX name.
    met : bool
        Whether every use of it keeps the constraint that the table states.

    Returns
    -------
    str
        A key of ``operators.WHERE``. An operator without a row is "unknown". A condition that only the tool's options
        or the quantization settle stays "conditional". Where a condition is not met, the CPU computes; where a
        constraint is broken of which the table says no more, it is unknown who does.
    """
    rule = lookup(TARGET, op)
    if rule is None:
        return "unknown"
    if rule.where == "conditional" and not met:
        return "sw"
    if not met:
        return "unknown"
    return "hw" if rule.where == "conditional" and op in SETTLED else rule.where


def verdict(peer: Peer) -> dict[str, str]:
    """The operators of a captioner that have no sure place on the NPU, each with the place that the table gives it."""
    places = {op: place(op, op not in peer.unmet) for op in peer.operators}
    return {op: at for op, at in places.items() if at not in ON_NPU}


def verdicts() -> list[dict]:
    """All captioners as plain data, one dictionary each, for a table.

    Returns
    -------
    list of dict
        ``name``, ``built`` (a module of this package), ``size`` ("872 MB", "40M parameters" or None), ``cider``
        (float or None), ``optimised``, ``outside`` (operator to place), ``means`` (place to its meaning), ``peak``,
        ``source`` ("bib key: where" of CIDEr, or what is missing) and ``size_source``.
    """
    table = []
    for peer in (*PUBLISHED, *BUILT):
        outside = verdict(peer)
        of = peer.size_mb if peer.size_mb.value is not None else peer.parameters_m
        unit = " MB" if of is peer.size_mb else f"M parameters, {peer.counted}"
        table.append(
            {
                "name": peer.name,
                "built": bool(peer.module),
                "size": None if of.value is None else f"{of.value:g}{unit}",
                "cider": peer.cider.value,
                "optimised": peer.optimised,
                "outside": outside,
                "means": {at: WHERE[at] for at in outside.values()},
                "peak": peer.peak,
                "source": _told(peer.cider),
                "size_source": _told(of),
            }
        )
    return table


def _told(figure: Figure) -> str:
    return f"{figure.source}: {figure.where}" if figure.source else figure.where
