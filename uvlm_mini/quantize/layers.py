"""What passes between the nodes of an ONNX file, and what int8 has cost up to each of them.

A runtime hands out the outputs of a graph only, and fuses what lies between. Here every value is made an output, and
nothing is fused, so that each node computes what the file says. Chapter 8 listens to both networks with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

Run = dict[str, np.ndarray]  # what a graph is given, or what was seen in it, by name


def outputs(model: ModelProto) -> list[str]:
    """Names of all that the nodes put out, in the order in which they run."""
    return [name for node in model.graph.node for name in node.output if name]


def heard(model: ModelProto) -> dict[str, str]:
    """For each value of a float graph that an int8 one holds, by its float name: what the next node hears of it.

    Behind a QuantizeLinear and a DequantizeLinear that is another value than the one that was put out.
    """
    found = {name: name for name in outputs(model)}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            found[node.name.removesuffix("_DequantizeLinear")] = node.output[0]
    return found


def values(model: ModelProto, runs: Iterable[Run], names: Iterable[str] | None = None, fused: bool = False) -> Run:
    """What the nodes of a graph put out, in every run.

    Parameters
    ----------
    model : float or int8.
    runs : inputs by name, one mapping a run.
    names : of outputs of nodes; None: all, which takes memory.
    fused : whether onnxruntime may join nodes that are not listened to, as it does in use.

    Returns
    -------
    (n, ...) by name, n the number of runs.

    Raises
    ------
    ValueError : no node puts out one of the names.
    """
    wanted = outputs(model) if names is None else list(names)
    listener = _listening(model, wanted, fused)
    rows = [listener.run(wanted, run) for run in runs]
    return {name: np.stack([row[i] for row in rows]) for i, name in enumerate(wanted)}


def noise(graph: ModelProto, int8: ModelProto, runs: list[Run], int8_runs: list[Run] | None = None) -> dict[str, float]:
    """Signal-to-quantization-noise ratio, in decibels, of what every node puts out, against the float graph.

    It says what has been lost *up to* a node, by it and by all before it.

    Parameters
    ----------
    graph : float.
    int8 : made from it by static quantization.
    runs : inputs by name.
    int8_runs : inputs of the int8 graph, where they are others.

    Returns
    -------
    By the float graph's names, in the order of its nodes; a value that both have to the bit has infinity.
    """
    at = heard(int8)
    names = [name for name in outputs(graph) if name in at]
    pair = _listening(graph, names), _listening(int8, [at[name] for name in names])
    signal, error = np.zeros(len(names)), np.zeros(len(names))
    for one, other in zip(runs, int8_runs or runs, strict=True):
        for i, (x, y) in enumerate(
            zip(pair[0].run(names, one), pair[1].run([at[n] for n in names], other), strict=True)
        ):
            x = x.astype(np.float64)
            signal[i] += np.square(x).sum()
            error[i] += np.square(x - y).sum()
    with np.errstate(divide="ignore"):
        return dict(zip(names, (10 * np.log10(signal / error)).tolist(), strict=True))


def _listening(model: ModelProto, names: list[str], fused: bool = False) -> InferenceSession:
    """A session that hands out these values, too."""
    import onnx
    import onnxruntime

    known = set(outputs(model))
    if missing := [name for name in names if name not in known]:
        raise ValueError(f"No node of this graph puts out {missing[0]!r}; ask `outputs` for the names.")
    model = onnx.ModelProto.FromString(model.SerializeToString())
    out = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in out)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
