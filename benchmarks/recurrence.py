"""The first part of benchmarks/kernels.py: the SSM's recurrence between its projections, by all who can.

All contenders are given the same numbers in memory of their own: delta, A, b, c, D, u and h of I = 1024 channels with
N = 16 states, from which they make y and the next h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.limits import FORMS, forms, limits, microseconds, turns
from uvlm_mini.kernels import library
from uvlm_mini.kernels.s8 import Kernel
from uvlm_mini.quantize import integer_units as units
from uvlm_mini.quantize.integer_ops import Record
from uvlm_mini.quantize.tables import Scale

CHANNELS, STATES, STEPS = 1024, 16, 20
HEADROOM = 3.0  # the int16 state's range over the largest value seen; less than 2.5, and large steps saturate


class Given(NamedTuple):
    """What a recurrence is given: T steps of it."""

    delta: np.ndarray  # (T, I)
    u: np.ndarray  # (T, I)
    b: np.ndarray  # (T, N)
    c: np.ndarray  # (T, N)
    A: np.ndarray  # (I, N)
    D: np.ndarray  # (I)
    h: np.ndarray  # (I, N)


def given(steps: int = STEPS) -> Given:
    """Random numbers as the model has them: rates about 1 to N, step sizes spread from 0.001 to 0.3."""
    rng = np.random.default_rng(0)
    delta = np.exp(rng.uniform(np.log(1e-3), np.log(0.3), (steps, CHANNELS)))
    u, b, c = (rng.standard_normal((steps, size)) for size in (CHANNELS, STATES, STATES))
    A = -np.arange(1.0, STATES + 1) * np.exp(0.1 * rng.standard_normal((CHANNELS, STATES)))
    D, h = 1 + 0.1 * rng.standard_normal(CHANNELS), 0.1 * rng.standard_normal((CHANNELS, STATES))
    return Given(*(part.astype(np.float32) for part in (delta, u, b, c, A, D, h)))


def exact(g: Given) -> tuple[np.ndarray, np.ndarray]:
    """(T, I) outputs and the (I, N) last state, in float64 from the float32 numbers."""
    w = Given(*(part.astype(np.float64) for part in g))
    h, outputs = w.h, []
    for delta, u, b, c in zip(*w[:4], strict=True):
        h = np.exp(delta[:, None] * w.A) * h + (delta * u)[:, None] * b
        outputs.append(h @ c + w.D * u)
    return np.stack(outputs), h


def eager(
    delta: torch.Tensor, u: torch.Tensor, b: torch.Tensor, c: torch.Tensor, A: torch.Tensor, D: torch.Tensor,
    h: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """A step as uvlm_mini/ssm.py has it, of one sequence: y (I) and the next h (I, N)."""
    decay = torch.exp(delta[:, None] * A)
    h = decay * h + (delta * u)[:, None] * b
    return h @ c + D * u, h


def onnx_step() -> bytes:
    """The same as an ONNX graph of its operators."""
    from onnx import TensorProto, helper

    shapes = {"delta": [CHANNELS, 1], "u": [CHANNELS, 1], "b": [1, STATES], "c": [STATES, 1]}
    shapes |= {"A": [CHANNELS, STATES], "D": [CHANNELS, 1], "h": [CHANNELS, STATES]}
    made = {"y": [CHANNELS, 1], "h_next": [CHANNELS, STATES]}
    nodes = [
        ("Mul", "delta A", "rate"), ("Exp", "rate", "decay"), ("Mul", "decay h", "kept"), ("Mul", "delta u", "in"),
        ("Mul", "in b", "write"), ("Add", "kept write", "h_next"), ("MatMul", "h_next c", "read"),
        ("Mul", "D u", "direct"), ("Add", "read direct", "y"),
    ]  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node(kind, inputs.split(), [output]) for kind, inputs, output in nodes],
        "recurrence",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in made.items()],
    )
    return onnx_bytes(graph)


def onnx_bytes(graph: Any) -> bytes:
    """A graph as a model that this onnxruntime reads."""
    from onnx import checker, helper

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    return model.SerializeToString()


def bound(
    model: bytes | Any, feeds: dict[str, np.ndarray]
) -> tuple[Callable[[], None], Callable[[], list[np.ndarray]]]:
    """A run of a graph in onnxruntime with inputs and outputs in their places beforehand, and what it gave."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    made = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    places = made.io_binding()
    for name, value in feeds.items():
        places.bind_cpu_input(name, value)
    outputs = {value.name: np.empty(value.shape, np.float32) for value in made.get_outputs()}
    for name, value in outputs.items():
        places.bind_output(name, "cpu", 0, np.float32, value.shape, value.ctypes.data)
    return lambda: made.run_with_iobinding(places), lambda: list(outputs.values())


Step = Callable[[], Any]


class Contender(NamedTuple):
    """One who takes a step: `call` takes one on what lies ready, `fresh` (T = 1) gives y and h of a first one."""

    call: Step
    fresh: Callable[[], tuple[np.ndarray, np.ndarray]]


def torch_step(g: Given, function: Callable[..., Any]) -> Contender:
    """PyTorch, eager or compiled."""
    tensors = [torch.from_numpy(part[0]) for part in g[:4]] + [torch.from_numpy(part) for part in g[4:]]

    @torch.inference_mode()
    def call() -> Any:
        return function(*tensors)

    return Contender(call, lambda: tuple(x.numpy() for x in call()))


def torch_in_place(g: Given) -> Contender:
    """PyTorch, eager, with no memory asked for: every operator writes where something lies already."""
    delta, u, b, c = (torch.from_numpy(part[0]) for part in g[:4])
    A, D, h = (torch.from_numpy(part.copy()) for part in g[4:])
    decay, write, step, y = torch.empty_like(A), torch.empty_like(A), torch.empty_like(D), torch.empty_like(D)

    @torch.inference_mode()
    def call() -> None:
        torch.mul(delta[:, None], A, out=decay).exp_()
        torch.mul(delta, u, out=step)
        torch.mul(step[:, None], b, out=write)
        h.mul_(decay).add_(write)
        torch.mv(h, c, out=y)
        y.addcmul_(D, u)

    def fresh() -> tuple[np.ndarray, np.ndarray]:
        h.copy_(torch.from_numpy(g.h))
        call()
        return y.numpy().copy(), h.numpy().copy()

    return Contender(call, fresh)


def onnxruntime_step(g: Given) -> Contender:
    """onnxruntime."""
    delta, u, b, c = (np.ascontiguousarray(part[0]) for part in g[:4])
    column = {"delta": delta[:, None], "u": u[:, None], "b": b[None], "c": c[:, None], "D": g.D[:, None]}
    call, made = bound(onnx_step(), column | {"A": g.A, "h": g.h})

    def fresh() -> tuple[np.ndarray, np.ndarray]:
        call()
        y, h = made()
        return y[:, 0].copy(), h.copy()

    return Contender(call, fresh)


def pointers(*arrays: np.ndarray) -> list[Any]:
    """Where arrays of float32 lie, for any library; the arrays must outlive them."""
    ffi, _ = library()
    return [ffi.from_buffer("float[]", array) for array in arrays]


def c_step(g: Given, name: str, form: int | None) -> Contender:
    """A step in C, by its function's name; `form` for those that have several."""
    ffi, lib = library()
    parts, h, y = [np.ascontiguousarray(part[0]) for part in g[:4]], g.h.copy(), np.empty(CHANNELS, np.float32)
    own = pointers(g.A, g.D)
    numbers = ffi.new("uvlm_float_ssm *", [*own, CHANNELS, STATES])
    function = getattr(lib, name)
    arguments = [*([] if form is None else [form]), numbers, *pointers(*parts, h, y)]

    def call(alive: Any = (own, parts)) -> None:
        if function(*arguments):
            raise RuntimeError(f"{name} refused.")

    return c_contender(g, call, h, y)


def c_contender(g: Given, call: Step, h: np.ndarray, y: np.ndarray) -> Contender:
    """A call that writes h and y."""

    def fresh() -> tuple[np.ndarray, np.ndarray]:
        h[...] = g.h
        call()
        return y.copy(), h.copy()

    return Contender(call, fresh)


def c_floor(g: Given, form: int) -> Contender:
    """The step without exp: what it would give lies ready. csrc/ has no such kernel, limits.c has it."""
    ffi, lib = limits()
    decay = np.exp(g.delta[0][:, None] * g.A)
    parts = [decay, g.D, *(np.ascontiguousarray(part[0]) for part in g[:4])]
    h, y = g.h.copy(), np.empty(CHANNELS, np.float32)
    arguments = [ffi.from_buffer("float[]", array) for array in (*parts, h, y)]

    def call(alive: Any = parts) -> None:
        if lib.uvlm_ssm_step_given(form, CHANNELS, STATES, *arguments):
            raise RuntimeError("limits.c refused.")

    return c_contender(g, call, h, y)


def fitting(x: np.ndarray) -> Scale:
    """The int8 scale of numbers, the same on both sides of 0."""
    return Scale(float(np.abs(x).max()) / 127, 0)


def integer_step(g: Given, form: str) -> Contender:
    """The step in integers, softplus included: int8 in and out, int16 state with a Q15 decay. Gives what it stands for.

    It is given the nearest int8 numbers, and the step sizes before softplus.
    """
    raw = np.log(np.expm1(g.delta[0].astype(np.float64)))
    low, high = float(raw.min()), float(raw.max())
    step = (high - low) / 255
    dt = Scale(step, int(np.rint(-128 - low / step)))
    values = {"u": g.u[0], "b": g.b[0], "c": g.c[0]}
    scales = {name: fitting(value) for name, value in values.items()}
    y_exact, h_exact = exact(Given(*(part[:1] for part in g[:4]), *g[4:]))
    made = fitting(y_exact)
    unit = np.maximum(np.abs(g.h).max(1), np.abs(h_exact).max(1)).astype(np.float64) * HEADROOM / 32767  # (I,)
    numbers = units.scan(g.A.astype(np.float64), g.D.astype(np.float64), unit, dt=dt, made=made, **scales)
    arrays = {k: v for k, v in numbers.items() if isinstance(v, np.ndarray)}
    names = ("dt", "u", "b", "c", "h")
    record = Record("scan", names, ("y", "h_next"), {k: v for k, v in numbers.items() if k not in arrays}, arrays)
    inputs = [dt.nearest(raw).astype(np.int8), *(scales[k].nearest(v).astype(np.int8) for k, v in values.items())]
    h = np.empty((CHANNELS, STATES), np.int16)
    kernel = Kernel(record, *(x.shape for x in inputs), h.shape)
    ffi, lib = library()
    y = np.empty(CHANNELS, np.int8)
    places = [ffi.from_buffer("int8_t[]", x) for x in inputs]
    places += [ffi.from_buffer("int16_t[]", h), ffi.from_buffer("int8_t[]", y)]

    def call(alive: Any = (inputs, kernel)) -> None:
        if lib.uvlm_scan_s16_as(FORMS.index(form), kernel.struct, *places):
            raise RuntimeError("uvlm_scan_s16_as refused.")

    def fresh() -> tuple[np.ndarray, np.ndarray]:
        h[...] = np.rint(g.h / unit[:, None])
        call()
        return made.of(y), h * unit[:, None]

    h[...] = np.rint(g.h / unit[:, None])
    return Contender(call, fresh)


def c_contenders(g: Given) -> dict[str, Contender]:
    """All steps in C, by name."""
    rows = {"C, expf": c_step(g, "uvlm_ssm_step_f32", None)}
    for title, name in (("table", "uvlm_ssm_step_f32_lut_as"), ("polynomial", "uvlm_ssm_step_f32_poly_as")):
        rows |= {f"C, {title}, {form}": c_step(g, name, FORMS.index(form)) for form in forms()}
    rows |= {f"C, no exp, {form}": c_floor(g, FORMS.index(form)) for form in forms()}
    return rows | {f"C, int16 state, {form}": integer_step(g, form) for form in forms()}


def compiled() -> tuple[Callable[..., Any] | None, str]:
    """`eager` through torch.compile, or None and the reason why there is none."""
    try:
        import torch._inductor.config as inductor

        inductor.compile_threads = 1  # type: ignore[attr-defined]
        function = torch.compile(eager, dynamic=False)
        torch_step(given(1), function).call()
    except Exception as error:  # whatever the compiler of this machine has to say
        return None, f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"
    return function, ""


def others(g: Given) -> tuple[dict[str, Contender], dict[str, str]]:
    """All steps that are not ours, by name; and by name why one is not here."""
    rows = {"PyTorch eager": torch_step(g, eager), "PyTorch eager, in place": torch_in_place(g)}
    function, reason = compiled()
    if function is not None:
        rows["torch.compile"] = torch_step(g, function)
    rows["onnxruntime"] = onnxruntime_step(g)
    return rows, {} if function else {"torch.compile": reason}


def deviation(found: np.ndarray, true: np.ndarray) -> float:
    """Largest deviation over the largest value."""
    return float(f"{np.abs(found - true).max() / np.abs(true).max():.3g}")


def errors(contenders: dict[str, Contender], g: Given) -> dict[str, dict[str, float]]:
    """How far y and h of each are off those in float64, after one step."""
    y, h = exact(Given(*(part[:1] for part in g[:4]), *g[4:]))
    found = {name: contender.fresh() for name, contender in contenders.items()}
    return {name: {"y off": deviation(a, y[0]), "h off": deviation(b, h)} for name, (a, b) in found.items()}


def steps(rounds: int) -> dict[str, Any]:
    """The recurrence's step, by all."""
    g = given(1)
    outside, missing = others(g)
    contenders = outside | c_contenders(g)
    off = errors(contenders, g)
    found = turns({name: contender.call for name, contender in contenders.items()}, rounds, repeat=5, warm=1)
    rows: dict[str, Any] = {name: microseconds(found[name]) | off[name] for name in contenders}
    return rows | {name: {"not here": reason} for name, reason in missing.items()}


# --------------------------------------------------------------------------------------------------------------------
# Many steps at once


def c_scan(g: Given, name: str, form: int | None) -> Contender:
    """T steps in C."""
    ffi, lib = library()
    h, y = g.h.copy(), np.empty_like(g.u)
    own = pointers(g.A, g.D)
    numbers = ffi.new("uvlm_float_ssm *", [*own, CHANNELS, STATES])
    function, first = getattr(lib, name), [] if form is None else [form]
    arguments = [*first, numbers, len(g.u), *pointers(*g[:4], h, y)]

    def call(alive: Any = (own, g)) -> None:
        if function(*arguments):
            raise RuntimeError(f"{name} refused.")

    return c_contender(g, call, h, y)


def torch_scan(g: Given) -> Contender:
    """T steps in PyTorch, one after the other."""
    tensors = [torch.from_numpy(part) for part in g]

    @torch.inference_mode()
    def call() -> Any:
        h, outputs = tensors[6], []
        for delta, u, b, c in zip(*tensors[:4], strict=True):
            y, h = eager(delta, u, b, c, *tensors[4:6], h)
            outputs.append(y)
        return torch.stack(outputs), h

    return Contender(call, lambda: tuple(x.numpy() for x in call()))


def c_scans(g: Given) -> dict[str, Contender]:
    """T steps in C, by name."""
    rows = {"C, expf": c_scan(g, "uvlm_ssm_scan_f32", None)}
    for title, name in (("table", "uvlm_ssm_scan_f32_lut_as"), ("polynomial", "uvlm_ssm_scan_f32_poly_as")):
        rows |= {f"C, {title}, {form}": c_scan(g, name, FORMS.index(form)) for form in forms()}
    return rows


def scan_errors(contenders: dict[str, Contender], g: Given) -> dict[str, dict[str, float]]:
    """How far each is off after T steps."""
    y, h = exact(g)
    found = {name: contender.fresh() for name, contender in contenders.items()}
    return {name: {"y off": deviation(a, y), "h off": deviation(b, h)} for name, (a, b) in found.items()}


def scans(rounds: int) -> dict[str, Any]:
    """T steps, by PyTorch and in C."""
    g = given()
    contenders = {"PyTorch eager": torch_scan(g)} | c_scans(g)
    off = scan_errors(contenders, g)
    found = turns({name: contender.call for name, contender in contenders.items()}, rounds)
    return {name: microseconds(found[name]) | off[name] for name in contenders}
