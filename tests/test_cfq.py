"""Two int8 networks with one interface: what is coordinated, what is int8, what it costs, and what is refused."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from tests.conftest import TINY
from uvlm_mini import cli, search
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.datasets.vocab import BOS, SPECIALS, Vocabulary
from uvlm_mini.decoder import Context
from uvlm_mini.evaluate import caption_all
from uvlm_mini.model import UVLM, to_tensor
from uvlm_mini.paths import data_path
from uvlm_mini.quantize import cfq, export
from uvlm_mini.quantize.pair import INT8, Pair, embedding, load_as, session

MOVES = {"Unsqueeze", "Reshape", "Split", "Concat", "Resize"}  # numbers pass through them as they are


@pytest.fixture(scope="module")
def model() -> UVLM:
    return UVLM.load(data_path("uvlm_mini.safetensors"))


@pytest.fixture(scope="module")
def graphs(model) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    return export.encoder_graph(model), export.step_graph(model)


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    """Eight of the training split."""
    return to_tensor(CaptionSet.gather(samples("train", 8)).pictures)


@pytest.fixture(scope="module")
def int8(graphs, pictures) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    return cfq.coordinate(*graphs, pictures)


def held(graph: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {part.name: numpy_helper.to_array(part) for part in graph.graph.initializer}


def makers(graph: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in graph.graph.node for name in node.output}


def test_our_functions_stay_whole(int8) -> None:
    """One node each, under the names of the float file: onnxruntime's pre-processing would have taken them apart."""
    step = int8[1]
    ours = [(node.op_type, node.name) for node in step.graph.node if node.domain == export.DOMAIN]
    assert ours == [("LayerNorm", "norm"), ("SelectiveScan", "scan"), ("LayerNorm", "norm_out")]
    assert {f.name for f in step.functions} == {"LayerNorm", "SelectiveScan"}
    assert not int8[0].functions


def test_every_matrix_and_kernel_is_int8_with_a_scale_a_channel(int8) -> None:
    for graph in int8:
        made, constants = makers(graph), held(graph)
        for node in graph.graph.node:
            if node.op_type in ("Conv", "Gemm"):
                weight, scale, zero = (constants[name] for name in made[node.input[1]].input)
                assert weight.dtype == zero.dtype == np.int8 and not zero.any() and (weight > -128).all(), node.name
                assert scale.shape == (len(weight),), node.name
                if len(node.input) > 2:
                    assert constants[made[node.input[2]].input[0]].dtype == np.int32, node.name


def test_nothing_is_float_but_the_units(int8, graphs) -> None:
    """Every other operator reads what a DequantizeLinear gives, and a QuantizeLinear reads what it gives."""
    grn = cfq.grn_nodes(graphs[0])
    assert len(grn) == 10 * Counter(node.op_type for node in graphs[0].graph.node)["Sqrt"] > 0
    for graph in int8:
        made, constants = makers(graph), held(graph)
        readers: dict[str, set[str]] = {}
        for node in graph.graph.node:
            for name in node.input:
                readers.setdefault(name, set()).add(node.op_type)
        seen = Counter()
        for node in graph.graph.node:
            unit = node.domain == export.DOMAIN or node.name in grn
            if unit or node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                continue
            for name in node.input:
                assert name not in made or made[name].op_type == "DequantizeLinear", (node.name, name)
                if name in constants:  # axes, shapes and sizes; Resize has its scales in float
                    assert constants[name].dtype == np.int64 or node.op_type == "Resize", (node.name, name)
            for name in node.output:
                assert readers[name] == {"QuantizeLinear"}, (node.name, name)
                seen[node.op_type] += 1
        assert seen["Conv"] and seen["HardSwish"]


def test_grn_is_float_inside_and_int8_outside(int8, graphs, pictures) -> None:
    """Ten nodes a unit without a Q/DQ between; quantized one by one they would lose most of the signal."""
    grn, made = cfq.grn_nodes(graphs[0]), makers(int8[0])
    for first in range(0, len(grn), 10):
        unit = [node for node in int8[0].graph.node if node.name in grn[first : first + 10]]
        inside = {name for node in unit for name in node.output}
        entering = {name for node in unit for name in node.input if name in made} - inside
        assert {made[name].op_type for name in entering} == {"DequantizeLinear"} and len(entering) == 1
    runs = [{"picture": one[None].numpy()} for one in pictures]
    apart = cfq.quantized(graphs[0], runs, cfq.MODES["GRN in int8"])
    real, ours, theirs = (Pair(encoder, graphs[1]).encode(pictures).x for encoder in (graphs[0], int8[0], apart))
    noise, more = ((real - found).square().mean() for found in (ours, theirs))
    assert more > 3 * noise


def test_a_picture_is_its_bytes(int8, pictures) -> None:
    """Scale 1/128 and zero point 0: int8 pixels are the bytes less 128, nothing is lost at the entrance."""
    assert cfq.scales(int8[0])["picture"] == (1 / 128, 0)
    byte = next(samples("train", 1)).picture.astype(int) - 128
    assert np.array_equal(pictures[0].numpy() * 128, byte.transpose(2, 0, 1))


def test_both_sides_of_an_interface_share_scale_and_zero_point(int8, graphs, pictures) -> None:
    encoder, step = map(cfq.scales, int8)
    assert all(encoder[name] == step[name] for name in Context._fields)
    assert step["y"] == step["y_next"]
    apart = cfq.coordinate(*graphs, pictures, cfq.MODES["independent"])
    assert cfq.scales(apart[0]) == encoder  # the encoder is the same: only the decoder was calibrated elsewhere
    own = cfq.scales(apart[1])
    assert any(own[name] != encoder[name] for name in Context._fields) and own["y"] == own["y_next"]


def test_nothing_is_rounded_at_the_interface(int8, pictures) -> None:
    """What the encoder hands over, quantized as the step quantizes it, is the same integers."""
    found = session(int8[0]).run(list(Context._fields), {"picture": pictures[:1].numpy()})
    for name, values in zip(Context._fields, found, strict=True):
        scale, zero = cfq.scales(int8[1])[name]
        numbers = values / np.float32(scale) + zero
        assert np.abs(numbers - np.rint(numbers)).max() < 1e-3, name
        assert np.rint(numbers).min() >= -128 and np.rint(numbers).max() <= 127, name


def test_the_decoder_is_calibrated_on_the_int8_encoder(int8, graphs, pictures) -> None:
    """The steps of a roll-out have the int8 encoder's features, whole captions, and each the state of the last."""
    seen = cfq.roll_out(Pair(int8[0], graphs[1]), pictures[:2]).inputs
    pair, step = Pair(int8[0], graphs[1]), session(graphs[1])
    context = pair.encode(pictures[:2])
    found = search.greedy(pair.decoder, pictures[:2])
    lengths = [len(f.tokens) + 1 for f in found]
    assert len(seen) == sum(lengths)
    for row, first in ((0, 0), (1, lengths[0])):
        for inputs in seen[first : first + lengths[row]]:
            for name in Context._fields:
                assert np.array_equal(inputs[name][0], getattr(context, name)[row].numpy()), name
    assert not seen[0]["h"].any() and not seen[0]["y"].any()
    h, y = step.run(["h_next", "y_next"], seen[0])
    assert np.array_equal(seen[1]["h"], h) and np.array_equal(seen[1]["y"], y)
    heard = [step["word"][0] for step in seen[: lengths[0]]]
    said = pair.decoder.word(torch.tensor([BOS, *found[0].tokens])).numpy()
    assert np.array_equal(heard, said)


def test_independent_is_calibrated_on_the_float_encoder(graphs, pictures, monkeypatch) -> None:
    used = []
    real = cfq.roll_out

    def spy(pair, tensors):
        used.append(pair.encode(tensors[:1]).x)
        return real(pair, tensors)

    monkeypatch.setattr(cfq, "roll_out", spy)
    cfq.coordinate(*graphs, pictures[:4], cfq.MODES["independent"])
    cfq.coordinate(*graphs, pictures[:4], cfq.MODES["cfq"])
    float_x = Pair(*graphs).encode(pictures[:1]).x
    assert torch.equal(used[0], float_x) and not torch.equal(used[1], float_x)


def test_the_embedding_is_stored_once(model, int8) -> None:
    """Output matrix and table are the same int8 rows, each within half a step of the float one."""
    table = embedding(int8[1])
    real = model.decoder.embedding.weight.detach().numpy()
    half = np.abs(real).max(1, keepdims=True) / 127 / 2
    assert (np.abs(table - real) <= half * 1.001).all()
    size = real.size
    assert sum(part.size == size for part in held(int8[1]).values()) == 1


def test_the_range_of_the_state(int8, graphs, pictures) -> None:
    about = {entry.key: entry.value for entry in int8[1].metadata_props}
    largest = np.array(json.loads(about["state"]))
    seen = cfq.roll_out(Pair(int8[0], graphs[1]), pictures).inputs
    most = np.abs(np.concatenate([step["h"] for step in seen])).max((0, 2))
    assert largest == pytest.approx(most, rel=1e-4, abs=1e-5)


def test_a_float_pair_captions_like_the_model(model, graphs, pictures) -> None:
    pair = Pair(*graphs)
    assert pair.vocabulary.words == model.vocabulary.words and pair.config.longest == model.config.longest
    ours, _ = caption_all(pair, (pictures * 128 + 128).byte().movedim(1, -1).numpy())
    theirs = search.beam(model.decoder, model.encoder(pictures), 3, model.config.longest)
    assert [f.tokens for f in ours] == [best[0].tokens for best in theirs]
    assert [f.log_prob for f in ours] == pytest.approx([best[0].log_prob for best in theirs], abs=1e-3)


def test_int8_is_close_to_float(graphs, int8, pictures) -> None:
    """The signal stands well above the noise at the interface, and most captions are the same."""
    one, other = Pair(*graphs), Pair(*int8)
    for name in Context._fields:
        real, made = (getattr(pair.encode(pictures), name) for pair in (one, other))
        assert 10 * torch.log10(real.square().mean() / (real - made).square().mean()) > 20, name
    found = [[f.tokens for f in search.greedy(pair.decoder, pictures)] for pair in (one, other)]
    assert sum(a == b for a, b in zip(*found, strict=True)) >= 7


def test_methods_and_modes_differ_where_they_should(graphs, int8, pictures) -> None:
    runs = [{"picture": one[None].numpy()} for one in pictures]
    wide = cfq.scales(int8[0])
    tight = cfq.scales(cfq.quantized(graphs[0], runs, replace(cfq.CFQ, method="percentile")))
    assert tight.keys() == wide.keys()
    assert all(tight[name][0] <= wide[name][0] * 1.02 for name in wide if name != "picture")
    assert sum(tight[name][0] < wide[name][0] * 0.999 for name in wide) > 5
    entropy = cfq.scales(cfq.quantized(graphs[0], runs[:3], replace(cfq.CFQ, method="entropy")))
    assert entropy != wide and entropy != tight
    coarse = cfq.quantized(graphs[0], runs, cfq.MODES["per tensor"])
    made, constants = makers(coarse), held(coarse)
    assert all(constants[made[n.input[1]].input[1]].size == 1 for n in coarse.graph.node if n.op_type == "Conv")


@pytest.mark.parametrize("mode", ["dynamic", "weights"])
def test_float_activations(graphs, int8, pictures, mode) -> None:
    """No calibrated scale; the pair captions all the same, and the embedding is still the int8 one."""
    pair = cfq.coordinate(*graphs, pictures[:4], cfq.MODES[mode])
    kinds = Counter(node.op_type for graph in pair for node in graph.graph.node)
    assert not cfq.scales(pair[0]) and not kinds["QuantizeLinear"]
    if mode == "dynamic":
        assert kinds["ConvInteger"] and kinds["MatMulInteger"] and not kinds["Gemm"] and not kinds["Conv"]
    assert np.allclose(embedding(pair[1]), embedding(int8[1]), atol=1e-6)
    found = [[f.tokens for f in search.greedy(Pair(*two).decoder, pictures)] for two in (graphs, pair)]
    assert sum(a == b for a, b in zip(*found, strict=True)) >= 7


def test_a_graph_is_left_as_it_is(graphs, pictures) -> None:
    before = graphs[0].SerializeToString(deterministic=True)
    cfq.quantized(graphs[0], [{"picture": pictures[:1].numpy()}])
    assert graphs[0].SerializeToString(deterministic=True) == before


# --------------------------------------------------------------------------------------------------------------------
# files, bad input, the commands


@pytest.fixture(scope="module")
def tiny() -> UVLM:
    torch.manual_seed(0)
    return UVLM(TINY, Vocabulary([f"w{i}" for i in range(9)])).eval()


def some(n: int, side: int = TINY.encoder.image) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        (some(0), "0 pictures are too few to calibrate on; give 4 at least"),
        (some(3), "3 pictures are too few"),
        (some(4, 32), "not \\(4, 32, 32, 3\\) uint8"),
        (some(4).astype(np.float32), "not \\(4, 64, 64, 3\\) float32"),
    ],
)
def test_pictures_that_are_refused(tiny, tmp_path, pictures, said) -> None:
    with pytest.raises(ValueError, match=said):
        cfq.calibrate(tiny, pictures, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_method(tiny, tmp_path) -> None:
    with pytest.raises(ValueError, match="no calibration method 'median'; use one of minmax, percentile, entropy"):
        cfq.calibrate(tiny, some(4), tmp_path, replace(cfq.CFQ, method="median"))


def test_numbers_that_are_none(tmp_path) -> None:
    torch.manual_seed(0)
    broken = UVLM(TINY, Vocabulary(["a"])).eval()
    with torch.no_grad():
        broken.decoder.gcdm.gate_x.bias[0] = torch.nan
    with pytest.raises(ValueError, match="Calibration input 0 gives gate that is no finite number"):
        cfq.quantized(export.encoder_graph(broken), [{"picture": np.zeros((1, 3, 64, 64), np.float32)}])


def test_the_wrong_kind_of_file(tiny, tmp_path) -> None:
    paths = cfq.calibrate(tiny, some(4), tmp_path)
    assert [path.name for path in paths] == list(INT8.values())
    export.export(tiny, tmp_path)
    with pytest.raises(ValueError, match=r"encoder.onnx is float, and int8 is expected here; .*`uvlm quantize`"):
        load_as(tmp_path / "encoder.onnx", True)
    with pytest.raises(ValueError, match=r"encoder_int8.onnx is int8, and float is expected here; .*`uvlm export`"):
        load_as(paths[0], False)
    with pytest.raises(FileNotFoundError, match="There is no int8 file"):
        Pair.load(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="int8 already"):
        cfq.quantized(onnx.load(str(paths[0])), [{"picture": np.zeros((1, 3, 64, 64), np.float32)}])
    with pytest.raises(ValueError, match="nothing to calibrate on"):
        cfq.quantized(export.encoder_graph(tiny), [])
    step = onnx.load(str(paths[1]))
    del step.metadata_props[:]
    with pytest.raises(ValueError, match=f"holds 0 words for an output matrix of {len(SPECIALS) + 9}"):
        Pair(onnx.load(str(paths[0])), step)


def test_both_files_or_neither(tiny, tmp_path, monkeypatch) -> None:
    for name in INT8.values():
        (tmp_path / name).write_text("old")
    monkeypatch.setattr(cfq.os, "replace", lambda *a: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        cfq.calibrate(tiny, some(4), tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(INT8.values(), "old")


def test_the_commands(tmp_path, capsys) -> None:
    """From the shipped weights to scores of the int8 files, and sentences for what is wrong."""
    folder = str(tmp_path / "int8")
    assert cli.main(["quantize", "--out", folder, "--pictures", "4", "--lot", "1"]) == 0
    printed = capsys.readouterr()
    assert "encoder_int8.onnx: " in printed.out and "rolling captions out" in printed.err
    assert cli.main(["evaluate", "--onnx", folder, "--limit", "12", "--no-java"]) == 0
    told = capsys.readouterr().out
    assert "12 pictures of test, beam 3" in told and "CIDEr" in told and "unlike" not in told
    for wrong, said in (
        (["quantize", "--out", folder, "--pictures", "3"], "3 pictures are too few"),
        (["quantize", "--out", folder, "--pictures", "0"], "--pictures is 1 or more"),
        (["quantize", "--out", folder, "--mode", "best"], "no mode 'best'; use one of cfq, "),
        (["evaluate", "--onnx", folder, "--float"], "There is no float file"),
        (["evaluate", "--float"], "give their folder with --onnx"),
    ):
        assert cli.main(wrong) == 2
        assert said in capsys.readouterr().err
