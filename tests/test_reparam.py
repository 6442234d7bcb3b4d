"""Dilated RepConv: the merged convolution is the sum of its branches."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from uvlm_mini.config import PRESETS
from uvlm_mini.encoder import OverMod
from uvlm_mini.reparam import BRANCHES, DilatedRepConv, dilate, fold, merge


def unsettle(model: nn.Module) -> None:
    """Give every batch-norm statistics, scales and shifts of its own, as training does."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.3, 3)
            nn.init.uniform_(module.weight, -2, 2)
            nn.init.uniform_(module.bias, -1, 1)


@pytest.mark.parametrize("kernel", BRANCHES)
def test_trained_branches_equal_the_merged_kernel(kernel):
    """After a few real steps of an optimiser, to 1e-10 in float64, borders included."""
    block = DilatedRepConv(4, kernel).double()
    optimizer = torch.optim.SGD(block.parameters(), lr=0.5)
    for _ in range(4):
        x = torch.randn(4, 4, 20, 20).double() + 0.5
        loss = (block(x) - x.roll(2, 3)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    block.eval()
    x = torch.randn(2, 4, 20, 20).double()
    before = block(x)
    block.merge()
    assert [name for name, _ in block.named_parameters()] == ["merged.weight", "merged.bias"]
    torch.testing.assert_close(block(x), before, rtol=0, atol=1e-10)
    assert before.std() > 0.1


@pytest.mark.parametrize("kernel", BRANCHES)
def test_branches_fit_inside_the_kernel(kernel):
    """A dilated kernel is no wider than the one that it is merged into, and odd, so that it has a centre."""
    assert kernel % 2 == 1
    for k, d in BRANCHES[kernel]:
        assert k % 2 == 1
        assert d * (k - 1) + 1 <= kernel


@pytest.mark.parametrize(("k", "dilation", "side"), [(3, 1, 5), (3, 2, 5), (5, 3, 17), (9, 2, 17)])
def test_a_dilated_kernel_is_a_sparse_dense_one(k, dilation, side):
    """Convolving with the spread kernel is convolving with dilation."""
    kernel, x = torch.randn(3, 1, k, k).double(), torch.randn(1, 3, 20, 20).double()
    sparse = F.conv2d(x, kernel, padding=dilation * (k - 1) // 2, dilation=dilation, groups=3)
    dense = F.conv2d(x, dilate(kernel, dilation, side), padding=side // 2, groups=3)
    torch.testing.assert_close(dense, sparse, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", [False, True])
def test_fold_equals_convolution_and_norm(bias):
    """With and without a bias of the convolution's own, for an ordinary convolution with stride."""
    conv, norm = nn.Conv2d(3, 5, 3, 2, 1, bias=bias).double(), nn.BatchNorm2d(5).double()
    unsettle(norm)
    norm.eval()
    x = torch.randn(2, 3, 9, 9).double()
    weight, shift = fold(conv.weight, conv.bias, norm)
    torch.testing.assert_close(F.conv2d(x, weight, shift, 2, 1), norm(conv(x)), rtol=0, atol=1e-12)


def test_a_norm_without_statistics_cannot_be_folded():
    """It has nothing to fold; the sentence says so."""
    norm = nn.BatchNorm2d(3, track_running_stats=False)
    with pytest.raises(ValueError, match="running statistics"):
        fold(torch.ones(3, 1, 1, 1), None, norm)


@pytest.mark.parametrize("name", ["mini", "t"])
def test_a_merged_encoder_computes_the_same(name):
    """To 1e-10 in float64, with unsettled batch-norms, and with fewer weights."""
    config = PRESETS[name].encoder
    model = OverMod(config).double()
    unsettle(model)
    model.eval()
    x = torch.randn(1, 3, config.image, config.image).double()
    weights = sum(p.numel() for p in model.parameters())
    with torch.inference_mode():
        before = model(x)
        assert merge(model) is model
        after = model(x)
    torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-10)
    assert before.std() > 1e-3
    assert sum(p.numel() for p in model.parameters()) < weights


def test_merging_twice_is_refused():
    """A block and a model are merged once; the sentence says so."""
    block = DilatedRepConv(2, 5)
    block.merge()
    with pytest.raises(RuntimeError, match="merged already"):
        block.merge()
    with pytest.raises(RuntimeError, match="merged already"):
        merge(nn.Sequential(block))


@pytest.mark.parametrize("kernel", [1, 3, 6, 19])
def test_a_kernel_without_branches_is_refused(kernel):
    """The sentence lists the kernels that there are."""
    with pytest.raises(ValueError, match=f"5, 7, 9, 11, 13, 15, 17, not {kernel}"):
        DilatedRepConv(2, kernel)


def test_merging_keeps_type_and_gradients_off():
    """A half-precision block stays one, and nothing of the branches' graph hangs on the merged weights."""
    block = DilatedRepConv(2, 5).to(torch.bfloat16)
    block.merge()
    assert block.merged.weight.dtype == torch.bfloat16
    assert block.merged.weight.grad_fn is None
