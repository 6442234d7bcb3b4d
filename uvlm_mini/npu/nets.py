"""Layers of the networks that ST publishes times of: what each computes, and how much it moves.

ST's tables give bytes of weights and milliseconds, no multiply-adds. Here they follow from the architectures: MobileNet
(v1 and v2) and EfficientNetV2, as their papers and Keras define them. Nothing is run, layers are only counted.

What is counted as one layer is our reading of what the tool does: batch norms and ReLUs are folded into the convolution
before them; SiLU is a sigmoid and a product; an addition, a pooling, a scaling by squeeze-and-excitation stand alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes
    ----------
    macs : multiply-adds; 0 for what goes element by element.
    values : numbers that are read and written, weights left out; in int8 these are bytes.
    weights : parameters, biases left out.
    """

    macs: int
    values: int
    weights: int = 0


def divisible(width: float) -> int:
    """The multiple of eight next to a width, and not less than nine tenths of it: MobileNet's rule."""
    new = max(8, int(width + 4) // 8 * 8)
    return new + 8 if new < 0.9 * width else new


class Net:
    """A network as it is put together: the side and channels of the map so far, and the layers.

    Parameters
    ----------
    side : height and width of the picture, of three channels.
    """

    def __init__(self, side: int) -> None:
        self.side, self.channels = side, 3
        self.layers: list[Layer] = []

    @property
    def map(self) -> int:
        """Values of the map so far."""
        return self.side**2 * self.channels

    def conv(self, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, silu: bool = False) -> None:
        """A convolution with "same" padding, and a SiLU that is not folded into it."""
        before, weights = self.map, kernel**2 * self.channels * out // groups
        self.side, self.channels = -(-self.side // stride), out
        self.layers.append(Layer(self.side**2 * weights, before + self.map, weights))
        if silu:
            self.element(2)  # sigmoid: one in, one out
            self.element(3)  # times x: two in, one out

    def element(self, passes: int) -> None:
        """An operation without weights that moves the map so many times."""
        self.layers.append(Layer(0, passes * self.map))

    def dense(self, inputs: int, outputs: int) -> None:
        """A product of a vector and a matrix."""
        self.layers.append(Layer(inputs * outputs, inputs + outputs, inputs * outputs))

    def squeeze_and_excite(self, middle: int) -> None:
        """Mean of the map, two matrices, and the product with the map."""
        self.element(1)
        self.dense(self.channels, middle)
        self.dense(middle, self.channels)
        self.element(2)

    def head(self, classes: int) -> list[Layer]:
        """Mean of the map and the classifier; all layers."""
        self.element(1)
        self.dense(self.channels, classes)
        return self.layers


def mobilenet_v1(width: float, side: int, classes: int) -> list[Layer]:
    """Layers of MobileNet (Howard et al., 2017); `width` is its alpha."""
    net = Net(side)
    net.conv(int(32 * width), 3, 2)
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for out, stride in blocks:
        net.conv(net.channels, 3, stride, groups=net.channels)
        net.conv(int(out * width))
    return net.head(classes)


def mobilenet_v2(width: float, side: int, classes: int) -> list[Layer]:
    """Layers of MobileNetV2 (Sandler et al., 2018); `width` is its alpha."""
    net = Net(side)
    net.conv(divisible(32 * width), 3, 2)
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expand, out, repeats, stride in stages:
        for i in range(repeats):
            before, step = net.channels, 1 if i else stride
            if expand > 1:
                net.conv(before * expand)
            net.conv(net.channels, 3, step, groups=net.channels)
            net.conv(divisible(out * width))
            if step == 1 and before == net.channels:
                net.element(3)  # the residual: two in, one out
    net.conv(divisible(1280 * max(1.0, width)))
    return net.head(classes)


#: Of each EfficientNetV2: width of the stem, widening, deepening, stages of (kind, expand, stride, width, repeats):
#: "fused" has one dense 3 x 3, "mobile" a depthwise one between two pointwise, with squeeze-and-excitation.
_BASE = (("fused", 1, 1, 16, 1), ("fused", 4, 2, 32, 2), ("fused", 4, 2, 48, 2),
         ("mobile", 4, 2, 96, 3), ("mobile", 6, 1, 112, 5), ("mobile", 6, 2, 192, 8))  # fmt: skip
_S = (("fused", 1, 1, 24, 2), ("fused", 4, 2, 48, 4), ("fused", 4, 2, 64, 4),
      ("mobile", 4, 2, 128, 6), ("mobile", 6, 1, 160, 9), ("mobile", 6, 2, 256, 15))  # fmt: skip
_EFFICIENT = {"B0": (32, 1.0, 1.0, _BASE), "B1": (32, 1.0, 1.1, _BASE), "B2": (32, 1.1, 1.2, _BASE),
              "S": (24, 1.0, 1.0, _S)}  # fmt: skip


def efficientnet_v2(name: str, side: int, classes: int) -> list[Layer]:
    """Layers of an EfficientNetV2 (Tan and Le, 2021): B0, B1, B2 or S."""
    stem, wider, deeper, stages = _EFFICIENT[name]
    net = Net(side)
    net.conv(divisible(stem * wider), 3, 2, silu=True)
    for kind, expand, stride, width, repeats in stages:
        for i in range(math.ceil(repeats * deeper)):
            before, step, out = net.channels, 1 if i else stride, divisible(width * wider)
            if kind == "fused":
                net.conv(before * expand if expand > 1 else out, 3, step, silu=True)
            else:
                net.conv(before * expand, silu=True)
                net.conv(net.channels, 3, step, groups=net.channels, silu=True)
                net.squeeze_and_excite(before // 4)
            if kind == "mobile" or expand > 1:
                net.conv(out)
            if step == 1 and before == out:
                net.element(3)
    net.conv(divisible(1280 * wider), silu=True)
    return net.head(classes)


def regnet_x002(side: int, classes: int) -> list[Layer]:
    """Layers of RegNetX-200MF (Radosavovic et al., 2020): grouped 3 x 3 between two pointwise."""
    net = Net(side)
    net.conv(32, 3, 2)
    for repeats, width in ((1, 24), (1, 56), (4, 152), (7, 368)):
        for i in range(repeats):
            before = net.side, net.channels
            if not i:  # the shortcut, from the same map
                net.conv(width, 1, 2)
                net.side, net.channels = before
            net.conv(width)
            net.conv(width, 3, 1 if i else 2, groups=width // 8)
            net.conv(width)
            net.element(3)
    return net.head(classes)


def squeezenet(side: int, classes: int) -> list[Layer]:
    """Layers of SqueezeNet 1.0 (Iandola et al., 2016); its first convolution has no padding, its pools round up."""
    net = Net(side)
    before, weights = net.map, 7 * 7 * 3 * 96
    net.side, net.channels = (side - 7) // 2 + 1, 96
    net.layers.append(Layer(net.side**2 * weights, before + net.map, weights))
    fires = [(16, 64), (16, 64), (32, 128), None, (32, 128), (48, 192), (48, 192), (64, 256), None, (64, 256)]
    for fire in [None, *fires]:
        if fire is None:  # a maximum over 3 x 3, every second
            net.element(1)
            net.side = math.ceil((net.side - 3) / 2) + 1
            net.element(1)
            continue
        net.conv(fire[0])
        squeezed = net.side, net.channels
        net.conv(fire[1])
        net.side, net.channels = squeezed
        net.conv(fire[1], 3)
        net.channels = 2 * fire[1]
    net.conv(classes)
    net.element(1)
    return net.layers
