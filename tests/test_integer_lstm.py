"""The LSTM with Bahdanau attention in integers: its operators and whole steps against the float decoder."""

import numpy as np
import pytest
import torch

from tests.conftest import TINY_DECODER
from uvlm_mini import search
from uvlm_mini.baselines.bahdanau import BahdanauLSTM
from uvlm_mini.datasets.vocab import BOS
from uvlm_mini.quantize import integer_ops, tables
from uvlm_mini.quantize.integer_lstm import BIT, UNIT, quantize_lstm, scale_of, watch
from uvlm_mini.quantize.integer_ops import KERNELS, Record

WORDS = [f"w{i}" for i in range(13)]
LONGEST = 6


@pytest.fixture(scope="module")
def decoder() -> BahdanauLSTM:
    """Untrained, but sure of its words: larger weights."""
    torch.manual_seed(2)
    made = BahdanauLSTM(TINY_DECODER, len(WORDS)).eval()
    with torch.no_grad():
        made.embedding.weight.mul_(12)
        made.attention.score.weight.mul_(4)
    return made


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    torch.manual_seed(3)
    return torch.nn.functional.hardswish(torch.randn(40, 6, 4, 4) * 2)


@pytest.fixture(scope="module")
def quantized(decoder, features):
    return quantize_lstm(decoder, features[:32], WORDS, LONGEST)


def prepared(quantized, features):
    """What the integer decoder hears of pictures, and the float features that those integers are."""
    prepare, _, scale = quantized
    q = scale.nearest(features.numpy()).astype(np.int8)
    return prepare.run({"features": q}), torch.from_numpy(scale.of(q)).float()


@torch.inference_mode()
def test_steps_are_close_to_the_float_decoder(decoder, quantized, features) -> None:
    """Ten pictures that calibration has not seen, six steps, each decoder on its own state."""
    given, real = prepared(quantized, features[30:])
    ours = quantized[1]
    context, state = ours.start(given)
    real_context = decoder.prepare(real)
    real_state = decoder.start(real_context)
    assert np.abs(state["h"] / 128 - real_state.h.numpy()).max() < 0.03
    token = np.full(len(real), BOS)
    for _ in range(LONGEST):
        logits, state = ours.advance(token, context, state)
        real_logits, real_state = decoder.step(torch.from_numpy(token), real_context, real_state)
        assert np.abs(state["h"] / 128 - real_state.h.numpy()).max() < 0.06
        spread = float(real_logits.std())
        assert np.abs(logits * BIT - real_logits.numpy()).max() < 0.1 * spread
        token = real_logits[:, 2:].argmax(1).numpy() + 2


def test_captions_are_those_of_the_float_decoder(decoder, quantized, features) -> None:
    """Of forty at most three differ, where two are as likely; the scores of the others are near."""
    given, real = prepared(quantized, features)
    ours = [found[0] for found in quantized[1].beam(given)]
    theirs = [found[0] for found in search.beam(decoder, real, 3, LONGEST)]
    same = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.tokens == b.tokens]
    assert len(same) >= 37
    assert max(abs(a.log_prob - b.log_prob) for a, b in same) < 0.1
    assert {a.ended for a, _ in same} == {True, False}


def test_a_batch_is_its_pictures(quantized, features) -> None:
    given, _ = prepared(quantized, features[:4])
    for i, found in enumerate(quantized[1].beam(given)):
        assert quantized[1].beam({name: value[i : i + 1] for name, value in given.items()}) == [found]


def test_all_is_integer(quantized, features) -> None:
    prepare, ours, scale = quantized
    for program in (prepare, ours.step):
        for r in program.records:
            assert all(part.dtype.kind == "i" and part.dtype.itemsize <= 4 for part in r.arrays.values()), r.kind
            assert all(type(v) is int for n in r.numbers.values() for v in (n if isinstance(n, tuple) else (n,)))
    given = prepare.run({"features": scale.nearest(features[:2].numpy()).astype(np.int8)}, keep=True)
    context, state = ours.start({name: given[name] for name in prepare.outputs})
    values = ours.step.run({"word": ours.hear(np.array([BOS, 5])), **context, **state}, keep=True)
    kinds = {name: v.dtype for name, v in {**given, **values}.items() if v.dtype != np.int8}
    assert kinds.pop("score") == kinds.pop("logits") == np.int32
    assert set(kinds) == {"c", "c_first", "c_next", "share"} and set(kinds.values()) == {np.dtype(np.int16)}


def test_calibration_sees_what_the_decoder_does(decoder, features) -> None:
    """The memory's range over its own captions is that of the decoder's own steps."""
    ranges = watch(decoder, features[:5], LONGEST)
    seen = []
    with torch.inference_mode():
        context = decoder.prepare(features[:5])
        state = decoder.start(context)
        token = torch.full((5,), BOS)
        for _ in range(LONGEST):
            logits, state = decoder.step(token, context, state)
            seen.append(state.c)
            token = logits[:, 2:].argmax(1) + 2
    both = torch.stack([*seen, decoder.start(context).c])
    assert ranges["c"].tolist() == [both.min().item(), both.max().item()]
    assert ranges["keys"].tolist() == [context.keys.min().item(), context.keys.max().item()]


@pytest.mark.parametrize("positions", [1, 16, 196])
def test_softmax(positions: int) -> None:
    """Within a unit of Q15, from equal scores to one that takes all."""
    dice = np.random.default_rng(positions)
    x = np.rint(np.stack([dice.normal(0, s, positions) for s in (0, 1, 30)]) * 2**16).astype(np.int32)
    found = KERNELS["softmax"](Record("softmax", (), (), {}, {"powers": tables.powers()}), x)
    real = torch.softmax(torch.from_numpy(x * BIT), 1).numpy()
    assert found.dtype == np.int16 and np.abs(found - np.minimum(real * 2**15, 32767)).max() <= 1


@pytest.mark.parametrize("positions", [16, 196])
def test_attention_adds_up(positions: int) -> None:
    """Within 0.6 units of the weighed mean; at the ends of int8 nothing leaves 32 bits."""
    dice = np.random.default_rng(positions)
    given, made = UNIT._replace(zero=-128), UNIT._replace(zero=-128)
    x = dice.integers(-128, 128, (3, 5, positions, 1)).astype(np.int8)
    x[2] = 127
    share = np.rint(dice.dirichlet(np.ones(positions), 3) * 2**15).astype(np.int16)
    m, s = (int(v) for v in tables.multipliers(given.step / (2**15 * made.step)))
    numbers = {"zero_x": given.zero, "zero_y": made.zero, "m": m, "s": s, "lift": 0}
    found = KERNELS["attend"](Record("attend", (), (), numbers), share, x)
    real = np.einsum("bcl,bl->bc", given.of(x[..., 0]), share / 2**15) / made.step + made.zero
    assert np.abs(found - np.clip(real, -128, 127)).max() < 0.6
    assert (share.astype(np.int64).sum(1) * 255).max() < 2**31


def test_the_cell(quantized) -> None:
    """Against the float equations with the record's own weights: h within a unit, c within 40, of 2^15."""
    (r,) = [r for r in quantized[1].step.records if r.kind == "lstm"]
    dice = np.random.default_rng(0)
    a, hidden = r.arrays, r.arrays["weight_h"].shape[1]
    x, h = (dice.integers(-128, 128, (50, n)).astype(np.int8) for n in (a["weight"].shape[1], hidden))
    c = dice.integers(-9000, 9000, (50, hidden)).astype(np.int16)

    def ratio(m: str, s: str) -> np.ndarray:
        return a[m] / 2.0**31 * 2.0 ** -a[s].astype(float)

    z = ((x.astype(int) @ a["weight"].T + a["bias"]) * ratio("m", "s")) / 2**12
    z += ((h.astype(int) @ a["weight_h"].T + a["bias_h"]) * ratio("m_h", "s_h")) / 2**12
    i, f, g, o = np.split(np.clip(z, -8, 8), 4, 1)
    i, f, o, g = tables.sigmoid(i), tables.sigmoid(f), tables.sigmoid(o), np.tanh(g)
    unit = r.number("c_m") / 2.0**31 * 2.0 ** -r.number("c_s") / 2**12  # of c
    real_c = f * c + i * g / unit
    real_h = o * np.tanh(np.clip(real_c * unit, -8, 8)) * 128
    found_h, found_c = KERNELS["lstm"](r, x, h, c)
    assert np.abs(found_c - np.clip(real_c, -(2**15), 2**15 - 1)).max() < 40
    assert np.abs(found_h - np.clip(real_h, -128, 127)).max() < 1


def test_the_scale_of_a_range_holds_zero() -> None:
    for low, high in ((-1.0, 3.0), (0.5, 2.0), (-2.0, -1.0), (0.0, 0.0)):
        scale = scale_of(low, high)
        assert scale.of(scale.nearest(np.zeros(()))) == 0
        assert abs(scale.of(scale.nearest(np.array(high))) - high) <= scale.step
        assert abs(scale.of(scale.nearest(np.array(low))) - low) <= scale.step


def test_products_are_exact(quantized, features, monkeypatch) -> None:
    given, _ = prepared(quantized, features[:3])
    expected = quantized[1].beam(given)
    monkeypatch.setattr(integer_ops, "matmul", lambda a, b: a.astype(np.int64) @ b.astype(np.int64))
    assert quantized[1].beam(given) == expected


@pytest.mark.parametrize(("n", "words"), [(0, WORDS), (3, WORDS[:5])])
def test_what_does_not_fit_is_refused(decoder, features, n: int, words: list[str]) -> None:
    with pytest.raises(ValueError, match=f"{n} pictures and {len(words)} words were given"):
        quantize_lstm(decoder, features[:n], words, LONGEST)
