"""Fusing: every trained part, block and model computes the same in deploy form."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from uvlm_mini.config import PRESETS, OverModConfig
from uvlm_mini.encoder import Classifier, EDBlock, ESBlock, OverMod
from uvlm_mini.reparam import BRANCHES, ConvNorm, DilatedRepConv, ResidualConv, dilate, fold, fuse


def unsettle(model: nn.Module) -> None:
    """Give every batch-norm statistics, scales and shifts of its own, as training does."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.3, 3)
            nn.init.uniform_(module.weight, -2, 2)
            nn.init.uniform_(module.bias, -1, 1)


def teach(model: nn.Module, x: torch.Tensor, steps: int = 4) -> None:
    """A few real steps of an optimiser on (B, C, S, S) inputs: batch-norms and weights leave their first values."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    model.train()
    for _ in range(steps):
        out = model(x + 0.1 * torch.randn_like(x))
        parts = out if isinstance(out, tuple) else (out,)
        loss = sum((part - part.detach().roll(1, 0) - 0.3).square().mean() for part in parts)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()


def assert_fuses(model: nn.Module, *inputs: torch.Tensor) -> None:
    """The deploy form gives what the train form gave, to 1e-10 in float64, and what it gave was not nothing."""
    with torch.inference_mode():
        before = model(*inputs)
        after = fuse(model)(*inputs)
    torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-10)
    assert before.std() > 1e-3


@pytest.mark.parametrize("kernel", BRANCHES)
@pytest.mark.parametrize("dilated", [True, False])
def test_trained_branches_equal_the_fused_kernel(kernel, dilated):
    """After real steps of an optimiser, borders included, and nothing but one convolution is left."""
    block = DilatedRepConv(4, kernel, dilated).double()
    teach(block, torch.randn(4, 4, 20, 20).double() + 0.5)
    assert_fuses(block, torch.randn(2, 4, 20, 20).double())
    assert [name for name, _ in block.named_parameters()] == ["fused.weight", "fused.bias"]


class Steered(nn.Module):
    """An ED block with a prior that does not change, so that it can be taught like the others."""

    def __init__(self, block: EDBlock, prior: torch.Tensor) -> None:
        super().__init__()
        self.block, self.prior = block, prior

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(x, self.prior)


@pytest.mark.parametrize("kernel", BRANCHES)
def test_trained_blocks_fuse(kernel):
    """ES and ED blocks with every kernel, Layer Scale and the residual convolutions included."""
    config = OverModConfig(layer_scale=0.3)
    x, prior = torch.randn(3, 6, 18, 18).double(), torch.randn(3, 5, 9, 9).double()
    es = ESBlock(6, kernel, config).double()
    teach(es, x)
    assert_fuses(es, x)
    ed = EDBlock(6, 5, kernel, config).double()
    teach(Steered(ed, prior), x)
    assert_fuses(ed, x, prior)
    assert ed.scale is None and not any(isinstance(m, nn.BatchNorm2d) for m in ed.modules())


@pytest.mark.parametrize("stride", [1, 2])
def test_a_trained_convolution_takes_its_norm_in(stride):
    """ConvNorm with and without a stride."""
    block = ConvNorm(3, 5, 3, stride).double()
    teach(block, torch.randn(4, 3, 8, 8).double())
    assert_fuses(block, torch.randn(2, 3, 8, 8).double())


def test_a_residual_convolution_takes_the_addition_in():
    """One more in the middle of the kernel is x more in the sum."""
    conv = ResidualConv(3).double()
    assert_fuses(conv, torch.randn(2, 3, 7, 7).double())


@pytest.mark.parametrize("kernel", BRANCHES)
def test_branches_fit_inside_the_kernel(kernel):
    """A dilated kernel is no wider than the one that it is fused into, and odd, so that it has a centre."""
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


@pytest.mark.parametrize("name", PRESETS)
def test_an_encoder_fuses(name):
    """Every preset, with unsettled batch-norms, and with fewer weights and no batch-norm left."""
    config = PRESETS[name].encoder
    model = OverMod(config).double()
    unsettle(model)
    model.eval()
    weights = sum(p.numel() for p in model.parameters())
    assert_fuses(model, torch.randn(1, 3, config.image, config.image).double())
    assert sum(p.numel() for p in model.parameters()) < weights
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


SWITCHES = [{}, {"dynamic": False}, {"dilated": False}, {"grn": False}, {"layer_scale": None}, {"se": True}]


@pytest.mark.parametrize("switches", SWITCHES, ids=[next(iter(s), "full") for s in SWITCHES])
def test_a_trained_classifier_fuses(switches):
    """The whole model after real steps, with every part of the ablation switched; the auxiliary head goes."""
    config = replace(
        PRESETS["mini"].encoder,
        image=32,
        widths=(4, 6, 8, 10),
        depths=(1, 1, 1, 1),
        mod_width=8,
        mod_depths=(1, 1),
        out=12,
    )
    model = Classifier(replace(config, **switches), 5, 16).double()
    teach(model, torch.randn(4, 3, 32, 32).double())
    with torch.inference_mode():
        assert len(model.train()(torch.randn(4, 3, 32, 32).double())) == 2
    model.eval()
    assert_fuses(model, torch.randn(2, 3, 32, 32).double())
    assert not any("auxiliary" in name for name, _ in model.named_parameters())


def test_fusing_twice_is_refused():
    """A block and a model are fused once; the sentence says so."""
    for part in (DilatedRepConv(2, 5), ConvNorm(2, 2, 3), ResidualConv(2)):
        part.fuse()
        with pytest.raises(RuntimeError, match="already; fuse a model once"):
            part.fuse()
        with pytest.raises(RuntimeError, match="already; fuse a model once"):
            fuse(nn.Sequential(part))


@pytest.mark.parametrize("kernel", [1, 3, 6, 19])
def test_a_kernel_without_branches_is_refused(kernel):
    """The sentence lists the kernels that there are."""
    with pytest.raises(ValueError, match=f"5, 7, 9, 11, 13, 15, 17, not {kernel}"):
        DilatedRepConv(2, kernel)


def test_fusing_keeps_type_and_gradients_off():
    """A half-precision block stays one, and nothing of the branches' graph hangs on the fused weights."""
    block = DilatedRepConv(2, 5).to(torch.bfloat16)
    block.fuse()
    assert block.fused.weight.dtype == torch.bfloat16
    assert block.fused.weight.grad_fn is None
