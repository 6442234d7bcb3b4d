"""OverMod at every preset: finite, learning everywhere, steered by its prior."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from uvlm_mini.config import PRESETS, OverModConfig
from uvlm_mini.encoder import GRN, SE, Classifier, ConvFFN, EDBlock, ESBlock, OverMod
from uvlm_mini.npu.operators import lookup
from uvlm_mini.reparam import fuse


def pictures(name: str, batch: int) -> torch.Tensor:
    """Random pictures of a preset's size, in -1..1."""
    side = PRESETS[name].encoder.image
    return torch.rand(batch, 3, side, side) * 2 - 1


@pytest.fixture(scope="module")
def mini() -> OverMod:
    """The mini encoder in eval mode, its batch-norms past their first statistics."""
    torch.manual_seed(1)
    model = OverMod(PRESETS["mini"].encoder)
    with torch.no_grad():
        for _ in range(5):
            model(pictures("mini", 8))
    return model.eval()


@pytest.mark.parametrize("name", PRESETS)
def test_forward_is_finite_and_as_large_as_promised(name):
    """In eval mode; the features have the channels and the side that the decoder is built for."""
    config = PRESETS[name]
    model = OverMod(config.encoder).eval()
    with torch.inference_mode():
        features, prior = model.look(pictures(name, 1))
    assert features.isfinite().all() and prior.isfinite().all()
    assert features.shape == (1, config.decoder.features, config.decoder.side, config.decoder.side)
    assert prior.shape[1:] == (config.encoder.widths[3], *[config.encoder.image // config.encoder.strides[3]] * 2)
    assert features.std() > 0


@pytest.mark.parametrize("name", ["mini", "t"])
def test_every_parameter_has_a_gradient(name):
    """Nothing is built and left out: each weight changes a random function of the features."""
    model = OverMod(PRESETS[name].encoder)
    features = model(pictures(name, 2))
    (features * torch.randn_like(features)).sum().backward()
    for key, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), key
        assert p.grad.abs().max() > 0, key


@pytest.mark.parametrize("shape", [(2, 1, 64, 64), (2, 4, 64, 64), (2, 3, 32, 32), (2, 3, 64, 96), (3, 64, 64)])
def test_other_pictures_are_refused(mini, shape):
    """Channels, side, or the batch forgotten: the sentence names what was given and what is taken."""
    with pytest.raises(ValueError, match=r"takes pictures \(B, 3, 64, 64\), not \(" + ", ".join(map(str, shape))):
        mini(torch.zeros(shape))


def test_pictures_of_a_batch_do_not_touch_each_other(mini):
    """In eval mode a picture has the same features alone, in company, and in another place of the batch."""
    x = pictures("mini", 4)
    with torch.inference_mode():
        together = mini(x)
        for i in range(4):
            torch.testing.assert_close(mini(x[i : i + 1])[0], together[i], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mini(x.flip(0)), together.flip(0), rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-2


def test_look_is_forward_and_the_context_prior(mini):
    """forward gives the features of `look`, and the prior is what OverNet's fourth stage makes."""
    x = pictures("mini", 2)
    with torch.inference_mode():
        features, prior = mini.look(x)
        assert torch.equal(features, mini(x))
        assert torch.equal(prior, mini.overnet(x)[1])


def test_the_prior_steers_modnet(mini):
    """Another prior over the same base features gives other features, everywhere under the place that changed."""
    with torch.inference_mode():
        base, prior = mini.overnet(pictures("mini", 1))
        changed = prior.clone()
        changed[:, :, 1, 2] += 3.0
        differs = (mini.modnet(base, prior) - mini.modnet(base, changed)).abs().amax((0, 1))  # (8, 8)
    scale = base.shape[-1] // prior.shape[-1]
    assert differs[scale : 2 * scale, 2 * scale : 3 * scale].min() > 1e-3


def test_what_gsm_adds_is_all_that_tells_ed_from_es():
    """With a bias map of nothing, an ED block is the ES block of the same weights."""
    ed, es = EDBlock(6, 4, 5, OverModConfig()).eval(), ESBlock(6, 5, OverModConfig()).eval()
    es.load_state_dict({k: v for k, v in ed.state_dict().items() if not k.startswith("gsm")})
    x, prior = torch.randn(2, 6, 8, 8), torch.randn(2, 4, 4, 4)
    assert (ed(x, prior) - es(x)).abs().max() > 1e-2
    torch.nn.init.zeros_(ed.gsm.signal.point.weight)
    torch.nn.init.zeros_(ed.gsm.signal.point.bias)
    assert torch.equal(ed(x, prior), es(x))


def test_grn_is_its_formula():
    """gamma (x |x|_c / mean |x|) + beta + x, against NumPy; the identity at the start."""
    grn = GRN(5).double()
    x = torch.randn(2, 5, 4, 3).double()
    assert torch.equal(grn(x), x)
    torch.nn.init.normal_(grn.gamma)
    torch.nn.init.normal_(grn.beta)
    v = x.numpy()
    strength = np.sqrt((v**2).sum(axis=(2, 3)))  # (B, C)
    share = strength / (strength.mean(axis=1, keepdims=True) + 1e-6)
    gamma, beta = (p.detach().numpy()[None] for p in (grn.gamma, grn.beta))
    expected = gamma * v * share[:, :, None, None] + beta + v
    np.testing.assert_allclose(grn(x).detach().numpy(), expected, atol=1e-12)


def test_grn_of_a_black_map_is_finite():
    """Where no channel responds there is nothing to share out, and nothing to divide by."""
    x = torch.zeros(1, 5, 4, 4, requires_grad=True)
    GRN(5)(x).sum().backward()
    assert x.grad.isfinite().all()


def test_layer_scale_weighs_the_branch():
    """An ES block of layer scale 0 is its first residual step alone; the branch grows in proportion."""
    x = torch.randn(1, 4, 8, 8).double()
    block = ESBlock(4, 5, OverModConfig(layer_scale=0.0)).double().eval()
    none = block(x)
    torch.testing.assert_close(none, block.near(x), rtol=0, atol=1e-12)
    assert (none - x).abs().max() > 0.01
    torch.nn.init.constant_(block.scale, 1.0)
    whole = block(x)
    torch.nn.init.constant_(block.scale, 0.25)
    torch.testing.assert_close(block(x) - none, 0.25 * (whole - none), rtol=0, atol=1e-12)


def test_ffn_is_its_formula():
    """Up, H-Swish, x + depthwise(x), GRN, down, with pointwise convolutions written as matrices."""
    ffn = ConvFFN(3, 2.0).double()
    x = torch.randn(1, 3, 5, 5).double()

    def matrix(conv: torch.nn.Conv2d, v: torch.Tensor) -> torch.Tensor:
        return torch.einsum("oi,bihw->bohw", conv.weight[:, :, 0, 0], v) + conv.bias[:, None, None]

    wide = matrix(ffn.up, x)
    wide = wide * (wide + 3).clamp(0, 6) / 6
    padded = torch.nn.functional.pad(wide, (1, 1, 1, 1))
    taps = ffn.mix.weight[:, 0, :, :, None, None]  # (wide, 3, 3, 1, 1)
    mixed = sum(taps[:, i, j] * padded[:, :, i : i + 5, j : j + 5] for i in range(3) for j in range(3))
    wide = wide + mixed + ffn.mix.bias[:, None, None]
    torch.testing.assert_close(ffn(x), matrix(ffn.down, wide), rtol=0, atol=1e-12)


def test_se_is_its_formula():
    """Means, two matrices with H-Swish between, sigmoid, product: against NumPy."""
    se = SE(6).double()
    x = torch.randn(2, 6, 4, 3).double()
    v = x.numpy()
    (a, b), (c, d) = ((m.weight.detach().numpy()[:, :, 0, 0], m.bias.detach().numpy()) for m in (se.squeeze, se.excite))
    between = v.mean((2, 3)) @ a.T + b
    between = between * np.clip(between + 3, 0, 6) / 6
    gate = 1 / (1 + np.exp(-(between @ c.T + d)))
    np.testing.assert_allclose(se(x).detach().numpy(), v * gate[:, :, None, None], atol=1e-12)


# Published: t and b. Between them s, for which the paper gives megabytes alone (see config.py).
MILLIONS = {"t": 5.2, "b": 18.1}


@pytest.mark.parametrize("name", MILLIONS)
def test_deploy_form_has_the_published_number_of_parameters(name):
    """Within 1 %, with the head of 1,000 classes and without the auxiliary head."""
    model = fuse(Classifier(PRESETS[name].encoder))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(MILLIONS[name] * 1e6, rel=0.01)


def test_s_lies_on_the_line_through_t_and_b():
    """µVLM-s comes to 21.2 MB within 2 % if megabytes grow with parameters as from µVLM-t (13.8) to µVLM-b (29.6)."""
    t, s, b = (sum(p.numel() for p in fuse(Classifier(PRESETS[n].encoder)).parameters()) / 1e6 for n in "tsb")
    assert t < s < b
    assert 13.8 + (29.6 - 13.8) * (s - t) / (b - t) == pytest.approx(21.2, rel=0.02)


def test_t_is_the_example_of_the_paper():
    """At the last stage for 224 pixels: 192 channels, 7 x 7 positions, a kernel of 7."""
    config = PRESETS["t"].encoder
    assert (config.image, config.widths[3], config.image // config.strides[3], config.kernels[3]) == (224, 192, 7, 7)


SWITCHES = [{"dynamic": False}, {"dilated": False}, {"grn": False}, {"layer_scale": None}, {"se": True}]


@pytest.mark.parametrize("switch", SWITCHES, ids=[next(iter(s)) for s in SWITCHES])
def test_every_switch_changes_one_thing(switch):
    """The weights that come or go are those of the part that the switch names, and of no other."""
    names = {"dynamic": "gsm", "dilated": "far", "grn": "grn", "layer_scale": "scale", "se": "se"}
    full = dict(OverMod(OverModConfig()).named_parameters())
    other = dict(OverMod(OverModConfig(**switch)).named_parameters())
    changed = full.keys() ^ other.keys()
    assert changed and all(names[next(iter(switch))] in key.split(".") for key in changed)
    assert all(full[key].shape == other[key].shape for key in full.keys() & other.keys())


def test_a_side_that_the_strides_do_not_divide_is_refused():
    """Before a layer is built; the sentence names a step that divides."""
    with pytest.raises(ValueError, match=r"side 100 does not divide into steps of 16 pixels.*multiple of 16"):
        OverModConfig(image=100)


def test_the_heads_read_what_they_should():
    """The logits are those of the averaged features, the auxiliary ones those of the averaged prior."""
    config = OverModConfig()
    model = Classifier(config, 7, 12).double()
    model.encoder.eval()  # batch-norms at rest, so that two passes agree
    x = pictures("mini", 2).double()
    logits, auxiliary = model(x)
    features, prior = model.encoder.look(x)
    wide = features.mean((2, 3)) @ model.widen.weight.T + model.widen.bias
    expected = (wide * (wide + 3).clamp(0, 6) / 6) @ model.classes.weight.T + model.classes.bias
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(auxiliary, prior.mean((2, 3)) @ model.auxiliary.weight.T + model.auxiliary.bias)
    torch.testing.assert_close(model.eval()(x), logits)


# What PyTorch calls an operator, and the name under which the operator tables know it.
ONNX = {
    "conv2d": "Conv",
    "hardswish": "HardSwish",
    "add": "Add",
    "cat": "Concat",
    "upsample_nearest2d": "Resize",
    "avg_pool2d": "AveragePool",
}
TAKEN = {"hw", "conditional", "hybrid"}  # conditional: Resize, which is nearest with a constant scale here


@pytest.mark.parametrize("name", PRESETS)
def test_every_operator_but_grn_is_one_that_the_npu_takes(name):
    """The exported deploy form without GRN has nothing else; with GRN, a division and a norm come in."""
    found = {}
    for grn in (True, False):
        config = replace(PRESETS[name].encoder, grn=grn)
        with torch.device("meta"):
            model = fuse(OverMod(config))
            picture = torch.empty(1, 3, config.image, config.image)
        graph = torch.export.export(model, (picture,)).graph
        found[grn] = {node.target.__name__.split(".")[0] for node in graph.nodes if node.op == "call_function"}
    assert all(lookup("stm32n6", ONNX[op]).where in TAKEN for op in found[False])
    assert {"linalg_vector_norm", "div"} <= found[True] - found[False]
