"""The integer kernels in C give the bits of integer_ops.py: at random, at every end, in every form."""

import functools
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import golden
from tests.conftest import ROOT
from tests.kernel_cases import INT32, MAKERS, Case, Dice
from uvlm_mini.kernels import library, structs
from uvlm_mini.kernels.compilers import find
from uvlm_mini.kernels.s8 import SUFFIX, Kernel, checked, forms, run
from uvlm_mini.kernels.structs import CHANGED, STRUCTS, from_layout, laid_shape, layout
from uvlm_mini.quantize import fixed, tables
from uvlm_mini.quantize.integer_ops import KERNELS, Record
from uvlm_mini.quantize.tables import lift, multipliers

pytest.importorskip("cffi")
try:
    COMPILER = find().command
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

RECORDS, BATCH = 50, 100  # real and wild ones of each: 10,000 cases a kernel and form


def python(case: Case, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """What integer_ops.py gives of a batch."""
    made = KERNELS[case.record.kind](case.record, *inputs)
    return made if isinstance(made, tuple) else (made,)


def in_c(kernel: Kernel, given: list[np.ndarray], form: str | None = None) -> tuple[np.ndarray, ...]:
    """What C gives of one picture, laid out already; what C changes is copied first."""
    changed = dict(CHANGED.get(kernel.kind, ()))
    made = kernel(*(x.copy() if i in changed else x for i, x in enumerate(given)), form=form)
    return made if isinstance(made, tuple) else (made,)


def equal(case: Case, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Hold C, in all its forms, against Python; gives what Python gave."""
    kernel = Kernel(case.record, *map(laid_shape, case.shapes))
    expected = python(case, inputs)
    for b in range(len(inputs[0])):
        given = [layout(x[b]) for x in inputs]
        wanted = [layout(y[b]) for y in expected]
        for form in kernel.forms:
            for y, found in zip(wanted, in_c(kernel, given, form), strict=True):
                assert y.dtype == found.dtype and y.shape == found.shape and y.tobytes() == found.tobytes(), form
    return expected


@pytest.mark.parametrize("kind", MAKERS)
def test_equal_at_random(kind: str) -> None:
    """Ten thousand cases a kernel and form: a hundred records, real and wild, on a hundred inputs each."""
    ends = np.zeros(3)
    for seed in range(RECORDS):
        for wild in (False, True):
            dice = Dice(seed)
            case = MAKERS[kind](dice, wild)
            y = equal(case, case.inputs(dice, BATCH))[0]
            if not wild and y.dtype == np.int8:
                ends += [(y == -128).sum(), (y == 127).sum(), ((y != -128) & (y != 127)).sum()]
    if kind not in ("logits", "scores", "softmax"):  # the cases say something: ends are reached, and what is between
        assert ends.min() > 5 and ends[2] > ends.sum() / 3


def test_every_kernel_is_here() -> None:
    """`view` needs none: it changes no byte."""
    assert set(MAKERS) == set(KERNELS) - {"view"} == set(structs.SIZES)
    assert forms()[0] == "plain"


# The ends


def matrix(kind: str, rows: int, columns: int, bias: int) -> Record:
    """All weights -128, and the largest bias that the sum leaves room for."""
    m, s = multipliers(np.full(rows, 2.0**-24))
    arrays = {"weight": np.full((rows, columns), -128, np.int8), "bias": np.full(rows, bias, np.int32), "m": m, "s": s}
    return Record(kind, ("x",), ("y",), {"lift": 0, "zero_y": 0} if kind == "gemm" else {}, arrays)


def ends(*shape: int) -> np.ndarray:
    """All -128, all 127, and both by turns."""
    both = np.resize(np.array([-128, 127], np.int8), shape)
    return np.stack([np.full(shape, -128, np.int8), np.full(shape, 127, np.int8), both])


@pytest.mark.parametrize("kind", ["gemm", "logits"])
def test_the_longest_product(kind: str) -> None:
    """65,536 terms of 2^14 and a bias of 2^30 - 1 just fit."""
    for sign in (1, -1):
        record = matrix(kind, 3, 65536, 2**30 - 1)
        if sign < 0:
            record = replace(
                record,
                arrays=record.arrays | {"weight": np.full((3, 65536), 127, np.int8), "bias": -record.arrays["bias"]},
            )
        equal(Case(record, ((65536,),)), (ends(65536),))


def test_the_longest_window() -> None:
    """Dense, 16 x 16 over 256 channels, and depthwise, 255 x 255; padded with a zero point of -128."""
    m, s = multipliers(np.array([2.0**-24]))
    numbers = {"lift": 0, "group": 1, "zero_x": -128, "zero_y": 0, "strides": (3, 1), "pads": (1, 0, 1, 2)}
    for shape in ((1, 256, 16, 16), (1, 1, 255, 255)):
        arrays = {"weight": np.full(shape, -128, np.int8), "bias": np.array([2**30 - 1], np.int32), "m": m, "s": s}
        equal(Case(Record("conv", ("x",), ("y",), numbers, arrays), (shape[1:],)), (ends(*shape[1:]),))
    deep = {"weight": np.full((2, 1, 200, 3), -128, np.int8), "bias": np.full(2, 2**30, np.int32)}
    record = Record(
        "conv", ("x",), ("y",), numbers | {"group": 2}, arrays | deep | {"m": np.repeat(m, 2), "s": np.repeat(s, 2)}
    )
    equal(Case(record, ((2, 200, 4),)), (ends(2, 200, 4),))


@pytest.mark.parametrize("zero", [-128, 127])
def test_the_longest_means(zero: int) -> None:
    """65,536 positions, 255 from their zero point."""
    m, s = multipliers(1 / 65536)
    numbers = {"zero_x": zero, "zero_y": zero, "m": int(m), "s": int(s) + lift(255 << 16), "lift": lift(255 << 16)}
    x = ends(1, 256, 256)
    equal(Case(Record("mean", ("x",), ("y",), numbers), ((1, 256, 256),)), (x,))
    equal(Case(Record("most", ("x",), ("y",)), ((1, 256, 256),)), (x,))
    equal(Case(Record("pool", ("x",), ("y",), numbers | {"side": 256}), ((1, 256, 256),)), (x,))


def test_the_longest_norms() -> None:
    """LayerNorm over 32,768 numbers; GRN over 33,025 positions, whose squares just fit."""
    dice = Dice(0)
    x = np.concatenate([ends(32768), dice.whole(-128, 127, (2, 32768)).astype(np.int8)])
    gamma = np.where(dice.whole(0, 1, (32768,)) == 1, 32767, -32767).astype(np.int16)
    numbers = {"zero_y": 0, "epsilon": 1, "m": 2**31 - 1, "s": 23, "lift": 0}
    parts = {"gamma": gamma, "beta": np.full(32768, INT32 - 2**30, np.int32), "roots": tables.roots()}
    equal(Case(Record("layer_norm", ("x",), ("y",), numbers, parts), ((32768,),)), (x,))
    numbers = {
        "zero_x": -128,
        "zero_y": 127,
        "places": 21,
        "gamma_shift": 6,
        "least": 1,
        "m": 2**30,
        "shift": 12,
        "one": 4000,
        "s": 12,
    }
    parts = {"gamma": np.array([32767, -32767], np.int16), "beta": np.zeros(2, np.int32), "roots": tables.roots()}
    x = np.concatenate([ends(2, 25, 1321), dice.whole(-128, 127, (2, 2, 25, 1321)).astype(np.int8)])
    equal(Case(Record("grn", ("x",), ("y",), numbers, parts), ((2, 25, 1321),)), (x,))


def test_the_longest_scan() -> None:
    """256 states at their ends, read with c 255 from its zero point."""
    for seed, zero in ((0, -128), (1, 127)):
        case = MAKERS["scan"](Dice(seed), False)
        channels = case.shapes[0][0]
        a = case.record.arrays
        record = replace(
            case.record,
            numbers=case.record.numbers | {"zero_u": zero, "zero_b": zero, "zero_c": zero},
            arrays=a | {"A": np.full((channels, 256), 1, np.int16), "write_s": np.full(channels, 0, np.int8)},
        )
        case = Case(record, ((channels,), (channels,), (256,), (256,), (channels, 256)))
        h = np.stack([np.full((channels, 256), v, np.int16) for v in (-32768, 32767, 32767)])
        x = ends(256)
        equal(case, (ends(channels), ends(channels), x, x, h))
        equal(case, (ends(channels), ends(channels)[::-1], x, x[::-1], h))


def test_the_longest_attention() -> None:
    """65,536 channels in a score, 32,768 positions in a softmax, 256 under attention with any shares at all."""
    record = matrix("scores", 1, 65536, 2**30 - 1)
    equal(Case(record, ((65536, 1, 2),)), (np.repeat(ends(65536)[..., None, None], 2, 3),))
    x = Dice(0).whole(-(2**31), INT32, (3, 32768)).astype(np.int32)
    x[1], x[2, 1:], x[2, 0] = 5, -(2**31), INT32
    equal(Case(Record("softmax", ("x",), ("y",), {}, {"powers": tables.powers()}), ((32768,),)), (x,))
    for zero in (-128, 127):
        numbers = {"zero_x": zero, "zero_y": 0, "m": 2**31 - 1, "s": 24, "lift": 0}
        case = Case(Record("attend", ("share", "x"), ("y",), numbers), ((256,), (3, 16, 16)))
        share = np.stack([np.full(256, v, np.int16) for v in (-32768, 32767, -32768)])
        equal(case, (share, ends(3, 16, 16)))
        equal(case, (share[::-1], ends(3, 16, 16)))


def test_the_longest_lstm() -> None:
    """Both matrices over 65,536 inputs at their ends, or as much of a hidden state as is quick."""
    dice = Dice(3)
    one = matrix("gemm", 4, 65536, 2**30 - 1).arrays
    kept = {f"{name}_h": x for name, x in matrix("gemm", 4, 1, INT32 - 2**14).arrays.items()}
    numbers = {"write_m": 2**31 - 1, "write_s": 15, "c_m": 2**30, "c_s": -3}
    curves = {"sigmoid": tables.curve(tables.sigmoid), "tanh": tables.curve(np.tanh)}
    c = dice.whole(-32768, 32767, (3, 1)).astype(np.int16)
    case = Case(
        Record("lstm", ("x", "h", "c"), ("h_next", "c_next"), numbers, one | kept | curves), ((65536,), (1,), (1,))
    )
    equal(case, (ends(65536), ends(1), c))
    first = {name: x[:2] for name, x in one.items()} | {"tanh": curves["tanh"]}
    equal(Case(Record("first", ("x",), ("h", "c"), {"c_m": 2**30, "c_s": -31}, first), ((65536,),)), (ends(65536),))


@pytest.mark.parametrize("m", [2**30, 2**31 - 1, 1_618_033_988])
@pytest.mark.parametrize("zero", [-128, 0, 127])
def test_every_shift(m: int, zero: int) -> None:
    """-31 to 32, sums from 1 to 2^31 - 1 of either sign, at three zero points."""
    shifts = np.arange(-31, 33, dtype=np.int8)
    for size in (0, 1, 77, 2**15, 2**30, INT32 - 2**14):
        for sign in (1, -1):
            arrays = {"weight": np.full((64, 1), 127, np.int8), "bias": np.full(64, sign * size, np.int32),
                      "m": np.full(64, m, np.int32), "s": shifts}  # fmt: skip
            equal(Case(Record("gemm", ("x",), ("y",), {"lift": 0, "zero_y": zero}, arrays), ((1,),)), (ends(1),))
            equal(Case(Record("logits", ("x",), ("y",), {}, arrays), ((1,),)), (ends(1),))


# fixed.h

SIGNATURES = {
    "narrow": "int8_t uvlm_narrow(int32_t, int32_t)",
    "lift": "int32_t uvlm_lift(int32_t, int32_t)",
    "shift_half_up": "int32_t uvlm_shift_half_up(int32_t, int32_t)",
    "shift_half_up_64": "int64_t uvlm_shift_half_up_64(int64_t, int32_t)",
    "requantise": "int32_t uvlm_requantise(int32_t, int32_t, int32_t)",
    "leading": "int32_t uvlm_leading(uint64_t)",
    "divide": "int64_t uvlm_divide(int64_t, int64_t)",
    "power": "int32_t uvlm_power(int32_t, const int32_t *)",
    "logarithm": "int32_t uvlm_logarithm(int64_t, const int32_t *)",
}
NEAR = [s * 2**k + d for k in range(2, 31) for s in (1, -1) for d in (-1, 0, 1)]
WIDE = np.array([0, 1, -1, 2, -2, 3, -3, *NEAR, INT32, -INT32 - 1])  # about every power of 2


@pytest.fixture(scope="module")
def arithmetic(tmp_path_factory):
    """Every function of fixed.h over arrays: `arithmetic(name, *columns, table)` -> results, int64."""
    from cffi import FFI

    lines, told = ['#include "fixed.h"'], []
    for name, signature in SIGNATURES.items():
        parts = signature[signature.index("(") + 1 : -1].split(", ")
        tabled = "*" in parts[-1]
        words = [f"({kind})x[{i} * n + i_]" for i, kind in enumerate(parts[: len(parts) - tabled])]
        head = f"void each_{name}(int64_t n, const int64_t *x, const int32_t *table, int64_t *y)"
        call = f"uvlm_{name}({', '.join(words + ['table'] * tabled)})"
        lines.append(f"{head} {{ (void)table; for (int64_t i_ = 0; i_ < n; i_++) y[i_] = {call}; }}")
        told.append(head + ";")
    head = "void each_inverse_root(int64_t n, const int64_t *x, const int32_t *table, int64_t *y)"
    lines.append(head + " { for (int64_t i = 0; i < n; i++) { int32_t m, s; uvlm_inverse_root(x[i], table, &m, &s);"
                 " y[i] = (int64_t)s << 32 | m; } }")  # fmt: skip
    folder = tmp_path_factory.mktemp("fixed")
    (folder / "each.c").write_text("\n".join(lines) + "\n")
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{ROOT / 'csrc'}"]
    subprocess.run([*COMPILER, *flags, "-o", str(folder / "each.so"), str(folder / "each.c")], check=True)
    ffi = FFI()
    ffi.cdef("\n".join([*told, head + ";"]))
    lib = ffi.dlopen(str(folder / "each.so"))

    def each(name: str, *columns, table: np.ndarray | None = None) -> np.ndarray:
        x = np.ascontiguousarray(np.stack(np.broadcast_arrays(*columns)).astype(np.int64).reshape(len(columns), -1))
        y = np.empty(x.shape[1], np.int64)
        t = ffi.NULL if table is None else ffi.from_buffer("int32_t[]", table)
        getattr(lib, f"each_{name}")(x.shape[1], ffi.from_buffer("int64_t[]", x), t, ffi.from_buffer("int64_t[]", y))
        return y

    return each


def test_requantising(arithmetic) -> None:
    """Every shift, the ends of m, sums about every power of 2; and a million at random."""
    a, m, s = np.meshgrid(WIDE, [2**30, 2**30 + 1, 1_500_000_000, INT32 - 1, INT32], np.arange(-31, 41))
    assert (arithmetic("requantise", a, m, s) == fixed.requantise(a, m, s).ravel()).all()
    dice = Dice(0)
    a, m, s = dice.whole(-INT32 - 1, INT32, (10**6,)), dice.whole(2**30, INT32, (10**6,)), dice.whole(-31, 33, (10**6,))
    assert (arithmetic("requantise", a, m, s) == fixed.requantise(a, m, s)).all()


def test_shifting(arithmetic) -> None:
    a, s = np.meshgrid(WIDE, np.arange(0, 70))
    assert (arithmetic("shift_half_up", a, s) == fixed.shift_half_up(a, s).ravel()).all()
    large = np.concatenate([WIDE, WIDE << 20, WIDE << 30])
    a, s = np.meshgrid(large, np.arange(0, 63))
    assert (arithmetic("shift_half_up_64", a, s) == fixed.shift_half_up(a, s).ravel()).all()
    a, s = np.meshgrid(WIDE, np.arange(0, 31))
    wrapped = (a << s).astype(np.int32)  # what does not fit is cut off, in Python's int32 as in C
    assert (arithmetic("lift", a, s) == wrapped.ravel()).all()
    t, zero = np.meshgrid(WIDE, np.arange(-128, 128))
    assert (arithmetic("narrow", t, zero) == fixed.saturate(t + zero, fixed.INT8).ravel()).all()


def test_powers_logarithms_roots(arithmetic) -> None:
    """Every place of the tables and between them, and the largest arguments."""
    t = np.concatenate([np.arange(2 << 16), np.arange(2 << 16, 40 << 16, 37), [INT32 - 1, INT32]])
    assert (arithmetic("power", t, table=tables.powers()) == fixed.power(t, tables.powers())).all()
    dice = Dice(1)
    powers = 1 << np.arange(63)
    drawn = dice.whole(1, 2**62, (300_000,)) >> dice.whole(0, 61, (300_000,)) | 1
    whole = np.concatenate([np.arange(1, 1 << 17), (1 << 62) - np.arange(9), powers, powers[1:] - 1, drawn])
    assert (arithmetic("leading", whole) == fixed.leading(whole)).all()
    assert (arithmetic("logarithm", whole, table=tables.logs()) == fixed.logarithm(whole, tables.logs())).all()
    m, s = fixed.inverse_root(whole, tables.roots())
    assert (arithmetic("inverse_root", whole, table=tables.roots()) == (s << 32 | m)).all()


def test_division(arithmetic) -> None:
    dice = Dice(2)
    a = dice.whole(-(2**60), 2**60, (200_000,)) >> dice.whole(0, 59, (200_000,))
    b = (dice.whole(1, 2**60, (200_000,)) >> dice.whole(0, 59, (200_000,))) | 1
    small_a, small_b = np.meshgrid(np.arange(-60, 61), np.arange(1, 40))
    for x, y in ((a, b), (small_a.ravel(), small_b.ravel())):
        assert (arithmetic("divide", x, y) == fixed.divide(x, y)).all()


# Bad input


def case_of(kind: str) -> tuple[Case, list[np.ndarray]]:
    """A case whose inputs have more than one number each, and one picture, laid out."""
    for seed in range(99):
        dice = Dice(seed)
        case = MAKERS[kind](dice, False)
        if all(shape == () or np.prod(shape) > 1 for shape in case.shapes):
            return case, [layout(x[0]) for x in case.inputs(dice, 2)]
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "word"])
def test_wrong_inputs_are_told(kind: str) -> None:
    case, given = case_of(kind)
    kernel = Kernel(case.record, *(x.shape for x in given))
    for i, x in enumerate(given):

        def with_(other: object, i: int = i) -> list[object]:
            return [*given[:i], other, *given[i + 1 :]]

        with pytest.raises(TypeError, match=rf"Input {i} of {kind} is float64, but must be {x.dtype}; convert it\."):
            kernel(*with_(x.astype(float)))
        with pytest.raises(TypeError, match=rf"Input {i} of {kind} is a list; give a NumPy array"):
            kernel(*with_(x.tolist()))
        with pytest.raises(ValueError, match=rf"Input {i} of {kind} has the shape"):
            kernel(*with_(np.repeat(x, 2, 0)))
        with pytest.raises(ValueError, match=rf"Input {i} of {kind} is not contiguous"):
            kernel(*with_(np.repeat(x, 2, -1)[..., ::2]))
        with pytest.raises(ValueError, match="empty arrays"):
            Kernel(case.record, *(z.shape for z in with_(x[:0])))
    with pytest.raises(ValueError, match=rf"{kind} was given {len(given) + 1} inputs, but takes {len(given)}"):
        kernel(*given, given[0])
    with pytest.raises(ValueError, match="in the form 'neon'; here it has plain"):
        kernel(*given, form="neon")
    any_goes = {"look_up", "add", "mul", "concat", "mean", "most", "pool", "enlarge", "softmax"}
    if kind not in any_goes:
        with pytest.raises(ValueError, match=f"{kind} was given"):
            Kernel(case.record, *((*x.shape[:-1], x.shape[-1] + 1) for x in given))


@pytest.mark.parametrize("kind", ["add", "mul"])
def test_shapes_that_do_not_go_together_are_told(kind: str) -> None:
    """Broadcasting is over all positions or over all channels: more than NumPy knows, C has no strides for."""
    numbers = dict.fromkeys(("zero_x", "zero_other", "zero_y", "s", "factor_x", "factor_other", "m", "lift"), 0)
    record = Record(kind, ("x", "other"), ("y",), numbers)
    for x, other in (((4,), (3,)), ((2, 3, 4), (4,)), ((2, 3, 4), (2, 1, 4)), ((2, 3, 4), (2, 1, 1))):
        with pytest.raises(ValueError, match=f"{kind} was given .*, but takes"):
            Kernel(record, x, other)
    with pytest.raises(ValueError, match="two values, or one and the record's constant"):
        Kernel(record, (4,))


def test_wrong_words_are_told() -> None:
    case, _ = case_of("word")
    with pytest.raises(ValueError, match=r"uvlm_word_s8 refused: a number is out of the range"):
        run(case.record, np.int32(len(case.record.arrays["weight"])))
    with pytest.raises(ValueError, match="out of the range"):
        run(case.record, np.int32(-1))
    with pytest.raises(TypeError, match=r"The number of a word is 1.5; give an int"):
        Kernel(case.record, ())(1.5)


@pytest.mark.parametrize(("kind", "place"), [("scan", 4), ("lstm", 1), ("lstm", 2)])
def test_what_is_changed_must_be_writable(kind: str, place: int) -> None:
    """And it is changed: the array that was given is the one that comes back."""
    case, given = case_of(kind)
    before = [x.copy() for x in given]
    made = run(case.record, *given)
    assert isinstance(made, tuple)
    (output,) = [o for i, o in CHANGED[kind] if i == place]
    assert made[output] is given[place] and (given[place] != before[place]).any()
    before[place].flags.writeable = False
    with pytest.raises(ValueError, match=f"Input {place} of {kind} is changed by it and cannot be written to"):
        run(case.record, *before)


def test_wrong_records_are_told() -> None:
    case, given = case_of("gemm")
    record, shape = case.record, given[0].shape
    a = record.arrays
    with pytest.raises(TypeError, match="m of gemm is int64, but C reads int32; convert it"):
        Kernel(replace(record, arrays=a | {"m": a["m"].astype(np.int64)}), shape)
    with pytest.raises(ValueError, match="bias of gemm has 1 numbers, but needs"):
        Kernel(replace(record, arrays=a | {"bias": a["bias"][:1]}), shape)
    with pytest.raises(ValueError, match="gemm has no array s"):
        Kernel(replace(record, arrays={name: x for name, x in a.items() if name != "s"}), shape)
    with pytest.raises(ValueError, match="gemm has no number lift"):
        Kernel(replace(record, numbers={"zero_y": 0}), shape)
    with pytest.raises(ValueError, match="zero_y = 2147483648 of gemm does not fit in int32"):
        Kernel(replace(record, numbers=record.numbers | {"zero_y": 2**31}), shape)
    with pytest.raises(ValueError, match="There is no C kernel for view"):
        Kernel(Record("view", ("x",), ("y",), {"shape": (4,)}), (4,))
    with pytest.raises(ValueError, match=r"uvlm_gemm_s8 refused: a number is out of the range"):
        Kernel(replace(record, numbers=record.numbers | {"lift": 31}), shape)(*given)
    with pytest.raises(ValueError, match=r"refused: a size is zero, negative or above the limit"):
        Kernel(matrix("gemm", 1, 65537, 0), (65537,))(np.zeros(65537, np.int8))
    with pytest.raises(ValueError, match="this form was not built"):
        checked(4, "uvlm_gemm_s8")
    groups = Record(
        "conv",
        ("x",),
        ("y",),
        {"group": 2, "strides": (1, 1), "pads": (0,) * 4},
        {"weight": np.zeros((4, 2, 1, 1), np.int8)},
    )
    with pytest.raises(ValueError, match="A convolution in 2 groups was given"):
        Kernel(groups, (2, 2, 4))


def test_layout_and_back() -> None:
    x = np.arange(24).reshape(2, 3, 4)
    assert layout(x)[1, 2, 0] == x[0, 1, 2] and (from_layout(layout(x)) == x).all()
    assert laid_shape((2, 3, 4)) == layout(x).shape and layout(x[0]) is not None and (layout(x[0]) == x[0]).all()


@pytest.mark.parametrize("kind", MAKERS)
def test_null_and_sizes_give_a_status(kind: str) -> None:
    """Every pointer NULL in turn, every size 0, -1 and the largest int32: refused, and no output is touched."""
    ffi, lib = library()
    case, given = case_of(kind)
    kernel = Kernel(case.record, *(x.shape for x in given))
    name = f"uvlm_{kind}_{SUFFIX.get(kind, 's8')}"
    struct = f"uvlm_{STRUCTS.get(kind, kind)}"
    changed = dict(CHANGED.get(kind, ()))
    made = enumerate(zip(kernel.sizes.outputs, kernel.output_types, strict=True))
    outputs = [np.full(shape, 77, t) for i, (shape, t) in made if i not in changed.values()]
    state = [given[i].copy() for i in changed]

    def pointers(arrays: list[np.ndarray]) -> list[object]:
        return [ffi.from_buffer(f"{x.dtype}_t[]", x) for x in arrays]

    into, out = pointers(given), pointers(outputs)
    if kind == "word":
        into = [0]
    if kind in ("add", "mul") and len(into) == 1:
        into.append(ffi.NULL)
    if kind == "concat":
        into, _kept = [ffi.new("int8_t *[]", into)], into
    if kind == "split":
        out, _kept = [ffi.new("int8_t *[]", out)], out
    scratch = [ffi.new("int32_t[]", kernel.sizes.scratch)] if kernel.sizes.scratch else []
    arguments = [kernel.struct, *into, *out, *scratch]
    functions = [functools.partial(getattr(lib, name))]
    if hasattr(lib, f"{name}_as"):
        functions += [functools.partial(getattr(lib, f"{name}_as"), lib.UVLM_PLAIN)]
        assert getattr(lib, f"{name}_as")(9, *arguments) == lib.UVLM_FORM
        assert getattr(lib, f"{name}_as")(-1, *arguments) == lib.UVLM_FORM
    sizes = {
        "count", "rows", "columns", "words", "hidden", "height", "width", "channels", "outputs", "kernel_h", "kernel_w",
        "stride_y", "stride_x", "positions", "side", "parts", "states",
    }  # fmt: skip
    for function in functions:
        for i, argument in enumerate(arguments):
            if isinstance(argument, int) or argument == ffi.NULL:
                continue
            if kind in ("add", "mul") and i == 2 and kernel.struct.constant != ffi.NULL:
                continue
            assert function(*arguments[:i], ffi.NULL, *arguments[i + 1 :]) == lib.UVLM_NULL, i
        for field, about in ffi.typeof(struct).fields:
            old = getattr(kernel.struct, field)
            if about.type.kind == "pointer" and old != ffi.NULL and field != "constant":
                setattr(kernel.struct, field, ffi.NULL)
                assert function(*arguments) == lib.UVLM_NULL, field
                setattr(kernel.struct, field, old)
            elif field in sizes:
                for bad in (0, -1, -(2**31), *([INT32] if field not in ("count", "words") else [])):
                    setattr(kernel.struct, field, bad)
                    assert function(*arguments) in (lib.UVLM_SIZE, lib.UVLM_RANGE), (field, bad)
                setattr(kernel.struct, field, old)
            elif field.startswith("zero_") and kind not in ("most", "enlarge", "logits"):
                for bad in (-129, 128, INT32, -(2**31)):
                    setattr(kernel.struct, field, bad)
                    assert function(*arguments) == lib.UVLM_RANGE, (field, bad)
                setattr(kernel.struct, field, old)
    assert all((y == 77).all() for y in outputs)
    assert all((given[i] == x).all() for i, x in zip(changed, state, strict=True))
    assert all(function(*arguments) == lib.UVLM_OK for function in functions)


@pytest.mark.parametrize("columns", [1, 3, 31, 32, 33])
@pytest.mark.parametrize("rows", [15, 16, 17, 48])
def test_short_rows(columns: int, rows: int) -> None:
    """Up to 32 columns, two rows of 16 share a vector; at every end, and none behind it is read."""
    dice = Dice(rows)
    weight = dice.whole(-128, 127, (rows, columns)).astype(np.int8)
    weight[::2] = -128
    m, s = multipliers(dice.real(1e-4, 1e-3, (rows,)))
    arrays = {"weight": weight, "bias": dice.whole(-999, 999, (rows,)).astype(np.int32), "m": m, "s": s.astype(np.int8)}
    record = Record("gemm", ("x",), ("y",), {"lift": 0, "zero_y": -7}, arrays)
    equal(Case(record, ((columns,),)), (ends(columns),))


@pytest.mark.parametrize("zero_y", [-128, -1, 0, 1, 127])
@pytest.mark.parametrize("s", [1, 22, 23, 24, 30, 31])
def test_sums_at_the_edge_of_their_room(s: int, zero_y: int) -> None:
    """Factors as large as int32 has room for beside the half and y's zero point, one more, and none at all."""
    room = 2**31 - 1 - (abs(zero_y) << s) - 2 ** (s - 1)
    for most in {max(room // 256, 0), max(room // 256, 0) + 1, 0}:
        for factor_x, factor_other in ((most, 0), (most // 2, most - most // 2), (-most, 0)):
            numbers = {"zero_x": 0, "zero_other": 0, "zero_y": zero_y, "s": s}
            numbers |= {"factor_x": min(factor_x, 4210751), "factor_other": min(factor_other, 4210751)}
            numbers["factor_x"] = max(numbers["factor_x"], -4210751)
            equal(Case(Record("add", ("x", "other"), ("y",), numbers), ((17,), (17,))), (ends(17), ends(17)[::-1]))


# Golden vectors


def test_golden_vectors_are_what_python_gives() -> None:
    """The committed header is what integer_ops.py makes of its records today; and small enough for flash."""
    assert golden.PATH.read_text(encoding="utf8") == golden.text()
    assert golden.PATH.stat().st_size < 200_000


def test_golden_vectors_in_c(tmp_path: Path) -> None:
    """The C program finds all equal, and one changed number."""
    sources = [path for path in sorted((ROOT / "csrc").glob("*.c")) if "f32" not in path.name]
    flags = ["-std=c99", "-ffp-contract=off", "-O0", "-Wall", "-Wextra", "-Werror"]

    def built(main: Path) -> subprocess.CompletedProcess[str]:
        program = tmp_path / "golden"
        subprocess.run([*COMPILER, *flags, "-o", str(program), str(main), *objects, "-lm"], check=True)
        return subprocess.run([str(program)], capture_output=True, text=True)

    def compiled(source: Path) -> str:
        made = str(tmp_path / f"{source.stem}.o")
        subprocess.run([*COMPILER, *flags, "-c", "-o", made, str(source)], check=True)
        return made

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, sources))
    done = built(ROOT / "csrc" / "tests" / "golden.c")
    assert done.returncode == 0 and done.stdout.endswith("all equal\n"), done.stdout
    lines = done.stdout.splitlines()[:-2]
    assert [line.split()[0] for line in lines] == list(MAKERS) and all(line.endswith(" 0 wrong") for line in lines)

    (tmp_path / "csrc" / "tests").mkdir(parents=True)
    for header in (ROOT / "csrc").glob("*.h"):
        shutil.copy(header, tmp_path / "csrc")
    wrong = tmp_path / "csrc" / "tests" / "golden.c"
    shutil.copy(ROOT / "csrc" / "tests" / "golden.c", wrong)
    text = golden.PATH.read_text(encoding="utf8")
    start = text.index("static const uvlm_gemm gemm_real_0")
    zero = re.search(r"\.zero_y = (-?\d+)", text[start:])
    assert zero
    changed = text[:start] + text[start:].replace(zero[0], f".zero_y = {(int(zero[1]) + 3) % 100}", 1)
    wrong.with_name("golden_vectors.h").write_text(changed, encoding="utf8")
    done = built(wrong)
    assert done.returncode == 1 and "gemm, vector 0, plain: " in done.stdout and done.stdout.endswith("WRONG\n")
