"""What the benchmarks count and how they run: the parts whose errors would print a wrong number."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from benchmarks import (
    core_cost,
    encoder_ablation,
    encoder_peers,
    int8_steps,
    limits,
    long_run,
    modulation_cost,
    paper_cost,
    record,
    sizes,
    table,
    task,
)


def count(row: str, seed: int) -> dict[str, float]:
    """A run that needs no time."""
    return {"number": len(row) + seed}


def test_a_table_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """Finished runs are not run again, others are; and after a change of the sources all are."""
    monkeypatch.setattr(record, "ROOT", tmp_path)
    (tmp_path / "source").write_text("1")
    lines = table.runs("t", count, ["a", "bb"], [0, 1], ["source"])
    assert sorted((x["row"], x["seed"], x["numbers"]["number"]) for x in lines) == [
        ("a", 0, 1), ("a", 1, 2), ("bb", 0, 2), ("bb", 1, 3)
    ]  # fmt: skip
    path = tmp_path / "runs" / "t.jsonl"
    kept = path.read_text().splitlines()[:-1]
    marked = [json.dumps({**json.loads(line), "numbers": {"number": 7}}) for line in kept]
    path.write_text("\n".join(marked) + "\n")
    again = table.runs("t", count, ["a", "bb"], [0, 1], ["source"])
    assert sorted(x["numbers"]["number"] for x in again)[1:] == [7, 7, 7]
    (tmp_path / "source").write_text("2")
    anew = table.runs("t", count, ["a", "bb"], [0, 1], ["source"])
    assert sorted(x["numbers"]["number"] for x in anew) == [1, 2, 2, 3]


def test_summary_is_mean_and_spread():
    """Of the seeds of a row, in the order asked for."""
    lines = [{"row": r, "seed": s, "numbers": {"x": v}} for r, s, v in (("b", 0, 1.0), ("a", 1, 4.0), ("a", 0, 2.0))]
    made = table.summary(lines, ["a", "b"])
    assert list(made) == ["a", "b"]
    assert made["a"]["x"] == {"mean": 3.0, "spread": pytest.approx(2**0.5, abs=1e-5), "runs": [2.0, 4.0]}
    assert made["b"]["x"] == {"mean": 1.0, "spread": 0.0, "runs": [1.0]}


def test_the_task_asks_for_what_is_there():
    """Its answers are the things of the scenes, its pictures those of the scenes, the same every time."""
    data, fine, coarse = task.pictures("train", 6)
    again, *_ = task.pictures.__wrapped__("train", 6)
    assert (data == again).all()
    assert fine.shape == (6, 2, 8, 8) and coarse.shape == (6, 2, 4, 4)
    assert ((fine[:, 0] > 0) == (fine[:, 1] > 0)).all() and (fine[:, 0] > 0).any()
    assert (task.pictures("test", 6)[0] != data).any()


class Answers(nn.Module):
    """An encoder that was told the answers: 8 x 8 maps of logits, a share of them wrong."""

    def __init__(self, wrong: float) -> None:
        super().__init__()
        self.wrong, self.at = wrong, 0

    def forward(self, x):
        fine = task.pictures("test", 100)[1][self.at : self.at + len(x)]
        self.at += len(x)
        answers = fine.clone()
        miss = torch.rand(fine[:, 0].shape, generator=torch.Generator().manual_seed(self.at)) < self.wrong
        answers[:, 0][miss & (fine[:, 0] > 0)] = answers[:, 0][miss & (fine[:, 0] > 0)] % 22 + 1
        kinds = nn.functional.one_hot(answers[:, 0], task.SIZES[0]).permute(0, 3, 1, 2)
        colors = nn.functional.one_hot(answers[:, 1], task.SIZES[1]).permute(0, 3, 1, 2)
        return torch.cat([kinds, colors], 1).float(), None


@pytest.mark.parametrize("wrong", [0.0, 0.25])
def test_accuracy_counts_filled_cells(wrong):
    """All right is 1; a quarter of the kinds wrong is three quarters, with the colours untouched."""
    scores = task.accuracy(Answers(wrong), 100)
    assert scores["colour"] == 1.0
    assert scores["both"] == scores["kind"] == pytest.approx(1 - wrong, abs=0.03 if wrong else 0)


@pytest.mark.parametrize("row", ["sigmoid bias", "tanh bias", "bias without activation"])
def test_another_bound_changes_nothing_else(row):
    """The same first weights as the full network, and another bias in every ED block."""
    full, other = encoder_ablation.build("full", 3), encoder_ablation.build(row, 3)
    a, b = list(full.parameters()), list(other.parameters())
    assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))
    x = torch.rand(1, 3, 64, 64)
    assert (full.eval()(x)[0] - other.eval()(x)[0]).abs().max() > 1e-4


def test_peers_have_as_many_parameters():
    """Within 3 % of OverMod-mini, in deploy form, and 8 x 8 cells at the end."""
    encoders = {row: encoder_peers.deploy(encoder_peers.build(row, 0).encoder.eval()) for row in encoder_peers.ROWS}
    sizes = {row: encoder_ablation.parameters(e) for row, e in encoders.items()}
    for row, encoder in encoders.items():
        assert sizes[row] == pytest.approx(sizes["OverMod-mini"], rel=0.03), row
        assert encoder.look(torch.zeros(1, 3, 64, 64))[0].shape == (1, 128, 8, 8)


@pytest.mark.parametrize("row", encoder_peers.ROWS[1:])
def test_a_peer_in_deploy_form_computes_the_same(row):
    """Its batch-norms are folded, and nothing else has happened."""
    encoder = encoder_peers.build(row, 0).encoder.double()
    x = torch.rand(4, 3, 64, 64).double()
    encoder.look(x)  # moves the statistics of the batch-norms
    encoder.eval()
    before = encoder.look(x)[0]
    after = encoder_peers.deploy(encoder).look(x)[0]
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in encoder.modules())


class Chain(nn.Module):
    """A network whose peak can be told by hand: 3 -> 8 channels, an activation in place, 8 -> 4, and a residual."""

    def __init__(self, residual: bool) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1)
        self.residual = residual

    def look(self, x):
        y = nn.functional.hardswish(self.a(x))
        z = self.b(y)
        return self.c(z + y if self.residual else z), None


@pytest.mark.parametrize(("residual", "channels"), [(False, 8 + 8), (True, 8 + 8 + 8)])
def test_peak_activations_by_hand(residual, channels):
    """8 channels in and out of the second convolution; with the residual the sum stands beside both."""
    assert encoder_peers.peak_activations(Chain(residual), torch.zeros(1, 3, 5, 5)) == channels * 25


def test_both_attentions_are_attention():
    """Written out and fused they agree with PyTorch's own multi-head attention."""
    torch.manual_seed(0)
    x = torch.randn(1, 12, 4, 5)
    ours = [modulation_cost.SelfAttention(12, 3, fused) for fused in (False, True)]
    ours[1].load_state_dict(ours[0].state_dict())
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours[0].project.weight, "in_proj_bias": ours[0].project.bias,
            "out_proj.weight": ours[0].out.weight, "out_proj.bias": ours[0].out.bias,
        }
    )  # fmt: skip
    tokens = x.flatten(2).mT
    expected = theirs(tokens, tokens, tokens)[0].mT.view_as(x)
    for layer in ours:
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)


def test_peak_bytes_by_hand():
    """GSM holds the signal before and after H-Swish, then the sum: two maps of features at once."""
    layer = modulation_cost.layers()["GSM"]
    x = torch.randn(1, modulation_cost.C, 14, 14)
    assert modulation_cost.peak_bytes("GSM", layer, x) == 2 * x.nbytes


def test_exponent_of_a_square_is_two():
    """On values that grow as L squared, and as L."""
    sides = [7, 14, 28, 56]
    assert modulation_cost.exponent([5.0 * s**4 for s in sides], sides) == pytest.approx(2)
    assert modulation_cost.exponent([0.1 * s**2 for s in sides], sides) == pytest.approx(1)


@torch.inference_mode()
def test_a_block_of_the_long_run_is_the_steps_of_the_module():
    """In both precisions, over two blocks with the state handed over."""
    for kind in (torch.float32, torch.float64):
        ssm = long_run.core("shipped").to(kind)
        x = torch.randn(1, 30, 160, dtype=kind)
        first, before = long_run.block(ssm, x[:, :13], ssm.start(1).to(kind))
        second, after = long_run.block(ssm, x[:, 13:], before[:, -1])
        outputs, states = torch.cat([first, second], 1), torch.cat([before, after], 1)
        h = ssm.start(1).to(kind)
        for t in range(30):
            y, h = ssm.step(x[:, t], h)
            torch.testing.assert_close(outputs[:, t], y)
            torch.testing.assert_close(states[:, t], h)


@torch.inference_mode()
def test_cached_attention_is_causal_attention():
    """Word by word with a cache as PyTorch's masked attention does the whole sentence at once."""
    core = core_cost.CachedAttention(8, 2, 6)
    x = torch.randn(1, 6, 8)
    q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in core.project(x).chunk(3, -1))
    whole = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    steps = torch.stack([core.step(x[:, t], t) for t in range(6)], 1)
    torch.testing.assert_close(steps, core.out(whole))


def test_states_are_counted_in_bytes():
    """SSM r H N, Mamba r H (N + K - 1), LSTM 2 H and the cache 2 H t, four bytes each; only the cache grows."""
    for words in (1, 64):
        found = [core_cost.state_bytes(name, 32, words) for name in core_cost.cores(32)]
        assert found == [4 * 64 * 16, 4 * 64 * (16 + 3), 4 * 2 * 32, 4 * 2 * 32 * words]


@torch.inference_mode()
def test_steps_that_are_timed_compute():
    """Every timed call gives an output of width H; the matrices alone are those of the whole step."""
    steps = core_cost.calls(32, 5)
    for name in core_cost.cores(32):
        made = steps[name]()
        first = made if isinstance(made, torch.Tensor) else made[0]
        assert first.shape == (1, 32) and first.isfinite().all()
    shapes = [tuple(part.shape) for part in steps["SSM, matrices alone"]()]
    assert shapes == [(1, 64), (1, 2 + 2 * 16), (1, 64), (1, 32)]
    assert [tuple(part.shape) for part in steps["LSTM, matrices alone"]()] == [(1, 128)] * 2


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_a_training_step_of_a_layer_costs_three_times_its_forward_pass(groups):
    """A convolution in groups or not, on shapes alone or for real: k^2 C_in / groups, times C_out and the outputs."""
    forward = 2 * 2 * 8 * (8 // groups) * 9 * 5 * 5  # a multiply-add counts twice; two pictures of 5 x 5
    for device in ("meta", "cpu"):
        layer = nn.Conv2d(8, 8, 3, padding=1, groups=groups, device=device)
        x = torch.randn(2, 8, 5, 5, device=device, requires_grad=True)
        assert paper_cost.flops(lambda layer=layer, x=x: layer(x)) == forward
        assert paper_cost.flops(lambda layer=layer, x=x: layer(x).sum().backward()) == 3 * forward
    assert paper_cost.flops(lambda: layer(x.detach()).sum().backward()) == 2 * forward  # no gradient of the picture


def test_what_is_kept_for_the_backward_pass_is_counted_once():
    """The input of two layers and the output of the first, which the second one reads; no weights."""
    model = nn.Sequential(nn.Linear(6, 4, bias=False), nn.Linear(4, 3, bias=False))
    x = torch.randn(10, 6)
    assert paper_cost.kept_bytes(model, lambda: model(x).sum() + model[0](x).sum()) == 4 * (10 * 6 + 10 * 4)


def test_the_recipe_is_added_up_by_hand():
    """Epochs times pictures times operations, with validation and the features of the frozen encoder."""
    costs = {f"{name}, a picture": 10**k for k, name in enumerate(("pretrain", "decoder", "together", "scst"))}
    found = paper_cost.totals({**costs, "encoder forward": 10**6, "decoder forward, a caption": 10**5})
    looked = 5_000 * (10**6 + 2 * 10**5)  # by the validation of an epoch of COCO
    assert found["pretrain"] == 300 * 625 * 2048 + 300 * 2 * 50_000 * 10**6
    assert found["decoder"] == 15 * 1770 * 64 * 10 + 15 * looked + 113_287 * 10**6
    assert found["together"] == 10 * 3540 * 32 * 100 + 10 * looked
    assert found["scst"] == 20 * 1770 * 64 * 1000 + 20 * looked + 113_287 * 10**6
    assert found["whole"] == sum(found[name] for name in ("pretrain", "decoder", "together", "scst"))
    assert paper_cost.hours(312e12 * 3600) == pytest.approx([5.0, 50.0])


def test_bytes_of_a_file_by_kind(tmp_path):
    """Weights, biases, scales and zero points, and what is float, each by its own bytes; the rest is the graph."""
    held = {
        "weight": np.ones((3, 4), np.int8),
        "scale": np.ones(3, np.float32),
        "zero": np.zeros(3, np.int8),
        "bias": np.zeros(5, np.int32),
        "gamma": np.ones(2, np.float32),
        "axes": np.zeros(1, np.int64),
    }
    node = helper.make_node("DequantizeLinear", ["weight", "scale", "zero"], ["y"], axis=0)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, (3, 4))
    graph = helper.make_graph([node], "g", [], [out], [numpy_helper.from_array(v, k) for k, v in held.items()])
    model = helper.make_model(graph)
    helper.set_model_props(model, {"words": "abcdef"})
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    found = sizes.contents(path)
    assert sum(found.values()) == path.stat().st_size
    assert found.pop("graph") > 0
    assert found == {
        "weights": 12,
        "scales and zero points": 12 + 3,
        "biases": 20,
        "float": 8,
        "constants": 8,
        "words and state": 6,
    }


def quantized_layer() -> onnx.ModelProto:
    """One layer as onnxruntime's quantizer writes it: Q and DQ around a Gemm with int8 weights, a scale a row."""
    rng = np.random.default_rng(0)
    held = {
        "x_step": np.float32(0.02), "x_zero": np.int8(-3), "y_step": np.float32(0.05), "y_zero": np.int8(7),
        "weight": rng.integers(-127, 128, (8, 16), np.int8), "steps": rng.uniform(0.01, 0.02, 8).astype(np.float32),
        "zeros": np.zeros(8, np.int8), "bias": rng.integers(-500, 500, 8).astype(np.int32),
    }  # fmt: skip
    held |= {"bias_steps": held["steps"] * held["x_step"], "bias_zeros": np.zeros(8, np.int32)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_step", "x_zero"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "x_step", "x_zero"], ["x_dq"]),
        helper.make_node("DequantizeLinear", ["weight", "steps", "zeros"], ["w_dq"], axis=0),
        helper.make_node("DequantizeLinear", ["bias", "bias_steps", "bias_zeros"], ["b_dq"], axis=0),
        helper.make_node("Gemm", ["x_dq", "w_dq", "b_dq"], ["product"], transB=1),
        helper.make_node("QuantizeLinear", ["product", "y_step", "y_zero"], ["y_q"]),
        helper.make_node("DequantizeLinear", ["y_q", "y_step", "y_zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_onnxruntime_is_given_the_same_layer_in_the_form_that_it_fuses(tmp_path):
    """uint8 activations and a turned matrix change no result, and the Gemm becomes an integer one."""
    found = {}
    for name, change in (("as it is", lambda g: g), ("changed", lambda g: int8_steps.turned(int8_steps.unsigned(g)))):
        call, row = int8_steps.onnxruntime_step(change(quantized_layer()).SerializeToString(), {}, tmp_path)
        found[name] = call()[0]
    assert (found["as it is"] == found["changed"]).all() and len(np.unique(found["changed"])) > 4
    assert row["fused"] == {"QGemm": 1} and row["unfused"] == {}


def test_turns_time_every_call_and_take_the_best():
    """As many calls as rounds, repetitions and warm calls make; the best is no slower than the median."""
    seen, order = {"a": 0, "b": 0}, []

    def call(name: str) -> None:
        seen[name] += 1

    before = {name: lambda name=name: order.append(name) for name in seen}
    times = limits.turns({name: lambda name=name: call(name) for name in seen}, 7, repeat=3, warm=2, before=before)
    assert seen == {"a": 35, "b": 35} and order == ["a", "b"] * 7
    assert all(0 < row["best"] <= row["median"] for row in times.values())


def test_flushing_touches_every_array_and_changes_none():
    """A processor without the instruction gives None; arrays keep their numbers; what is no memory is refused."""
    pytest.importorskip("cffi")
    try:
        ffi, lib = limits.limits()
    except RuntimeError as none:
        pytest.skip(str(none))
    arrays = [np.arange(1000, dtype=np.int32), np.arange(7, dtype=np.int8)]
    flush = limits.flusher(arrays)
    assert (flush is None) == (lib.uvlm_flush(ffi.from_buffer("int8_t[]", arrays[1]), 7) < 0)
    assert lib.uvlm_flush(ffi.NULL, 7) == lib.uvlm_flush(ffi.from_buffer("int8_t[]", arrays[1]), 0) == -1
    if flush is not None:
        flush()
    assert (arrays[0] == np.arange(1000)).all() and (arrays[1] == np.arange(7)).all()


def test_steps_far_and_near_are_measured_beside_reading():
    """Far, each call and the reading are flushed before every turn; near, each comes after a few of its own."""
    pytest.importorskip("cffi")
    try:
        limits.limits()
    except RuntimeError as none:
        pytest.skip(str(none))
    buffer, seen = np.ones(4096, np.int8), {"a": 0, "flush a": 0, "flush read": 0}

    def count(name: str) -> None:
        seen[name] += 1

    calls = {"a": lambda: count("a")}
    row, times = int8_steps.beside_reading(buffer, "plain", calls, 5)
    assert seen == {"a": 5 * (1 + int8_steps.NEAR), "flush a": 0, "flush read": 0}
    assert row["GB/s"] > 0 and times.keys() == {"read", "a"}
    flushes = {"read": lambda: count("flush read"), "a": lambda: count("flush a")}
    int8_steps.beside_reading(buffer, "plain", calls, 5, flushes)
    assert seen["a"] == 5 * (1 + int8_steps.NEAR) + 5 and seen["flush a"] == 5
    assert seen["flush read"] == 5 + 60 * len(limits.STREAMS)


def test_placed_constants_are_the_same_numbers_in_one_block():
    """Every array keeps its numbers and type, begins at a whole line of the cache, and shares one block's memory."""
    arrays = {"weight": np.arange(-60, 60, dtype=np.int8).reshape(8, 15), "bias": np.arange(8, dtype=np.int32)}
    once = int8_steps.Record("gemm", ("x",), ("y",), {}, arrays)
    twice = int8_steps.Record("logits", ("y",), ("z",), {}, {"weight": arrays["weight"]})
    made = int8_steps.placed(int8_steps.Program((once, twice), ("x",), ("z",)))
    for old, new in zip((once, twice), made.records, strict=True):
        for name, array in old.arrays.items():
            assert (new.arrays[name] == array).all() and new.arrays[name].dtype == array.dtype
            assert new.arrays[name].ctypes.data % int8_steps.LINE == 0
    assert made.records[1].arrays["weight"] is made.records[0].arrays["weight"]
    assert int8_steps.in_bytes(list(made.records))["bytes"] == 120 + 32


def test_words_for_a_ratio_are_those_at_which_it_is_reached():
    """At the vocabulary found the steps have the published ratio; where none would do there is none."""
    alone, output = {int8_steps.SSM: 60.0, int8_steps.LSTM: 150.0}, {int8_steps.SSM: 200.0, int8_steps.LSTM: 200.0}
    found = int8_steps.words(alone, output, 10.0)
    share = found / int8_steps.paper.VOCABULARY
    ratio = (60 + 200 * share) / (160 + 200 * share)
    assert ratio == pytest.approx(int8_steps.PUBLISHED, abs=1e-3)
    assert int8_steps.words({**alone, int8_steps.SSM: 140.0}, output, 0.0) is None
