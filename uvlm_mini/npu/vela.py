"""A network compiled for the Ethos-U55 by Arm's own compiler, Vela, and what it says of it: `uvlm check --compile`.

Nothing runs on a chip. Vela allocates memory and estimates cycles; it says itself that these are a compiler's internal
estimates. On the way there stand three more programs, all on this machine:

    PyTorch's exporter      the module as a graph
    torchao                 int8, calibrated on the examples that are given
    ExecuTorch's backend    divides the graph: what the NPU takes goes to Vela, in one part or several, as a delegate

What the backend leaves outside runs on the CPU, in float, with a conversion at every crossing. Vela never sees it, so
that its own summary always says 100 %: here both are counted together. The extra ``npu`` holds what is needed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

ACCELERATOR = "ethos-u55-256"  # 256 multiply-adds a cycle
SYSTEM, MEMORY = "Ethos_U55_High_End_Embedded", "Shared_Sram"  # of Vela's own configuration file
CLOCK_MHZ = 500  # that this system has there
FLAGS = ["--verbose-cycle-estimate"]
CONVERSIONS = ("quantize_per_tensor", "dequantize_per_tensor", "quantize_per_channel", "dequantize_per_channel")
NOTHING = ("getitem", "executorch_call_delegate", "alloc")  # calls in a graph that compute nothing


@dataclass(frozen=True)
class Summary:
    """What Vela prints of one delegate.

    Attributes
    ----------
    sram_kib, flash_kib : float
        Memory used for activations, and for weights and commands.
    cycles, multiply_adds : int
        Of one inference, estimated.
    npu, cpu : int
        Its own count of operators, after its own merging and splitting.
    """

    sram_kib: float
    flash_kib: float
    cycles: int
    multiply_adds: int
    npu: int
    cpu: int


@dataclass(frozen=True)
class Compiled:
    """A network compiled; see ``compile``.

    Attributes
    ----------
    name : str
    npu : int
        Operators in delegates.
    cpu : dict of str to int
        Operators left outside, by kind.
    conversions : int
        Quantizations and dequantizations outside: those of the network's inputs and outputs, and at crossings.
    parts : tuple of Summary
        One a delegate.
    """

    name: str
    npu: int
    cpu: dict[str, int]
    conversions: int
    parts: tuple[Summary, ...]

    @property
    def share(self) -> float:
        """Share of the operators that the NPU computes."""
        return self.npu / max(self.npu + sum(self.cpu.values()), 1)

    @property
    def cycles(self) -> int:
        """Cycles on the NPU; what the CPU does is not in them."""
        return sum(part.cycles for part in self.parts)

    @property
    def sram_kib(self) -> float:
        """Of the delegate that needs most: they run one after the other."""
        return max((part.sram_kib for part in self.parts), default=0.0)

    @property
    def flash_kib(self) -> float:
        """Of all delegates; weights of what runs on the CPU are not in it."""
        return sum(part.flash_kib for part in self.parts)


@dataclass(frozen=True)
class Failed:
    """A network that cannot be compiled, and why, in a sentence."""

    name: str
    why: str


def compile(
    module: nn.Module, example: tuple[Tensor, ...], calibration: Iterable[tuple[Tensor, ...]], name: str
) -> Compiled:
    """Quantize a module, divide it between NPU and CPU, and have Vela compile the NPU's parts.

    Parameters
    ----------
    module : nn.Module
        In eval mode; it is left as it is.
    example : tuple of Tensor
        Inputs of the shapes that it will have, batch 1.
    calibration : iterable of tuple of Tensor
        Inputs that the ranges of int8 are taken from, at least one.
    name : str

    Returns
    -------
    Compiled

    Raises
    ------
    ModuleNotFoundError
        Without the extra ``npu``.
    ValueError
        No inputs to calibrate on, or the compiler fails on this network; the sentence says how.
    """
    rows = list(calibration)
    if not rows:
        raise ValueError(f"{name} has no inputs to calibrate on; give at least one.")
    tools = _tools()
    said = io.StringIO()
    with _quiet(), contextlib.redirect_stdout(said):
        spec = tools.spec(ACCELERATOR, system_config=SYSTEM, memory_mode=MEMORY, extra_flags=list(FLAGS))
        quantizer = tools.quantizer(spec)
        quantizer.set_global(tools.symmetric(is_per_channel=True))
        try:
            graph = torch.export.export(module.eval(), example).module(check_guards=False)
            prepared = tools.prepare(graph, quantizer)
            with torch.no_grad():
                for row in rows:
                    prepared(*row)
            program = torch.export.export(tools.convert(prepared), example)
            edge = tools.lower(
                program, partitioner=[tools.partitioner(spec)], compile_config=tools.config(_check_ir_validity=False)
            )
        except Exception as error:  # whatever one of the four programs finds wrong with a network
            why = textwrap.shorten(" ".join(str(error).split()), 200, placeholder=" ...").rstrip(".")
            raise ValueError(
                f"{name} cannot be compiled for {ACCELERATOR} ({type(error).__name__}: {why}); change the network."
            ) from error
    outer = edge.exported_program().graph_module
    inner = [part.original_module.graph for part in _delegates(outer)]
    cpu = operators(outer.graph)
    conversions = sum(cpu.pop(kind, 0) for kind in CONVERSIONS)
    npu = sum(n for graph in inner for kind, n in operators(graph).items() if kind not in CONVERSIONS)
    parts = tuple(summaries(said.getvalue()))
    if len(parts) != len(inner):
        raise ValueError(f"{name} has {len(inner)} parts and Vela told of {len(parts)}; use the tested versions.")
    return Compiled(name, npu, dict(cpu), conversions, parts)


def _delegates(module: Any) -> list[Any]:
    """The parts of a divided graph that Vela has compiled."""
    return [getattr(module, node.target) for node in module.graph.nodes
            if node.op == "get_attr" and hasattr(getattr(module, node.target, None), "original_module")]  # fmt: skip


def operators(graph: torch.fx.Graph) -> Counter[str]:
    """The operators of a graph by kind, conversions between float and int8 included.

    Parameters
    ----------
    graph : torch.fx.Graph
        Of an edge program: what is left outside the delegates, or what went into one.
    """
    found: Counter[str] = Counter()
    for node in graph.nodes:
        if node.op == "call_function":
            schema = getattr(node.target, "_schema", None)  # of aten::mul and the like
            kind = schema.name.split("::")[-1] if schema else str(getattr(node.target, "__name__", node.target))
            if kind not in NOTHING:
                found[kind] += 1
    return found


def summaries(text: str) -> list[Summary]:
    """What Vela printed of each network, in order.

    Raises
    ------
    ValueError
        A summary lacks a figure: another version of Vela.
    """
    return [_summary(part) for part in re.split(r"^Network summary for .*$", text, flags=re.MULTILINE)[1:]]


def _summary(text: str) -> Summary:
    def figure(pattern: str, least: float | None = None) -> float:
        found = re.search(rf"^{pattern}", text, re.MULTILINE)
        if found is None and least is None:
            raise ValueError(f"Vela's summary has no line {pattern!r}; use ethos-u-vela 5.2, which was tested.")
        return float(found[1]) if found else float(least or 0)

    number = r"\s+([0-9.]+)"
    return Summary(
        figure(rf"Total SRAM used{number} KiB", 0),
        figure(rf"Total Off-chip Flash used{number} KiB", 0),
        int(figure(rf"Total cycles{number} cycles")),
        int(figure(rf"Neural network macs{number} MACs")),
        int(figure(r"NPU operators = (\d+)")),
        int(figure(r"CPU operators = (\d+)")),
    )


@dataclass(frozen=True)
class _Tools:
    spec: Any
    partitioner: Any
    quantizer: Any
    symmetric: Any
    lower: Any
    config: Any
    prepare: Any
    convert: Any


def _tools() -> _Tools:
    """What is needed of ExecuTorch, torchao and Vela."""
    with _quiet():
        try:
            import ethosu.vela  # noqa: F401
            import tosa_serializer  # noqa: F401
            from executorch.backends.arm.ethosu import EthosUCompileSpec, EthosUPartitioner
            from executorch.backends.arm.quantizer import EthosUQuantizer, get_symmetric_quantization_config
            from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
            from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"{error.name} is not installed, and compiling for the Ethos-U55 needs it; install uvlm_mini[npu].",
                name=error.name,
            ) from None
    return _Tools(EthosUCompileSpec, EthosUPartitioner, EthosUQuantizer, get_symmetric_quantization_config,
                  to_edge_transform_and_lower, EdgeCompileConfig, prepare_pt2e, convert_pt2e)  # fmt: skip


def need() -> None:
    """Raise ModuleNotFoundError, in one sentence that names the extra, without what ``compile`` needs."""
    _tools()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what these programs tell of themselves: deprecations, and compiled parts for GPUs that are not here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# --------------------------------------------------------------------------------------------------------------------
# as text


def table(rows: Sequence[Compiled | Failed]) -> str:
    """Networks side by side, as text of at most 88 columns; what is left to the CPU stands below, a kind at a time."""
    lines = [
        f"{'':24}{'---- operators ----':>19}{'':4}{'---------- on the NPU, by Vela ----------':>41}",
        f"{'':24}{'NPU':>6}{'CPU':>5}{'share':>8}{'parts':>7}{'kcycles':>10}{'ms':>8}{'SRAM KiB':>10}{'flash KiB':>10}",
    ]
    below = []
    for row in rows:
        if isinstance(row, Failed):
            lines.append(f"{row.name:24} cannot be compiled, see below")
            said = row.why
        else:
            lines.append(
                f"{row.name:24}{row.npu:6}{sum(row.cpu.values()):5}{row.share:8.1%}{len(row.parts):7}"
                f"{row.cycles / 1e3:10.1f}{row.cycles / CLOCK_MHZ / 1e3:8.3f}{row.sram_kib:10.1f}{row.flash_kib:10.1f}"
            )
            said = ", ".join(f"{n} {kind}" for kind, n in sorted(row.cpu.items())) or "nothing"
            said = f"{row.name}: {said}; {row.conversions} conversions between float and int8"
        below += textwrap.wrap(said, 86, initial_indent="  ", subsequent_indent="    ")
    told = (
        f"For {ACCELERATOR}, {SYSTEM}, {MEMORY}. Cycles and memory are Vela's estimates, of the parts on the NPU; what "
        "is left to the CPU takes time of its own. Vela sees one part at a time, and calls it 100 % on the NPU."
    )
    return "\n".join([*lines, "", "left to the CPU:", *below, "", *textwrap.wrap(told, 88)])
