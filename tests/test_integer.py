"""The int8 captioner in integers: equal to onnxruntime layer by layer, its units to float, its search to search.py."""

import ast
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional as F

from benchmarks import integer as bench
from tests.conftest import ROOT, TINY
from uvlm_mini import search
from uvlm_mini.datasets.vocab import BOS, EOS, PAD, Vocabulary
from uvlm_mini.encoder import GRN
from uvlm_mini.model import UVLM, to_tensor
from uvlm_mini.paths import data_path
from uvlm_mini.quantize import cfq, export, fixed, integer_ops, integer_search, tables
from uvlm_mini.quantize import integer_units as units
from uvlm_mini.quantize.integer import Captioner, from_pixels, looped, word_record
from uvlm_mini.quantize.integer_graph import compile_graph
from uvlm_mini.quantize.integer_ops import KERNELS, Program, Record
from uvlm_mini.quantize.pair import INT8, Pair, embedding
from uvlm_mini.quantize.tables import Scale

LN2 = math.log(2) / 2**16  # a unit of a score as a natural logarithm
EDGES = np.array([-128, -127, -1, 0, 1, 126, 127], np.int8)


@pytest.fixture(scope="module")
def graphs() -> tuple[onnx.ModelProto, onnx.ModelProto]:
    return bench.pair(8)


@pytest.fixture(scope="module")
def captioner(graphs) -> Captioner:
    return Captioner.of(*graphs)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return bench.pictures("test", 5)


@pytest.fixture(scope="module")
def programs(captioner) -> tuple[Program, Program]:
    return captioner.encoder, captioner.decoder.step


def test_every_layer_is_within_one_of_onnxruntime(graphs) -> None:
    """Given the int8 values that onnxruntime has there; more than nine hundred and ninety-nine of a thousand."""
    rows = bench.layers(graphs, 1)
    assert {"conv", "gemm", "add", "mul", "mean", "most", "pool", "layer_norm", "scan", "grn"} <= set(rows)
    for kind, row in rows.items():
        assert row["worst layer within 1"] > 0.999, kind
    assert sum(row["values"] for row in rows.values()) > 10**6


def test_grn_in_int8_is_the_same_unit() -> None:
    """A file that rounds every operator of GRN to int8 gives one record with the numbers of a float one."""
    model = UVLM(TINY, Vocabulary(["a"])).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, GRN):
                module.gamma.normal_(0, 0.3)
                module.beta.normal_(0, 0.1)
    graph = export.encoder_graph(model)
    runs = [{"picture": one[None]} for one in to_tensor(bench.pictures("train", 4)).numpy()]
    found = []
    for norms in ("float", "int8"):
        compiled = compile_graph(cfq.quantized(graph, runs, replace(cfq.CFQ, norms=norms)))
        found.append([r for r in compiled.program.records if r.kind == "grn"])
        assert all(r.inputs[0] in compiled.scales and r.outputs[0] in compiled.scales for r in found[-1])
    whole = [r for pair in zip(*found, strict=True) for r in pair]
    assert len(whole) == 2 * sum(isinstance(m, GRN) for m in model.modules())
    for a, b in zip(*found, strict=True):
        step = np.abs(a.arrays["gamma"]).max() / 127  # of gamma in int8
        assert np.abs(a.arrays["gamma"] - b.arrays["gamma"].astype(int)).max() <= step
        assert abs(a.numbers["least"] - b.numbers["least"]) <= max(1, a.numbers["least"] // 100)


def test_captions_are_those_of_onnxruntime(graphs, captioner, pictures) -> None:
    """By greedy search and by a beam of three; the scores differ by what int8 logits cannot hold."""
    other = Pair(*graphs)
    tensors = to_tensor(pictures[:3])
    given = captioner.encode(pictures[:3])
    for ours, theirs in zip(
        captioner.decoder.greedy(given), search.greedy(other.decoder, tensors, other.config.longest), strict=True
    ):
        assert ours.tokens == theirs.tokens and ours.ended and abs(ours.log_prob - theirs.log_prob) < 1
    best = [found[0].tokens for found in captioner.decoder.beam(given)]
    assert best == [found[0].tokens for found in search.beam(other.decoder, tensors, 3, other.config.longest)]
    assert captioner.caption(pictures[0]) == other.vocabulary.decode(best[0])


def test_a_batch_is_its_pictures(captioner, pictures) -> None:
    together = captioner.decoder.beam(captioner.encode(pictures))
    for one, found in zip(pictures, together, strict=True):
        assert captioner.decoder.beam(captioner.encode(one[None])) == [found]


def test_the_files_in_a_folder(graphs, captioner, pictures, tmp_path) -> None:
    for graph, name in zip(graphs, INT8.values(), strict=True):
        onnx.save(graph, str(tmp_path / name))
    assert Captioner.load(tmp_path).caption(pictures[1]) == captioner.caption(pictures[1])


def test_scales_that_differ_get_a_table(graphs, pictures) -> None:
    """Files that were not quantized together: what crosses is dequantized and quantized again, as the files have it."""
    seeing, saying = map(compile_graph, graphs)
    pixels = np.moveaxis(pictures[:1] ^ np.uint8(128), 3, 1).view(np.int8)
    expected = from_pixels(seeing, saying).run({"pixels": pixels})
    other = {name: Scale(s.step * 1.3, s.zero + 4) for name, s in saying.scales.items()}
    found = from_pixels(seeing, saying._replace(scales=other)).run({"pixels": pixels})
    for name, value in found.items():
        assert (value == other[name].nearest(seeing.scales[name].of(expected[name]))).all()
    step = looped(saying._replace(scales=other | {"y": Scale(0.1, 7)}))
    assert [r.outputs for r in step.records if r.inputs == ("y_next_made",)][-1] == ("y_next",)
    bytes_ = Scale(1 / 100, 3)
    first, *_ = from_pixels(seeing._replace(scales=seeing.scales | {"picture": bytes_}), saying).records
    assert (KERNELS["look_up"](first, pixels) == bytes_.nearest(pixels / 128)).all()


# No floating point


def test_the_networks_are_integers(programs) -> None:
    """All that a record holds, and it can be written down: plain names, numbers and arrays."""
    for program in programs:
        assert len({name for r in program.records for name in r.outputs}) == sum(
            len(r.outputs) for r in program.records
        )
        for r in program.records:
            assert r.kind in KERNELS
            for part in r.numbers.values():
                assert all(type(v) is int for v in (part if isinstance(part, tuple) else (part,))), r
            for name, part in r.arrays.items():
                assert part.dtype.kind == "i" and part.dtype.itemsize <= 4, (r.kind, name)


def test_every_value_on_the_way_is_an_integer(captioner, pictures) -> None:
    """From the bytes of a picture to the logits of two steps: int8, but for the state, int16, and logits, int32."""
    seen = captioner.encoder.run({"pixels": np.moveaxis(pictures[:1] ^ np.uint8(128), 3, 1).view(np.int8)}, keep=True)
    assert {value.dtype for value in seen.values()} == {np.dtype(np.int8)}
    context, state = captioner.decoder.start({name: seen[name] for name in captioner.encoder.outputs})
    for token in (BOS, 9):
        heard = captioner.decoder.hear(np.array([token]))
        values = captioner.decoder.step.run({"word": heard, **context, **state}, keep=True)
        kinds = {name: value.dtype for name, value in values.items() if value.dtype != np.int8}
        assert kinds == {"h": np.int16, "h_next": np.int16, "logits": np.int32}
        state = {name: values[f"{name}_next"] for name in state}


@pytest.mark.parametrize("name", ["fixed", "integer_ops", "integer_search"])
def test_the_source_has_no_floating_point(name: str) -> None:
    """No float constant, type or division but in the exact product, and where a score is shown as a logarithm."""
    tree = ast.parse((ROOT / "uvlm_mini" / "quantize" / f"{name}.py").read_text(encoding="utf-8"))
    allowed = {"matmul", "log_prob"}
    for function in [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name in allowed]:
        function.body, function.returns = [ast.Pass()], None
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), ast.dump(node)
        assert not isinstance(getattr(node, "op", None), ast.Div), ast.dump(node)
        names = {"float", "float16", "float32", "float64", "mean", "sqrt", "exp", "log", "average", "std"}
        assert not (isinstance(node, ast.Attribute) and node.attr in names), ast.dump(node)
        assert not (isinstance(node, ast.Name) and node.id == "float"), ast.dump(node)


def test_the_exact_product_may_be_any_integer_product(captioner, pictures, monkeypatch) -> None:
    """With int64's product in its place nothing changes: no result comes from float64's rounding."""
    expected = captioner.encode(pictures[:1])
    monkeypatch.setattr(integer_ops, "matmul", lambda a, b: a.astype(np.int64) @ b.astype(np.int64))
    found = captioner.encode(pictures[:1])
    assert all((found[name] == expected[name]).all() for name in expected)


# Nothing overflows


class Watch:
    """Holds the largest absolute value that requantising and saturating were given, before any shift to the left."""

    def __init__(self, monkeypatch) -> None:
        self.largest, self.shifted = 0, 0
        real = fixed.requantise

        def watched(a, m, s):
            self.largest = max(self.largest, int(np.abs(np.asarray(a, np.int64)).max()))
            left = np.maximum(-np.asarray(s, np.int64), 0)
            self.shifted = max(self.shifted, int(np.abs(np.asarray(a, np.int64) << left).max()))
            return real(a, m, s)

        monkeypatch.setattr(integer_ops, "requantise", watched)


def test_sums_stay_in_32_bits_at_the_extremes(programs, monkeypatch) -> None:
    """For every matrix and kernel the input that makes its largest sum, and its smallest, channel by channel."""
    watch = Watch(monkeypatch)
    for r in [r for program in programs for r in program.records if r.kind in ("conv", "gemm", "logits")]:
        w = r.arrays["weight"].reshape(len(r.arrays["weight"]), -1).astype(np.int64)
        for sign in (1, -1):
            x = np.where(sign * w > 0, 127, -128)  # (O, F)
            largest = np.abs((x * w).sum(1) + r.arrays["bias"])
            assert largest.max() < 2**31
            if r.kind != "conv":
                KERNELS[r.kind](r, x.astype(np.int8))
                if r.kind == "logits":
                    assert watch.shifted < 2**31  # nor does the shift to the left saturate
    assert 10**5 < watch.largest < 2**31


def test_networks_stay_in_32_bits_on_noise(programs, captioner, monkeypatch) -> None:
    """Whole networks on the edges of int8 and int16: no sum leaves int32 on the way."""
    watch = Watch(monkeypatch)
    dice = np.random.default_rng(0)
    encoder, step = programs
    given = encoder.run({"pixels": dice.choice(EDGES, (2, 3, captioner.side, captioner.side))})
    context, state = captioner.decoder.start(given)
    context = {name: dice.choice(EDGES, value.shape) for name, value in context.items()}
    state = {
        name: dice.choice(np.array([np.iinfo(v.dtype).min, np.iinfo(v.dtype).max], v.dtype), v.shape)
        for name, v in state.items()
    }
    for _ in range(3):
        made = step.run({"word": dice.choice(EDGES, (2, step_width(step))), **context, **state})
        state = {name: made[f"{name}_next"] for name in state}
    assert 10**5 < watch.largest < 2**31


def step_width(step: Program) -> int:
    """H."""
    return next(r.arrays["weight"].shape[1] for r in step.records if r.kind == "logits")


def test_too_long_a_sum_is_refused(graphs) -> None:
    """A weight as large as a bias can make it: int32 would overflow, and the compiler says so."""
    model = onnx.ModelProto.FromString(graphs[1].SerializeToString())
    for part in model.graph.initializer:
        if part.name == "decoder.project.bias_quantized":
            part.CopyFrom(numpy_helper.from_array(np.full(part.dims, 2**31 - 1, np.int32), part.name))
    with pytest.raises(ValueError, match=r"The sums of .* can reach .*, more than int32 holds"):
        compile_graph(model)


# Units against float, the same int8 input


@pytest.mark.parametrize(("channels", "side"), [(3, 4), (96, 8), (320, 16), (512, 28)])
def test_grn(channels: int, side: int) -> None:
    """Within 0.6 units of the float module, also where one channel is strong, all are alike, or nothing is there."""
    dice = np.random.default_rng(channels)
    module = GRN(channels)
    gamma, beta = dice.normal(0, 0.5, channels), dice.normal(0, 0.3, channels)
    given, made = Scale(0.031, -17), Scale(0.054, 5)
    x = np.clip(np.rint(dice.normal(0, 20, (4, channels, side, side))) - 17, -128, 127).astype(np.int8)
    x[1, 1:] = -17  # one channel alone
    x[2] = -17  # nothing
    x[3] = 127
    with torch.no_grad():
        module.gamma.copy_(torch.tensor(gamma)[:, None, None])
        module.beta.copy_(torch.tensor(beta)[:, None, None])
        real = module.double()(torch.tensor(given.of(x))).numpy() / made.step + made.zero
    r = Record("grn", ("x",), ("y",), *parts(units.grn(gamma, beta, 1e-6 / side, side * side, given, made)))
    assert np.abs(KERNELS["grn"](r, x) - np.clip(real, -128, 127)).max() < 0.6


@pytest.mark.parametrize("hidden", [12, 160, 512])
def test_layer_norm(hidden: int) -> None:
    """Within 0.6 units of the float module, also for a vector without variance and for the widest one."""
    dice = np.random.default_rng(hidden)
    gamma, beta = dice.normal(1, 0.4, hidden), dice.normal(0, 0.5, hidden)
    given, made = Scale(0.043, 9), Scale(max(3.0, hidden**0.5) / 100, -3)
    x = np.clip(np.rint(dice.normal(0, 30, (5, hidden))), -128, 127).astype(np.int8)
    x[1], x[2], x[3] = 50, np.where(np.arange(hidden) % 2, 127, -128), 0
    x[3, 0] = 1
    real = F.layer_norm(torch.tensor(given.of(x)), (hidden,), torch.tensor(gamma), torch.tensor(beta), 1e-5).numpy()
    real = np.clip(real / made.step + made.zero, -128, 127)
    r = Record("layer_norm", ("x",), ("y",), *parts(units.layer_norm(gamma, beta, 1e-5, given, made)))
    assert np.abs(KERNELS["layer_norm"](r, x) - real).max() < 0.6


@pytest.mark.parametrize(("channels", "states", "bits"), [(5, 2, 10), (320, 16, 10), (64, 64, 9)])
def test_scan(channels: int, states: int, bits: int) -> None:
    """The state within 2 units and 2^-bits of what changes it, y within 0.7 units, of the float recurrence.

    One state in 64 decays 64 times as fast as another, and the exponents of both have as many places in int16.
    """
    dice = np.random.default_rng(channels)
    a = -np.exp(dice.normal(0, 0.3, (channels, states))) * np.arange(1, states + 1)
    d, h_unit = dice.normal(1, 0.5, channels), 2.0 ** dice.uniform(-13, -11, channels)
    dt, u, b, c = Scale(0.05, 60), Scale(0.03, 4), Scale(0.06, -9), Scale(0.05, 11)
    x_dt, x_u, x_b, x_c = (
        dice.integers(-128, 128, (6, n)).astype(np.int8) for n in (channels, channels, states, states)
    )
    h = dice.integers(-32767, 32768, (6, channels, states)).astype(np.int16)
    delta = tables.softplus(dt.of(x_dt))[..., None]
    kept = np.exp(delta * a) * h * h_unit[:, None]
    write = delta * u.of(x_u)[..., None] * b.of(x_b)[:, None]
    y_real = np.einsum("bin,bn->bi", kept + write, c.of(x_c)) + d * u.of(x_u)
    made = Scale(float(np.abs(y_real).max()) / 120, 3)
    r = Record("scan", (), (), *parts(units.scan(a, d, h_unit, dt, u, b, c, made)))
    y, h_next = KERNELS["scan"](r, x_dt, x_u, x_b, x_c, h)
    h_real = (kept + write) / h_unit[:, None]
    per_b = delta[..., 0] * u.of(x_u) * b.step / h_unit  # what one unit of B writes: 128 fill int16 at the largest B
    held = np.broadcast_to((np.abs(per_b) < 127.9)[..., None], h.shape)
    h_next, h_real, h, write = (np.where(held, part, 0) for part in (h_next, h_real, h, write))
    inside = np.abs(h_real) < 2**15 - 1
    off = np.abs(h_next - h_real)
    assert held.mean() > 0.6 and inside[held].mean() > 0.5 and (channels < 9 or not inside.all())
    assert (off <= 2 + (np.abs(h) + np.abs(write) / h_unit[:, None]) * 2.0**-bits)[inside].all()
    assert (np.abs(h_next.astype(int)) >= 2**15 - 1)[~inside].all()  # saturated, not wrapped
    fits = (inside & held).all(2)
    assert np.abs(y - (y_real / made.step + made.zero))[fits].max() < 0.7


@pytest.mark.parametrize("rate", [1e-3, 1e-5, 1e-7, 1e-9])
def test_a_slow_channel_keeps_its_state(rate: float) -> None:
    """However small steps and rates are, the decay is right within two units of Q15; it is never far from 1."""
    states = 4
    dt, one = Scale(0.08, 100), Scale(0.05, 0)
    a = -rate * np.arange(1.0, states + 1)[None]
    r = Record("scan", (), (), *parts(units.scan(a, np.ones(1), np.array([1e-4]), dt, one, one, one, Scale(1.0, 0))))
    x = np.arange(-128, 128, dtype=np.int8)[:, None]  # every step size; the other inputs write and read nothing
    none, none_of_all = np.zeros((256, 1), np.int8), np.zeros((256, states), np.int8)
    h = np.full((256, 1, states), 30000, np.int16)
    _, h_next = KERNELS["scan"](r, x, none, none_of_all, none_of_all, h)
    exact = np.exp(tables.softplus(dt.of(x))[..., None] * a)
    assert np.abs(h_next / 30000 - exact).max() < 2.5 * 2.0**-15


def test_a_state_that_is_too_large_saturates() -> None:
    """The largest step, input and B there are, on a state at its end: it is forgotten, and what B times the largest
    int16 gives is written anew. With a smaller step some of it is kept, and the sum stays at the end."""
    one = Scale(0.1, -128)
    ready = units.scan(-np.ones((1, 1)), np.ones(1), np.array([1e-4]), one, one, one, one, Scale(1.0, 0))
    r = Record("scan", (), (), *parts(ready))
    full, h = np.full((1, 1), 127, np.int8), np.full((1, 1, 1), 2**15 - 1, np.int16)
    assert KERNELS["scan"](r, full, full, full, full, h)[1].item() == (2**15 - 1) * 255 // 256
    less = np.full((1, 1), -126, np.int8)  # a step of ln(1 + e^0.2)
    assert KERNELS["scan"](r, less, full, full, full, h)[1].item() == 2**15 - 1


def parts(ready: dict) -> tuple[dict, dict]:
    """Numbers and arrays of a record."""
    arrays = {name: part for name, part in ready.items() if isinstance(part, np.ndarray)}
    return {name: int(part) for name, part in ready.items() if name not in arrays}, arrays


def test_word_vectors(graphs, captioner) -> None:
    """Every word's int8 vector is that which onnxruntime makes of the same row, or next to it."""
    step = compile_graph(graphs[1])
    real = embedding(graphs[1]) * step_width(step.program) ** 0.5
    found = captioner.decoder.hear(np.arange(len(real)))
    assert np.abs(found - np.clip(real / step.scales["word"].step + step.scales["word"].zero, -128, 127)).max() < 0.51


def test_word_vectors_share_the_rows_of_the_output_matrix(captioner) -> None:
    (last,) = [r for r in captioner.decoder.step.records if r.kind == "logits"]
    assert captioner.decoder.word.arrays["weight"] is last.arrays["weight"]


# Search

TABLES = tables.powers(), tables.logs()


@pytest.mark.parametrize("words", [5, 118, 10_000])
def test_log_softmax(words: int) -> None:
    """Off by 1.3 units of 2^-16 bit at most, from flat logits to sharp ones; padding and BOS are out."""
    dice = np.random.default_rng(words)
    x = np.concatenate([dice.normal(0, spread, (4, words)) for spread in (0.0, 1.0, 5.0)]) * 2**16
    x = np.rint(x).astype(np.int32)
    x[0, [PAD, BOS]] = 2**30  # as likely as can be, and still never chosen
    real = search.log_probs(torch.tensor(x * LN2)).numpy() / LN2
    found = integer_search.log_softmax(x, *TABLES)
    assert (found[:, [PAD, BOS]] == integer_search.DEAD).all()
    likely = real > integer_search.FLOOR
    likely[:, [PAD, BOS]] = False
    assert np.abs(found - real)[likely].max() <= 1.3
    assert found[:, 2:].min() >= integer_search.FLOOR


class Markov(nn.Module):
    """A decoder whose logits depend on the last word and the place alone: the same numbers for both searches."""

    def __init__(self, seed: int, words: int = 9, places: int = 8) -> None:
        super().__init__()
        self.logits = np.random.default_rng(seed).normal(0, 2 * 2**16, (places, words, words)).astype(np.int32)

    def prepare(self, features):
        return search_context(features)

    def start(self, context):
        return search_state(torch.zeros(len(context.x), dtype=torch.long))

    def step(self, token, context, state):
        return torch.tensor(self.logits[state.place, token] * LN2), search_state(state.place + 1)

    def in_integers(self, token, context, state):
        return self.logits[state["place"], token], {"place": state["place"] + 1}


class search_context(SimpleNamespace):
    """A named tuple would do; the searches ask for rows and length only."""

    _fields = ("x",)

    def __init__(self, x) -> None:
        super().__init__(x=x)

    def __iter__(self):
        return iter((self.x,))


class search_state(SimpleNamespace):
    _fields = ("place",)

    def __init__(self, place) -> None:
        super().__init__(place=place)

    def __iter__(self):
        return iter((self.place,))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("width", [1, 3])
def test_searches_find_what_search_py_finds(seed: int, width: int) -> None:
    """The same captions in the same order with the same scores, on logits that are the same numbers."""
    decoder, batch, longest = Markov(seed), 3, 6
    context, state = {"x": np.zeros((batch, 1), np.int8)}, {"place": np.arange(batch) % 2}
    ours = integer_search.beam(decoder.in_integers, context, state, width, longest, TABLES)
    decoder.start = lambda context: search_state(context.x[:, 0] % 2)  # type: ignore[method-assign]
    features = torch.arange(batch)[:, None]
    theirs = search.beam(decoder, features, width, longest)  # type: ignore[arg-type]
    assert [[f.tokens for f in found] for found in ours] == [[f.tokens for f in found] for found in theirs]
    for a, b in zip((f for found in ours for f in found), (f for found in theirs for f in found), strict=True):
        assert a.ended == b.ended and abs(a.log_prob - b.log_prob) < 40 * LN2
    if width == 1:
        greedy = integer_search.greedy(decoder.in_integers, context, state, longest, TABLES)
        assert [[f.tokens, f.ended] for f in greedy] == [[f.tokens, f.ended] for (f,) in ours]


def test_ties_go_to_the_lowest_word() -> None:
    """All words alike: the first that may be chosen is EOS, then by number; and of beginnings the first."""
    logs = np.full((2, 6), -5 << 16)
    logs[:, [PAD, BOS]] = integer_search.DEAD
    best, parent, word = integer_search.grow(logs, np.zeros((1, 2), np.int64))
    assert word.tolist() == [[2, 3, 4, 5]] and parent.tolist() == [[0] * 4] and (best == -5 << 16).all()
    flat = lambda token, context, state: (np.zeros((len(token), 6), np.int32), state)  # noqa: E731
    (found,) = integer_search.greedy(flat, {"x": np.zeros((1, 1))}, {"s": np.zeros((1, 1))}, 4, TABLES)
    assert found.tokens == [] and found.ended and found.score == -2 << 16
    assert EOS == 2


def test_a_dead_row_never_grows() -> None:
    logs = np.full((3, 4), integer_search.FLOOR)
    best, parent, _ = integer_search.grow(logs, np.array([[0, integer_search.DEAD, integer_search.DEAD]]))
    assert (parent[best > integer_search.DEAD] == 0).all() and (best > integer_search.DEAD).sum() == 4


# What is refused


def test_float_files_are_refused(graphs) -> None:
    with pytest.raises(ValueError, match=r"This ONNX model is in float; give the int8 file"):
        compile_graph(export.step_graph(UVLM.load(data_path("uvlm_mini.safetensors"))))


def test_a_file_with_a_float_layer_is_refused(graphs) -> None:
    model = onnx.ModelProto.FromString(graphs[1].SerializeToString())
    (taken,) = [n for n in model.graph.node if n.name == "linear_4_QuantizeLinear"]
    taken.op_type, taken.input[1], taken.input[2] = "Identity", "", ""
    del taken.input[1:]
    with pytest.raises(ValueError, match=r"linear_4, which Gemm makes, stays in float"):
        compile_graph(model)


def test_an_unknown_operator_is_refused(graphs) -> None:
    model = onnx.ModelProto.FromString(graphs[1].SerializeToString())
    (node,) = [n for n in model.graph.node if n.op_type == "Sigmoid"]
    node.op_type = "Elu"
    with pytest.raises(ValueError, match="The integer captioner has no operator Elu"):
        compile_graph(model)


def test_a_step_without_its_metadata_is_refused(graphs) -> None:
    model = onnx.ModelProto.FromString(graphs[1].SerializeToString())
    about = {p.key: p.value for p in model.metadata_props}
    helper.set_model_props(model, {k: v for k, v in about.items() if k != "state"})
    with pytest.raises(ValueError, match="does not say how large the state gets"):
        Captioner.of(graphs[0], model)
    helper.set_model_props(model, {k: v for k, v in about.items() if k != "words"})
    with pytest.raises(ValueError, match="does not tell its words"):
        Captioner.of(graphs[0], model)


def test_two_networks_that_do_not_fit_are_refused(graphs) -> None:
    with pytest.raises(ValueError, match="does not go with a network from word, x"):
        Captioner.of(graphs[1], graphs[1])
    with pytest.raises(ValueError, match="does not tell its words"):
        Captioner.of(graphs[0], graphs[0])


@pytest.mark.parametrize("bad", [np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 64, 64, 3), np.float32)])
def test_wrong_pictures_are_refused(captioner, bad) -> None:
    with pytest.raises(ValueError, match=r"takes pictures \(B, 64, 64, 3\) of bytes"):
        captioner.encode(bad)


def test_floats_are_refused(captioner) -> None:
    with pytest.raises(ValueError, match="takes integers, not float64 as pixels"):
        captioner.encoder.run({"pixels": np.zeros((1, 3, 64, 64))})
    with pytest.raises(ValueError, match="takes pixels, not x"):
        captioner.encoder.run({"x": np.zeros(1, np.int8)})


@pytest.mark.parametrize(("width", "longest", "why"), [(0, 5, "width of 1"), (3, 0, "1 to 126"), (3, 127, "1 to 126")])
def test_a_search_out_of_range_is_refused(width: int, longest: int, why: str) -> None:
    step = Markov(0).in_integers
    with pytest.raises(ValueError, match=why):
        integer_search.beam(step, {"x": np.zeros((1, 1))}, {"place": np.zeros(1, int)}, width, longest, TABLES)


def test_rows_of_a_word_must_fit() -> None:
    with pytest.raises(ValueError, match="differ too much for int32"):
        word_record(np.ones((2, 4), np.int8), np.array([1.0, 1e6]), Scale(1e-3, 0))
