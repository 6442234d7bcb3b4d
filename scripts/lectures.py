"""Which parts of the chapters make the three lectures, and in which order.

A part is named by what stands in the chapter: the heading above it, the id of its cell, the number of a question, the
first words of a point of "## Summary". scripts/slides.py looks them up, and says which one is gone. Each chapter begins
with its objectives; the points of its summary that no part has taken come at its end.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Show:
    """One slide: below the heading a figure, a cell of code or what it prints, and points of the summary.

    Parameters
    ----------
    heading : the heading of the chapter that stands last above the cells
    figure : id of a cell that draws; its picture, caption and alternative text
    code : id of a cell, or several between spaces; their source
    output : id of a cell; what it printed
    points : first words of points of the summary, each of which is on one slide only
    """

    heading: str
    figure: str = ""
    code: str = ""
    output: str = ""
    points: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quiz:
    """Two slides: a question of this number with its choices, and then what is to be said of each."""

    number: int


@dataclass(frozen=True)
class Lecture:
    """Some chapters, as one file of this name."""

    name: str
    title: str
    chapters: tuple[int, ...]


LECTURES = (
    Lecture("one", "What a µNPU allows, bias maps, and the encoder", (0, 1, 2, 3)),
    Lecture("two", "Recurrence, looking again, training, and search", (4, 5, 6, 7)),
    Lecture("three", "Eight bits, C, the chip, and what came out", (8, 9, 10, 11, 12)),
)

PARTS: dict[int, tuple[Show | Quiz, ...]] = {
    0: (
        Show("Its world", figure="cell-10", points=("The captioner",)),
        Show("A caption", code="cell-12", output="cell-12"),
        Show("Word by word", figure="cell-27"),
        Show("Beam search", code="cell-29", output="cell-29", points=("The caption is found",)),
        Quiz(2),
        Quiz(4),
    ),
    1: (
        Show("Who fits?", figure="cell-17", points=("Of seven",)),
        Show("The narrow door", code="cell-27", output="cell-27"),
        Show("The narrow door", figure="cell-30", points=("A decoder step",)),
        Show("Operators: what the chip computes", figure="cell-58", points=("Convolution, ReLU",)),
        Show("How long will it take?", figure="cell-67"),
        Show("The paper's three times", figure="cell-95", points=("A model",)),
        Quiz(2),
        Quiz(5),
    ),
    2: (
        Show("What must be generated", code="cell-9", output="cell-9", points=("For the paper's",)),
        Show("From a weight to a bias", figure="cell-20", points=("A bias before",)),
        Show("Two modules", code="cell-42", points=("GSM is `adapt`",)),
        Show("On a real picture", figure="cell-56"),
        Show("How it grows", figure="cell-73", points=("GSM's work",)),
        Show("What is dynamic about it?", figure="cell-102", points=("A bias map",)),
        Quiz(2),
        Quiz(6),
    ),
    3: (
        Show("A picture on its way", figure="cell-12", points=("OverNet glances",)),
        Show("What the first glance knows", figure="cell-33"),
        Show("GRN: strength is relative", code="cell-47"),
        Show("One large kernel from many small ones", figure="cell-80", points=("A batch-norm",)),
        Show("What a feature sees", figure="cell-148", points=("The possible receptive",)),
        Show("What is each part worth?", figure="cell-173", points=("An ablation",)),
        Quiz(4),
        Quiz(6),
    ),
    4: (
        Show("In PyTorch", code="cell-23 cell-27", points=("A leaky",)),
        Show("Many states a channel", figure="cell-11", points=("$N$ states with rates",)),
        Show("The modules themselves", figure="cell-62", points=("The paper's $2rH^2",)),
        Show("Memory and time", figure="cell-73", points=("State and step",)),
        Show("What Δ does", figure="cell-107", points=("Selective copying",)),
        Quiz(1),
        Quiz(5),
    ),
    5: (
        Show("From softmax to a maximum", figure="cell-31", points=("$\\max(x + b)",)),
        Show("GCDM", code="cell-44"),
        Show("One caption, step by step", figure="cell-82", points=("The shipped decoder",)),
        Show("Which reading?", figure="cell-111", points=("Measured on",)),
        Show("All decoders on equal terms", figure="cell-134", points=("AttSSM and the LSTM",)),
        Show("Table 6, at our size", figure="cell-158", points=("Of the paper's",)),
        Quiz(1),
        Quiz(4),
    ),
    6: (
        Show("The recipe, live", figure="cell-36", points=("Four stages",)),
        Show("Where cross-entropy ends", figure="cell-57", points=("Cross-entropy ends",)),
        Show("A baseline does not bias", figure="cell-72", points=("REINFORCE turns",)),
        Show("A baseline does not bias", code="cell-74"),
        Show("Three seeds, and other decoders", figure="cell-117"),
        Quiz(4),
        Quiz(6),
    ),
    7: (
        Show("Beam search", code="cell-38", points=("Greedy search",)),
        Show("Wider is likelier; is it better?", figure="cell-73", points=("Likelier is",)),
        Show("Variety against truth", figure="cell-116", points=("Temperature and nucleus",)),
        Show("Which of two captions does a score prefer?", figure="cell-201", points=("BLEU, METEOR",)),
        Quiz(2),
        Quiz(5),
    ),
    8: (
        Show("Zero needs a mark", figure="cell-25", points=("An affine",)),
        Show("Zero needs a mark", code="cell-19"),
        Show("Clipping against resolution", figure="cell-44", points=("Rounding adds",)),
        Show("One scale, or one a channel", figure="cell-60", points=("Weights are",)),
        Show("The interface, before and after", figure="cell-110", points=("With the same",)),
        Show("Layer by layer", figure="cell-123", points=("Int8 is",)),
        Show("Is there a gap between CFQ and independent?", figure="cell-166", points=("On 500",)),
        Quiz(1),
        Quiz(6),
    ),
    9: (
        Show("Ten lines of C", code="cell-8"),
        Show("How far can it be off?", figure="cell-34", points=("An exponential",)),
        Show("Who wins", figure="cell-42", points=("Leaving `expf`",)),
        Show("AttSSM against the LSTM, once more", figure="cell-89", points=("Against the LSTM",)),
        Quiz(4),
        Quiz(5),
    ),
    10: (
        Show("One file for everything", figure="cell-17", points=("A model",)),
        Show("What a reader refuses", code="cell-21", output="cell-21"),
        Show("Saying", output="cell-35", points=("The captioner",)),
        Show("The same bytes everywhere", code="cell-46", output="cell-46"),
        Show("A map of the memory", figure="cell-66", points=("Firmware is",)),
        Show("A multiply-add", figure="cell-80", points=("Instruction counts",)),
        Show("AttSSM against the LSTM", figure="cell-83", points=("What AttSSM",)),
        Quiz(1),
        Quiz(4),
    ),
    11: (
        Show("A claim", code="cell-7", points=("A claim",)),
        Show("What the text says", code="cell-44", output="cell-44", points=("Against it",)),
        Show("All of it", output="cell-52", points=("Counts come",)),
        Quiz(2),
        Quiz(4),
    ),
    12: (
        Show("The same processor, another neighbour", code="cell-7", output="cell-7", points=("C for a Cortex-M55",)),
        Show("Here the SSM is not the cheaper one", figure="cell-19", points=("Arm's compiler",)),
        Show("Nine changes, by name", figure="cell-31", points=("For the MAX78000",)),
        Show("Four bits", code="cell-43", output="cell-43", points=("Two thirds",)),
        Show("One matrix, two uses", figure="cell-52", points=("For the small model",)),
        Show("Bytes and milliseconds", figure="cell-57", points=("Four bits shorten",)),
        Quiz(2),
        Quiz(4),
    ),
}
