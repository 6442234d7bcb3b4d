"""Checkers for the exercises of chapter 12: four bits unpacked, and an encoder that the MAX78000 holds.

print(check_unpack(my_unpack))
print(check_encoder(OverModConfig(...)))
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..config import AttSSMConfig, OverModConfig, UVLMConfig
from ..quantize.int4 import pack
from . import Verdict
from .attempt import Hint, expect_function, judged, with_article


@judged()
def check_unpack(unpack: Callable[[np.ndarray, int], np.ndarray]) -> Verdict:
    """Judge a function that gives back what two weights a byte hold.

    Parameters
    ----------
    unpack : from (O, ceil(K / 2)) uint8 and K to (O, K) integers in -8..7, even columns in the low halves.

    Notes
    -----
    Source: chapter 12, exercise 1.
    """
    expect_function(unpack, "packed, columns")
    every = np.array([[low, high] for low in range(-8, 8) for high in range(-8, 8)], np.int8)
    by_lot = [np.random.default_rng(12).integers(-8, 8, (5, k), dtype=np.int8) for k in (1, 2, 7, 32, 33)]
    for q in (every, *by_lot):
        packed = pack(q)
        kept = packed.copy()
        try:
            found = np.asarray(unpack(packed, q.shape[1]))
        except Exception as error:  # whatever a reader's function does
            return Verdict(False, f"with {q.shape[1]} columns it raises {type(error).__name__}: {error}.")
        if not np.array_equal(packed, kept):
            return Verdict(False, "it changes the packed bytes, which it should only read.")
        if found.shape != q.shape:
            return Verdict(False, f"of {q.shape[1]} columns it makes the shape {found.shape}, and not {q.shape}.")
        wrong = np.argwhere(found.astype(np.int64) != q)
        if len(wrong):
            i, j = wrong[0]
            return Verdict(False, f"of the byte 0x{packed[i, j // 2]:02x}, column {j}, it makes {found[i, j]}, "
                                  f"and not {q[i, j]}.")  # fmt: skip
    return Verdict(True, "all 256 bytes and every width give back what was packed.")


@judged(seconds=120)
def check_encoder(config: OverModConfig) -> Verdict:
    """Judge an encoder for the MAX78000: exported, changed by every change of `rewrite`, and checked.

    Parameters
    ----------
    config : for pictures of 64 pixels.

    Returns
    -------
    Verdict
        `measured` is the share of the weight memory that it takes.

    Notes
    -----
    Source: chapter 12, exercise 2. What `prepare` of the decoder computes once a picture is part of the file.
    """
    from ..datasets.vocab import Vocabulary
    from ..model import UVLM
    from ..npu.check import check
    from ..npu.operators import CHIPS
    from ..npu.rewrite import CHANGES, changed
    from ..quantize.export import encoder_graph

    if not isinstance(config, OverModConfig):
        raise Hint(f"an OverModConfig is wanted, and this is {with_article(config)}.")
    if config.image != 64:
        return Verdict(False, f"it takes pictures of {config.image} pixels; keep 64.")
    if config.mod_depths[0] < 1 or not config.dynamic:
        return Verdict(False, "it has no ED block, so that nothing is modulated; keep one in ModNet.")
    decoder = AttSSMConfig(config.out, config.side, hidden=32, states=4, dt_rank=2)
    graph = encoder_graph(UVLM(UVLMConfig(config, decoder), Vocabulary(["word"])))
    for change in CHANGES.values():
        graph = changed(graph, change)
    verdict = check(graph, "max78000")
    facts = CHIPS["max78000"].facts
    room = 9 * facts["weight_kernels"].value
    layers = sum(node.op in ("Conv", "ConvTranspose") for node in verdict.nodes)
    left = sum(node.where not in ("hw", "folded") for node in verdict.nodes)
    share = verdict.weight_bytes / room
    if left:
        return Verdict(False, f"{left} nodes are not on the chip.", share)
    if layers > facts["most_layers"].value:
        return Verdict(False, f"{layers} layers with weights; the chip has {facts['most_layers'].value:.0f}.", share)
    if share > 1:
        return Verdict(False, f"{verdict.weight_bytes:,} bytes of weights; the chip has room for {room:,.0f}.", share)
    return Verdict(True, f"every node on the chip, {layers} layers, {verdict.weight_bytes:,} bytes of weights.", share)
