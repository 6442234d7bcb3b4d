"""The baselines: each is its formula, each is a decoder like AttSSM."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uvlm_mini.baselines.bahdanau import BahdanauLSTM
from uvlm_mini.baselines.dynamic_decoder import DynamicAttSSM
from uvlm_mini.baselines.lstm import lstm_cell
from uvlm_mini.baselines.nic import NIC
from uvlm_mini.baselines.transformer import TransformerDecoder
from uvlm_mini.baselines.updown import UpDown
from uvlm_mini.config import AttSSMConfig
from uvlm_mini.datasets.vocab import BOS, EOS, PAD
from uvlm_mini.decoder import AttSSM, Decoder
from uvlm_mini.search import beam, greedy

CONFIG = AttSSMConfig(features=6, side=4, hidden=12, states=4, dt_rank=2, dropout=0.3)
WORDS = 12
WHOLE = partial(DynamicAttSSM, fusion=True, spatial=True, channel=True)
DECODERS = [AttSSM, NIC, BahdanauLSTM, UpDown, TransformerDecoder, DynamicAttSSM, WHOLE]
LOOKING = [
    AttSSM,
    BahdanauLSTM,
    UpDown,
    TransformerDecoder,
    DynamicAttSSM,
    WHOLE,
]  # those that see the picture at every step


def made(kind: type[Decoder]) -> Decoder:
    """A small decoder in eval mode and float64, with weights large enough to tell words apart."""
    torch.manual_seed(0)
    decoder = kind(CONFIG, WORDS).double().eval()  # type: ignore[call-arg,arg-type]
    nn.init.normal_(decoder.embedding.weight)
    for p in decoder.parameters():
        if p.ndim > 1 and p is not decoder.embedding.weight and p.shape[1:] != (1, 1):
            p.data *= 2
    return decoder


@pytest.fixture
def features() -> Tensor:
    """Features of three pictures."""
    return 2 * torch.randn(3, 6, 4, 4, generator=torch.Generator().manual_seed(1)).double()


@pytest.fixture
def tokens() -> Tensor:
    """Three captions of seven words, BOS first."""
    words = torch.randint(4, WORDS, (3, 7), generator=torch.Generator().manual_seed(2))
    words[:, 0] = BOS
    return words


@pytest.mark.parametrize("kind", DECODERS)
def test_teacher_forcing_is_stepping(kind, features, tokens):
    """forward over a caption gives the logits that `step` gives word by word."""
    decoder = made(kind)
    whole = decoder(features, tokens)
    context = decoder.prepare(features)
    state = decoder.start(context)
    for t in range(7):
        logits, state = decoder.step(tokens[:, t], context, state)
        torch.testing.assert_close(logits, whole[:, t], rtol=1e-10, atol=1e-10)
    assert whole.std() > 0.1


@pytest.mark.parametrize("kind", DECODERS)
def test_later_words_and_neighbours_do_not_count(kind, features, tokens):
    """What follows a word leaves the logits before it alone; so does what stands in the next row of the batch."""
    decoder = made(kind)
    whole = decoder(features, tokens)
    for t in range(1, 7):
        changed = tokens.clone()
        changed[:, t:] = PAD
        changed[0, t] = EOS
        torch.testing.assert_close(decoder(features, changed)[:, :t], whole[:, :t])
    for i in range(3):
        torch.testing.assert_close(decoder(features[i : i + 1], tokens[i : i + 1])[0], whole[i])


@pytest.mark.parametrize("kind", DECODERS)
def test_earlier_words_count(kind, features, tokens):
    """Changing any word changes the last logits."""
    decoder = made(kind)
    last = decoder(features, tokens)[:, -1]
    for t in range(7):
        changed = tokens.clone()
        changed[:, t] = 4 + (tokens[:, t] - 3) % (WORDS - 4)
        assert (decoder(features, changed)[:, -1] - last).abs().amax(1).min() > 1e-7, t


@pytest.mark.parametrize("kind", LOOKING)
def test_where_a_thing_lies_counts(kind, features, tokens):
    """Features that change places give other logits: none of these decoders sees the mean alone."""
    decoder = made(kind)
    if kind in (AttSSM, WHOLE):
        nn.init.normal_(decoder.fusion.place)  # type: ignore[union-attr,arg-type]
    moved = features.flip(3)
    moved[:, :, 0] = features[:, :, 0]
    if kind in (BahdanauLSTM, UpDown, DynamicAttSSM):  # a set of positions: order does not matter to them, contents do
        moved = features.clone()
        moved[:, :, 0, 0], moved[:, :, 0, 1] = features[:, :, 0, 0] + 2, features[:, :, 0, 1] - 2  # the same mean
        torch.testing.assert_close(moved.mean((2, 3)), features.mean((2, 3)))
    assert (decoder(moved, tokens) - decoder(features, tokens)).abs().amax((1, 2)).min() > 1e-3


def test_nic_sees_the_mean_alone(features, tokens):
    """Once, before the first word: features of the same mean give the same logits."""
    decoder = made(NIC)
    flat = features.mean((2, 3), keepdim=True).expand_as(features)
    torch.testing.assert_close(decoder(flat, tokens), decoder(features, tokens))


@pytest.mark.parametrize("kind", DECODERS)
def test_every_parameter_has_a_gradient(kind, features, tokens):
    """Nothing is built and left out; places behind the last word are the exception."""
    decoder = made(kind)
    decoder(features, tokens).square().sum().backward()
    for name, p in decoder.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", DECODERS)
def test_search_takes_every_decoder(kind, features):
    """Beam 1 is greedy, a beam of 3 gives probabilities that teacher forcing confirms, alone as in company."""
    decoder = made(kind)
    first, wide = greedy(decoder, features, 6), beam(decoder, features, 3, 6)
    for i, (g, one) in enumerate(zip(first, beam(decoder, features, 1, 6), strict=True)):
        assert g.tokens == one[0].tokens and g.log_prob == pytest.approx(one[0].log_prob)
        assert [f.tokens for f in beam(decoder, features[i : i + 1], 3, 6)[0]] == [f.tokens for f in wide[i]]
        for f in wide[i]:
            line = torch.tensor([[BOS, *f.tokens, *([EOS] if f.ended else [])]])
            logits = decoder(features[i : i + 1], line[:, :-1])[0].detach()
            logits[:, [PAD, BOS]] = -torch.inf
            score = torch.log_softmax(logits, -1).gather(1, line[0, 1:, None]).sum()
            assert f.log_prob == pytest.approx(float(score), abs=1e-5)


# --- each is its formula, written a second time ---------------------------------------------------------------------


def lstm(cell: nn.LSTMCell, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM from its four gates."""
    i, f, g, o = (x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """x W^T + b."""
    return x @ layer.weight.T + (0 if layer.bias is None else layer.bias)


def looks(attention: nn.Module, x: Tensor, query: Tensor) -> Tensor:
    """Additive attention of one picture, position by position: (L, C) and (Q,) -> (C,)."""
    scores = [linear(attention.score, torch.tanh(linear(attention.key, p) + linear(attention.query, query))) for p in x]
    weights = torch.cat(scores).exp()
    return (weights / weights.sum()) @ x


def test_a_forget_gate_starts_open():
    """From an empty input, a cell keeps sigmoid(1) of its memory, and is PyTorch's in all else."""
    cell = lstm_cell(5, 7)
    for p in (cell.weight_ih, cell.weight_hh):
        nn.init.zeros_(p)
    biases = cell.bias_ih + cell.bias_hh
    assert (biases[7:14] == 1).all() and (biases[:7] != 1).all() and (biases[14:] != 1).all()
    nn.init.constant_(cell.bias_ih[:7], -1e9)  # nothing comes in
    _, memory = cell(torch.zeros(2, 5), (torch.zeros(2, 7), torch.ones(2, 7)))
    torch.testing.assert_close(memory, torch.full((2, 7), 1 / (1 + math.exp(-1))))


def test_nic_is_its_formula(features, tokens):
    """PyTorch's nn.LSTM over the picture and then the words."""
    decoder = made(NIC)
    whole = nn.LSTM(12, 12, batch_first=True).double()
    whole.load_state_dict({f"{k}_l0": v for k, v in decoder.lstm.state_dict().items()})
    words = 12**0.5 * decoder.embedding(tokens)
    picture = 12**0.5 * linear(decoder.picture, features.mean((2, 3)))[:, None]
    y = whole(torch.cat([picture, words], 1))[0][:, 1:]
    torch.testing.assert_close(decoder(features, tokens), y @ decoder.embedding.weight.T)


def test_bahdanau_is_its_formula(features, tokens):
    """One picture at a time, one position at a time, with the gate on what is seen."""
    decoder = made(BahdanauLSTM)
    whole = decoder(features, tokens)
    for i in range(3):
        x = features[i].flatten(1).T
        h, c = (torch.tanh(linear(first, x.mean(0))) for first in (decoder.first_h, decoder.first_c))
        for t in range(7):
            seen = linear(decoder.gate, h).sigmoid() * looks(decoder.attention, x, h)
            h, c = lstm(decoder.lstm, torch.cat([12**0.5 * decoder.embedding.weight[tokens[i, t]], seen]), h, c)
            torch.testing.assert_close(whole[i, t], decoder.embedding.weight @ h)


def test_updown_is_its_formula(features, tokens):
    """The first LSTM reads what was said, the mean and the word; the second what was seen and the first."""
    decoder = made(UpDown)
    whole = decoder(features, tokens)
    for i in range(3):
        x = features[i].flatten(1).T
        h1 = c1 = h2 = c2 = torch.zeros(12).double()
        for t in range(7):
            word = 12**0.5 * decoder.embedding.weight[tokens[i, t]]
            h1, c1 = lstm(decoder.ask, torch.cat([h2, x.mean(0), word]), h1, c1)
            h2, c2 = lstm(decoder.answer, torch.cat([looks(decoder.attention, x, h1), h1]), h2, c2)
            torch.testing.assert_close(whole[i, t], decoder.embedding.weight @ h2)


def test_transformer_is_its_formula(features, tokens):
    """All words at once with a causal mask, by PyTorch's own attention: no cache."""
    decoder = made(TransformerDecoder)

    def split(v: Tensor) -> Tensor:
        return v.unflatten(-1, (4, -1)).transpose(1, 2)  # (B, heads, n, H / heads)

    def attention(q: Tensor, kv: Tensor, causal: bool) -> Tensor:
        k, v = kv.chunk(2, -1)
        return F.scaled_dot_product_attention(split(q), split(k), split(v), is_causal=causal).transpose(1, 2).flatten(2)

    x = features.flatten(2).mT + decoder.positions
    y = 12**0.5 * decoder.embedding(tokens) + decoder.places[:7]
    for layer in decoder.layers:
        own = linear(layer.own, layer.norms[0](y))
        y = y + linear(layer.own_out, attention(own[..., :12], own[..., 12:], True))
        seen = attention(linear(layer.asks, layer.norms[1](y)), linear(layer.picture, x), False)
        y = y + linear(layer.asks_out, seen)
        y = y + linear(layer.narrow, F.hardswish(linear(layer.wide, layer.norms[2](y))))
    torch.testing.assert_close(decoder(features, tokens), decoder.norm(y) @ decoder.embedding.weight.T)


def test_keys_are_made_once_a_picture(features):
    """A step multiplies no feature by the keys' matrix: the baseline is not made slower than it need be."""
    for kind in (BahdanauLSTM, UpDown):
        decoder = made(kind)
        context = decoder.prepare(features)
        state = decoder.start(context)
        calls = []
        decoder.attention.key.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        decoder.step(torch.full((3,), BOS), context, state)
        assert not calls


def test_a_transformer_says_when_it_has_no_place_left(features):
    """One sentence instead of an index error."""
    torch.manual_seed(0)
    decoder = TransformerDecoder(CONFIG, WORDS, longest=2).double()
    with pytest.raises(ValueError, match="made for 2 words; give it a larger `longest`"):
        decoder(features, torch.full((3, 3), 5))


@pytest.mark.parametrize("kind", DECODERS)
def test_bad_captions_are_refused_in_a_sentence(kind, features, tokens):
    """A word that is not in the vocabulary, no word at all, other numbers of captions, pictures and states."""
    decoder = made(kind)
    for word in (WORDS, -1):
        wrong = tokens.clone()
        wrong[1, 3] = word
        with pytest.raises(ValueError, match=f"knows words 0 to 11, not {word}; encode captions with the vocabulary"):
            decoder(features, wrong)
    with pytest.raises(ValueError, match=r"not as \(3, 0\); an empty caption is BOS alone"):
        decoder(features, tokens[:, :0])
    with pytest.raises(ValueError, match=r"for the B = 3 pictures, not as \(2, 7\)"):
        decoder(features, tokens[:2])
    context = decoder.prepare(features)
    state = decoder.start(decoder.prepare(features[:2]))
    with pytest.raises(ValueError, match="not 3 words, 3 pictures and 2 states; repeat the rows"):
        decoder.step(tokens[:, 0], context, state)
    with pytest.raises(ValueError, match="knows words 0 to 11, not 12"):
        decoder.step(torch.full((3,), WORDS), context, decoder.start(context))
