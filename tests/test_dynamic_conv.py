"""Dynamic convolution: every picture is convolved with its own mixture of kernels."""

import pytest
import torch
from torch.nn import functional as F

from uvlm_mini.baselines.dynamic_conv import DynamicConv


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("outputs", "groups"), [(10, 1), (6, 6), (6, 2)])
@pytest.mark.parametrize("prior", [None, 5])
def test_it_is_its_formula(outputs, groups, prior):
    """Softmax shares of the prior's mean, kernels mixed by them, each picture convolved by itself."""
    layer = DynamicConv(6, outputs, 3, prior, mixed=3, groups=groups).double()
    x = torch.randn(4, 6, 7, 7).double()
    other = None if prior is None else torch.randn(4, prior, 2, 2).double()
    mean = (x if other is None else other).mean((2, 3))
    logits = mean @ layer.weigh.weight.T + layer.weigh.bias
    share = logits.exp() / logits.exp().sum(1, keepdim=True)
    learned = layer.kernels.view(3, outputs, 6 // groups, 3, 3)
    for i in range(4):
        kernel = sum(share[i, j] * learned[j] for j in range(3))
        expected = F.conv2d(x[i : i + 1], kernel, padding=1, groups=groups)
        torch.testing.assert_close(layer(x, other)[i : i + 1], expected, rtol=1e-12, atol=1e-12)
    assert (share[0] - share[1]).abs().max() > 1e-3


def test_it_generates_what_the_paper_counts():
    """N C k^2 values a picture: 2,408,448 for C = 192, N = 256, k = 7."""
    with torch.device("meta"):
        kernels = DynamicConv(192, 256, 7).generate(torch.empty(1, 192, 7, 7))
    assert kernels.shape == (1, 256, 192, 7, 7)
    assert kernels.numel() == 2_408_448


def test_every_parameter_learns():
    """The kernels and what weighs them."""
    layer = DynamicConv(4, 4, 3, 5, groups=4)
    layer(torch.randn(2, 4, 6, 6), torch.randn(2, 5, 3, 3)).square().sum().backward()
    for name, p in layer.named_parameters():
        assert p.grad is not None and p.grad.abs().max() > 0, name
