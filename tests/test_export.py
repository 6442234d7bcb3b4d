"""The ONNX pair: equal to PyTorch, of the operators that were promised, and refused in one sentence where it is bad."""

import json
import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from tests.conftest import ROOT, TINY
from uvlm_mini import search
from uvlm_mini.config import PRESETS, UVLMConfig
from uvlm_mini.datasets.scenes import scene
from uvlm_mini.datasets.vocab import BOS, EOS, PAD, Vocabulary
from uvlm_mini.encoder import GRN
from uvlm_mini.model import UVLM, to_tensor
from uvlm_mini.npu.check import check
from uvlm_mini.paths import data_path
from uvlm_mini.quantize import export as ex
from uvlm_mini.reparam import fuse

TOLERANCE = 1e-5  # of the largest absolute value of an output
OURS = Counter({"SelectiveScan": 1, "LayerNorm": 2})
# All that the encoder may use. None is refused by the NPU's tool; Sqrt and Div belong to GRN.
PLAIN = {"Conv", "HardSwish", "Add", "Mul", "Div", "Sqrt", "ReduceMean", "AveragePool", "Resize", "Concat", "Gemm"}
INPUTS = ["word", "x", "signal", "gate", "h", "y"]


def randomised(config: UVLMConfig, words: int = 23) -> UVLM:
    """A model in train form, none of whose parts is at its first value: zeros and ones would hide mistakes."""
    model = UVLM(config, Vocabulary([f"w{i}" for i in range(words)])).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
            if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
            if isinstance(module, GRN):
                module.gamma.normal_(0, 0.3)
                module.beta.normal_(0, 0.1)
        model.decoder.fusion.place.normal_(0, 0.3)
        model.decoder.ssm.D.normal_(1, 0.5)
    return model


def session(model: onnx.ModelProto | Path) -> onnxruntime.InferenceSession:
    """The model in plain onnxruntime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    data = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def counted(model: onnx.ModelProto, domain: str) -> Counter[str]:
    """How many nodes of each operator of a domain stand in the graph."""
    return Counter(node.op_type for node in model.graph.node if node.domain == domain)


def difference(found: np.ndarray, expected: torch.Tensor) -> float:
    """The largest difference, as a share of the largest absolute value that was expected."""
    assert found.shape == expected.shape and found.dtype == np.float32
    return float(np.abs(found - expected.numpy()).max() / expected.abs().max())


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The weights and other constants of a graph, by name."""
    return {part.name: onnx.numpy_helper.to_array(part) for part in model.graph.initializer}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
@torch.inference_mode()
def test_pair_equals_pytorch_for_every_preset(name: str) -> None:
    """Pictures and six words through both, every output of every step, the ONNX pair on what it gave itself."""
    model = randomised(PRESETS[name])
    with torch.inference_mode(False):
        graphs = ex.encoder_graph(model), ex.step_graph(model)
    encoder, step = map(session, graphs)
    words = ex.word_vectors(model)
    logits, firsts = torch.zeros(1), []
    for seed in range(2):
        torch.manual_seed(seed)
        side = model.config.encoder.image
        picture = torch.rand(1, 3, side, side) * 2 - 1
        picture[:, :, : side // 2] *= seed  # else two pictures of noise look alike to it
        context = model.encode(picture)
        given = encoder.run(None, {"picture": picture.numpy()})
        assert [difference(f, e) < TOLERANCE for f, e in zip(given, context, strict=True)] == [True] * 3
        firsts.append(context.x)
        state = model.decoder.start(context)
        held = [part.numpy() for part in state]
        for token in (BOS, 5, 9, 4, 20, 7):
            logits, state = model.step(torch.tensor([token]), context, state)
            said, *held = step.run(None, dict(zip(INPUTS, (words[[token]], *given, *held), strict=True)))
            for found, expected in zip((said, *held), (logits, *state), strict=True):
                assert difference(found, expected) < TOLERANCE
    assert (firsts[0] - firsts[1]).abs().max() > 0.01 * firsts[0].abs().max()  # the picture matters
    assert logits.std() > 0.01
    for graph in graphs:
        ex.check(graph, name)


@pytest.fixture(scope="module")
def shipped() -> UVLM:
    """The shipped weights."""
    return UVLM.load(data_path("uvlm_mini.safetensors"))


@pytest.fixture(scope="module")
def pair(shipped: UVLM, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Their two files."""
    return ex.export(shipped, tmp_path_factory.mktemp("pair") / "new" / "folder")


def test_greedy_search_word_by_word(shipped: UVLM, pair: tuple[Path, Path]) -> None:
    """An application with NumPy and onnxruntime alone says of twenty pictures what greedy search in PyTorch says."""
    encoder, step = map(session, pair)
    words, config = ex.word_vectors(shipped), shipped.config.decoder
    captions = []
    for i in range(20):
        picture = to_tensor(scene("test", i).draw())[None]
        context = encoder.run(None, {"picture": picture.numpy()})
        h = np.zeros((1, config.expand * config.hidden, config.states), np.float32)
        y = np.zeros((1, config.hidden), np.float32)
        token, tokens = BOS, []
        while token != EOS and len(tokens) <= shipped.config.longest:
            logits, h, y = step.run(None, dict(zip(INPUTS, (words[[token]], *context, h, y), strict=True)))
            logits[0, [PAD, BOS]] = -np.inf
            token = int(logits[0].argmax())
            tokens.append(token)
        with torch.inference_mode():
            (found,) = search.greedy(shipped.decoder, shipped.encoder(picture), shipped.config.longest)
        assert found.ended and tokens == [*found.tokens, EOS]
        captions.append(tuple(tokens))
    assert len(set(captions)) > 10 and min(map(len, captions)) > 3


def test_operators(pair: tuple[Path, Path]) -> None:
    """The encoder is plain; the step has three nodes of ours, each a function in the file, and no other norm."""
    encoder, step = map(ex.load, pair)
    assert set(counted(encoder, "")) == PLAIN and not encoder.functions
    assert {node.domain for node in encoder.graph.node} == {""}
    assert counted(encoder, "")["HardSwish"] > 10
    assert counted(step, ex.DOMAIN) == OURS
    assert {node.domain for node in step.graph.node} == {"", ex.DOMAIN}
    assert {f.name: f.domain for f in step.functions} == dict.fromkeys(OURS, ex.DOMAIN)
    assert [node.name for node in step.graph.node if node.domain] == ["norm", "scan", "norm_out"]
    inside = {"Exp", "Softplus", "Sqrt", "Div", "MatMul", "LayerNormalization"}
    assert not inside & set(counted(step, "")) and counted(step, "")["Gemm"] == 10
    for model in (encoder, step):
        assert [part.version for part in model.opset_import if not part.domain] == [ex.OPSET]


def test_the_npu_refuses_no_node(pair: tuple[Path, Path]) -> None:
    """By the tables of `uvlm check`; in software run what GRN is made of, and in the step the functions of ours."""
    for path, in_software in zip(pair, ({"ReduceMean", "Div"}, {"LayerNorm", "SelectiveScan"}), strict=True):
        nodes = check(path, "stm32n6").nodes
        assert len(nodes) > 30 and not {node.where for node in nodes} & {"refused", "unknown"}
        assert {node.op.split("::")[-1] for node in nodes if node.where == "software"} == in_software


def test_enlarging_is_nearest_with_constant_scales(shipped: UVLM, pair: tuple[Path, Path]) -> None:
    """As the NPU takes it: nearest, asymmetric, floor, and scales that stand in the file."""
    encoder = ex.load(pair[0])
    values = constants(encoder)
    resizes = [node for node in encoder.graph.node if node.op_type == "Resize"]
    assert len(resizes) == sum(shipped.config.encoder.mod_depths) + 1 + 2  # GSM, merge, and two of the fusion
    for node in resizes:
        how = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        wanted = (how["mode"], how["coordinate_transformation_mode"], how["nearest_mode"])
        assert wanted == (b"nearest", b"asymmetric", b"floor")
        scales = values[node.input[2]]
        assert list(scales[:2]) == [1, 1] and scales[2] == scales[3] and scales[2] in (2, 4)


def test_inputs_and_outputs(shipped: UVLM, pair: tuple[Path, Path]) -> None:
    """Names and fixed shapes, as the docstrings say; the table of words is the scaled embedding."""
    encoder, step = map(session, pair)
    c, s = shipped.config.decoder.features, shipped.config.decoder.side
    hidden, inner, n = 160, 320, 16
    context = {"x": [1, c, s, s], "signal": [1, c, s, s], "gate": [1, c]}
    assert {i.name: i.shape for i in encoder.get_inputs()} == {"picture": [1, 3, 64, 64]}
    assert {o.name: o.shape for o in encoder.get_outputs()} == context
    state = {"h": [1, inner, n], "y": [1, hidden]}
    assert {i.name: i.shape for i in step.get_inputs()} == {"word": [1, hidden], **context, **state}
    after = {"logits": [1, len(shipped.vocabulary)], "h_next": state["h"], "y_next": state["y"]}
    assert {o.name: o.shape for o in step.get_outputs()} == after
    with torch.inference_mode():
        heard = shipped.decoder.word(torch.arange(len(shipped.vocabulary)))
    assert np.array_equal(ex.word_vectors(shipped), heard.numpy())


def test_the_pair_needs_no_checkpoint(shipped: UVLM, pair: tuple[Path, Path]) -> None:
    """The step's file knows the words, by the numbers that its logits have, and how long a caption may be."""
    about = session(pair[1]).get_modelmeta().custom_metadata_map
    assert tuple(json.loads(about["words"])) == shipped.vocabulary.words
    assert int(about["longest"]) == shipped.config.longest and about.keys() == {"words", "longest"}
    assert not session(pair[0]).get_modelmeta().custom_metadata_map


@pytest.mark.parametrize("size", [1.0, 1e-5, 1e-8])
def test_primitive_grn_equals_grn(size: float) -> None:
    """Also where the maps are so small that the number under the fraction bar counts."""
    grn = GRN(6).double()
    nn.init.normal_(grn.gamma)
    nn.init.normal_(grn.beta)
    x = size * torch.randn(1, 6, 5, 5).double()
    plain = ex.PrimitiveGRN(grn)(x) - grn.beta
    torch.testing.assert_close(plain, grn(x) - grn.beta, rtol=1e-10, atol=1e-10 * size)
    if size < 1:
        assert not torch.allclose(plain, 1e8 * (ex.PrimitiveGRN(grn)(x * 1e-8) - grn.beta), rtol=1e-3, atol=0)


def test_export_leaves_the_model_alone_and_tells_nothing_of_this_machine(tmp_path: Path) -> None:
    """Train form stays train form; train form and deploy form give the same bytes; no path is in them."""
    model = randomised(TINY)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    files = ex.export(model, tmp_path / "a")
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert model.training and isinstance(model.decoder.norm, nn.LayerNorm)
    model.decoder.step(torch.tensor([BOS]), *_started(model))  # it still looks words up
    again = ex.export(fuse(model), tmp_path / "b")  # type: ignore[arg-type]
    for one, two in zip(files, again, strict=True):
        data = one.read_bytes()
        assert data == two.read_bytes()
        assert str(ROOT).encode() not in data and b".py" not in data
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == sorted([ex.ENCODER, ex.STEP] * 2)


def _started(model: UVLM) -> tuple:
    context = model.decoder.prepare(torch.zeros(1, TINY.decoder.features, 8, 8))
    return context, model.decoder.start(context)


def test_a_full_disk_leaves_the_older_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second file cannot be written: the first is not exchanged either, and nothing lies about."""
    model, graphs = UVLM(TINY, Vocabulary(["a"])), iter([GOOD, GOOD, GOOD.replace("4", "5"), GOOD.replace("4", "5")])
    for name in ("encoder_graph", "step_graph"):
        monkeypatch.setattr(ex, name, lambda model: onnx.parser.parse_model(next(graphs)))
    before = {path: path.read_bytes() for path in ex.export(model, tmp_path)}
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name.startswith(ex.STEP):
            write(path, data[:100])
            raise OSError(28, "No space left on device", str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        ex.export(model, tmp_path)
    assert next(graphs, None) is None
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("older", [True, False], ids=["an older pair", "none"])
def test_both_files_or_neither(older: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step cannot be put in its place: the older encoder is back, or there is none; and no other file."""
    texts = [GOOD, GOOD] * older + [GOOD.replace("4", "5")] * 2
    graphs = iter(texts)
    for name in ("encoder_graph", "step_graph"):
        monkeypatch.setattr(ex, name, lambda model: onnx.parser.parse_model(next(graphs)))
    model = UVLM(TINY, Vocabulary(["a"]))
    before = {path: path.read_bytes() for path in ex.export(model, tmp_path)} if older else {}
    replace_file = os.replace

    def locked(source: Path, target: Path) -> None:
        if Path(target).name == ex.STEP:
            raise PermissionError(13, "Permission denied", str(target))
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", locked)
    with pytest.raises(PermissionError):
        ex.export(model, tmp_path)
    assert next(graphs, None) is None
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


VARIANTS = {
    "se": {"se": True},
    "no grn": {"grn": False},
    "static": {"dynamic": False},
    "no scale": {"layer_scale": None},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_ablated_encoders_export_too(changes: dict) -> None:
    """Every part that chapter 3 switches on or off, of standard operators alone and equal to PyTorch."""
    model = randomised(replace(TINY, encoder=replace(TINY.encoder, **changes)))
    graph = ex.encoder_graph(model)
    ex.check(graph, "encoder")
    assert {node.domain for node in graph.graph.node} == {""} and not graph.functions
    assert set(counted(graph, "")) <= PLAIN | {"Sigmoid"}
    picture = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        expected = model.encode(picture)
    found = session(graph).run(None, {"picture": picture.numpy()})
    assert [difference(f, e) < TOLERANCE for f, e in zip(found, expected, strict=True)] == [True] * 3


class Reader(CalibrationDataReader):
    """Gives the quantizer a list of inputs."""

    def __init__(self, rows: list[dict[str, np.ndarray]]) -> None:
        self.rows = iter(rows)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next inputs, None at the end."""
        return next(self.rows, None)


def test_static_quantization_keeps_the_functions(shipped: UVLM, pair: tuple[Path, Path], tmp_path: Path) -> None:
    """onnxruntime's quantizer leaves our nodes whole, quantizes every matrix beside them, and its file runs."""
    encoder, step = map(session, pair)
    context = encoder.run(None, {"picture": to_tensor(scene("val", 0).draw())[None].numpy()})
    words, rows = ex.word_vectors(shipped), []
    held = [np.zeros(i.shape, np.float32) for i in step.get_inputs() if i.name in "hy"]
    for token in range(BOS, BOS + 8):
        rows.append(dict(zip(INPUTS, (words[[token]], *context, *held), strict=True)))
        _, *held = step.run(None, rows[-1])
    quant_pre_process(pair[1], tmp_path / "pre.onnx", skip_optimization=True, skip_symbolic_shape=True)
    int8 = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8, "quant_format": QuantFormat.QDQ}
    quantize_static(tmp_path / "pre.onnx", tmp_path / "int8.onnx", Reader(rows), per_channel=True, **int8)
    model = ex.load(tmp_path / "int8.onnx")
    assert counted(model, ex.DOMAIN) == OURS and {f.name for f in model.functions} == set(OURS)
    assert {p.key: p.value for p in model.metadata_props}["longest"] == str(shipped.config.longest)
    makers = {name: node for node in model.graph.node for name in node.output}
    matrices = [node for node in model.graph.node if node.op_type == "Gemm"]
    assert len(matrices) == 10
    for node in matrices:
        assert [makers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
    assert (tmp_path / "int8.onnx").stat().st_size < 0.4 * pair[1].stat().st_size
    said, *_ = session(tmp_path / "int8.onnx").run(None, rows[3])
    expected, *_ = step.run(None, rows[3])
    assert 0 < np.abs(said - expected).max() < 0.2 * np.abs(expected).max()


# Bad files: small graphs in ONNX's text form, and what has to be said of each
GOOD = '<ir_version: 8, opset_import: ["": 18]> graph (float[1, 4] x) => (float[1, 4] y) { y = Relu (x) }'
BAD = {
    "unknown domain": (
        '<ir_version: 8, opset_import: ["": 18, "com.acme": 1]> '
        "graph (float[1, 4] x) => (float[1, 4] y) { y = com.acme.Magic (x) }",
        r"operator com\.acme::Magic",
    ),
    "function without a body": (
        f'<ir_version: 8, opset_import: ["": 18, "{ex.DOMAIN}": 1]> '
        f"graph (float[1, 4] x) => (float[1, 4] y) {{ y = {ex.DOMAIN}.LayerNorm (x, x, x) }}",
        r"operator uvlm\.mini::LayerNorm",
    ),
    "open shape": (GOOD.replace("[1, 4] x", "[1, N] x"), r"shape of x open, \(1, N\)"),
    "open batch": (GOOD.replace("[1, 4]", "[batch, 4]"), r"shape of x open, \(batch, 4\)"),
    "batch of two": (GOOD.replace("[1, 4]", "[2, 4]"), r"x of shape \(2, 4\), not of batch 1"),
    "old": (GOOD.replace("18", "6"), "opset 6, not 7 to 20"),
    "new": (GOOD.replace("18", "21"), "opset 21, not 7 to 20"),
    "no operators": ('<ir_version: 8, opset_import: ["": 18]> graph (float[1] x) => (float[1] x) { }', "no operators"),
    "no such operator": (GOOD.replace("Relu", "Reluu"), "no valid ONNX file"),
    "shapes disagree": (GOOD.replace("[1, 4] y", "[1, 5] y"), "no valid ONNX file"),
    "unknown domain inside": (
        '<ir_version: 8, opset_import: ["": 18, "com.acme": 1]> graph (float[1, 4] x, bool[1] c) => (float[1, 4] y) '
        "{ y = If (c) <then_branch = g () => (float[1, 4] z) { z = com.acme.Magic (x) }, "
        "else_branch = e () => (float[1, 4] w) { w = Relu (x) }> }",
        r"operator com\.acme::Magic",
    ),
}


def refused(path: Path, says: str, kind: type[Exception] = ValueError) -> None:
    """Assert that `load` answers a file in one sentence that names it and says so."""
    with pytest.raises(kind, match=says) as error:
        ex.load(path)
    said = str(error.value)
    assert str(path) in said and "\n" not in said and said.endswith(".") and len(said) < 400 + len(str(path))


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """The graph that the bad ones are made of."""
    onnx.save(onnx.parser.parse_model(GOOD), tmp_path / "good.onnx")
    assert [node.op_type for node in ex.load(tmp_path / "good.onnx").graph.node] == ["Relu"]


@pytest.mark.parametrize("what", BAD)
def test_bad_graphs_are_refused(what: str, tmp_path: Path) -> None:
    """Each with its own sentence."""
    text, says = BAD[what]
    (tmp_path / "bad.onnx").write_bytes(onnx.parser.parse_model(text).SerializeToString())
    refused(tmp_path / "bad.onnx", says)


def test_what_is_no_onnx_file_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Nothing there, a folder, other kinds of files, a file cut anywhere, one of 2 GB, weights kept elsewhere."""
    path = tmp_path / "bad.onnx"
    refused(path, "There is no ONNX file", FileNotFoundError)
    refused(tmp_path, "There is no ONNX file", FileNotFoundError)
    for data in (b"", b"a text file\n", (ROOT / "README.md").read_bytes(), bytes(range(256)) * 20):
        path.write_bytes(data)
        refused(path, "truncated or no ONNX file")
    whole = pair[1].read_bytes()
    for cut in [*range(1, len(whole), len(whole) // 12), len(whole) - 1]:
        path.write_bytes(whole[:cut])
        refused(path, "truncated or no|no operators|neither ONNX's own|opset 0")
    model = onnx.load(pair[1])
    onnx.save(model, path, save_as_external_data=True, location="weights.bin")
    refused(path, "weights in another file")
    with open(path, "wb") as file:
        file.truncate(ex.LIMIT + 1)  # takes no room on the disk
    refused(path, r"2,147,483,648 bytes, more than the 2,147,483,647")


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_missing_package_is_one_sentence(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the extra, and nothing is written."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{package} is not installed.*install uvlm_mini\[quantize\]\.$"):
        ex.export(UVLM(TINY, Vocabulary(["a"])), tmp_path / "out")
    assert not (tmp_path / "out").exists()
