"""Reading an ONNX file, and the first questions about it: one reader for `uvlm check` and for quantization.

Nothing of the package's optional parts is imported before a file is read, so that what asks for these limits alone
needs no onnx.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from uvlm_mini.npu import operators

if TYPE_CHECKING:
    from onnx import FunctionProto, ModelProto, NodeProto, ValueInfoProto

LIMIT = 2**31 - 1  # bytes that a protobuf file can have
SMALL = 2**16  # bytes: data that a file keeps beside itself is read up to this size only; weights need no reading
STANDARD = ("", "ai.onnx")  # two names of the domain that the operator tables are about
DEFINED = (*STANDARD, "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training")  # domains that ONNX itself defines
OPSETS = range(operators.OPSETS["stm32n6"][0], operators.OPSETS["stm32n6"][1] + 1)  # that the NPU's tool reads


class Advice(NamedTuple):
    """What the sentences about a bad file advise."""

    missing: str = "give an ONNX file"
    broken: str = "expected what torch.onnx.export writes, so export it again"
    large: str = "export it with its weights in a file of their own (external data)"


def need(*packages: str) -> None:
    """Raise ModuleNotFoundError, in one sentence that names the extra, if a package is missing."""
    for name in packages:
        try:
            __import__(name)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"{error.name or name} is not installed, and ONNX files need it; install uvlm_mini[quantize].",
                name=error.name or name,
            ) from None


def load(path: str | Path, advice: Advice = Advice()) -> ModelProto:  # noqa: B008 (a tuple of texts does not change)
    """Read an ONNX file, without the large weights that it may keep in a file of their own.

    Parameters
    ----------
    path : str or Path
    advice : Advice
        What to do, in the sentences about a file that cannot be read.

    Raises
    ------
    ModuleNotFoundError
        Without onnx, the extra "quantize".
    FileNotFoundError
        There is no such file, or one that it points to is missing.
    ValueError
        It is too large, is not ONNX, or is cut off.
    """
    need("onnx")
    import onnx
    from google.protobuf.message import DecodeError

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no ONNX file {path}; {advice.missing}.")
    if path.stat().st_size > LIMIT:
        raise ValueError(too_large(path, path.stat().st_size, advice))
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path} is truncated or no ONNX file; {advice.broken}.") from error
    whole(model, path, advice)
    _read_small(model, path)
    return model


def whole(model: ModelProto, name: str | Path, advice: Advice) -> None:
    """Raise ValueError where what could be read is no network: another kind of file, or one cut off between parts."""
    empty = "" if model.graph.node else ": it has no operators"
    if empty or not model.ir_version or not model.opset_import:
        raise ValueError(f"{name} is truncated or no ONNX file{empty}; {advice.broken}.")


def too_large(name: str | Path, size: int, advice: Advice) -> str:
    """The sentence on a file of that many bytes."""
    return f"{name} has {size:,} bytes, more than the {LIMIT:,} of an ONNX file; {advice.large}."


def _read_small(model: ModelProto, path: Path) -> None:
    """Fetch the shapes and axes that the file keeps beside itself."""
    from onnx import TensorProto
    from onnx import external_data_helper as external

    for tensor in model.graph.initializer:
        if not external.uses_external_data(tensor):
            continue
        info = external.ExternalDataInfo(tensor)
        place = path.parent / info.location
        if not place.is_file():
            raise FileNotFoundError(f"{path} keeps its weights in {place}, which is not there; put it there.")
        if (info.length or place.stat().st_size) <= SMALL:
            external.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]


def every_node(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """The nodes of a list and of all graphs inside of them: bodies of control flow."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from every_node(attribute.g.node)
            for graph in attribute.graphs:
                yield from every_node(graph.node)


def opset(model: ModelProto) -> int:
    """The version of the standard domain; 0 if the file names none."""
    return max((part.version for part in model.opset_import if part.domain in STANDARD), default=0)


def foreign(model: ModelProto, functions: Iterable[FunctionProto], domains: Iterable[str] = DEFINED) -> list[NodeProto]:
    """The nodes, in whatever depth, that are neither of these domains nor calls of one of these functions."""
    known = {(function.domain, function.name) for function in functions}
    allowed = set(domains)
    nodes = every_node(chain(model.graph.node, *(function.node for function in model.functions)))
    return [node for node in nodes if node.domain not in allowed and (node.domain, node.op_type) not in known]


def sides(value: ValueInfoProto) -> list[int | str] | None:
    """The shape of an input or output as the file states it, an open side as its name or "?"; None without a shape."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim]
