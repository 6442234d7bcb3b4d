"""Searches and sampling against brute force, on decoders so small that every caption can be tried."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from tests.conftest import TINY_DECODER
from uvlm_mini.datasets.scenes import SPLITS, scene
from uvlm_mini.datasets.vocab import BOS, EOS, PAD, UNK
from uvlm_mini.decoder import AttSSM
from uvlm_mini.model import UVLM, to_tensor
from uvlm_mini.paths import data_path
from uvlm_mini.search import Found, Tried, beam, draw, greedy, nucleus, sample, temper

WORDS = 7  # four specials and three words: 4 choices a step beside EOS


def random_decoder(seed: int, words: int = WORDS) -> AttSSM:
    """A decoder with opinions: the embedding is large, so that logits differ by several units."""
    torch.manual_seed(seed)
    decoder = AttSSM(TINY_DECODER, words).eval()
    torch.nn.init.normal_(decoder.embedding.weight, std=0.5)
    return decoder


def pictures(n: int) -> torch.Tensor:
    """Features of n pictures."""
    return 3 * torch.randn(n, 6, 4, 4, generator=torch.Generator().manual_seed(5))


@torch.inference_mode()
def log_prob(decoder: AttSSM, features: torch.Tensor, tokens: list[int], ended: bool = True) -> float:
    """Of one caption, by teacher forcing: the sum over its words, and EOS where it ended by itself."""
    line = torch.tensor([[BOS, *tokens, *([EOS] if ended else [])]])
    logits = decoder(features[None], line[:, :-1])[0]
    logits[:, [PAD, BOS]] = -torch.inf
    return float(torch.log_softmax(logits, -1).gather(1, line[0, 1:, None]).sum())


def every_caption(decoder: AttSSM, features: torch.Tensor, longest: int) -> list[tuple[float, list[int]]]:
    """All captions of up to `longest` words that end by themselves, the likeliest first."""
    words = [w for w in range(decoder.embedding.num_embeddings) if w not in (PAD, BOS, EOS)]
    captions = [list(c) for n in range(longest + 1) for c in product(words, repeat=n)]
    return sorted(((log_prob(decoder, features, c), c) for c in captions), reverse=True)


def speaks(decoder: AttSSM, **logits: float) -> AttSSM:
    """The decoder with its output held constant, so that a word's logit is what is asked for and 0 elsewhere."""
    with torch.no_grad():
        decoder.norm_out.weight.zero_()
        decoder.norm_out.bias.zero_()
        decoder.norm_out.bias[0] = 1.0
        decoder.embedding.weight.zero_()
        for name, value in logits.items():
            decoder.embedding.weight[{"eos": EOS, "unk": UNK, "pad": PAD, "bos": BOS}.get(name, 4), 0] = value
    return decoder


@pytest.mark.parametrize("seed", range(20))
def test_beam_of_one_is_greedy(seed):
    """The same words, the same log-probability, the same end."""
    decoder, features = random_decoder(seed, 12), pictures(3)
    for longest in (1, 4, 12):
        for one, (only,) in zip(greedy(decoder, features, longest), beam(decoder, features, 1, longest), strict=True):
            assert (one.tokens, one.ended) == (only.tokens, only.ended)
            assert one.log_prob == pytest.approx(only.log_prob, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_what_brute_force_finds(seed):
    """All 85 captions of up to three words, in their order, with their log-probabilities."""
    decoder, features = random_decoder(seed), pictures(1)
    truth = every_caption(decoder, features[0], 3)
    found = beam(decoder, features, 400, 3)[0]
    assert len(found) == len(truth) == 85
    assert all(one.ended for one in found)
    assert [one.log_prob for one in found] == pytest.approx([p for p, _ in truth], abs=1e-4)
    of = {tuple(tokens): p for p, tokens in truth}
    assert {tuple(one.tokens): one.log_prob for one in found} == pytest.approx(of, abs=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_log_prob_is_that_of_teacher_forcing(seed):
    """For greedy and for every caption of a beam that ended by itself, EOS included."""
    decoder, features = random_decoder(seed, 12), pictures(3)
    for b, one in enumerate(greedy(decoder, features, 15)):
        for found in [one, *beam(decoder, features, 3, 15)[b]]:
            if found.ended:
                assert found.log_prob == pytest.approx(log_prob(decoder, features[b], found.tokens), abs=1e-3)


@pytest.mark.parametrize("longest", [1, 3])
def test_log_prob_of_a_caption_that_was_cut_off_is_that_of_its_words(longest):
    """Where the longest length is reached, the log-probability is that of the words that are handed over."""
    decoder, features = speaks(random_decoder(0), eos=-9.0, word=3.0), pictures(1)
    for found in [greedy(decoder, features, longest)[0], beam(decoder, features, 2, longest)[0][0]]:
        assert not found.ended
        assert found.log_prob == pytest.approx(log_prob(decoder, features[0], found.tokens, ended=False), abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_a_batch_finds_what_each_picture_alone_finds(seed):
    """Whether its neighbours have ended early or late."""
    decoder, features = random_decoder(seed, 12), pictures(5)
    for search in (lambda f: greedy(decoder, f, 8), lambda f: beam(decoder, f, 3, 8)):
        for b, found in enumerate(search(features)):
            alone = search(features[b : b + 1])[0]
            found, alone = ([f] if isinstance(f, Found) else f for f in (found, alone))
            assert [(f.tokens, f.ended) for f in found] == [(f.tokens, f.ended) for f in alone]
            assert [f.log_prob for f in found] == pytest.approx([f.log_prob for f in alone], abs=1e-4)


def test_captions_of_a_beam_differ_and_stand_in_order():
    """The best first, none twice, no more than asked for."""
    for seed in range(10):
        for found in beam(random_decoder(seed, 12), pictures(3), 5, 10):
            assert 1 <= len(found) <= 5
            assert [f.log_prob for f in found] == sorted((f.log_prob for f in found), reverse=True)
            assert len({tuple(f.tokens) for f in found}) == len(found)


@pytest.mark.parametrize(("split", "scenes"), [("hard", 30), ("test", SPLITS["test"])])
def test_a_beam_is_never_worse_than_greedy(split, scenes):
    """The model as it was before SCST, which leaves little to search, on crowded scenes and on the whole test split; a
    beam of 3 alone would lose greedy's caption now and then. On some scenes it finds a likelier one."""
    model = UVLM.load(data_path("uvlm_mini_before_scst.safetensors"))
    gained, other = [], 0
    for first in range(0, scenes, 100):
        drawn = np.stack([scene(split, i).draw() for i in range(first, min(first + 100, scenes))])
        with torch.inference_mode():
            features = model.encoder(to_tensor(drawn))
        for one, several in zip(greedy(model.decoder, features), beam(model.decoder, features), strict=True):
            gained.append(several[0].log_prob - one.log_prob)
            other += several[0].tokens != one.tokens
    assert len(gained) == scenes
    assert min(gained) >= -1e-5 and max(gained) > 0.05
    assert 0 < other < scenes


def test_padding_and_bos_are_never_said():
    """Not even where the decoder finds them by far the likeliest; their probability is shared out to the others."""
    decoder, features = speaks(random_decoder(0), pad=50.0, bos=40.0, eos=1.0, unk=2.0), pictures(2)
    for found in [*greedy(decoder, features, 6), *(f for fs in beam(decoder, features, 3, 6) for f in fs)]:
        assert not {PAD, BOS} & set(found.tokens)
        assert found.log_prob > -40


@pytest.mark.parametrize("longest", [1, 2, 5])
def test_a_decoder_that_never_ends_is_cut_off(longest):
    """At the longest length, with `ended` false; and one that ends right there has ended."""
    decoder, features = speaks(random_decoder(0), eos=-60.0), pictures(2)
    for found in [*greedy(decoder, features, longest), *(f for fs in beam(decoder, features, 3, longest) for f in fs)]:
        assert not found.ended
        assert len(found.tokens) == longest
        assert EOS not in found.tokens
    for seed in range(10):
        full = random_decoder(seed)
        for found in greedy(full, pictures(3), longest):
            assert len(found.tokens) <= longest
            assert found.ended or len(found.tokens) == longest


def test_a_decoder_that_ends_at_once_says_nothing():
    """EOS first: an empty caption with its own log-probability, and the beam finds it too."""
    decoder, features = speaks(random_decoder(0), eos=10.0), pictures(1)
    assert greedy(decoder, features)[0].tokens == beam(decoder, features)[0][0].tokens == []
    assert greedy(decoder, features)[0].ended


@pytest.mark.parametrize("longest", [0, -1])
def test_no_room_for_a_word_is_refused(longest):
    """By both searches, in one sentence."""
    for search in (greedy, beam):
        with pytest.raises(ValueError, match=f"room for one word at least, not {longest}"):
            search(random_decoder(0), pictures(1), longest=longest)


@pytest.mark.parametrize("width", [0, -3])
def test_a_beam_without_width_is_refused(width):
    """In one sentence."""
    with pytest.raises(ValueError, match=f"width of 1 at least, not {width}"):
        beam(random_decoder(0), pictures(1), width)


# --- what a beam tries ----------------------------------------------------------------------------------------------


def watched(decoder: AttSSM, features: torch.Tensor, width: int, longest: int) -> tuple[list[list[Tried]], list[Found]]:
    """Everything that a beam tries for one picture, step by step, and what it finds."""
    steps: list[list[Tried]] = []
    found = beam(decoder, features, width, longest, lambda tried: steps.append(tried[0]))
    return steps, found[0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_beam_tries_what_a_plain_one_would(seed, width):
    """Step by step against lists and teacher forcing: all ways to go on with what was kept, sorted, twice the width."""
    decoder, features = random_decoder(seed, 8), pictures(1)
    steps, _ = watched(decoder, features, width, 4)
    *steps, late = steps if width > 1 else [*steps, []]
    kept: list[list[int]] = [[]]
    for n, step in enumerate(steps):
        ways = [[*path, word] for path in kept for word in range(8) if word not in (PAD, BOS)]
        scored = [
            (log_prob(decoder, features[0], [w for w in way if w != EOS], ended=way[-1] == EOS), way) for way in ways
        ]
        scored = sorted(scored, reverse=True)[: 2 * width]
        assert [t.tokens for t in step] == [way for _, way in scored]
        assert [t.log_prob for t in step] == pytest.approx([p for p, _ in scored], abs=1e-4)
        room = n < 4
        kept = [way for _, way in scored if way[-1] != EOS][:width] if room else []
        ends = [way for _, way in scored[:width] if way[-1] == EOS]
        assert [t.tokens for t in step if t.fate == "kept"] == kept
        assert [t.tokens for t in step if t.fate == "ended"] == ends
        assert {t.fate for t in step} <= {"kept", "ended", "dropped"}
    assert [t.fate for t in late] == ["greedy"] * len(late)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_what_ended_is_what_a_beam_finds(width):
    """The likeliest of the beginnings that ended, greedy search's caption among them; or what was kept last, where
    none did. Watching changes nothing."""
    added = cut = 0
    for seed in range(80):
        decoder, features = random_decoder(seed, 12), pictures(1)
        if seed % 5 == 4:
            decoder = speaks(decoder, eos=-60.0)
        steps, found = watched(decoder, features, width, 5)
        assert found == beam(decoder, features, width, 5)[0]
        ended = [t for step in steps for t in step if t.fate in ("ended", "greedy")]
        last = [t for step in steps for t in step if len(t.tokens) == 5 and t.fate == "kept"]
        best = sorted(ended or last, key=lambda t: -t.log_prob)[:width]
        assert [[w for w in t.tokens if w != EOS] for t in best] == [f.tokens for f in found]
        assert [t.log_prob for t in best] == [f.log_prob for f in found]
        assert all(f.ended == bool(ended) for f in found)
        added += any(t.fate == "greedy" for t in ended)
        cut += not ended
    assert cut and (added or width != 2)


# --- sampling -------------------------------------------------------------------------------------------------------


def dice(seed: int = 0) -> torch.Generator:
    """A generator of its own, so that nothing else draws from it."""
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("cold", [{"temperature": 1e-6}, {"temperature": 1e-300}, {"top_p": 1e-12}])
def test_a_cold_draw_is_greedy_search(seed, cold):
    """The same words, log-probability and end, at every length, whichever way all words but the likeliest are shut
    out."""
    decoder, features = random_decoder(seed, 12), pictures(3)
    for longest in (1, 4, 12):
        drawn = sample(decoder, features, 2, generator=dice(seed), longest=longest, **cold)
        for one, several in zip(greedy(decoder, features, longest), drawn, strict=True):
            for found in several:
                assert (one.tokens, one.ended) == (found.tokens, found.ended)
                assert one.log_prob == pytest.approx(found.log_prob, abs=1e-4)


def outcomes(decoder: AttSSM, features: torch.Tensor, longest: int) -> dict[tuple, float]:
    """Probability of everything that a draw can bring: captions that end, and beginnings that are cut off."""
    found = {(*c, EOS): math.exp(p) for p, c in every_caption(decoder, features, longest)}
    for c in product([UNK, *range(4, decoder.embedding.num_embeddings)], repeat=longest):
        found[c] = math.exp(log_prob(decoder, features, list(c), ended=False)) - found[(*c, EOS)]
    return found


def surprise(drawn: list[Found], chances: dict[tuple, float]) -> float:
    """How many standard deviations chi-square lies above what chance gives; rare outcomes are taken together."""
    counts = dict.fromkeys(chances, 0)
    for found in drawn:
        counts[(*found.tokens, EOS) if found.ended else tuple(found.tokens)] += 1
    cells = [[0, 0.0]]  # seen and expected
    for key in sorted(chances, key=lambda key: chances[key]):
        if cells[-1][1] >= 10:
            cells.append([0, 0.0])
        cells[-1][0] += counts[key]
        cells[-1][1] += len(drawn) * chances[key]
    chi2 = sum((seen - hoped) ** 2 / hoped for seen, hoped in cells)
    freedom = len(cells) - 1
    third = 2 / (9 * freedom)
    return ((chi2 / freedom) ** (1 / 3) - (1 - third)) / math.sqrt(third)  # Wilson and Hilferty


def test_draws_follow_the_distribution_of_the_decoder():
    """Chi-square over all captions of up to two words, cut-off ones included; a slightly warmer draw is noticed."""
    decoder, features = random_decoder(3), pictures(1)
    chances = outcomes(decoder, features[0], 2)
    assert sum(chances.values()) == pytest.approx(1, abs=1e-5) and len(chances) == 37
    (drawn,) = sample(decoder, features, 8000, generator=dice(), longest=2)
    assert abs(surprise(drawn, chances)) < 3
    for other in ({"temperature": 1.2}, {"temperature": 0.8}, {"top_p": 0.95}):
        (drawn,) = sample(decoder, features, 8000, generator=dice(), longest=2, **other)
        assert surprise(drawn, chances) > 5


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tempered_draws_follow_the_tempered_distribution(temperature):
    """Chi-square of the first word against probabilities raised to the power of 1 / T, in NumPy."""
    decoder, features = random_decoder(4, 12), pictures(1)
    with torch.inference_mode():
        logits = decoder(features, torch.tensor([[BOS]]))[0, 0].double().numpy()
    logits[[PAD, BOS]] = -np.inf
    chances = np.exp(logits - logits.max()) ** (1 / temperature)
    chances /= chances.sum()
    firsts = {(w,) if w != EOS else (EOS,): p for w, p in enumerate(chances) if p}
    (drawn,) = sample(decoder, features, 8000, temperature, generator=dice(), longest=5)
    firsts_drawn = [Found(f.tokens[:1], 0.0, not f.tokens) for f in drawn]
    assert abs(surprise(firsts_drawn, firsts)) < 3


@pytest.mark.parametrize("top_p", [0.05, 0.3, 0.5, 0.75, 0.9, 0.99, 1.0])
def test_nucleus_is_the_smallest_set_that_reaches_its_share(top_p):
    """Against a sort in NumPy: nothing outside of it can be drawn, all inside can, in proportion to what they were."""
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.full(30, 0.3), 200)
    kept, words = nucleus(torch.from_numpy(chances), top_p)
    for row, part, names in zip(chances, kept.numpy(), words.numpy(), strict=True):
        order = sorted(range(30), key=lambda w: -row[w])
        size = next((n for n in range(1, 31) if sum(row[w] for w in order[:n]) >= top_p), 30)
        inside = {int(w): p for w, p in zip(names, part, strict=True) if p > 1e-12}  # a sum may round up to 1 too early
        assert inside == {w: row[w] for w in order[:size] if row[w] > 1e-12}


def test_a_share_that_is_reached_exactly_needs_no_more():
    """Equal words: the ones with the lower numbers are in; a draw takes each as often as it is likely."""
    chances = torch.tensor([[0.25, 0.0, 0.25, 0.25, 0.25]], dtype=torch.float64)
    for top_p, inside in ((0.25, [0]), (0.5, [0, 2]), (0.51, [0, 2, 3]), (1.0, [0, 2, 3, 4])):
        kept, words = nucleus(chances, top_p)
        assert words[0, kept[0] > 0].tolist() == inside
        n = len(inside)
        lots = torch.arange(8 * n, dtype=torch.float64) / (8 * n)
        drawn = draw(kept.expand(8 * n, -1), words.expand(8 * n, -1), lots)
        assert drawn.tolist() == [w for w in inside for _ in range(8)]


def test_the_last_lot_draws_the_last_word():
    """The largest number below 1 stays inside of the nucleus, however sums were rounded."""
    rng = np.random.default_rng(1)
    chances = torch.from_numpy(rng.dirichlet(np.full(30, 0.3), 500))
    for top_p in (0.5, 0.9, 1.0):
        kept, words = nucleus(chances, top_p)
        drawn = draw(kept, words, torch.full((500,), np.nextafter(1, 0), dtype=torch.float64))
        assert (chances.gather(1, drawn[:, None]) > 0).all()
        assert (kept.gather(1, (words == drawn[:, None]).int().argmax(1, keepdim=True)) > 0).all()


@pytest.mark.parametrize("top_p", [0.4, 0.8])
def test_no_caption_leaves_the_nucleus(top_p):
    """Word for word, by teacher forcing and a sort in NumPy of the tempered probabilities."""
    decoder, features, temperature = random_decoder(2, 12), pictures(2), 1.5
    outside = 0
    for b, several in enumerate(sample(decoder, features, 100, temperature, top_p, dice(), 6)):
        for found in several:
            line = [BOS, *found.tokens, *([EOS] if found.ended else [])]
            with torch.inference_mode():
                logits = decoder(features[b : b + 1], torch.tensor([line[:-1]]))[0].double().numpy()
            logits[:, [PAD, BOS]] = -np.inf
            for row, word in zip(logits, line[1:], strict=True):
                chances = np.exp((row - row.max()) / temperature)
                chances /= chances.sum()
                likelier = chances[chances > chances[word] * (1 + 1e-6)].sum()
                assert likelier < top_p + 1e-6
                outside += likelier > 0
    assert outside > 20  # it is not greedy search


@pytest.mark.parametrize("top_p", [0.7, 1.0])
def test_drawn_log_prob_is_the_models_own(top_p):
    """Not that of the tempered or cut distribution: as by teacher forcing, for captions that end and that do not."""
    decoder, features = random_decoder(3, 12), pictures(2)
    ends = set()
    for b, several in enumerate(sample(decoder, features, 20, 1.7, top_p, dice(), 4)):
        for found in several:
            expected = log_prob(decoder, features[b], found.tokens, found.ended)
            assert found.log_prob == pytest.approx(expected, abs=1e-4)
            assert len(found.tokens) <= 4 and (found.ended or len(found.tokens) == 4)
            ends.add(found.ended)
    assert ends == {True, False}


def test_a_batch_draws_what_each_picture_draws_alone():
    """From one generator, one picture after the other: whether neighbours end early or late, nothing shifts."""
    decoder, features = random_decoder(5, 12), pictures(5)
    one_by_one, together = dice(7), dice(7)
    alone = [sample(decoder, features[b : b + 1], 3, 1.3, 0.9, one_by_one, 8)[0] for b in range(5)]
    batch = sample(decoder, features, 3, 1.3, 0.9, together, 8)
    assert [[f.tokens for f in fs] for fs in batch] == [[f.tokens for f in fs] for fs in alone]
    for several, singly in zip(batch, alone, strict=True):
        assert [f.log_prob for f in several] == pytest.approx([f.log_prob for f in singly], abs=1e-4)
    assert torch.equal(torch.rand(3, generator=one_by_one), torch.rand(3, generator=together))
    assert len({tuple(f.tokens) for fs in batch for f in fs}) > 5


def test_draws_never_bring_padding_and_bos():
    """Where the decoder finds them by far the likeliest, and at a temperature that makes all words alike."""
    decoder, features = speaks(random_decoder(0), pad=50.0, bos=40.0, eos=1.0, unk=2.0), pictures(2)
    said = {w for fs in sample(decoder, features, 200, 1e6, generator=dice(), longest=6) for f in fs for w in f.tokens}
    assert said == {UNK, 4, 5, 6}


BAD_DRAWS = [
    ({"number": 0}, "one caption a picture at least, not 0"),
    ({"temperature": 0.0}, "finite number above 0, not 0.0; near 0 it is greedy search"),
    ({"temperature": -1.0}, "finite number above 0, not -1.0"),
    ({"temperature": math.inf}, "finite number above 0, not inf"),
    ({"temperature": math.nan}, "finite number above 0, not nan"),
    ({"top_p": 0.0}, "above 0 and up to 1 of the probability, not 0.0"),
    ({"top_p": 1.01}, "above 0 and up to 1 of the probability, not 1.01"),
    ({"top_p": math.nan}, "above 0 and up to 1 of the probability, not nan"),
    ({"longest": 0}, "room for one word at least, not 0"),
]


@pytest.mark.parametrize(("given", "says"), BAD_DRAWS)
def test_a_bad_draw_is_refused(given, says):
    """In one sentence."""
    with pytest.raises(ValueError, match=says):
        sample(random_decoder(0), pictures(1), **given)


def test_temper_is_exact_at_both_ends():
    """Temperature 1 is softmax; a tiny one leaves the likeliest words alone, which share the probability."""
    logs = torch.log_softmax(torch.randn(4, 9), -1)
    torch.testing.assert_close(temper(logs, 1.0), logs.double().exp(), atol=1e-6, rtol=0)
    tied = torch.log(torch.tensor([[0.4, 0.2, 0.4]]))
    assert temper(tied, 1e-300).tolist() == [[0.5, 0.0, 0.5]]
