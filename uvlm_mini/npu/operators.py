"""What three µNPUs take: operator tables, chip figures and published runs, as data (chapter 1).

Nothing here is measured by us. Every row carries the letters of the sources it was read from; ``SOURCES`` says what
each letter stands for. ST does not publish its table in a form that could be read for this book, so the STM32N6 rows
are third parties' readings and reports. An operator without a row is *unknown*: no function here guesses.

Names are those of each tool's own language: ONNX for stm32n6, TensorFlow Lite for ethos-u55, PyTorch-like for max78000.
``IDEAS`` lays the three side by side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# --------------------------------------------------------------------------------------------------------------------
# the words a table may use

TARGETS = ("stm32n6", "ethos-u55", "max78000")

#: The closed set of answers to "where does it run?", and what each one means.
WHERE: dict[str, str] = {
    "hw": "on the NPU, within the stated limits",
    "hw?": "listed for the NPU, but reports disagree about it",
    "conditional": "on the NPU if the stated condition holds, else on the CPU",
    "hybrid": "memory move: NPU, DMA or a CPU copy, depending on the shapes",
    "sw": "on the CPU, placed there by the tool",
    "folded": "gone before run time: merged into a neighbour or dropped",
    "none": "read by the tool, but no mapping to the NPU is listed",
    "refused": "the tool stops, or does not list it and offers no stand-in",
    "unknown": "named somewhere, but no source says where it runs",
    "general": "not an operator: limits that hold for the whole target",
}

_ST = "third party on ST's operator table or compiler, report"
#: What each source letter stands for.
SOURCES: dict[str, str] = {
    "A": f"{_ST} A",
    "B": f"{_ST} B",
    "C": f"{_ST} C (hangs with 4.0.1)",
    "D": f"{_ST} D",
    "E": f"{_ST} E",
    "F": "names of functions in the headers of ST's runtime",
    "G": f"{_ST} G",
    "H": f"{_ST} H (ST community, 2025-06)",
    "I": f"{_ST} I",
    "J": f"{_ST} J (TinyBERT)",
    "K": f"{_ST} K (error messages)",
    "L": f"{_ST} L",
    "V": "supported operators of Arm's Vela compiler, release 3.6.1 (an old one)",
    "X": "README of Analog Devices' ai8x-training project",
}


@dataclass(frozen=True)
class Rule:
    """What is known about one operator on one target.

    Attributes
    ----------
    target : str
        One of ``TARGETS``.
    op : str
        Operator name in the target's own language, e.g. ``"Conv"`` or ``"CONV_2D"``; a variant stands in brackets.
    where : str
        A key of ``WHERE``.
    constraints : str
        Limits or conditions, in a sentence or two; empty where the sources state none.
    sources : tuple of str
        Keys of ``SOURCES``.
    seen : str
        The sentence of the constraints that tells what one of these sources saw happen against the row; often empty.
    """

    target: str
    op: str
    where: str
    constraints: str
    sources: tuple[str, ...]
    seen: str = ""


# --------------------------------------------------------------------------------------------------------------------
# the tables: (operators that share the row, where, constraints, source letters, and what was seen against the row)
#
# Gemm and MatMul are listed as "hw" by the sources with a condition on the second operand. That condition decides
# between a convolution network and attention, so they stand here as "conditional". Softmax likewise: on the CPU
# unless a flag is given.

_Row = tuple[str, str, str, str] | tuple[str, str, str, str, str]

_STM32N6: tuple[_Row, ...] = (
    # convolutions and matrix products
    ("Conv", "hw",
     "int8 with constant weights. Kernels up to 3 high and 6 wide (12 wide from stride 2) are native; larger ones are "
     "split into several passes, still on the NPU. Feature width x input channels above 2048 is split into columns, "
     "except at height 1. Cheapest: strides 1, 2, 4, no longer than the kernel; padding up to 2; channel counts that "
     "are not prime, no more of them out than in. Avoid large dilation.", "AB"),
    ("Conv(depthwise)", "hw",
     "As Conv. With compiler 4.0.1 a stride of 2 is reported to hang the NPU without a message: move the stride to the "
     "1x1 convolution that follows. Grouped convolution works in practice but is undocumented.", "AC"),
    ("Conv(dilated)", "hw?",
     "One report says to avoid large dilation; another met a limit at any dilation above 1 and rewrote the layer as "
     "slices, a concatenation and a 1x1 convolution.", "AG"),
    ("ConvTranspose", "hw", "Listed for the NPU; one project treats it as slow.", "B"),
    ("Gemm", "conditional", "int8, and the second operand must be a constant; else the CPU computes it.", "AB"),
    ("MatMul", "conditional", "int8, and the second operand must be a constant; else the CPU computes it.", "ABD"),
    # activations and functions of one variable
    ("Relu", "hw",
     "Keep it directly on the 4-D output of its convolution: a Reshape between the two is reported to hang the NPU "
     "(compiler 4.0.1).", "ABC"),
    ("Clip", "hw", "ReLU6 is exported as Clip.", "ABE"),
    ("LeakyRelu", "hw", "", "A"),
    ("PRelu", "hw", "The slope must be quantized.", "AB"),
    ("HardSwish", "hw", "", "AB"),
    ("HardSigmoid", "unknown", "In no readable copy of the table; the runtime has a float function for it.", "F"),
    ("Sigmoid", "hw", "int8.", "ABE"),
    ("Tanh", "hw", "int8.", "AB"),
    ("Gelu", "conditional", "Only with the option --GELU-recognition.", "B"),
    ("Swish", "conditional", "Only with the option --SWISH-recognition.", "B"),
    ("Softmax", "conditional",
     "Only with the option --expand-softmax; without it an integer routine on the CPU, as in ST's own generated code.",
     "BF"),
    ("Exp|Sqrt", "conditional", "If quantized to int8; left in float it runs on the CPU.", "AE"),
    ("Erf", "conditional", "If quantized to int8.", "E"),
    ("Pow", "conditional", "Constant exponent and int8; left in float it runs on the CPU.", "AE"),
    ("Log", "sw", "In float.", "ABD"),
    ("Floor", "sw", "In float, with a conversion on either side.", "I"),
    ("Reciprocal", "sw", "", "J"),
    ("Softplus|Softsign", "sw", "In float; no exception known for Softplus.", "EL"),
    # arithmetic with two operands
    ("Add", "hw", "One operand may be broadcast (scalar, channel, H, W or HW). Best up to 512 elements.", "ABE"),
    ("Sub", "hw", "As Add.", "AEH",
     "A constant minus a tensor was seen on the CPU; rewritten with Neg it gave a wrong constant."),
    ("Mul", "hw", "As Add.", "ABE"),
    ("Div", "conditional", "If the second operand is a constant; else an integer routine on the CPU.", "E"),
    ("Max|Min", "hw", "", "A"),
    ("Neg", "hw", "A wrong result was reported; see Sub.", "H"),
    ("Equal", "hw", "", "DL"),
    ("Greater|GreaterOrEqual|Less|LessOrEqual", "sw", "", "D"),
    # pooling and reductions
    ("AveragePool", "hw",
     "Windows up to 3x3 are native, larger ones are split; strides 1 to 15; padding up to 7, at the bottom less than "
     "the window. Feature width x channels above 2048 is split into columns. One or two dimensions.", "AB"),
    ("MaxPool", "hw", "As AveragePool.", "AB"),
    ("GlobalAveragePool", "hw",
     "As AveragePool: keep the map before it at 3x3 or so.", "AB", "One of 50x11 was seen on the CPU, in float."),
    ("GlobalMaxPool", "hw", "As AveragePool.", "A"),
    ("AdaptiveAvgPool2d(1)", "hw", "Exported as GlobalAveragePool, same limits.", "A"),
    ("ReduceMean", "conditional",
     "If it is a GlobalAveragePool in disguise: last axes reduced, rank equal to their number plus 2. Else on the CPU, "
     "in float.", "AE"),
    ("ReduceMax", "conditional", "If it is a GlobalMaxPool in disguise, by the same rule as ReduceMean.", "A"),
    ("ReduceSum", "sw", "In float. A ReduceMean times the count gives the same number.", "ABDE"),
    ("ArgMax", "sw", "The runtime has a float function for it.", "F"),
    # normalisation
    ("BatchNormalization", "conditional", "If it folds into the convolution before it; alone, on the CPU.", "AB"),
    ("InstanceNormalization", "sw", "In float, no exception.", "BE"),
    ("LayerNormalization", "none",
     "The importer reads it (opset 17 and up), the table does not list it; taken apart, it ends in float routines on "
     "the CPU.", "BJK"),
    # shape and memory
    ("Concat", "hybrid",
     "Fast if every dimension before the axis is 1; else a copy loop of about 7 cycles a byte.", "ABG"),
    ("Slice", "hybrid", "Not along the batch, not in more than 3 dimensions.", "EK"),
    ("Split", "hybrid", "A library routine helped by DMA; seen on the CPU in one report.", "FJ"),
    ("Transpose", "hybrid", "Listed for the NPU; seen on the CPU inside attention.", "ABEJ"),
    ("Reshape", "hw", "Tensors have at most 4 dimensions inside; allowzero must be 0.", "ABK"),
    ("Flatten|Squeeze|Unsqueeze", "hw", "", "A"),
    ("Identity", "folded", "", "AB"),
    ("Pad", "hybrid", "Constant padding on the NPU; the library also has reflect and edge.", "AF"),
    ("Resize", "conditional",
     "Nearest only, with asymmetric coordinates, rounding down and constant scales. Bilinear runs on the CPU.", "AEJ"),
    ("Gather", "sw", "An integer routine. Better: look the word's row up in the application's own C.", "ABDE"),
    ("Tile", "sw", "", "BD"),
    ("DepthToSpace", "sw", "The runtime also names a variant with DMA.", "BF"),
    ("SpaceToDepth", "hybrid", "The runtime names a CPU and a DMA routine.", "F"),
    ("QuantizeLinear|DequantizeLinear", "sw",
     "The border between float and int8 is crossed on the CPU; int8 to int8 is rescaled on the NPU.", "AF"),
    # recurrence, control flow, data-dependent shapes
    ("LSTM|GRU", "none", "Runs on the Cortex-M55.", "BL"),
    ("Where|Expand|ScatterND|TopK", "none", "", "B"),
    ("If|Loop|Scan|NonZero|GridSample", "refused", "Control flow, or a shape that depends on the data.", "B"),
    ("Einsum", "refused", "The front end fails while it computes shapes.", "B"),
    ("NonMaxSuppression", "refused", "The front end reports the layer type as not implemented.", "K"),
)  # fmt: skip

_ETHOS_U55: tuple[_Row, ...] = (
    ("*", "general",
     "int8, uint8 or int16 (int32 only in ADD, MUL, SHAPE, SUB); at most 4 dimensions of 1 to 65535; static shapes, "
     "batch 1. Per-channel scales only in CONV_2D, DEPTHWISE_CONV_2D and TRANSPOSE_CONV. These activations can be "
     "fused: LOGISTIC, RELU, RELU6, RELU_N1_TO_1, TANH.", "V"),
    ("CONV_2D", "hw", "Constant 8-bit weights; stride 1 to 4; dilated kernel height <= 64 and area <= 4096; the bias "
     "fits 40 bits.", "V"),
    ("DEPTHWISE_CONV_2D", "hw", "Stride 1 to 3; dilated kernel height <= 64 and area <= 4096; a depth multiplier above "
     "1 only on one input channel.", "V"),
    ("TRANSPOSE_CONV", "hw", "", "V"),
    ("FULLY_CONNECTED", "hw", "Constant 8-bit weights; output of 2 dimensions.", "V"),
    ("AVERAGE_POOL_2D", "hw", "Stride 1 to 3. With SAME padding a kernel of 1 to 8; with VALID a height <= 256 and an "
     "area <= 65536.", "V"),
    ("MAX_POOL_2D", "hw", "Stride 1 to 3; kernel height <= 256, area <= 65536.", "V"),
    ("MEAN", "hw", "int8 or uint8, over H and W; H x W <= 65536, or <= 4096 where the scales differ or keep_dims is "
     "set.", "V"),
    ("ADD|SUB|MUL|MINIMUM|MAXIMUM", "hw", "One input has the shape of the output, the other may be broadcast along "
     "dimensions of 1; same signedness.", "V"),
    ("RESIZE_BILINEAR|RESIZE_NEAREST_NEIGHBOR", "hw", "The same scale of 2, 4 or 8 in width and height; bilinear with "
     "half-pixel centres only 2.", "V"),
    ("SOFTMAX|LOGISTIC|TANH|HARD_SWISH|RELU|RELU6|RELU_N1_TO_1|LEAKY_RELU|PRELU|ABS|QUANTIZE", "hw",
     "HARD_SWISH in int8 or uint8; SOFTMAX with positive beta and equal shape and type at input and output.", "V"),
    ("CONCATENATION|PACK|UNPACK|PAD|RESHAPE|SQUEEZE|EXPAND_DIMS|SHAPE|SLICE|SPLIT|SPLIT_V|STRIDED_SLICE", "hw",
     "PAD of H and W by constants; STRIDED_SLICE with strides of 1; RESHAPE to a constant shape with the same "
     "quantization.", "V"),
    ("GATHER|EXP|BATCH_MATMUL|TRANSPOSE|LSTM|(other)", "sw",
     "Not in the list of release 3.6.1, so left to the CPU, as any other TensorFlow Lite operator is.", "V"),
)  # fmt: skip

_MAX78000: tuple[_Row, ...] = (
    ("Conv2d", "hw", "Kernel 1x1 or 3x3, padding 0 to 2, stride 1, dilation 1, at most 1024 channels in and out.", "X"),
    ("Conv2d(depthwise)", "refused", "Conv2d takes groups = 1 only.", "X"),  # the same row of the README as Conv2d
    ("Conv1d", "hw", "Kernel 1 to 9, padding 0 to 2, stride 1; dilation 1 to 1023 for kernels up to 3.", "X"),
    ("ConvTranspose2d", "hw", "Kernel 3x3, stride 2, padding 0 to 2, output padding 1.", "X"),
    ("MaxPool|AvgPool", "hw", "Kernel and stride 1 to 16, the same in both directions, no padding.", "X"),
    ("Linear", "hw", "At most 1024 inputs and 1024 outputs; computed as a 1x1 convolution.", "X"),
    ("Relu|Abs|(no activation)", "hw", "The only activations; outputs saturate to int8.", "X"),
    ("Add|Sub|Or|Xor", "hw", "Elementwise, 2 to 16 inputs.", "X"),
    ("Softmax", "sw", "", "X"),
    ("Sigmoid|Tanh|HardSwish|Mul|MatMul(dynamic)|Gather|LayerNorm|LSTM", "refused",
     "Not in the list of supported operators.", "X"),
)  # fmt: skip


def _expand(target: str, rows: Iterable[_Row]) -> tuple[Rule, ...]:
    """Turn each row into one rule for each operator that shares it."""
    return tuple(
        Rule(target, op, where, " ".join([constraints, *seen]), tuple(letters), *seen)
        for ops, where, constraints, letters, *seen in rows
        for op in ops.split("|")
    )


_RULES: dict[str, dict[str, Rule]] = {
    target: {rule.op: rule for rule in _expand(target, rows)}
    for target, rows in zip(TARGETS, (_STM32N6, _ETHOS_U55, _MAX78000), strict=True)
}

#: The numbers in the sentences above, for a program, by target and row; a test finds each in its row, whose sources are
#: theirs. A window, stride or size is the largest that the sentence allows.
LIMITS: dict[str, dict[str, dict[str, int]]] = {
    "stm32n6": {
        "Conv": {"height": 3, "width": 6, "strided width": 12, "width x channels": 2048, "cheap padding": 2},
        "AveragePool": {"window": 3, "stride": 15, "padding": 7, "width x channels": 2048},
        "Reshape": {"dimensions": 4},
    },
    "ethos-u55": {
        "*": {"dimensions": 4, "size": 65535, "batch": 1},
        "CONV_2D": {"stride": 4, "height": 64, "area": 4096},
        "DEPTHWISE_CONV_2D": {"stride": 3, "height": 64, "area": 4096, "channels": 1},
        "FULLY_CONNECTED": {"dimensions": 2},
        "AVERAGE_POOL_2D": {"stride": 3, "padded side": 8, "height": 256, "area": 65536},
        "MAX_POOL_2D": {"stride": 3, "height": 256, "area": 65536},
        "MEAN": {"area": 65536, "kept area": 4096},
    },
    "max78000": {
        "Conv2d": {"padding": 2, "stride": 1, "dilation": 1, "channels": 1024},
        "Conv1d": {"kernel": 9, "padding": 2, "stride": 1, "dilated kernel": 3, "dilation": 1023},
        "ConvTranspose2d": {"kernel": 3, "stride": 2, "padding": 2, "output padding": 1},
        "MaxPool": {"window": 16},
        "AvgPool": {"window": 16},
        "Linear": {"channels": 1024},
        "Add": {"inputs": 16},
    },
}

#: One idea, three names. A target is left out where its sources have no word for the idea.
IDEAS: dict[str, dict[str, str]] = {
    "convolution": {"stm32n6": "Conv", "ethos-u55": "CONV_2D", "max78000": "Conv2d"},
    "depthwise convolution": {
        "stm32n6": "Conv(depthwise)", "ethos-u55": "DEPTHWISE_CONV_2D", "max78000": "Conv2d(depthwise)"},
    "matrix times input": {"stm32n6": "Gemm", "ethos-u55": "FULLY_CONNECTED", "max78000": "Linear"},
    "input times input": {"stm32n6": "MatMul", "ethos-u55": "BATCH_MATMUL", "max78000": "MatMul(dynamic)"},
    "ReLU": {"stm32n6": "Relu", "ethos-u55": "RELU", "max78000": "Relu"},
    "H-Swish": {"stm32n6": "HardSwish", "ethos-u55": "HARD_SWISH", "max78000": "HardSwish"},
    "sigmoid": {"stm32n6": "Sigmoid", "ethos-u55": "LOGISTIC", "max78000": "Sigmoid"},
    "softmax": {"stm32n6": "Softmax", "ethos-u55": "SOFTMAX", "max78000": "Softmax"},
    "exponential": {"stm32n6": "Exp", "ethos-u55": "EXP"},
    "addition": {"stm32n6": "Add", "ethos-u55": "ADD", "max78000": "Add"},
    "multiplication": {"stm32n6": "Mul", "ethos-u55": "MUL", "max78000": "Mul"},
    "average pooling": {"stm32n6": "AveragePool", "ethos-u55": "AVERAGE_POOL_2D", "max78000": "AvgPool"},
    "enlarging, nearest": {"stm32n6": "Resize", "ethos-u55": "RESIZE_NEAREST_NEIGHBOR"},
    "transposition": {"stm32n6": "Transpose", "ethos-u55": "TRANSPOSE"},
    "table look-up": {"stm32n6": "Gather", "ethos-u55": "GATHER", "max78000": "Gather"},
    "layer norm": {"stm32n6": "LayerNormalization", "max78000": "LayerNorm"},
    "LSTM": {"stm32n6": "LSTM", "ethos-u55": "LSTM", "max78000": "LSTM"},
    "loop": {"stm32n6": "Loop"},
}  # fmt: skip

#: ONNX operators in the words of the other targets, where a name alone decides; ``rules`` looks at shapes for the rest.
ONNX_NAMES: dict[str, dict[str, str]] = {
    "ethos-u55": {
        "ConvTranspose": "TRANSPOSE_CONV", "AveragePool": "AVERAGE_POOL_2D", "MaxPool": "MAX_POOL_2D",
        "GlobalMaxPool": "MAX_POOL_2D", "GlobalAveragePool": "MEAN", "ReduceMean": "MEAN", "Add": "ADD", "Sub": "SUB",
        "Mul": "MUL", "Min": "MINIMUM", "Max": "MAXIMUM",
        "Softmax": "SOFTMAX", "Sigmoid": "LOGISTIC", "Tanh": "TANH", "HardSwish": "HARD_SWISH",
        "Relu": "RELU", "LeakyRelu": "LEAKY_RELU", "PRelu": "PRELU", "Abs": "ABS", "Concat": "CONCATENATION",
        "Pad": "PAD", "Reshape": "RESHAPE", "Flatten": "RESHAPE", "Squeeze": "SQUEEZE", "Unsqueeze": "EXPAND_DIMS",
        "Slice": "STRIDED_SLICE", "Split": "SPLIT_V", "Gather": "GATHER", "Exp": "EXP", "Transpose": "TRANSPOSE",
        "LSTM": "LSTM",
    },
    "max78000": {
        "MaxPool": "MaxPool", "AveragePool": "AvgPool", "GlobalMaxPool": "MaxPool", "GlobalAveragePool": "AvgPool",
        "Relu": "Relu", "Abs": "Abs", "Add": "Add", "Sum": "Add", "Sub": "Sub", "BitwiseOr": "Or", "BitwiseXor": "Xor",
        "Softmax": "Softmax", "Sigmoid": "Sigmoid", "Tanh": "Tanh",
        "HardSwish": "HardSwish", "Mul": "Mul", "Gather": "Gather", "LayerNormalization": "LayerNorm", "LSTM": "LSTM",
    },
}  # fmt: skip

#: ONNX opsets that ST's tool is reported to read, lowest and highest.
OPSETS = {"stm32n6": (7, 20)}


def _table(target: str) -> dict[str, Rule]:
    if target not in _RULES:
        raise ValueError(f"No operator table for target {target!r}: choose one of {', '.join(TARGETS)}.")
    return _RULES[target]


def rules(target: str) -> tuple[Rule, ...]:
    """All rules of one target, in the order of its table.

    Parameters
    ----------
    target : str
        One of ``TARGETS``.

    Returns
    -------
    tuple of Rule

    Raises
    ------
    ValueError
        If there is no table for the target.
    """
    return tuple(_table(target).values())


def lookup(target: str, op: str) -> Rule | None:
    """The rule for one operator, or None where the sources say nothing about it.

    Names are matched exactly, as the target's own language spells them: ``"Conv"`` is an ONNX name and has no rule on
    ethos-u55, where the operator is called ``"CONV_2D"``.

    Parameters
    ----------
    target : str
        One of ``TARGETS``.
    op : str
        Operator name.

    Returns
    -------
    Rule or None

    Raises
    ------
    ValueError
        If there is no table for the target.
    """
    return _table(target).get(op)


def verdict(target: str, ops: Iterable[str]) -> list[tuple[str, Rule | None]]:
    """Look up each operator of a building block, in order.

    Parameters
    ----------
    target : str
        One of ``TARGETS``.
    ops : iterable of str
        Operator names, repeated where the block uses them twice.

    Returns
    -------
    list of (str, Rule or None)
        None stands for unknown.

    Raises
    ------
    ValueError
        If there is no table for the target.
    """
    table = _table(target)
    return [(op, table.get(op)) for op in ops]


# --------------------------------------------------------------------------------------------------------------------
# the chips


@dataclass(frozen=True)
class Fact:
    """One published figure: a value, its unit, and where it is from."""

    value: float
    unit: str
    source: str


@dataclass(frozen=True)
class Memory:
    """One memory region: its size in KiB, what it is for, and whether it is on the chip."""

    name: str
    kib: int
    use: str
    on_chip: bool


@dataclass(frozen=True)
class Chip:
    """Published figures of one chip; a figure for which no source was reached is absent, not guessed.

    Attributes
    ----------
    name : str
    facts : dict of str to Fact
    memories : tuple of Memory
        Regions of the chip and of its evaluation board; empty where no source was reached.
    memory_source : str
        Where the regions are from.
    """

    name: str
    facts: dict[str, Fact]
    memories: tuple[Memory, ...] = ()
    memory_source: str = ""

    @property
    def sram_kib(self) -> int:
        """Sum of the on-chip memories in KiB."""
        return sum(memory.kib for memory in self.memories if memory.on_chip)

    @property
    def flash_kib(self) -> int:
        """Size of the board's flash in KiB; 0 where no source was reached."""
        return sum(memory.kib for memory in self.memories if memory.name == "octo flash")


_PAPER = "the µVLM paper (CVPR 2026)"
_ST_PROJECT = "ST's getting-started project for the N6, v2.0.0"
_REPORT = "third-party report"

CHIPS: dict[str, Chip] = {
    "stm32n657": Chip(
        "STM32N657",
        {
            "sram": Fact(4.2, "MB", _PAPER),
            "nominal_gops": Fact(600, "GOPS", _PAPER),
            "power_below": Fact(300, "mW", _PAPER),
            "cpu_clock": Fact(800, "MHz", _ST_PROJECT),
            "npu_clock": Fact(1000, "MHz", _ST_PROJECT),
            "npu_ram_clock": Fact(900, "MHz", _ST_PROJECT),
            "bus_clock": Fact(400, "MHz", _ST_PROJECT),
            "flash_clock": Fact(200, "MHz", _ST_PROJECT),
            "flash_bytes_per_edge": Fact(1, "byte", _ST_PROJECT + " (octo: eight data lines)"),
            "flash_edges_per_cycle": Fact(2, "edges", _ST_PROJECT + " (DTR: both clock edges)"),
            "flash_reported_low": Fact(400, "MB/s", _REPORT),
            "flash_reported_high": Fact(450, "MB/s", _REPORT),
            "conv_reported_low": Fact(70, "GOPS", _REPORT + " (dense convolutions, all on chip)"),
            "conv_reported_high": Fact(164, "GOPS", _REPORT + " (dense convolutions, all on chip)"),
            "energy_reported_low": Fact(5.0, "nJ", _REPORT + " (a multiply-add on chip, above idle; energy.py: pJ)"),
            "energy_reported_high": Fact(7.2, "nJ", _REPORT + " (a multiply-add on chip, above idle; energy.py: pJ)"),
        },
        (
            Memory("AXISRAM1", 1024, "CPU", True),
            Memory("AXISRAM2", 1024, "CPU", True),
            Memory("AXISRAM3", 448, "NPU", True),
            Memory("AXISRAM4", 448, "NPU", True),
            Memory("AXISRAM5", 448, "NPU", True),
            Memory("AXISRAM6", 448, "NPU", True),
            Memory("NPU cache RAM", 256, "NPU cache", True),
            Memory("VENC RAM", 128, "video encoder", True),
            Memory("octo flash", 128 * 1024, "weights, program", False),
            Memory("PSRAM", 32 * 1024, "overflow", False),
        ),
        _ST_PROJECT + "; flash and PSRAM are those of the STM32N6570-DK board",
    ),
    "ethos-u55": Chip(
        "Ethos-U55",
        {
            "largest_dimension": Fact(65535, "elements", SOURCES["V"]),
            "most_dimensions": Fact(4, "dimensions", SOURCES["V"]),
        },
    ),
    "max78000": Chip(
        "MAX78000",
        {
            "weight_kernels": Fact(64 * 768, "3x3 kernels", SOURCES["X"]),
            "most_layers": Fact(32, "layers", SOURCES["X"]),
            "largest_map_unstreamed": Fact(90 * 91, "pixels", SOURCES["X"]),
            "longest_side": Fact(1023, "rows or columns", SOURCES["X"]),
            "most_channels": Fact(1024, "channels", SOURCES["X"]),
        },
    ),
}


# --------------------------------------------------------------------------------------------------------------------
# published runs on the STM32N657


@dataclass(frozen=True)
class Run:
    """One published int8 run on the STM32N657.

    Attributes
    ----------
    model : str
    data : str
        What it was trained for, where that tells two rows apart.
    side : int
        Input height and width in pixels; 0 for sound.
    weights_kib, activations_kib, external_kib : int or None
        KiB of weights, of activations on the chip, of activations in external memory; None where not published.
    mmac : float or None
        Million multiply-adds of one inference; None where not published.
    ms : float
        Time of one inference.
    source : str
    """

    model: str
    data: str
    side: int
    weights_kib: int | None
    activations_kib: int | None
    external_kib: int | None
    mmac: float | None
    ms: float
    source: str


_ZOO = "ST model zoo, tool 2.0"

RUNS: tuple[Run, ...] = (
    Run("MobileNetV2 0.35", "food101", 128, 716, 240, 0, None, 3.33, _ZOO),
    Run("MobileNetV2 0.35", "food101", 224, 731, 980, 0, None, 6.12, _ZOO),
    Run("MobileNetV2 1.0", "food101", 224, 3110, 2058, 0, None, 18.08, _ZOO),
    Run("MobileNetV2 0.35", "ImageNet", 128, 1841, 240, 0, None, 6.35, _ZOO),
    Run("MobileNetV2 0.35", "ImageNet", 224, 1856, 980, 0, None, 9.14, _ZOO),
    Run("MobileNetV2 1.0", "ImageNet", 224, 4235, 2058, 0, None, 21.08, _ZOO),
    Run("MobileNetV2 1.4", "ImageNet", 224, 7316, 2361, 0, None, 35.34, _ZOO),
    Run("EfficientNetV2-B0", "food101", 224, 7554, 1834, 0, None, 54.32, _ZOO),
    Run("EfficientNetV2-B1", "food101", 240, 8925, 2590, 0, None, 73.89, _ZOO),
    Run("EfficientNetV2-B2", "food101", 260, 11213, 2630, 528, None, 146.0, _ZOO),
    Run("EfficientNetV2-S", "food101", 384, 25757, 2700, 6912, None, 842.0, _ZOO),
    Run("MoveNet Lightning", "heatmaps", 192, 2301, 1597, None, 242.9, 22.0, _REPORT + ", tool 2.1"),
    Run("YuNet", "faces", 320, 80, 1139, 0, 86.0, 6.34, _REPORT + ", compiler 4.0.1"),
    Run("YuNet", "faces", 640, 80, 0, 4481, 344.0, 163.8, _REPORT + ", activations in PSRAM"),
    Run("n6net b1", "sound", 0, None, None, None, 21.7, 0.619, _REPORT + ", on chip"),
    Run("n6net b3", "sound", 0, None, None, None, 65.0, 1.611, _REPORT + ", on chip"),
    Run("n6net v2_c96", "sound", 0, None, None, None, 94.7, 1.154, _REPORT + ", on chip"),
    Run("n6net v2 C128", "sound", 0, None, None, None, 168.2, 2.597, _REPORT + ", on chip"),
)
