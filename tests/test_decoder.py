"""AttSSM: teacher forcing is stepping, and each picture has its own caption."""

import pytest
import torch
from torch.nn import functional as F

from tests.conftest import TINY_DECODER
from uvlm_mini.datasets.vocab import BOS, EOS, PAD
from uvlm_mini.decoder import AttSSM, MultiScaleFusion

WORDS = 12


@pytest.fixture
def decoder() -> AttSSM:
    """A small decoder in eval mode, with weights large enough to tell words apart."""
    model = AttSSM(TINY_DECODER, WORDS).eval()
    torch.nn.init.normal_(model.embedding.weight)
    torch.nn.init.normal_(model.fusion.place)
    for norm in (model.norm, model.norm_out):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    return model


@pytest.fixture
def features() -> torch.Tensor:
    """Features of three pictures."""
    return 3 * torch.randn(3, 6, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens() -> torch.Tensor:
    """Three captions of seven words, BOS first."""
    words = torch.randint(4, WORDS, (3, 7), generator=torch.Generator().manual_seed(2))
    words[:, 0] = BOS
    return words


def test_teacher_forcing_is_stepping(decoder, features, tokens):
    """forward over a caption gives the logits that `step` gives word by word."""
    whole = decoder(features, tokens)
    context = decoder.prepare(features)
    state = decoder.start(context)
    for t in range(7):
        logits, state = decoder.step(tokens[:, t], context, state)
        torch.testing.assert_close(logits, whole[:, t], rtol=1e-6, atol=1e-6)


def test_a_step_is_its_formula(decoder, features, tokens):
    """GCDM is asked with the last y and the word; u joins the word with what it sees; y = LN(u + SSM(LN(u)))."""

    def linear(layer: torch.nn.Linear, v: torch.Tensor) -> torch.Tensor:
        return v @ layer.weight.T + layer.bias

    context = decoder.prepare(features)
    state = decoder.start(context)
    for t in range(7):
        word = decoder.embedding.weight[tokens[:, t]] * decoder.config.hidden**0.5
        query = state.y + word @ decoder.ask.weight.T
        seen = decoder.gcdm(context.x, (context.signal, context.gate), query)
        u = linear(decoder.join, torch.cat([word, linear(decoder.project, seen)], 1))
        u = u * (u + 3).clamp(0, 6) / 6
        core, h = decoder.ssm.step(F.layer_norm(u, (10,), decoder.norm.weight, decoder.norm.bias), state.h)
        y = F.layer_norm(u + core, (10,), decoder.norm_out.weight, decoder.norm_out.bias)
        logits, state = decoder.step(tokens[:, t], context, state)
        torch.testing.assert_close(state.y, y, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(state.h, h, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(logits, y @ decoder.embedding.weight.T, rtol=1e-5, atol=1e-5)


def test_a_step_does_not_see_later_words(decoder, features, tokens):
    """What follows a word, padding after EOS or anything else, leaves the logits before it as they were."""
    whole = decoder(features, tokens)
    for t in range(1, 7):
        changed = tokens.clone()
        changed[:, t:] = PAD
        changed[0, t] = EOS
        torch.testing.assert_close(decoder(features, changed)[:, :t], whole[:, :t], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(decoder(features, tokens[:, :t]), whole[:, :t], rtol=1e-6, atol=1e-6)


def test_every_earlier_word_counts(decoder, features, tokens):
    """Changing any word changes the last logits: the state carries it there."""
    last = decoder(features, tokens)[:, -1]
    for t in range(7):
        changed = tokens.clone()
        changed[:, t] = 4 + (tokens[:, t] - 3) % (WORDS - 4)
        assert (decoder(features, changed)[:, -1] - last).abs().amax(1).min() > 1e-5, t


def test_the_picture_counts_at_every_step(decoder, features, tokens):
    """Another picture gives other logits from the first word to the last."""
    differs = (decoder(features, tokens) - decoder(features.flip(0), tokens)).abs().amax(2)[[0, 2]]
    assert differs.min() > 1e-2


def test_captions_of_a_batch_do_not_touch_each_other(decoder, features, tokens):
    """Each row alone gives the logits that it gives in company; another neighbour changes nothing."""
    whole = decoder(features, tokens)
    for i in range(3):
        torch.testing.assert_close(decoder(features[i : i + 1], tokens[i : i + 1])[0], whole[i], rtol=1e-5, atol=1e-5)
    other = features.clone()
    other[0] = 7.0
    torch.testing.assert_close(decoder(other, tokens)[1:], whole[1:], rtol=1e-5, atol=1e-5)


def test_the_output_matrix_is_the_embedding(decoder, features, tokens):
    """Logits are E y with the rows that embed the words: a longer row scales its logit alone."""
    before = decoder(features, tokens[:, :1])  # reads BOS only
    with torch.no_grad():
        decoder.embedding.weight[9] *= 3
    after = decoder(features, tokens[:, :1])
    factor = torch.ones(WORDS)
    factor[9] = 3
    torch.testing.assert_close(after, before * factor)


def test_dropout_rests_in_eval_mode_and_works_in_training(decoder, features, tokens):
    """Twice the same in eval mode, twice another in training."""
    assert torch.equal(decoder(features, tokens), decoder(features, tokens))
    decoder.train()
    assert not torch.equal(decoder(features, tokens), decoder(features, tokens))


def test_every_parameter_has_a_gradient(decoder, features, tokens):
    """Nothing is built and left out."""
    decoder(features, tokens).square().sum().backward()
    for name, p in decoder.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.abs().max() > 0, name


@pytest.mark.parametrize(("side", "scales"), [(8, [8, 4, 2]), (6, [6, 3, 1]), (7, [7, 1]), (4, [4, 2, 1]), (2, [2, 1])])
def test_fusion_is_its_formula(side, scales):
    """The place map and every scale's convolution, enlarged again, added up, then H-Swish."""
    fusion = MultiScaleFusion(5, 3, side).double()
    torch.nn.init.normal_(fusion.place)
    assert fusion.sides == scales
    x = torch.randn(2, 5, side, side).double()
    total = fusion.place.expand(2, -1, -1, -1)
    for s, point in zip(scales, fusion.points, strict=True):
        small = torch.einsum("oi,bihw->bohw", point.weight[:, :, 0, 0], F.adaptive_avg_pool2d(x, s))
        small = small + point.bias[:, None, None]
        total = total + small.repeat_interleave(side // s, 2).repeat_interleave(side // s, 3)
    torch.testing.assert_close(fusion(x), total * (total + 3).clamp(0, 6) / 6, rtol=1e-12, atol=1e-12)
