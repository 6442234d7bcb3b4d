"""The norms of benchmarks/kernels.py: the decoder's LayerNorm and the encoder's GRN, preset b, by all who can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.limits import FORMS, microseconds, turns
from benchmarks.recurrence import bound, deviation, fitting, onnx_bytes, pointers
from uvlm_mini.encoder import GRN
from uvlm_mini.kernels import library
from uvlm_mini.kernels.s8 import Kernel
from uvlm_mini.quantize import integer_units as units
from uvlm_mini.quantize.integer_ops import Record

HIDDEN, SIDE, WIDE = 512, 14, 1024  # the decoder's width; side and channels of most of the encoder's GRNs
EPSILON = 1e-5

Call = Callable[[], Any]
Made = Callable[[], np.ndarray]
Norm = tuple[dict[str, tuple[Call, Made]], np.ndarray, float]  # contenders, what is true in float64, a step of int8


def layer_norms() -> Norm:
    """LayerNorm of 512 numbers."""
    rng = np.random.default_rng(0)
    x, gamma, beta = (rng.standard_normal(HIDDEN).astype(np.float32) for _ in range(3))
    wide = x.astype(np.float64)
    true = (wide - wide.mean()) / np.sqrt(wide.var() + EPSILON) * gamma + beta
    module = nn.LayerNorm(HIDDEN, EPSILON)
    rows = {
        "PyTorch": in_torch(module, gamma, beta, x[None]),
        "onnxruntime": in_onnxruntime(layer_norm_graph(gamma, beta), x[None]),
        "C, float": in_c("layer_norm", gamma, beta, x),
    }
    scales = fitting(x), fitting(true)
    return integers(rows, "layer_norm", units.layer_norm(gamma, beta, EPSILON, *scales), x, true, scales)


def grns() -> Norm:
    """GRN of a map of 14 x 14 positions and 1,024 channels: in C with channels last, elsewhere with channels first."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((SIDE, SIDE, WIDE)).astype(np.float32)
    gamma, beta = (0.3 * rng.standard_normal(WIDE).astype(np.float32) for _ in range(2))
    strength = np.sqrt((x.astype(np.float64) ** 2).sum((0, 1)))
    true = x * (gamma * strength / (strength.mean() + 1e-6) + 1) + beta
    first = np.ascontiguousarray(x.transpose(2, 0, 1)[None])
    rows = {
        "PyTorch": in_torch(GRN(WIDE), gamma[:, None, None], beta[:, None, None], first),
        "onnxruntime": in_onnxruntime(grn_graph(gamma, beta), first),
        "C, float": in_c("grn", gamma, beta, x),
    }
    rows = {name: (call, last(made) if name[0] != "C" else made) for name, (call, made) in rows.items()}
    scales = fitting(x), fitting(true)
    numbers = units.grn(gamma, beta, 1e-6 / SIDE, SIDE * SIDE, *scales)
    return integers(rows, "grn", numbers, x, true, scales)


def last(made: Made) -> Made:
    """(1, C, H, W) as (H, W, C)."""
    return lambda: made()[0].transpose(1, 2, 0)


def in_torch(module: nn.Module, gamma: np.ndarray, beta: np.ndarray, x: np.ndarray) -> tuple[Call, Made]:
    """A module of PyTorch with these parameters."""
    for parameter, value in zip(module.parameters(), (gamma, beta), strict=True):
        parameter.data = torch.from_numpy(value)
    given = torch.from_numpy(x)

    @torch.inference_mode()
    def call() -> torch.Tensor:
        return module(given)

    return call, lambda: call().numpy()


def in_onnxruntime(model: bytes, x: np.ndarray) -> tuple[Call, Made]:
    """A graph from x to y."""
    call, made = bound(model, {"x": x})

    def fresh() -> np.ndarray:
        call()
        return made()[0]

    return call, fresh


def in_c(kind: str, gamma: np.ndarray, beta: np.ndarray, x: np.ndarray) -> tuple[Call, Made]:
    """The float kernel."""
    ffi, lib = library()
    y, own = np.empty_like(x), pointers(gamma, beta)
    sizes = [len(gamma), EPSILON] if kind == "layer_norm" else [x.shape[0] * x.shape[1], len(gamma)]
    scratch = [] if kind == "layer_norm" else [ffi.new("double[]", len(gamma))]
    numbers = ffi.new(f"uvlm_float_{kind} *", [*own, *sizes])
    function, arguments = getattr(lib, f"uvlm_{kind}_f32"), [numbers, *pointers(x, y), *scratch]

    def call(alive: Any = own) -> None:
        if function(*arguments):
            raise RuntimeError(f"uvlm_{kind}_f32 refused.")

    def fresh() -> np.ndarray:
        call()
        return y

    return call, fresh


def integers(
    rows: dict[str, tuple[Call, Made]], kind: str, numbers: dict[str, Any], x: np.ndarray, true: np.ndarray, scales: Any
) -> Norm:
    """The contenders with the fixed point kernels among them, in every form that they have."""
    given, made = scales
    arrays = {k: v for k, v in numbers.items() if isinstance(v, np.ndarray)}
    record = Record(kind, ("x",), ("y",), {k: v for k, v in numbers.items() if k not in arrays}, arrays)
    whole = given.nearest(x).astype(np.int8)
    kernel = Kernel(record, whole.shape)
    return (
        rows | {f"C, fixed point, {form}": in_integers(kernel, whole, made, form) for form in kernel.forms},
        true,
        (made.step),
    )


def in_integers(kernel: Kernel, x: np.ndarray, made: Any, form: str) -> tuple[Call, Made]:
    """A fixed point kernel in one form; what it makes is read as what it stands for."""
    ffi, lib = library()
    y, scratch = np.empty_like(x), np.empty(max(1, kernel.sizes.scratch), np.int32)
    arguments = [kernel.struct, ffi.from_buffer("int8_t[]", x), ffi.from_buffer("int8_t[]", y)]
    arguments += [ffi.from_buffer("int32_t[]", scratch)] if kernel.sizes.scratch else []
    function = getattr(lib, f"{kernel.name}_as", None)
    if function is None:
        function = getattr(lib, kernel.name)
    else:
        arguments = [FORMS.index(form), *arguments]

    def call(alive: Any = (x, scratch)) -> None:
        if function(*arguments):
            raise RuntimeError(f"{kernel.name} refused.")

    def fresh() -> np.ndarray:
        call()
        return made.of(y)

    return call, fresh


def layer_norm_graph(gamma: np.ndarray, beta: np.ndarray) -> bytes:
    """LayerNormalization, an operator of ONNX."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("LayerNormalization", ["x", "gamma", "beta"], ["y"], epsilon=EPSILON)],
        "layer_norm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, HIDDEN])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, HIDDEN])],
        [numpy_helper.from_array(value, name) for name, value in (("gamma", gamma), ("beta", beta))],
    )
    return onnx_bytes(graph)


def grn_graph(gamma: np.ndarray, beta: np.ndarray) -> bytes:
    """GRN out of the operators that it has in the exported encoder."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        ("Mul", "x x", "square"), ("ReduceMean", "square", "mean"), ("Sqrt", "mean", "strength"),
        ("ReduceMean", "strength", "whole"), ("Add", "whole least", "raised"), ("Div", "strength raised", "share"),
        ("Mul", "gamma share", "scaled"), ("Add", "scaled one", "factor"), ("Mul", "x factor", "weighed"),
        ("Add", "weighed beta", "y"),
    ]  # fmt: skip
    axes = {"mean": [2, 3], "whole": [1]}
    held = {"gamma": gamma[None, :, None, None], "beta": beta[None, :, None, None]}
    held |= {"least": np.float32(1e-6 / SIDE), "one": np.float32(1)}
    shape = [1, WIDE, SIDE, SIDE]
    graph = helper.make_graph(
        [helper.make_node(k, i.split(), [o], **({"axes": axes[o]} if o in axes else {})) for k, i, o in nodes],
        "grn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()],
    )
    return onnx_bytes(graph)


def off(norm: Norm) -> dict[str, dict[str, float]]:
    """How far each is off: relatively, and those in integers in steps of their output."""
    rows, true, step = norm
    found = {}
    for name, (_, made) in rows.items():
        if "fixed" in name:
            found[name] = {"steps off": round(float(np.abs(made() - true).max() / step), 3)}
        else:
            found[name] = {"off": deviation(made(), true)}
    return found


def measure(rounds: int) -> dict[str, Any]:
    """Both norms."""
    made: dict[str, Any] = {}
    for title, norm in ((f"LayerNorm of {HIDDEN}", layer_norms()), (f"GRN of {SIDE} x {SIDE} x {WIDE}", grns())):
        distances = off(norm)
        found = turns({name: call for name, (call, _) in norm[0].items()}, rounds, repeat=5, warm=1)
        made[title] = {name: microseconds(found[name]) | distances[name] for name in norm[0]}
    return made
