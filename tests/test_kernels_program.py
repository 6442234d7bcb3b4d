"""Whole networks in C: every value of the encoder, of AttSSM's step and of the LSTM's is that of `Program.run`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import integer as bench
from tests.conftest import TINY_DECODER
from tests.kernel_cases import INT32, MAKERS, Dice
from uvlm_mini.baselines.bahdanau import BahdanauLSTM
from uvlm_mini.datasets.vocab import BOS
from uvlm_mini.kernels import library
from uvlm_mini.kernels.compilers import find
from uvlm_mini.kernels.program import ALIGNED, Block, CProgram, place
from uvlm_mini.kernels.s8 import forms
from uvlm_mini.kernels.structs import CHANGED, STRUCTS
from uvlm_mini.quantize.integer import Captioner, IntegerDecoder
from uvlm_mini.quantize.integer_lstm import quantize_lstm
from uvlm_mini.quantize.integer_ops import KERNELS, Program, Record

pytest.importorskip("cffi")
try:
    find()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    """The shipped model."""
    return Captioner.of(*bench.pair(8))


@pytest.fixture(scope="module")
def lstm():
    torch.manual_seed(2)
    decoder = BahdanauLSTM(TINY_DECODER, 13).eval()
    features = torch.nn.functional.hardswish(torch.randn(8, 6, 4, 4) * 2)
    return quantize_lstm(decoder, features, [f"w{i}" for i in range(13)], 6)


def any_values(program: Program, like: dict[str, np.ndarray], batch: int = 3) -> dict[str, np.ndarray]:
    """Inputs of a program with any numbers, in the shapes and types of others."""
    dice = Dice(4)
    made = {}
    for name in program.inputs:
        kind = np.iinfo(like[name].dtype)
        made[name] = dice.whole(int(kind.min), int(kind.max), (batch, *like[name].shape[1:])).astype(like[name].dtype)
    return made


def compared(program: Program, inputs: dict[str, np.ndarray], kept: tuple[str, ...] = ()) -> CProgram:
    """Hold C against Python: every value with bytes of its own, the outputs in a shared arena, in every form."""
    shapes = {name: x.shape[1:] for name, x in inputs.items()}
    expected = program.run(inputs, keep=True)
    whole, shared = CProgram(program, shapes, share=False), CProgram(program, shapes, kept)
    for form in (None, *forms()):
        for run, names in ((whole.run(inputs, True, form), expected), (shared.run(inputs, form=form), program.outputs)):
            assert set(run) == set(names)
            for name, y in run.items():
                assert y.dtype == expected[name].dtype and y.shape == expected[name].shape, name
                assert (y == expected[name]).all(), (form, name)
    assert shared.arena.size <= whole.arena.size
    return shared


def test_lstm(lstm) -> None:
    prepare, decoder, scale = lstm
    features = {"features": scale.nearest(np.random.default_rng(0).normal(0, 1, (3, 6, 4, 4))).astype(np.int8)}
    compared(prepare, any_values(prepare, features))
    context, state = decoder.start(prepare.run(features))
    inputs = {"word": decoder.hear(np.array([BOS, 4, 5])), **context, **state}
    compared(decoder.step, inputs, tuple(context))
    compared(decoder.step, any_values(decoder.step, inputs))


def say_the_same(decoder: IntegerDecoder, known: dict[str, np.ndarray]) -> None:
    """The search does not notice in which of the two a step runs."""
    context, state = decoder.start(known)
    given = {"word": decoder.hear(np.zeros(1, int)), **context, **state}
    in_c = replace(decoder, step=CProgram(decoder.step, {name: x.shape[1:] for name, x in given.items()}))
    assert in_c.beam(known) == decoder.beam(known) and in_c.greedy(known) == decoder.greedy(known)


def test_captions_of_the_lstm(lstm) -> None:
    prepare, decoder, _ = lstm
    say_the_same(decoder, prepare.run({"features": np.zeros((2, 6, 4, 4), np.int8)}))


@pytest.mark.parametrize("kind", MAKERS)
def test_every_kind_of_record(kind: str) -> None:
    """One record as a network, so that no branch of the switch is left out."""
    for seed in range(6):
        for wild in (False, True):
            dice = Dice(seed)
            case = MAKERS[kind](dice, wild)
            inputs = dict(zip(case.record.inputs, case.inputs(dice, 8), strict=True))
            program = Program((case.record,), case.record.inputs, case.record.outputs)
            c = CProgram(program, {name: x.shape[1:] for name, x in inputs.items()})
            for name, y in program.run(inputs).items():
                for form in forms():
                    assert (c.run(inputs, form=form)[name] == y).all()


# The plan


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(-1, 9), st.integers(0, 5), st.booleans()), min_size=1))
def test_values_that_meet_share_no_byte(drawn: list[tuple[int, int, int, bool]]) -> None:
    """And the arena is no larger than all values one behind the other, nor smaller than the worst moment."""
    blocks = [Block(size, born, born + life, kept) for size, born, life, kept in drawn]
    size = place(blocks)
    for i, a in enumerate(blocks):
        assert a.at % ALIGNED == 0 and a.at + a.size <= size
        assert all(a.at + a.size <= b.at or b.at + b.size <= a.at for b in blocks[:i] if a.meets(b))
    worst = max(sum(b.size for b in blocks if b.kept or b.born <= t <= b.dies) for t in range(-1, 16))
    rounded = [-(-b.size // ALIGNED) * ALIGNED for b in blocks]
    assert worst <= size <= sum(rounded)
    assert place(blocks, share=False) == sum(rounded)


def test_what_the_plan_saves() -> None:
    """A table writes over what it reads, a view and the next state cost nothing."""
    table = {"table": np.arange(-128, 128).astype(np.int8)}
    records = (
        Record("look_up", ("x",), ("y",), {}, table),
        Record("look_up", ("y",), ("z",), {}, table),
        Record("view", ("z",), ("v",), {"shape": (64, 1, 1)}),
    )
    program = Program(records, ("x",), ("v",))
    assert CProgram(program, {"x": (64,)}).arena.size == 64
    assert CProgram(program, {"x": (64,)}, kept=("x",)).arena.size == 128
    assert CProgram(replace(program, outputs=("x", "v")), {"x": (64,)}).arena.size == 128
    case = MAKERS["scan"](Dice(0), False)
    program = Program((case.record,), case.record.inputs, case.record.outputs)
    c = CProgram(program, dict(zip(case.record.inputs, case.shapes, strict=True)))
    assert c.values["h"].block is c.values["h_next"].block


# Bad input


def small() -> Program:
    """Two records, scratch memory and two types."""
    case = MAKERS["grn"](Dice(5), False)
    dice = Dice(1)
    (shape,) = case.shapes
    scores = {"weight": dice.whole(-127, 127, (1, shape[0])).astype(np.int8), "bias": np.zeros(1, np.int32),
              "m": np.full(1, 2**30, np.int32), "s": np.zeros(1, np.int8)}  # fmt: skip
    return Program((case.record, Record("scores", ("y",), ("score",), {}, scores)), ("x",), ("score",)), shape


def test_a_program_that_does_not_fit_is_refused() -> None:
    """An arena one byte too small, places outside of it or not aligned, NULL, nothing: a status, no byte written."""
    ffi, lib = library()
    program, shape = small()
    c = CProgram(program, {"x": shape})
    needed = ffi.new("int64_t *")
    assert lib.uvlm_program_arena(c.program, needed) == lib.UVLM_OK
    c.arena[...] = 77
    arena, size = ffi.from_buffer("int8_t[]", c.arena), needed[0]
    run = lib.uvlm_program_run
    assert run(c.program, arena, size - 1) == run(c.program, arena, 0) == run(c.program, arena, -1) == lib.UVLM_SIZE
    assert run(c.program, ffi.NULL, size) == run(ffi.NULL, arena, size) == lib.UVLM_NULL
    assert lib.uvlm_program_arena(ffi.NULL, needed) == lib.uvlm_program_arena(c.program, ffi.NULL) == lib.UVLM_NULL
    assert run(c.program, arena + 1, size) == lib.UVLM_RANGE
    assert lib.uvlm_program_run_as(9, c.program, arena, size) == lib.UVLM_FORM
    one, two = c.program.records[0], c.program.records[1]

    def refused(record: object, field: str, value: object, status: int, place: int | None = None) -> None:
        old = getattr(record, field) if place is None else record.at[place]
        if place is None:
            setattr(record, field, value)
        else:
            record.at[place] = value
        assert run(c.program, arena, size) == status
        if place is None:
            setattr(record, field, old)
        else:
            record.at[place] = old

    refused(c.program, "count", 0, lib.UVLM_SIZE)
    refused(c.program, "count", -1, lib.UVLM_SIZE)
    refused(c.program, "records", ffi.NULL, lib.UVLM_NULL)
    refused(two, "numbers", ffi.NULL, lib.UVLM_NULL)
    refused(two, "kind", 21, lib.UVLM_RANGE)
    refused(two, "kind", -1, lib.UVLM_RANGE)
    refused(one, "at", -16, lib.UVLM_RANGE, 0)
    refused(one, "at", 2, lib.UVLM_RANGE, 2)  # scratch memory is int32
    refused(two, "at", 2, lib.UVLM_RANGE, 1)
    for value in (size, INT32 - 3):
        refused(one, "at", value - value % 4, lib.UVLM_SIZE, 0)
        refused(two, "at", value - value % 4, lib.UVLM_SIZE, 1)
    assert (c.arena == 77).all()
    assert run(c.program, arena, size) == lib.UVLM_OK and (c.arena != 77).any()


@pytest.mark.parametrize("kind", MAKERS)
def test_sizes_that_overflow_are_refused(kind: str) -> None:
    """Any size of any struct at any end of int32: a status, and no byte of the arena written."""
    ffi, lib = library()
    dice = Dice(3)
    case = MAKERS[kind](dice, False)
    record = case.record
    c = CProgram(Program((record,), record.inputs, record.outputs), dict(zip(record.inputs, case.shapes, strict=True)))
    struct = ffi.cast(f"uvlm_{STRUCTS.get(kind, kind)} *", c.program.records[0].numbers)
    sizes = {
        "count", "rows", "columns", "hidden", "height", "width", "channels", "outputs", "kernel_h", "kernel_w",
        "stride_y", "stride_x", "top", "left", "bottom", "right", "positions", "x_position", "x_channel",
        "other_position", "other_channel", "side", "parts", "states",
    }  # fmt: skip
    if "constant" in record.arrays:  # which is, like every weight, as long as the struct says
        sizes -= {"other_position", "other_channel"}
    fields = sizes & {name for name, _ in ffi.typeof(struct).item.fields}
    assert fields
    c.arena[...] = 77
    for field in fields:
        old = getattr(struct, field)
        for value in (INT32, -INT32 - 1, -1, 2**30):
            setattr(struct, field, value)
            status = lib.uvlm_program_run(c.program, ffi.from_buffer("int8_t[]", c.arena), c.arena.size)
            if status == lib.UVLM_OK:  # a stride over one position or channel alone leads nowhere
                assert value > 0 and getattr(struct, field.split("_")[-1] + "s") == 1
                c.arena[...] = 77
            assert (c.arena == 77).all(), (field, value)
        setattr(struct, field, old)


def test_what_c_cannot_keep_is_told() -> None:
    case = MAKERS["scan"](Dice(0), False)
    record, shapes = case.record, dict(zip(case.record.inputs, case.shapes, strict=True))
    flat = Record("view", ("h",), ("late",), {"shape": (int(np.prod(shapes["h"])),)})
    with pytest.raises(ValueError, match="scan writes over h, which is needed later; read it before"):
        CProgram(Program((record, flat), record.inputs, ("y", "late")), shapes)
    with pytest.raises(ValueError, match="scan writes over h, which is needed later"):
        CProgram(Program((record,), record.inputs, ("y",)), shapes, kept=("h",))
    view = Record("view", ("x",), ("y",), {"shape": (12,)})
    with pytest.raises(ValueError, match=r"y views \(3, 2, 2\) as \(12,\), which with channels last is another order"):
        CProgram(Program((view,), ("x",), ("y",)), {"x": (3, 2, 2)})
    axis = Record("concat", ("a", "b"), ("y",), {"axis": 2})
    with pytest.raises(ValueError, match="concat along axis 2"):
        CProgram(Program((axis,), ("a", "b"), ("y",)), {"a": (2, 3), "b": (2, 3)})
    soft = Record("softmax", ("x",), ("y",), {}, {"powers": np.zeros(257, np.int32)})
    twice = Record("look_up", ("y",), ("z",), {}, {"table": np.zeros(256, np.int8)})
    with pytest.raises(TypeError, match="look_up reads y as int8, but it is int16; mend the program"):
        CProgram(Program((soft, twice), ("x",), ("z",)), {"x": (4,)})


def test_wrong_inputs_are_told() -> None:
    program, shape = small()
    with pytest.raises(ValueError, match="Shapes of nothing were given; give those of x"):
        CProgram(program, {})
    c = CProgram(program, {"x": shape})
    x = np.zeros((2, *shape), np.int8)
    with pytest.raises(ValueError, match="This network takes x, not nothing"):
        c.run({})
    with pytest.raises(TypeError, match="x is float64, but this network reads int8; convert it"):
        c.run({"x": x.astype(float)})
    with pytest.raises(ValueError, match="x has the shape"):
        c.run({"x": x[:, :-1]})
    with pytest.raises(ValueError, match="make it with share=False"):
        c.run({"x": x}, keep=True)
    with pytest.raises(ValueError, match="The form 'neon' was asked for; this machine runs plain"):
        c.run({"x": x}, form="neon")
    assert set(CHANGED) == {"scan", "lstm"} <= set(KERNELS)


# The shipped model


@pytest.mark.slow
def test_encoder(captioner) -> None:
    pixels = np.moveaxis(bench.pictures("test", 2) ^ np.uint8(128), 3, 1).view(np.int8)
    shared = compared(captioner.encoder, {"pixels": pixels})
    compared(captioner.encoder, any_values(captioner.encoder, {"pixels": pixels}))
    assert shared.values["x"].shape == (8, 8, 128)
    assert shared.arena.size < 128 * 1024  # what the largest map takes, and what lives beside it


@pytest.mark.slow
def test_step(captioner) -> None:
    """On what the encoder gives, over four steps of each with its own state, and on any numbers at all."""
    decoder = captioner.decoder
    context, state = decoder.start(captioner.encode(bench.pictures("test", 2)))
    first = {"word": decoder.hear(np.array([BOS, 5])), **context, **state}
    c = compared(decoder.step, first, tuple(context))
    for name in context:
        c.array(name)[...] = 0  # what is kept is written with every run
    for number in (5, 7, 4, 6):
        word = decoder.hear(np.array([number, number]))
        python = decoder.step.run({"word": word, **context, **state})
        ours = c.run({"word": word, **context, **state})
        assert all((ours[name] == python[name]).all() for name in python)
        state = {name: python[f"{name}_next"] for name in state}
    compared(decoder.step, any_values(decoder.step, first), tuple(context))


@pytest.mark.slow
def test_captions(captioner) -> None:
    say_the_same(captioner.decoder, captioner.encode(bench.pictures("test", 3)))
