"""The layers of the published networks are those of torchvision's models."""

from functools import partial

import pytest
import torch
from torch import nn

from uvlm_mini.datasets.vision import need_torchvision
from uvlm_mini.npu.nets import Net, divisible, efficientnet_v2, mobilenet_v1, mobilenet_v2, regnet_x002, squeezenet


def counted(model: nn.Module, side: int) -> list[tuple[int, int, int]]:
    """Multiply-adds, values in and out, and weights of every convolution and product that runs."""
    rows = []

    def see(module: nn.Module, given: tuple[torch.Tensor], out: torch.Tensor) -> None:
        weight = module.get_parameter("weight")
        rows.append((out[0, 0].numel() * weight.numel(), given[0].numel() + out.numel(), weight.numel()))

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(see)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, side, side, device="meta"))
    return rows


def base(wider: float, deeper: float, classes: int) -> nn.Module:
    """EfficientNetV2-B of torchvision's own blocks; it ships none."""
    from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig

    wide = [divisible(c * wider) for c in (32, 16, 32, 48, 96, 112, 192)]
    fused, mobile = FusedMBConvConfig, MBConvConfig
    plan = [
        (fused, 1, 1, 1),
        (fused, 4, 2, 2),
        (fused, 4, 2, 2),
        (mobile, 4, 2, 3),
        (mobile, 6, 1, 5),
        (mobile, 6, 2, 8),
    ]
    stages = [
        kind(expand, 3, stride, wide[i], wide[i + 1], -int(-repeats * deeper // 1))
        for i, (kind, expand, stride, repeats) in enumerate(plan)
    ]
    return EfficientNet(stages, 0.2, num_classes=classes, last_channel=divisible(1280 * wider))


def models() -> list:
    """A network of ours beside torchvision's, as (layers, how to build the other, side)."""
    need_torchvision()
    from torchvision import models as tv

    rows = [
        (mobilenet_v2(w, s, c), partial(tv.mobilenet_v2, width_mult=w, num_classes=c), s)
        for w, s, c in [(0.35, 128, 101), (1.0, 224, 1000), (1.4, 224, 1000)]
    ]
    rows.append((efficientnet_v2("S", 384, 101), partial(tv.efficientnet_v2_s, num_classes=101), 384))
    rows.append((squeezenet(224, 1000), tv.squeezenet1_0, 224))
    for name, wider, deeper, side in (("B0", 1.0, 1.0, 224), ("B1", 1.0, 1.1, 240), ("B2", 1.1, 1.2, 260)):
        rows.append((efficientnet_v2(name, side, 1000), partial(base, wider, deeper, 1000), side))
    return rows


@pytest.mark.parametrize("which", range(8))
def test_layers_are_torchvisions(which: int) -> None:
    """Every product, in order: multiply-adds, values and weights."""
    layers, build, side = models()[which]
    with torch.device("meta"):
        other = counted(build(), side)
    assert [(x.macs, x.values, x.weights) for x in layers if x.macs] == other


def test_mobilenet_v1_has_its_published_size() -> None:
    """569 million multiply-adds and 4.2 million parameters, as its paper says of width 1; half of it is a quarter."""
    whole = mobilenet_v1(1.0, 224, 1000)
    assert round(sum(x.macs for x in whole) / 1e6) == 569
    assert round(sum(x.weights for x in whole) / 1e6, 1) == 4.2
    assert round(sum(x.macs for x in mobilenet_v1(0.5, 224, 1000)) / 1e6) in (149, 150)


def test_regnet_has_its_published_size() -> None:
    """200 million multiply-adds and 2.7 million parameters, as its paper says."""
    layers = regnet_x002(224, 1000)
    assert round(sum(x.macs for x in layers) / 1e6, -1) == 200
    assert round(sum(x.weights for x in layers) / 1e6, 1) == 2.7


def test_what_is_not_folded_moves_the_map() -> None:
    """A SiLU moves five maps, a squeeze-and-excitation three, all by hand."""
    net = Net(8)
    net.conv(4, 3, 2, silu=True)
    conv, sigmoid, product = net.layers
    assert (conv.macs, conv.values, conv.weights) == (16 * 9 * 3 * 4, 192 + 64, 108)
    assert (sigmoid.values, product.values, sigmoid.macs, product.macs) == (128, 192, 0, 0)
    net.squeeze_and_excite(2)
    assert [x.values for x in net.layers[3:]] == [64, 6, 6, 128]
