"""The integer kernels of csrc/ on NumPy arrays: one picture, channels last, to the bit what integer_ops.py gives.

    kernel = Kernel(record, x.shape)    the C struct, made once
    y = kernel(x)                       as often as wanted
    y = run(record, x)                  both at once

Contiguous arrays are read where they lie. What integer_ops.py gives back as the next state (h of `scan`, h and c of
`lstm`) C writes over the old one: the array that was given is changed, and returned.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..quantize.integer_ops import Record
from .build import library
from .structs import CHANGED, Shape, input_types, output_types, sizes_of, struct

FORMS = ("plain", "avx2", "avx512", "mve", "simd128")  # their numbers in csrc/status.h are their places
# Looked up, not made: asked for its name, a dtype takes longer than a kernel
C_TYPES = {np.dtype(name): f"{name}_t[]" for name in ("int8", "int16", "int32")}
SUFFIX = {"scan": "s16", "softmax": "s32"}  # of the C function; all others have s8
STATUS = {
    1: "a pointer is NULL; give every array",
    2: "a size is zero, negative or above the limit that csrc/kernels_s8.h tells; make the layer smaller",
    3: "a number is out of the range that csrc/kernels_s8.h tells; make the record with this package",
    4: "this form was not built or cannot run on this processor; take another, or none",
}


@functools.cache
def forms() -> tuple[str, ...]:
    """The forms that this processor can run."""
    _, lib = library()
    return tuple(name for i, name in enumerate(FORMS) if lib.uvlm_has(i))


def checked(status: int, name: str) -> None:
    """Nothing if a status is UVLM_OK.

    Raises
    ------
    ValueError : it is another.
    """
    if status:
        raise ValueError(f"The C function {name} refused: {STATUS.get(status, f'status {status}')}.")


def form_number(form: str) -> int:
    """The number of a form in C.

    Raises
    ------
    ValueError : it does not exist or cannot run here.
    """
    if form not in forms():
        raise ValueError(f"The form {form!r} was asked for; this machine runs {', '.join(forms())}.")
    return FORMS.index(form)


@functools.cache
def _functions(name: str) -> dict[str | None, Callable[..., int]]:
    """The C function of a kernel by form; under None the best."""
    _, lib = library()
    best = getattr(lib, name)
    made: dict[str | None, Callable[..., int]] = {None: best}
    if hasattr(lib, f"{name}_as"):
        each = getattr(lib, f"{name}_as")
        return made | {form: functools.partial(each, FORMS.index(form)) for form in forms()}
    return made | {"plain": best}


class Kernel:
    """A record as a C kernel.

    Parameters
    ----------
    record : of any kind but `view`.
    shapes : of its inputs as C has them, without batch; () for the number of a word.

    Raises
    ------
    TypeError, ValueError : the record or the shapes do not fit; see `sizes_of` and `struct`.
    """

    def __init__(self, record: Record, *shapes: Shape) -> None:
        self.kind, self.shapes = record.kind, tuple(map(tuple, shapes))
        self.name = f"uvlm_{record.kind}_{SUFFIX.get(record.kind, 's8')}"
        self.sizes = sizes_of(record, *self.shapes)
        self.struct, self.alive = struct(record, self.sizes, len(shapes[0]))
        self.input_types = input_types(record, len(shapes))
        self.output_types = output_types(record, len(self.sizes.outputs))
        self._scratch = np.empty(self.sizes.scratch, np.int32)
        self._functions = _functions(self.name)

    @property
    def forms(self) -> tuple[str, ...]:
        """Those in which it can run here; one that has no others is "plain"."""
        return tuple(name for name in self._functions if name is not None)

    def __call__(self, *inputs: np.ndarray, form: str | None = None) -> np.ndarray | tuple[np.ndarray, ...]:
        """Run it.

        Parameters
        ----------
        inputs : arrays of the shapes that were named, contiguous; for `word` a number.
        form : "plain", "avx2", "avx512" or "mve"; None is the best.

        Returns
        -------
        The output, or a tuple of outputs in the order of the record.

        Raises
        ------
        TypeError : no NumPy array, or one of another type.
        ValueError : another shape, not contiguous, not writable where it is changed, or a form that is not here.
        """
        ffi, _ = library()
        if len(inputs) != len(self.shapes):
            raise ValueError(f"{self.kind} was given {len(inputs)} inputs, but takes {len(self.shapes)}.")
        changed = dict(CHANGED.get(self.kind, ()))
        given: list[Any] = []
        for i, x in enumerate(inputs):
            given.append(_number(x) if self.kind == "word" else self._pointer(ffi, i, x, i in changed))
        if self.kind in ("add", "mul") and len(given) == 1:
            given.append(ffi.NULL)  # the record's constant takes its place
        outputs = [np.empty(shape, kind) for shape, kind in zip(self.sizes.outputs, self.output_types, strict=True)]
        for i, place in changed.items():
            outputs[place] = inputs[i]
        made = [
            ffi.from_buffer(C_TYPES[y.dtype], y, require_writable=True)
            for i, y in enumerate(outputs)
            if i not in changed.values()
        ]
        if self.kind == "concat":
            given = [ffi.new("int8_t *[]", given)]
        if self.kind == "split":
            made = [ffi.new("int8_t *[]", made)]
        scratch = [ffi.from_buffer("int32_t[]", self._scratch)] if self.sizes.scratch else []
        function = self._functions.get(form)
        if function is None:
            raise ValueError(f"{self.kind} was asked for in the form {form!r}; here it has {', '.join(self.forms)}.")
        checked(function(self.struct, *given, *made, *scratch), self.name)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _pointer(self, ffi: Any, i: int, x: np.ndarray, changed: bool) -> Any:
        """The address of an input that is as it should be."""
        shape, kind = self.shapes[i], self.input_types[i]
        if not isinstance(x, np.ndarray):
            raise TypeError(f"Input {i} of {self.kind} is a {type(x).__name__}; give a NumPy array of {kind}.")
        if x.dtype != kind:
            raise TypeError(f"Input {i} of {self.kind} is {x.dtype}, but must be {kind}; convert it.")
        if x.shape != shape:
            raise ValueError(f"Input {i} of {self.kind} has the shape {x.shape}, but must have {shape}; see `layout`.")
        if not x.flags.c_contiguous or not x.flags.aligned:
            raise ValueError(f"Input {i} of {self.kind} is not contiguous; give np.ascontiguousarray of it.")
        if changed and not x.flags.writeable:
            raise ValueError(f"Input {i} of {self.kind} is changed by it and cannot be written to; give a copy.")
        return ffi.from_buffer(C_TYPES[kind], x)


def _number(x: Any) -> int:
    """The number of a word."""
    if isinstance(x, bool) or np.ndim(x) or np.asarray(x).dtype.kind not in "iu" or not -(2**31) <= int(x) < 2**31:
        raise TypeError(f"The number of a word is {x!r}; give an int that fits in 32 bits.")
    return int(x)


def run(record: Record, *inputs: np.ndarray, form: str | None = None) -> np.ndarray | tuple[np.ndarray, ...]:
    """What a record gives of one picture, by its C kernel; parameters and errors as of `Kernel`."""
    return Kernel(record, *(np.shape(x) for x in inputs))(*inputs, form=form)
