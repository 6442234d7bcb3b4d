"""How a convolution, a pool or a mean looks at its map: kernel, strides, dilations, and the padding it really has."""

from __future__ import annotations

from typing import NamedTuple

from uvlm_mini.npu.graph import Graph, attribute, onnx


class Window(NamedTuple):
    """What a convolution or pool does along each side of the map."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: list[int]  # at the start of every side, then at the end of every side, as ONNX has them

    @property
    def reach(self) -> list[int]:
        """Sides of the kernel once dilated."""
        return [dilation * (size - 1) + 1 for size, dilation in zip(self.kernel, self.dilations, strict=True)]


def window(graph: Graph, node: onnx.NodeProto) -> Window:
    """Kernel, strides, dilations and padding of a convolution or pool, defaults filled in.

    Padding that the file leaves to be computed (auto_pad, output_shape, ceil_mode) is computed, as ONNX defines it.
    Raises OpenShape where a shape is unknown.
    """
    sides = list(graph.shape(node)[2:])
    n = len(sides)
    if node.op_type.startswith("Global"):
        return Window(sides, [1] * n, [1] * n, [0] * 2 * n)
    kernel = list(attribute(node, "kernel_shape") or graph.shape(node, 1)[2:])
    strides, dilations = (list(attribute(node, key) or [1] * n) for key in ("strides", "dilations"))
    at = Window(kernel, strides, dilations, list(attribute(node, "pads") or [0] * 2 * n))
    how = attribute(node, "auto_pad", "NOTSET")
    if node.op_type == "ConvTranspose":
        return at._replace(pads=_transposed(graph, node, at, sides, how))
    if how in ("SAME_UPPER", "SAME_LOWER"):
        total = [
            max((-(-side // stride) - 1) * stride + reach - side, 0)
            for side, stride, reach in zip(sides, strides, at.reach, strict=True)
        ]
        return at._replace(pads=_split(total, how == "SAME_LOWER"))
    if how == "VALID":
        return at._replace(pads=[0] * 2 * n)
    if attribute(node, "ceil_mode", 0):  # the last window may reach beyond the map
        ends = [
            at.pads[n + i] + max((made - 1) * strides[i] + at.reach[i] - sides[i] - at.pads[i] - at.pads[n + i], 0)
            for i, made in enumerate(graph.made(node)[2:])
        ]
        return at._replace(pads=[*at.pads[:n], *ends])
    return at


def _transposed(graph: Graph, node: onnx.NodeProto, at: Window, sides: list[int], how: str) -> list[int]:
    """What a ConvTranspose cuts away: given, or what is left over of the output that was asked for."""
    if how == "VALID":
        return [0] * 2 * len(sides)
    wanted = attribute(node, "output_shape")
    if how == "NOTSET" and wanted is None:
        return at.pads
    more = attribute(node, "output_padding") or [0] * len(sides)
    made = wanted or [side * stride for side, stride in zip(sides, at.strides, strict=True)]
    total = [
        max(stride * (side - 1) + extra + reach - size, 0)
        for side, stride, extra, reach, size in zip(sides, at.strides, more, at.reach, made[-len(sides) :], strict=True)
    ]
    return _split(total, how != "SAME_UPPER")


def _split(total: list[int], more_first: bool) -> list[int]:
    """Padding in halves; what is left over goes to the start, or to the end."""
    first = [(size + more_first) // 2 for size in total]
    return [*first, *(size - start for size, start in zip(total, first, strict=True))]


def depthwise(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a convolution has one group a channel, and more than one."""
    groups = attribute(node, "group", 1)
    return groups > 1 and graph.shape(node)[1:2] == (groups,)


def over_the_map(graph: Graph, node: onnx.NodeProto) -> tuple[int, ...] | None:
    """Sides of the map if a reduction is a global pool in disguise: over all axes but the first two; else None."""
    shape = graph.shape(node)
    given = graph.setting(node, "axes", 1)
    if given is None and len(node.input) > 1 and node.input[1]:
        return None  # axes that are computed
    rank = len(shape)
    axes = sorted(axis % rank for axis in given) if given and rank else list(range(rank))
    return shape[2:] if rank > 2 and axes == list(range(2, rank)) else None
