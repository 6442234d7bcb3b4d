"""Checkers for the exercises of chapter 5: a bias that asks, how steep is steep, a word for each ear, costs, chance.

print(check_asking(my_bias))
print(check_lift(my_lift))
print(check_crossed(my_crossed))
print(check_spent(my_spent))
print(check_factor(my_factor))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..config import AttSSMConfig
from ..decoder import AttSSM, Context, State
from ..modulation import GCDM
from . import Verdict
from .attempt import Hint, expect_array, expect_close, expect_function, judged

CHANNELS = ("red", "blue", "cat", "dog")


def _toy(things: list[str]) -> Tensor:
    """A picture of the chapter's beginning: a column for each thing, a channel for each property."""
    return torch.tensor([[float(c in thing.split()) for thing in things] for c in CHANNELS])


@judged()
def check_asking(asking: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Judge a bias map made from a picture and a query, with which the maximum reads the place that was asked for.

    Parameters
    ----------
    asking : from (4, L) features that are 0 or 1 and a (4,) query with a 1 for what is asked, else 0, to the (L,) bias,
        one number a place. One thing in the picture has all that is asked, the others less of it.

    Notes
    -----
    Source: chapter 5, exercise 1. What is read is max(x + b) - max(b) in each channel.
    """
    expect_function(asking, "x, q")
    pictures = [["red cat", "blue dog"], ["blue cat", "red dog"], ["blue dog", "red cat"]]
    cases = [(things, [word]) for things in pictures for word in CHANNELS]
    whole = ["red cat", "red dog", "blue cat", "blue dog"]
    cases += [(whole[k:] + whole[:k], thing.split()) for k in range(4) for thing in whole]
    for things, words in cases:
        x, q = _toy(things), torch.tensor([float(c in words) for c in CHANNELS])
        places = len(things)
        name = f"the bias map of {places} places"
        b = torch.as_tensor(expect_array(asking(x.clone(), q.clone()), (places,), name)).to(x)
        asked = next(k for k, thing in enumerate(things) if set(words) <= set(thing.split()))
        read, wanted = (x + b).amax(1) - b.max(), x[:, asked]
        if torch.allclose(read, wanted, atol=1e-4):
            continue
        what = f"asked for '{' '.join(words)}' in a picture of {' and '.join(things)}"
        if float(b.max() - b.min()) < 1e-6:
            raise Hint(f"{what}, the bias is the same at all places, so that no place is lifted over another.")
        if int(b.argmax()) != asked:
            raise Hint(f"{what}, it lifts {things[int(b.argmax())]} most; a place's bias has to know what is there.")
        others = [float(b[k]) for k in range(places) if k != asked]
        lift = float(b[asked]) - max(others)
        if lift < 1 - 1e-4:
            raise Hint(f"{what}, the right place is lifted by {lift:.3g} over the next; features differ by up to 1.")
        raise Hint(f"{what}, the channels {', '.join(CHANNELS)} are read as {[round(v, 2) for v in read.tolist()]}.")
    return Verdict(True, f"{len(cases)} times asked, all channels are read at the place that was meant.")


def _soft(b: float) -> float:
    """Log-sum-exp attention with contrast 1 over the features 1, 4, 2 with the bias b, 0, 0."""
    return math.log(math.exp(1 + b) + math.exp(4) + math.exp(2)) - math.log(math.exp(b) + 2)


@judged()
def check_lift(lift: Callable[[float], float]) -> Verdict:
    """Judge a function that says how far a place must be lifted until attention reads it nearly alone.

    Parameters
    ----------
    lift : from how near attention is to come to what the first place holds to the least bias that brings it there, to
        0.02.

    Notes
    -----
    Source: chapter 5, exercise 2, where the features are 1, 4, 2, the bias is b, 0, 0 and the contrast is 1.
    """
    expect_function(lift, "near")
    for near in (0.1, 1.0, 0.5, 0.02):
        found = float(expect_array(lift(near), (), f"the bias for {near:g}"))
        if abs(found) > 50:
            raise Hint(f"to come as near as {near:g} it lifts by {found:.4g}, which is far beyond what is needed.")
        off = _soft(found) - 1
        if _soft(found - 0.02) - 1 >= near >= _soft(found + 0.02) - 1:
            continue
        what = f"for {near:g} it lifts by {found:.4g}, where attention reads {1 + off:.4f} and the first place holds 1"
        if near < 1 and (abs(found - 3) < 0.02 or abs(found - (3 - near)) < 0.02):
            raise Hint(f"{what}; that is enough for a maximum, and a sum of exponentials forgets nobody.")
        missing = math.log((math.e**4 + math.e**2) / (math.exp(1 + near) - math.e))
        if abs(found - missing) < 0.02:
            raise Hint(f"{what}; the two other places count in the second sum as well, with a bias of 0 each.")
        raise Hint(f"{what}; {'lift it further' if off > near else 'a smaller bias is enough'}.")
    return Verdict(True, "four biases bring attention as near as asked, and no smaller ones do.")


def _decoder() -> AttSSM:
    torch.manual_seed(0)
    decoder = AttSSM(AttSSMConfig(features=6, side=4, hidden=8, states=3, dt_rank=2), 12).eval().requires_grad_(False)
    for layer in (decoder.ask, decoder.gcdm.signal_q, decoder.gcdm.point):
        layer.weight.mul_(3.0)  # so that a look depends on the query
    return decoder


def _step(decoder: AttSSM, asked: Tensor, heard: Tensor, context: Context, state: State) -> tuple[Tensor, State]:
    """The package's own step, with the word of the query exchanged on its way into `ask`."""
    hook = decoder.ask.register_forward_pre_hook(lambda layer, given: (decoder.word(asked),))
    try:
        return decoder.advance(heard, context, state)
    finally:
        hook.remove()


@judged()
def check_crossed(crossed: Callable[[AttSSM, Tensor, Tensor, Context, State], Any]) -> Verdict:
    """Judge a step of AttSSM whose query hears one word and whose SSM hears another.

    Parameters
    ----------
    crossed : from a decoder in eval mode, (B,) words for the query, (B,) words for `join`, context and state to the
        (B, H) output and the next state, as `AttSSM.advance` gives them.

    Notes
    -----
    Source: chapter 5, exercise 3. Compared with the package's step, in which the query's word is exchanged.
    """
    expect_function(crossed, "decoder, asked, heard, context, state")
    with torch.random.fork_rng(devices=[]):
        decoder = _decoder()
        context = decoder.prepare(torch.randn(3, 6, 4, 4))
    asked, heard = torch.tensor([2, 5, 7]), torch.tensor([3, 11, 6])
    state = decoder.start(context)
    for _ in range(2):
        wanted = _step(decoder, asked, heard, context, state)
        with torch.no_grad():
            found = crossed(decoder, asked, heard, context, state)
        if not isinstance(found, tuple) or len(found) != 2:
            raise Hint("it should give two things, the output and the next state, as advance does.")
        y, after = found
        if not isinstance(after, tuple) or len(after) != 2:
            raise Hint("the next state should be a State of two parts, what the SSM remembers and the output.")
        y = torch.as_tensor(expect_array(y, (3, 8), "the output"))
        known = {
            "both hear the query's word": (asked, asked),
            "both hear the SSM's word": (heard, heard),
            "the words are exchanged, the query hears what the SSM should": (heard, asked),
        }
        for what, (q, w) in known.items():
            if torch.allclose(y, _step(decoder, q, w, context, state)[0], atol=1e-6):
                raise Hint(f"in the output {what}.")
        silent = _step(decoder, asked, heard, context, State(state.h, torch.zeros_like(state.y)))[0]
        if bool(state.y.any()) and torch.allclose(y, silent, atol=1e-6):
            raise Hint("the query is the word alone; the last output, state.y, belongs into it as well.")
        expect_close(y, wanted[0], "the output", rtol=1e-4, atol=1e-5)
        expect_close(after[0], wanted[1].h, "the SSM's part of the next state", rtol=1e-4, atol=1e-5)
        expect_close(after[1], wanted[1].y, "the output in the next state", rtol=1e-4, atol=1e-5)
        state = wanted[1]
    return Verdict(True, "two steps of three captions are as they should be, each word in its place.")


class _Attention(nn.Module):
    """Single-headed cross-attention, keys and values once a picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))

    def prepare(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flatten(2).mT  # (B, L, H)
        return self.k(x), self.v(x)

    def forward(self, x: Tensor, prepared: tuple[Tensor, Tensor], q: Tensor) -> Tensor:
        keys, values = prepared
        weights = (self.q(q)[:, None] @ keys.mT).softmax(-1)  # (B, 1, L)
        return self.o((weights @ values)[:, 0])


def _counted(call: Callable[[], Any]) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops()) // 2


def _looks(H: int, L: int) -> dict[str, tuple[int, int]]:
    """Multiply-adds of what a picture gives once, and of a look, counted in attention and in GCDM."""
    counts = {}
    with torch.device("meta"):
        x, q = torch.empty(1, H, L, 1), torch.empty(1, H)
        for name, look in (("attention", _Attention(H)), ("GCDM", GCDM(H, H))):
            once = _counted(partial(look.prepare, x))
            counts[name] = once, _counted(partial(look, x, look.prepare(x), q))
    return counts


@judged()
def check_spent(spent: Callable[[int, int, int], tuple[int, int]]) -> Verdict:
    """Judge a count of all multiply-adds that looking takes in a caption.

    Parameters
    ----------
    spent : from T looks, width H = C and L places to two numbers, those of cross-attention and of GCDM; what the
        picture alone decides is computed once.

    Notes
    -----
    Source: chapter 5, exercise 4. Compared with what PyTorch counts in the modules.
    """
    expect_function(spent, "T, H, L")
    for T, H, L in ((12, 512, 49), (1, 160, 64), (27, 160, 64), (5, 96, 16)):
        both = expect_array(spent(T, H, L), (2,), "the answer")
        for name, value, (once, each) in zip(("attention", "GCDM"), both.tolist(), _looks(H, L).values(), strict=True):
            wanted = once + T * each
            if value == wanted:
                continue
            known = {
                T * (once + each): "that computes what the picture gives at every word anew",
                T * each: "what the picture gives, once, is missing",
                once + each: "that is a single look",
                wanted - T * L * H: "there is a term LH too few a look",
                wanted + T * L * H: "there is a term LH too many a look",
                wanted - H * H: "an H² is missing in what the picture gives; the gate has a half of that kind too",
                2 * wanted: "these are operations, two for each multiply-add",
            }
            why = known.get(value, f"that is {value / wanted:.3g} times what is counted in the module")
            raise Hint(f"for T = {T}, H = {H}, L = {L} it gives {value:,.0f} for {name}; {why}.")
    return Verdict(True, "four captions, and both modules do just as many multiply-adds.")


def _beyond(t: float) -> float:
    """The chance that Student's t with four degrees of freedom exceeds t on one side."""
    s = t / math.sqrt(1 + t * t / 4)
    return 0.5 - 0.375 * s * (1 - s * s / 12)


@judged()
def check_factor(factor: Callable[[int], float]) -> Verdict:
    """Judge how many standard errors a difference needs to be clear when it is one of several.

    Parameters
    ----------
    factor : from the number of comparisons to the factor, to 0.02: the chance of a false alarm in all of them together
        is one in twenty at most, by the bound that adds the chances up. Four degrees of freedom, either sign.

    Notes
    -----
    Source: chapter 5, exercise 5.
    """
    expect_function(factor, "n")
    size = 0.05
    for n in (1, 5, 12, 50):
        found = float(expect_array(factor(n), (), f"the factor for {n} comparisons"))
        if found <= 0:
            raise Hint(f"for {n} comparisons the factor is {found:.4g}, and a number of standard errors is positive.")
        if _beyond(found + 0.02) <= size / (2 * n) <= _beyond(found - 0.02):
            continue
        alarms = 2 * n * _beyond(found)
        what = f"with {found:.3f} standard errors the chances of a false alarm in {n} add up to {alarms:.3f}"
        near = {
            size / n: "one in twenty is wanted for both signs together, so half of it on each side",
            size / 2: "each comparison has one in twenty for itself, and together they should have it",
            size * n / 2: "more comparisons ask for a stricter rule, not for a laxer one",
        }
        for tail, why in near.items():
            if tail < 0.5 and _beyond(found + 0.02) <= tail <= _beyond(found - 0.02):
                raise Hint(f"{what}; {why}.")
        raise Hint(f"{what}, and {size} is wanted.")
    return Verdict(True, "for 1, 5, 12 and 50 comparisons the chances add up to one in twenty.")
