"""The integer captioner against the same int8 files in onnxruntime: every layer, and what both say of pictures.

python -m benchmarks.integer          about ten minutes on an idle core

Layers get the int8 values that onnxruntime has there, so that errors do not add up from one to the next. GRN, LayerNorm
and SelectiveScan are float inside in onnxruntime.
Chapter 8 reads the result.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small matrices: two threads would wait for each other

import time
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from onnx import ModelProto, TensorProto, helper
from onnxruntime import InferenceSession

from benchmarks import record
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.datasets.vocab import BOS, EOS, PAD
from uvlm_mini.evaluate import caption_all
from uvlm_mini.metrics import cider, truthfulness
from uvlm_mini.model import UVLM, to_tensor
from uvlm_mini.quantize import cfq, export
from uvlm_mini.quantize.integer import Captioner
from uvlm_mini.quantize.integer_graph import Compiled, compile_graph
from uvlm_mini.quantize.integer_ops import KERNELS
from uvlm_mini.quantize.pair import Pair, embedding, session

WEIGHTS = "data/uvlm_mini.safetensors"
QUANTIZE = [f"uvlm_mini/quantize/{name}.py" for name in (
    "cfq", "export", "fixed", "integer", "integer_graph", "integer_ops", "integer_search", "integer_units", "pair",
    "tables",
)]  # fmt: skip
SOURCES = [
    WEIGHTS,
    "benchmarks/integer.py",
    "uvlm_mini/datasets/drawing.py",
    "uvlm_mini/datasets/grammar.py",
    "uvlm_mini/datasets/scenes.py",
    "uvlm_mini/metrics.py",
    *QUANTIZE,
    "uvlm_mini/search.py",
]
CALIBRATION, TEST, LAYERS, SMALL = 64, 1000, 8, 12  # pictures


class Watched(NamedTuple):
    """An int8 file in onnxruntime with all its int8 values as outputs, and the same file in integers."""

    compiled: Compiled
    runs: InferenceSession
    names: list[str]

    def values(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Everything that onnxruntime has on the way: int8 values by the names that they have in the records, and the
        graph's outputs, with " in float" behind the name."""
        found = dict(zip(self.names, self.runs.run(self.names, given), strict=True))
        values = {name: value for name, value in found.items() if value.dtype == np.int8}
        for name in (*given, *found):
            if f"{name}_QuantizeLinear_Output" in values:
                values[name] = values[f"{name}_QuantizeLinear_Output"]
        return values | {f"{name} in float": v for name, v in found.items() if v.dtype != np.int8}


def watched(model: ModelProto) -> Watched:
    """An int8 graph to look into."""
    model = ModelProto.FromString(model.SerializeToString())
    compiled = compile_graph(model)
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            model.graph.output.append(helper.make_tensor_value_info(node.output[0], TensorProto.INT8, None))
    return Watched(compiled, session(model), [value.name for value in model.graph.output])


def differences(compiled: Compiled, values: dict[str, np.ndarray]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Kind and output of every record that makes int8, and how many units it differs from what `values` has there."""
    own: dict[str, np.ndarray] = {}  # changes of scale that the file leaves to floating point
    for r in compiled.program.records:
        made = KERNELS[r.kind](r, *(values[name] if name in values else own[name] for name in r.inputs))
        for name, value in zip(r.outputs, made if isinstance(made, tuple) else (made,), strict=True):
            own[name] = value
            if value.dtype == np.int8 and name in values:
                yield r.kind, name, value.astype(int) - values[name].reshape(value.shape)


def pictures(split: str, n: int) -> np.ndarray:
    """The first pictures of a split."""
    return np.stack([sample.picture for sample in islice(samples(split), n)])


@lru_cache(maxsize=2)
def pair(n: int = CALIBRATION) -> tuple[ModelProto, ModelProto]:
    """The int8 pair of the shipped weights, calibrated on the first pictures of the training split."""
    model = UVLM.load(record.ROOT / WEIGHTS)
    graphs = export.encoder_graph(model), export.step_graph(model)
    return cfq.coordinate(*graphs, to_tensor(pictures("train", n)))


def steps(step: Watched, table: np.ndarray, context: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Values of every step of a greedy caption in onnxruntime, with the state as the int16 numbers next to it."""
    shapes = {i.name: i.shape for i in step.runs.get_inputs()}
    state = {name: np.zeros(shapes[name], np.float32) for name in ("h", "y")}
    unit = step.compiled.rows["h"][:, None]
    token = BOS
    while token != EOS:
        found = step.values({"word": table[[token]], **context, **state})
        yield found | {"h": np.clip(np.rint(state["h"] / unit), -(2**15), 2**15 - 1).astype(np.int16)}
        logits = found["logits in float"]
        logits[:, [PAD, BOS]] = -np.inf
        state, token = {name: found[f"{name}_next in float"] for name in state}, int(logits.argmax())


def layers(graphs: tuple[ModelProto, ModelProto], n: int) -> dict[str, dict[str, Any]]:
    """For every kind of operator: how many layers and values, and how far they are from onnxruntime's."""
    encoder, step = map(watched, graphs)
    rows = embedding(graphs[1])
    table = rows * np.float32(rows.shape[1] ** 0.5)
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    for one in to_tensor(pictures("test", n)).numpy():
        values = encoder.values({"picture": one[None]})
        context = {name: values[f"{name} in float"] for name in encoder.compiled.program.outputs}
        seen = [("encoder", *d) for d in differences(encoder.compiled, values)]
        for now in steps(step, table, context):
            seen += [("step", *d) for d in differences(step.compiled, now)]
        for part, kind, name, difference in seen:
            found.setdefault(kind, {}).setdefault(f"{part} {name}", []).append(np.abs(difference).ravel())
    made = {}
    for kind, by_layer in found.items():
        each = [np.concatenate(parts) for parts in by_layer.values()]
        made[kind] = {
            "layers": len(each),
            "values": sum(map(len, each)),
            "equal": float(np.mean(np.concatenate(each) == 0)),
            "within 1": float(np.mean(np.concatenate(each) <= 1)),
            "worst layer within 1": min(float(np.mean(part <= 1)) for part in each),
            "largest": max(int(part.max()) for part in each),
        }
    return made


def captions(graphs: tuple[ModelProto, ModelProto], n: int) -> dict[str, float]:
    """What the integer captioner says of test pictures, beside onnxruntime's pair and the float model."""
    data = CaptionSet.gather(samples("test", n))
    captioner, other, model = Captioner.of(*graphs), Pair(*graphs), UVLM.load(record.ROOT / WEIGHTS)
    ours = [captioner.decoder.text(found) for found in captioner.captions(data.pictures)]
    said = {"integer": ours}
    for name, one in (("onnxruntime", other), ("float", model)):
        found, _ = caption_all(one, data.pictures)  # type: ignore[arg-type]
        said[name] = [one.vocabulary.decode(f.tokens) for f in found]
    row: dict[str, float] = {
        f"equal to {name}": float(np.mean([a == b for a, b in zip(ours, said[name], strict=True)]))
        for name in ("onnxruntime", "float")
    }
    row["onnxruntime equal to float"] = float(
        np.mean([a == b for a, b in zip(said["onnxruntime"], said["float"], strict=True)])
    )
    for name, lines in said.items():
        row[f"CIDEr of {name}"] = cider(lines, data.captions)
        row[f"right of {name}"] = truthfulness(lines, data.scenes)["right"]
    return row


def small() -> dict[str, float]:
    """What both say of the first test pictures, from a pair calibrated on a few."""
    return captions(pair(8), SMALL)


def speed(n: int = 50) -> dict[str, float]:
    """Seconds of processor time a picture, beam 3, in a batch."""
    captioner, given = Captioner.of(*pair()), pictures("test", n)
    start = time.process_time()
    captioner.captions(given)
    return {"processor seconds a picture": (time.process_time() - start) / n}


def main() -> None:
    """Measure, and write the result file."""
    graphs = pair()
    rows: dict[str, Any] = {"layers": layers(graphs, LAYERS), "speed": speed()}
    print(rows, flush=True)
    rows[f"first {SMALL} of test"] = small()
    rows[f"first {TEST} of test"] = captions(graphs, TEST)
    print(rows[f"first {TEST} of test"])
    note = (
        "Speed is of one process among others; all else does not depend on the machine, but for onnxruntime's kernels."
    )
    print(record.save("integer", rows, [], SOURCES, spread=0.05, note=note))


if __name__ == "__main__":
    main()
