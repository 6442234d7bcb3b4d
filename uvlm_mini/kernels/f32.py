"""The float32 kernels of csrc/: NumPy in, NumPy out, nothing copied. Chapter 9 builds them.

Every array is contiguous float32, and is refused otherwise: a copy made here would be a cost that nobody sees. What a
kernel changes in place, its docstring says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .build import library
from .s8 import checked, form_number

Floats = npt.NDArray[np.float32]

WAYS = ("expf", "table", "polynomial")  # to exp

NO_STEP = "delta holds a number below 0 or NaN; give what softplus makes of it."
NO_GROWTH = "x holds a number above 0 or NaN, for which there is no table; give -|x|."
NO_NUMBER = "x holds NaN, for which there is no table; look where it comes from."


def _number(form: str | None) -> int:
    """The number of a form; without a name the best there is."""
    return int(library()[1].uvlm_form()) if form is None else form_number(form)


def _way(way: str) -> str:
    if way not in WAYS:
        raise ValueError(f"exp is computed by {', '.join(WAYS)}, not by {way!r}; name one of them.")
    return way


def _pointer(name: str, x: Floats, shape: tuple[int, ...] | None = None, changed: bool = False) -> Any:
    """Where the numbers of an array are, once it is what a kernel can read; the pointer keeps the array alive."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name} is of type {type(x).__name__}; give a NumPy array of float32.")
    if x.dtype != np.float32:
        raise TypeError(f"{name} holds {x.dtype}, not float32; give {name}.astype(np.float32).")
    if shape is not None and x.shape != shape:
        raise ValueError(f"{name} has the shape {x.shape}, not {shape}; give the array of these sizes.")
    if x.size == 0:
        raise ValueError(f"{name} has the shape {x.shape} and no number in it; give one number at least.")
    if not x.flags.c_contiguous or not x.flags.aligned:
        raise ValueError(f"{name} is not contiguous in memory; give np.ascontiguousarray({name}).")
    if changed and not x.flags.writeable:
        raise ValueError(f"{name} is changed in place and is read-only; give {name}.copy().")
    return library()[0].from_buffer("float[]", x, require_writable=changed)


def _shape(name: str, x: Floats, dims: int) -> tuple[int, ...]:
    """The shape of an array that sets sizes for others: the sizes are those the kernels take."""
    _pointer(name, x)
    _, lib = library()
    if x.ndim != dims:
        raise ValueError(f"{name} has {x.ndim} dimensions, not {dims}; give the array as the docstring has it.")
    if max(x.shape) > lib.UVLM_MOST_F32:
        raise ValueError(f"{name} has the shape {x.shape}, and no size may be above {lib.UVLM_MOST_F32}; give less.")
    return x.shape


def _call(name: str, *arguments: Any, refused: str = "") -> None:
    """Run the kernel of that name, and raise if it refuses; `refused` says what UVLM_RANGE means for it."""
    _, lib = library()
    _check(getattr(lib, name)(*arguments), name, refused)


def _check(status: int, name: str, refused: str = "") -> None:
    if refused and status == library()[1].UVLM_RANGE:
        raise ValueError(refused)
    checked(status, name)


def _apart(changed: dict[str, Floats], read: dict[str, Floats]) -> None:
    """Refuse arrays that are written while others with the same memory are still read."""
    for name, x in changed.items():
        for other, y in {**read, **changed}.items():
            if other != name and np.may_share_memory(x, y):
                raise ValueError(f"{name} and {other} share memory; give {name} memory of its own.")


def tables() -> tuple[Floats, Floats, Floats]:
    """The tables' constants: 2^(i/16) (16), log(1 + i/16) (17) and 16 / (16 + i) (17)."""
    made = np.empty(16, np.float32), np.empty(17, np.float32), np.empty(17, np.float32)
    _call("uvlm_tables_f32", *(_pointer("table", x, changed=True) for x in made))
    return made


def _each(name: str, x: Floats, refused: str, *first: int) -> Floats:
    """Run a kernel that makes of every number one."""
    given, most = _pointer("x", x), library()[1].UVLM_MOST_COUNT
    if x.size > most:
        raise ValueError(f"x has {x.size} numbers, and {most} are the most; give it in parts.")
    y = np.empty_like(x)
    _call(name, *first, given, _pointer("y", y, changed=True), x.size, refused=refused)
    return y


def exp(x: Floats, way: str = "table", form: str | None = None) -> Floats:
    """exp of numbers that are at most 0.

    Parameters
    ----------
    x : any shape, contiguous. Below -87.33 the result stays at 2^-126.
    way : "table" or "polynomial".
    form : one of `forms()`; None: the best.

    Returns
    -------
    The shape of x. The relative error is at most 2.0e-7 + 7.4e-8 |x| by table and 3.1e-7 + 7.4e-8 |x| by polynomial,
    which csrc/exp_f32.h derives.

    Raises
    ------
    TypeError, ValueError : an array that the kernels cannot read, a number above 0 or NaN, an unknown way or form.
    """
    if _way(way) == "expf":
        raise ValueError("exp by expf is NumPy's own; call np.exp, or name table or polynomial.")
    name = "uvlm_exp_f32_lut_as" if way == "table" else "uvlm_exp_f32_poly_as"
    return _each(name, x, NO_GROWTH, _number(form))


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)) by table, for any shape.

    The relative error is at most 2.2e-7 for x >= 0 and 3.3e-7 + 7.4e-8 |x| for x < 0, down to -87.33; below that the
    result stays at 2^-126. csrc/sigmoid_f32_lut.c derives it. TypeError and ValueError as `exp`, for NaN as well.
    """
    return _each("uvlm_sigmoid_f32_lut", x, NO_NUMBER)


def softplus(x: Floats) -> Floats:
    """log(1 + exp(x)) by tables, for any shape.

    The relative error is at most 7.2e-7 for x >= 0 and 7.2e-7 + 7.4e-8 |x| for x < 0, down to -87.33; below that the
    result stays at 2^-126. csrc/softplus_f32_lut.c derives it. TypeError and ValueError as `exp`, for NaN as well.
    """
    return _each("uvlm_softplus_f32_lut", x, NO_NUMBER)


class SSM:
    """The recurrence of uvlm_mini/ssm.py between its projections, for one sequence.

    Parameters
    ----------
    A : (I, N) decay rates, -exp(A_log), at most 0. N up to 256.
    D : (I) direct path.

    Both are kept, not copied.

    Raises
    ------
    TypeError, ValueError : arrays of another type or shape, too many states, a rate above 0 or NaN.
    """

    def __init__(self, A: Floats, D: Floats) -> None:
        ffi, lib = library()
        self.channels, self.states = _shape("A", A, 2)
        most = lib.UVLM_MOST_STATES
        if self.states > most:
            raise ValueError(f"A has {self.states} states a channel, and {most} are the most; give less.")
        self.A, self.D = A, D
        self._pointers = _pointer("A", A), _pointer("D", D, (self.channels,))
        self._record = ffi.new("uvlm_float_ssm *", [*self._pointers, self.channels, self.states])
        _call("uvlm_ssm_check_f32", self._record, refused="A holds a number above 0 or NaN; give -exp(A_log).")

    def start(self) -> Floats:
        """The empty state, (I, N)."""
        return np.zeros((self.channels, self.states), np.float32)

    def ready(
        self,
        delta: Floats,
        u: Floats,
        b: Floats,
        c: Floats,
        h: Floats,
        y: Floats,
        way: str = "table",
        form: str | None = None,
    ) -> Callable[[], Floats]:
        """A step on these arrays, checked once: calling it takes the step again on what they then hold.

        Arguments as `step`; y (I) is where the output goes, and is what a call returns.
        """
        one, many = (self.channels,), (self.states,)
        arrays = (
            *(_pointer(n, x, s) for n, x, s in (("delta", delta, one), ("u", u, one), ("b", b, many), ("c", c, many))),
            _pointer("h", h, (*one, *many), changed=True),
            _pointer("y", y, one, changed=True),
        )
        _apart({"h": h, "y": y}, {"delta": delta, "u": u, "b": b, "c": c})
        name, first = self._kernel("step", way, form)
        call = getattr(library()[1], name)

        def run() -> Floats:
            if status := call(*first, *arrays):
                _check(status, name, NO_STEP)
            return y

        return run

    def _kernel(self, what: str, way: str, form: str | None) -> tuple[str, tuple[Any, ...]]:
        """The name of the kernel that computes exp that way, and its first arguments."""
        if _way(way) == "expf":
            if form not in (None, "plain"):
                raise ValueError(f"With expf there is the plain form alone, not {form!r}; name plain or nothing.")
            return f"uvlm_ssm_{what}_f32", (self._record,)
        return f"uvlm_ssm_{what}_f32_{'lut' if way == 'table' else 'poly'}_as", (_number(form), self._record)

    def step(
        self, delta: Floats, u: Floats, b: Floats, c: Floats, h: Floats, way: str = "table", form: str | None = None
    ) -> Floats:
        """One step; h is changed in place.

        Parameters
        ----------
        delta, u : (I) step sizes, 0 or more, as softplus makes them, and inputs.
        b, c : (N) what is written into the state, and what is read from it.
        h : (I, N) state.
        way : how exp is computed, one of WAYS; "expf" has the plain form alone.
        form : one of `forms()`; None: the best.

        Returns
        -------
        (I) outputs h c + D u.

        Raises
        ------
        TypeError, ValueError : arrays that the kernels cannot read, that share memory with h, or of other sizes; a
            step size below 0 or NaN; an unknown way or form.
        """
        return self.ready(delta, u, b, c, h, np.empty(self.channels, np.float32), way, form)()

    def scan(
        self, delta: Floats, u: Floats, b: Floats, c: Floats, h: Floats, way: str = "table", form: str | None = None
    ) -> Floats:
        """T steps: delta and u (T, I), b and c (T, N) -> (T, I) outputs; h is changed in place. The rest as `step`."""
        steps = _shape("delta", delta, 2)[0]
        one, many = (steps, self.channels), (steps, self.states)
        y = np.empty(one, np.float32)
        arrays = (
            *(_pointer(n, x, s) for n, x, s in (("delta", delta, one), ("u", u, one), ("b", b, many), ("c", c, many))),
            _pointer("h", h, (self.channels, self.states), changed=True),
            _pointer("y", y, changed=True),
        )
        _apart({"h": h}, {"delta": delta, "u": u, "b": b, "c": c})
        name, first = self._kernel("scan", way, form)
        _call(name, *first, steps, *arrays, refused=NO_STEP)
        return y


def layer_norm(x: Floats, gamma: Floats, beta: Floats, epsilon: float = 1e-5) -> Floats:
    """LayerNorm of one vector, torch.nn.LayerNorm: x, gamma and beta (H) -> (H).

    Raises TypeError or ValueError for arrays that the kernels cannot read, and for an epsilon that is not above 0.
    """
    ffi, _ = library()
    (hidden,) = shape = _shape("x", x, 1)
    own = _pointer("gamma", gamma, shape), _pointer("beta", beta, shape)
    y = np.empty_like(x)
    record = ffi.new("uvlm_float_layer_norm *", [*own, hidden, epsilon])
    refused = f"epsilon is {epsilon}, not above 0 in float32; give a small number as 1e-5."
    _call("uvlm_layer_norm_f32", record, _pointer("x", x), _pointer("y", y, changed=True), refused=refused)
    return y


def grn(x: Floats, gamma: Floats, beta: Floats) -> Floats:
    """Global Response Normalization, GRN of uvlm_mini/encoder.py with channels last: x (H, W, C), gamma, beta (C).

    Returns (H, W, C). Raises TypeError or ValueError for arrays that the kernels cannot read.
    """
    ffi, lib = library()
    height, width, channels = _shape("x", x, 3)
    if height * width > lib.UVLM_MOST_F32:
        raise ValueError(f"x has {height * width} positions, and {lib.UVLM_MOST_F32} are the most; give a smaller map.")
    own = _pointer("gamma", gamma, (channels,)), _pointer("beta", beta, (channels,))
    y, scratch = np.empty_like(x), ffi.new("double[]", channels)
    record = ffi.new("uvlm_float_grn *", [*own, height * width, channels])
    _call("uvlm_grn_f32", record, _pointer("x", x), _pointer("y", y, changed=True), scratch)
    return y


def lstm_step(
    x: Floats, h: Floats, c: Floats, weight: Floats, weight_h: Floats, bias: Floats, bias_h: Floats
) -> tuple[Floats, Floats]:
    """One step of torch.nn.LSTMCell; h and c are changed in place, and returned.

    Parameters
    ----------
    x : (X) input.
    h, c : (H) output and memory.
    weight, weight_h, bias, bias_h : (4 H, X), (4 H, H), (4 H) and (4 H), weight_ih, weight_hh, bias_ih and bias_hh of
        the cell: gates in the order input, forget, cell, output.

    Raises
    ------
    TypeError, ValueError : arrays that the kernels cannot read, that share memory with h or c, or of other sizes.
    """
    ffi, _ = library()
    (columns,), (hidden,) = _shape("x", x, 1), _shape("h", h, 1)
    gates = 4 * hidden
    own = (
        _pointer("weight", weight, (gates, columns)),
        _pointer("bias", bias, (gates,)),
        _pointer("weight_h", weight_h, (gates, hidden)),
        _pointer("bias_h", bias_h, (gates,)),
    )
    record = ffi.new("uvlm_float_lstm *", [*own, hidden, columns])
    state = _pointer("h", h, changed=True), _pointer("c", c, (hidden,), changed=True)
    _apart({"h": h, "c": c}, {"x": x, "weight": weight, "weight_h": weight_h, "bias": bias, "bias_h": bias_h})
    _call("uvlm_lstm_step_f32", record, _pointer("x", x), *state, ffi.new("float[]", gates))
    return h, c


def bahdanau(x: Floats, keys: Floats, query: Floats, weight: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Additive attention, Attention of uvlm_mini/baselines/bahdanau.py for one picture.

    Parameters
    ----------
    x : (L, C) features by position.
    keys : (L, A) their keys, made once a picture.
    query : (Q) what asks.
    weight, score : (A, Q) and (A), weights of the layers query and score.

    Returns
    -------
    (C) what is seen, and (L) the shares.

    Raises
    ------
    TypeError, ValueError : arrays that the kernels cannot read, or of other sizes.
    """
    ffi, _ = library()
    positions, channels = _shape("x", x, 2)
    wide, asking = _shape("weight", weight, 2)
    own = _pointer("weight", weight), _pointer("score", score, (wide,))
    record = ffi.new("uvlm_float_attention *", [*own, positions, channels, asking, wide])
    given = _pointer("x", x), _pointer("keys", keys, (positions, wide)), _pointer("query", query, (asking,))
    y, share = np.empty(channels, np.float32), np.empty(positions, np.float32)
    made = _pointer("y", y, changed=True), _pointer("share", share, changed=True)
    _call("uvlm_bahdanau_f32", record, *given, *made, ffi.new("float[]", wide))
    return y, share
