"""The int8 side of benchmarks/kernels.py: whole decoder steps at the paper's size, preset b, with random weights.

Both decoders of the paper's deployment table, AttSSM and the LSTM with Bahdanau attention, become integer programs as
chapter 8 makes them, and run in C. They are built once, which takes a minute or two, and kept in runs/kernels/. Beside
AttSSM's step stands onnxruntime's of the same int8 file, in several ways of running it, since the way it is exported
is not the one that favours it on every processor.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import record, sizes
from benchmarks.decoder_cost import PAPER
from benchmarks.limits import AHEAD, FORMS, STREAMS, flusher, forms, microseconds, readers, turns
from uvlm_mini import paper
from uvlm_mini.baselines.bahdanau import BahdanauLSTM
from uvlm_mini.kernels import library
from uvlm_mini.kernels.program import CProgram
from uvlm_mini.quantize import cfq, export, integer
from uvlm_mini.quantize.integer_lstm import quantize_lstm
from uvlm_mini.quantize.integer_ops import Program, Record
from uvlm_mini.quantize.pair import load_as

PROGRAMS = [
    "benchmarks/int8_steps.py",
    "benchmarks/sizes.py",
    "uvlm_mini/baselines/bahdanau.py",
    "uvlm_mini/baselines/lstm.py",
    "uvlm_mini/config.py",
    "uvlm_mini/decoder.py",
    "uvlm_mini/encoder.py",
    "uvlm_mini/modulation.py",
    "uvlm_mini/quantize/cfq.py",
    "uvlm_mini/quantize/export.py",
    "uvlm_mini/quantize/integer.py",
    "uvlm_mini/quantize/integer_graph.py",
    "uvlm_mini/quantize/integer_lstm.py",
    "uvlm_mini/quantize/integer_ops.py",
    "uvlm_mini/quantize/integer_units.py",
    "uvlm_mini/quantize/tables.py",
    "uvlm_mini/ssm.py",
]
PICTURES, LONGEST = 8, 8  # that the LSTM is calibrated on, and words of their captions
PUBLISHED = paper.DEPLOYMENT["attssm"].ms / paper.DEPLOYMENT["lstm"].ms  # 0.66
SSM, LSTM = "AttSSM", "LSTM + Bahdanau"
PARTS = ("output", "core", "look", "rest")
LINE = 64  # bytes that the processor reads together
PLACES = 9  # copies of the weights in which the steps are timed once more
NEAR = 3  # calls before one that is timed: one brings the weights into a cache, the next make the cache keep them


class Made(NamedTuple):
    """What is built once.

    steps : the two programs of a step.
    keys : the record that makes the LSTM's keys, once a picture.
    graphs : the step of AttSSM as ONNX files: int8, int8 with scales made anew in every run, float.
    """

    steps: dict[str, Program]
    keys: Program
    graphs: dict[str, bytes]


def made() -> Made:
    """Both decoders, from runs/kernels/ if these sources have built them before."""
    path = record.ROOT / "runs" / "kernels" / f"{record.source_hash(PROGRAMS)[:16]}.pkl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(tuple(build())))
    found = Made(*pickle.loads(path.read_bytes()))
    return found._replace(steps={name: placed(program) for name, program in found.steps.items()})


def build() -> Made:
    """Both decoders with random weights, calibrated on random pictures and features."""
    model = sizes.model("b")
    with tempfile.TemporaryDirectory() as folder:
        files = cfq.calibrate(model, sizes.pictures(model.config.encoder.image), folder)
        pair = [load_as(path, True) for path in files]
    ssm = integer.Captioner.of(*pair).decoder.step
    graph = export.step_graph(model)
    dynamic = cfq.quantized(graph, [feeds(graph)], cfq.MODES["dynamic"])
    torch.manual_seed(0)
    decoder = BahdanauLSTM(PAPER, paper.VOCABULARY).eval()
    features = torch.nn.functional.hardswish(torch.randn(PICTURES, PAPER.features, PAPER.side, PAPER.side) * 2)
    words = [f"w{number}" for number in range(paper.VOCABULARY)]
    prepare, lstm, _ = quantize_lstm(decoder, features, words, LONGEST)
    keys = Program(tuple(r for r in prepare.records if r.outputs == ("keys",)), ("features",), ("keys",))
    graphs = {"int8": pair[1], "dynamic": dynamic, "float": graph}
    return Made({SSM: ssm, LSTM: lstm.step}, keys, {name: g.SerializeToString() for name, g in graphs.items()})


def feeds(graph: Any) -> dict[str, np.ndarray]:
    """Random numbers for every input of a graph."""
    rng = np.random.default_rng(0)
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.graph.input}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Of the inputs of a step, without the batch."""
    wide, side, hidden = PAPER.features, PAPER.side, PAPER.hidden
    if name == SSM:
        assert PAPER.channels is not None
        maps = {"x": (PAPER.channels, side, side), "signal": (PAPER.channels, side, side), "gate": (PAPER.channels,)}
        return {"word": (hidden,), **maps, "h": (PAPER.expand * hidden, PAPER.states), "y": (hidden,)}
    return {
        "word": (hidden,),
        "features": (wide, side, side),
        "keys": (hidden, side, side),
        "h": (hidden,),
        "c": (hidden,),
    }


def in_c(program: Program, sizes_of: dict[str, tuple[int, ...]]) -> CProgram:
    """A program in C with random numbers in its inputs; it is held against NumPy before anything is timed."""
    c = CProgram(program, sizes_of)
    rng = np.random.default_rng(0)
    given = {}
    for name in program.inputs:
        limits = np.iinfo(c.values[name].kind)
        numbers = rng.integers(limits.min // 4, limits.max // 4, (1, *sizes_of[name]))
        given[name] = numbers.astype(c.values[name].kind)
    true = program.run(given)
    for form in forms():
        found = c.run(given, form=form)
        if any((found[name] != true[name]).any() for name in true):
            raise RuntimeError(f"The form {form} in C differs from NumPy; there is nothing to be timed.")
    return c


def placed(program: Program) -> Program:
    """The program with all its constants in one block of memory, one behind the other, as a file of weights has them.

    Otherwise it would be chance which of them lie in large pages: that alone makes a third of the time.
    """
    arrays = {id(a): np.ascontiguousarray(a) for r in program.records for a in r.arrays.values()}
    ends = np.cumsum([-(-a.nbytes // LINE) * LINE for a in arrays.values()])
    block = np.empty(int(ends[-1]) + LINE, np.int8)
    first = -block.ctypes.data % LINE
    views = {}
    for (key, array), end in zip(arrays.items(), ends, strict=True):
        start = first + int(end) + -array.nbytes // LINE * LINE
        views[key] = block[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
        views[key][...] = array
    records = (replace(r, arrays={name: views[id(a)] for name, a in r.arrays.items()}) for r in program.records)
    return replace(program, records=tuple(records))


def constants(records: list[Record]) -> list[np.ndarray]:
    """All that a program holds: weights, biases, multipliers, tables. An array that two records have counts once."""
    return list({id(array): array for r in records for array in r.arrays.values()}.values())


def in_bytes(records: list[Record]) -> dict[str, int]:
    """Bytes of the int8 matrices, and of all constants."""
    matrices = [a for r in records for name, a in r.arrays.items() if name.startswith("weight")]
    return {"weights": sum(a.nbytes for a in matrices), "bytes": sum(a.nbytes for a in constants(records))}


# --------------------------------------------------------------------------------------------------------------------
# The parts of a step


def parts(name: str, program: Program) -> list[str]:
    """Which part each record belongs to.

    output : the tied output matrix.
    core : of AttSSM from in_proj to out_proj, of the LSTM both its matrices and the gates.
    look : all that looks at the picture: GCDM, Bahdanau attention and its gate, and what asks them.
    rest : what joins these: of AttSSM a projection, the join with the word, and two norms.
    """
    records = program.records
    kinds = [r.kind for r in records]
    found = ["rest"] * len(records)
    found[kinds.index("logits")] = "output"
    if name == LSTM:
        found[: kinds.index("concat")] = ["look"] * kinds.index("concat")
        found[kinds.index("lstm")] = "core"
        return found
    looked = kinds.index("mul") + 1
    while kinds[looked] == "view":
        looked += 1
    found[:looked] = ["look"] * looked
    first, last = kinds.index("layer_norm") + 1, kinds.index("gemm", kinds.index("scan"))
    found[first : last + 1] = ["core"] * (last + 1 - first)
    return found


class Segments:
    """A step in C, cut where one part ends and the next begins; the times of each part are kept.

    Parameters
    ----------
    c : the step.
    titles : what is timed together: for each record a name. Records that are views have no work.
    """

    def __init__(self, c: CProgram, program: Program, titles: list[str]) -> None:
        ffi, _ = library()
        kept = [title for title, r in zip(titles, program.records, strict=True) if r.kind != "view"]
        self.c, self.arena = c, ffi.from_buffer("int8_t[]", c.arena)
        self.cuts: list[tuple[str, Any]] = []
        at = 0
        for title, group in groupby(kept):
            count = len(list(group))
            self.cuts.append((title, ffi.new("uvlm_program *", {"records": c.program.records + at, "count": count})))
            at += count
        self.times: dict[tuple[str, str], list[float]] = {}

    def run(self, form: str) -> None:
        """One step, whose times are kept."""
        run, number = library()[1].uvlm_program_run_as, FORMS.index(form)
        spent: Counter[str] = Counter()
        for title, program in self.cuts:
            start = time.perf_counter()
            status = run(number, program, self.arena, self.c.arena.size)
            spent[title] += time.perf_counter() - start
            if status:
                raise RuntimeError(f"A record refused with status {status}.")
        for title, seconds in spent.items():
            self.times.setdefault((form, title), []).append(seconds)

    def row(self, form: str) -> dict[str, Any]:
        """Best and median of each."""
        return {
            title: microseconds({"best": min(found), "median": float(np.median(found))})
            for (of, title), found in self.times.items()
            if of == form
        }


# --------------------------------------------------------------------------------------------------------------------
# onnxruntime

FUSED = ("QGemm", "QLinearMatMul", "QLinearConv", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
FUSED += ("ConvInteger",)
UNFUSED = ("Gemm", "MatMul", "Conv", "FusedGemm", "FusedMatMul", "FusedConv")
ALLOWED, KEPT = {"session.qdqisint8allowed": "1"}, {"session.disable_quant_qdq": "1"}


def unsigned(graph: Any) -> Any:
    """The int8 graph with its activations in uint8, 128 higher: the same numbers, the type that x86 is made for."""
    from onnx import numpy_helper

    held = {part.name: part for part in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or node.input[0] in held:
            continue
        name = f"{node.input[2]}_of_uint8"
        if name not in held:
            zero = numpy_helper.to_array(held[node.input[2]]).astype(np.int16) + 128
            held[name] = numpy_helper.from_array(zero.astype(np.uint8), name)
            graph.graph.initializer.append(held[name])
        node.input[2] = name
    del graph.graph.value_info[:]
    return graph


def turned(graph: Any) -> Any:
    """The int8 graph with its matrices stored (in, out), as onnxruntime packs them."""
    from onnx import numpy_helper

    held = {part.name: part for part in graph.graph.initializer}
    makers = {name: node for node in graph.graph.node for name in node.output}
    for node in graph.graph.node:
        if node.op_type != "Gemm":
            continue
        maker = makers[node.input[1]]
        weight = held[maker.input[0]]
        weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(weight).T), weight.name))
        (axis,) = (a for a in maker.attribute if a.name == "axis")
        (across,) = (a for a in node.attribute if a.name == "transB")
        axis.i, across.i = 1, 0
    del graph.graph.value_info[:]
    return graph


def ways(graphs: dict[str, bytes]) -> dict[str, tuple[bytes, dict[str, str]]]:
    """The ways in which onnxruntime is asked for the same step: a graph and settings."""
    import onnx

    def int8() -> Any:
        return onnx.load_from_string(graphs["int8"])

    other, both = unsigned(int8()).SerializeToString(), turned(unsigned(int8())).SerializeToString()
    return {
        "as exported": (graphs["int8"], {}),
        "as exported, int8 allowed": (graphs["int8"], ALLOWED),
        "as exported, Q and DQ kept": (graphs["int8"], KEPT),
        "matrices (in, out), int8 allowed": (turned(int8()).SerializeToString(), ALLOWED),
        "uint8 activations": (other, {}),
        "uint8 activations, matrices (in, out)": (both, {}),
        "uint8 activations, matrices (in, out), int8 allowed": (both, ALLOWED),
        "dynamic": (graphs["dynamic"], {}),
        "float32": (graphs["float"], {}),
    }


def onnxruntime_step(graph: bytes, settings: dict[str, str], folder: Path) -> tuple[Callable[[], Any], dict[str, Any]]:
    """A step in onnxruntime, all optimisations on, one thread; and which products have become integer ones."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    for name, value in settings.items():
        options.add_session_config_entry(name, value)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    given, unfused = feeds(onnx.load_from_string(graph)), [node for node in nodes if node.op_type in UNFUSED]
    row = {
        "fused": dict(sorted(Counter(node.op_type for node in nodes if node.op_type in FUSED).items())),
        "unfused": dict(sorted(Counter(node.op_type for node in unfused).items())),
        "unfused names": ", ".join(node.name or f"{node.op_type} that makes {node.output[0]}" for node in unfused),
        "nodes": len(nodes),
    }
    return lambda: session.run(None, given), row


def onnxruntime_steps(graphs: dict[str, bytes], folder: Path) -> dict[str, tuple[Callable[[], Any], dict[str, Any]]]:
    """All ways."""
    return {name: onnxruntime_step(*way, folder) for name, way in ways(graphs).items()}


# --------------------------------------------------------------------------------------------------------------------


def shared(times: dict[str, float], limit: dict[str, float], bytes_over: float) -> dict[str, float]:
    """A step's row with its share of the limit, best by best and median by median; its bytes over the limit's."""
    us = microseconds(times)
    return us | {
        "share of the limit": round(bytes_over * limit["us"] / us["us"], 3),
        "median share": round(bytes_over * limit["median us"] / us["median us"], 3),
    }


def measure(rounds: int) -> dict[str, Any]:
    """Both steps in C, in every form, whole and in parts; the limit; onnxruntime.

    Weights lie in one of two places, the same for all that is compared:

    - where the steps before have left them, as from the second word of a caption on: each call that is timed comes
      after a few of its own. If a cache holds them they are near.
    - in memory, out of all caches ("from memory"), as on a chip whose weights lie in flash. Of onnxruntime's weights
      nobody knows the address, so that it takes no part in this.
    """
    found = made()
    steps = {name: in_c(program, shapes(name)) for name, program in found.steps.items()}
    keys = in_c(found.keys, {"features": shapes(LSTM)["features"]})
    held = {name: in_bytes(list(program.records)) for name, program in found.steps.items()}
    buffer = np.random.default_rng(0).integers(-128, 128, -(-held[SSM]["bytes"] // 2048) * 2048, dtype=np.int8)
    blocks = {"read": [buffer]} | {name: constants(list(program.records)) for name, program in found.steps.items()}
    flushes = {name: flush for name, arrays in blocks.items() if (flush := flusher(arrays)) is not None}
    with tempfile.TemporaryDirectory() as folder:
        others = onnxruntime_steps(found.graphs, Path(folder))
    theirs = turns({name: call for name, (call, _) in others.items()}, 10, warm=1)
    quick = [name for name in others if theirs[name]["best"] < 3 * min(row["best"] for row in theirs.values())]
    theirs |= turns({name: others[name][0] for name in quick}, rounds // 2, warm=NEAR)
    rows: dict[str, Any] = {"limit": {"buffer bytes": buffer.nbytes}, SSM: {}, LSTM: {"keys": {}}}
    for name, program in found.steps.items():
        rows[name]["bytes"] = split(program, parts(name, program)) | {"step": held[name]}
    for form in forms():
        calls: dict[str, Callable[[], Any]] = {name: partial(c.once, form) for name, c in steps.items()}
        limit, times = beside_reading(buffer, form, calls, rounds)
        rows["limit"][form] = limit
        for name in steps:
            rows[name][form] = {"step": shared(times[name], limit, held[name]["bytes"] / buffer.nbytes)}
        if len(flushes) == len(blocks):
            far, times = beside_reading(buffer, form, calls, rounds // 2, flushes)
            limit["from memory"] = far
            for name in steps:
                rows[name][form]["from memory"] = shared(times[name], far, held[name]["bytes"] / buffer.nbytes)
        for title, of in (("parts", parts), ("by kind", kinds)):
            cut = {name: Segments(c, found.steps[name], of(name, found.steps[name])) for name, c in steps.items()}
            warm = {name: partial(repeated, calls[name], NEAR) for name in cut}
            turns({name: partial(cut[name].run, form) for name in cut}, rounds // 2, before=warm)
            for name in steps:
                rows[name][form][title] = cut[name].row(form)
        rows[LSTM]["keys"][form] = microseconds(turns({"keys": partial(keys.once, form)}, rounds // 4, NEAR)["keys"])
    rows[LSTM]["keys"]["bytes"] = in_bytes(list(found.keys.records))["bytes"]
    rows["onnxruntime"] = {name: microseconds(theirs[name]) | about for name, (_, about) in others.items()}
    rows["places"] = {form: in_places(found.steps, form, rounds // 2) for form in forms()}
    rows["ratio"] = {form: ratio(rows, form) for form in forms()}
    return rows


def in_places(programs: dict[str, Program], form: str, rounds: int) -> dict[str, list[float]]:
    """Both steps' best times in microseconds, near, with their weights copied to other memory again and again.

    Which pages of memory a block gets is chance, and where they meet in the caches with it: the ratio of two steps that
    are nearly as fast depends on it by a hundredth or two.
    """
    found: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(PLACES):
        steps = {name: in_c(placed(program), shapes(name)) for name, program in programs.items()}
        times = turns({name: partial(c.once, form) for name, c in steps.items()}, rounds, NEAR)
        for name in programs:
            found[name].append(microseconds(times[name])["us"])
    return found


def repeated(call: Callable[[], Any], times: int) -> None:
    """The same call, a few times."""
    for _ in range(times):
        call()


def beside_reading(
    buffer: np.ndarray,
    form: str,
    calls: dict[str, Callable[[], Any]],
    rounds: int,
    flushes: dict[str, Callable[[], None]] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Calls in turns with one that reads a buffer, in the fastest way of all: the row of reading, the calls' times.

    Parameters
    ----------
    form : whose instructions read.
    flushes : what takes the bytes of each call, and of "read", out of all caches; without it each call comes after
        a few of its own.
    """
    every = [(form, ahead, streams) for ahead in AHEAD for streams in STREAMS if not (form == "plain" and ahead)]
    read = readers([buffer], every)
    if flushes is None:
        found = turns(read, 60, warm=NEAR)
    else:
        found = turns(read, 60, before=dict.fromkeys(read, flushes["read"]))
    way = min(every, key=lambda way: found[way]["best"])
    times = turns({"read": read[way], **calls}, rounds, warm=0 if flushes else NEAR, before=flushes)
    rate = round(1e-9 * buffer.nbytes / times["read"]["best"], 2)
    return microseconds(times["read"]) | {"bytes ahead": way[1], "streams": way[2], "GB/s": rate}, times


def kinds(name: str, program: Program) -> list[str]:
    """The kind of each record."""
    return [r.kind for r in program.records]


def split(program: Program, titles: list[str]) -> dict[str, dict[str, int]]:
    """Bytes of each part."""
    return {
        part: in_bytes([r for r, title in zip(program.records, titles, strict=True) if title == part]) for part in PARTS
    }


def ratio(rows: dict[str, Any], form: str) -> dict[str, Any]:
    """AttSSM's step over the LSTM's, and what would have to be for the paper's ratio.

    What depends on the vocabulary is the output alone, in proportion; the rest of a step stays as it was measured.
    """
    steps = {name: rows[name][form]["step"]["us"] for name in (SSM, LSTM)}
    output = {name: rows[name][form]["parts"]["output"]["us"] for name in steps}
    held = {name: rows[name]["bytes"]["step"]["bytes"] for name in steps}
    out = {name: rows[name]["bytes"]["output"]["bytes"] for name in steps}
    keys = rows[LSTM]["keys"][form]["us"]
    alone = {name: steps[name] - output[name] for name in steps}
    places = [round(ssm / lstm, 3) for ssm, lstm in zip(*(rows["places"][form][name] for name in steps), strict=True)]
    made = {
        "published": round(PUBLISHED, 3),
        "time": round(steps[SSM] / steps[LSTM], 3),
        "median time": round(rows[SSM][form]["step"]["median us"] / rows[LSTM][form]["step"]["median us"], 3),
        "time, middle of other places in memory": sorted(places)[len(places) // 2],
        "time, lowest of them": min(places),
        "time, highest of them": max(places),
        "time, weights from memory": from_memory(rows, form),
        "time without output": round(alone[SSM] / alone[LSTM], 3),
        "time, keys at every step anew": round(steps[SSM] / (steps[LSTM] + keys), 3),
        "time without output, keys at every step anew": round(alone[SSM] / (alone[LSTM] + keys), 3),
        "bytes": round(held[SSM] / held[LSTM], 3),
        "bytes without output": round((held[SSM] - out[SSM]) / (held[LSTM] - out[LSTM]), 3),
        "AttSSM would have to take us": round(PUBLISHED * steps[LSTM], 1),
        "words for the published ratio": words(alone, output, 0.0),
        "words for the published ratio, keys at every step anew": words(alone, output, keys),
    }
    return made


def from_memory(rows: dict[str, Any], form: str) -> float | None:
    """The ratio of the steps whose weights come from memory, where that was measured."""
    us = [rows[name][form]["from memory"]["us"] for name in (SSM, LSTM) if "from memory" in rows[name][form]]
    return round(us[0] / us[1], 3) if len(us) == 2 else None


def words(alone: dict[str, float], output: dict[str, float], keys: float) -> int | None:
    """The vocabulary at which the ratio would be the published one; None if it would have to be negative."""
    each = {name: us / paper.VOCABULARY for name, us in output.items()}
    gap, slope = PUBLISHED * (alone[LSTM] + keys) - alone[SSM], each[SSM] - PUBLISHED * each[LSTM]
    return round(gap / slope) if gap >= 0 and slope > 0 else None
