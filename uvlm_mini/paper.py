"""The µVLM paper's published numbers, as data (chapter 1).

Source: Chen, Fan, Yang, Ding, Jin, "µVLM: A Vision Language Model for µNPUs", CVPR 2026, as given by its public page
and a public reading note; the full text was not at hand. A figure that is not published there is None. Sizes are in
MB, times in ms, scores in the usual percent scale (CIDEr 117.8 means 1.178).
"""

from __future__ import annotations

from dataclasses import dataclass

BUDGET_MB = 32.0  # memory that the paper sets itself for model and all
SRAM_MB = 4.2  # STM32N657
NOMINAL_GOPS = 600.0  # STM32N657
POWER_BELOW_MW = 300.0  # an upper bound: the paper gives "<300 mW", not a measurement
TTFT_MS = 208.0  # time to the first token: encoder and one decoder step
TBT_MS = 21.0  # time between tokens: one decoder step
BEAM_SIZE = 3
RARE_WORD = 5  # words seen fewer times than this leave the vocabulary
VOCABULARY = 10_010  # words of COCO that are left then, as Up-Down counts them; the µVLM paper gives no number


@dataclass(frozen=True)
class Comparison:
    """One row of Table 1: COCO, Karpathy test split.

    Attributes
    ----------
    model : str
    size_mb : float
        Size; rough where ``rough`` is True ("~" in the paper).
    rough : bool
    operators : bool
        The paper's column "operator support": all operators have a place on a µNPU.
    hardware_aware : bool
    bleu4, meteor, spice, cider : float or None
    """

    model: str
    size_mb: float
    rough: bool
    operators: bool
    hardware_aware: bool
    bleu4: float | None
    meteor: float
    spice: float
    cider: float


COMPARISON: tuple[Comparison, ...] = (
    Comparison("SmallCap", 872.0, False, False, False, None, 28.3, 21.5, 121.8),
    Comparison("RFNet", 500.0, True, True, False, None, 27.7, 21.1, 121.9),
    Comparison("Up-Down", 400.0, True, True, False, None, 27.7, 21.4, 120.1),
    Comparison("NIC", 80.0, True, True, False, 28.6, 23.8, 17.7, 92.0),
    Comparison("µVLM-b", 29.6, False, True, True, 36.1, 26.9, 20.8, 117.8),
    Comparison("µVLM-s", 21.2, False, True, True, 32.2, 25.7, 19.1, 109.1),
    Comparison("µVLM-t", 13.8, False, True, True, 29.4, 24.4, 18.2, 96.4),
)
"""Table 1, corrected.

The rows of SmallCap, RFNet and Up-Down have three scores for four columns. Read from the left, 28.3 and 21.5 stand
under BLEU-4 and METEOR; they are SmallCap's METEOR and SPICE, and likewise 27.7, 21.1 and 27.7, 21.4 for the other
two. Their BLEU-4 is the number that is missing, so it is None here. The four other rows are complete and unchanged.
"""


@dataclass(frozen=True)
class Deployed:
    """One row of the deployment table: a network in int8 on the STM32N657."""

    part: str
    size_mb: float
    ms: float
    power_below_mw: float | None


DEPLOYMENT: dict[str, Deployed] = {
    "encoder": Deployed("OverMod-b encoder", 21.4, 187.0, POWER_BELOW_MW),
    "attssm": Deployed("AttSSM decoder, one step", 8.2, 21.0, POWER_BELOW_MW),
    "lstm": Deployed("LSTM + Bahdanau attention, one step", 9.3, 32.0, None),
}
"""The deployment table. For the LSTM decoder no power is given."""


@dataclass(frozen=True)
class Ablation:
    """One row of an ablation table: what stands in the model, and its score."""

    parts: str
    score: float


ABLATION: tuple[Ablation, ...] = (
    Ablation("dynamic convolution only", 95.5),
    Ablation("+ multi-scale fusion", 101.4),
    Ablation("+ spatial modulation", 107.1),
    Ablation("+ channel modulation (all of µVLM)", 117.8),
)
"""Table 6: CIDEr of µVLM-b as its parts are added one after the other. Nothing corrected."""

ENCODER_ABLATION: tuple[Ablation, ...] = (
    Ablation("ED blocks, Dilated RepConv, GRN, Layer Scale", 79.2),
    Ablation("the same with SE channel attention", 79.0),
)
"""Table 4: ImageNet-1K top-1 of OverMod-t. The scores of the single steps in between are not at hand."""


@dataclass(frozen=True)
class Encoder:
    """One size of OverMod: parameters in millions, ImageNet-1K top-1 at 224x224, size in MB as deployed."""

    name: str
    parameters_m: float | None
    top1: float | None
    size_mb: float | None


ENCODERS: dict[str, Encoder] = {
    "t": Encoder("OverMod-t", 5.2, 79.2, None),
    "s": Encoder("OverMod-s", None, None, None),
    "b": Encoder("OverMod-b", 18.1, 82.4, 21.4),
}
"""The encoder family. Widths and depths are published for none of them, and nothing but the name for OverMod-s."""


def dynamic_conv_values(filters: int, channels: int, kernel: int) -> int:
    """Values that a dynamic convolution must generate for one picture: a whole kernel tensor.

    Parameters
    ----------
    filters : int
        N, output channels for which kernels are generated.
    channels : int
        C, channels of each kernel.
    kernel : int
        k, side of the square kernel.

    Returns
    -------
    int
        N C k^2.
    """
    return filters * channels * kernel**2


def gsm_values(channels: int, height: int, width: int) -> int:
    """Values that GSM must generate for one picture: one bias for each channel and place, C H W."""
    return channels * height * width


def lstm_count(hidden: int) -> int:
    """The paper's count of an LSTM's weights: four gates, each with an input and a state matrix, 8 H^2."""
    return 8 * hidden**2


def ssm_count(hidden: int, state: int, expansion: int = 2) -> int:
    """The paper's count of a selective SSM's weights, 2 r H^2 + 3 H N.

    Parameters
    ----------
    hidden : int
        H, width of the decoder.
    state : int
        N, states for each channel.
    expansion : int
        r, by which the SSM is wider than H; the paper takes 2.

    Returns
    -------
    int
    """
    return 2 * expansion * hidden**2 + 3 * hidden * state
