"""The paper's Table 6 at our size: what each part of the decoder is worth; and SE in the encoder against the decoder's.

python -m benchmarks.decoder_ablation          about 40 minutes on two idle cores; may be stopped and run again

The first table adds one part after the other to a decoder that looks through a dynamic convolution; whether the
convolution stays or makes room is not published, so both are there. The second trains six encoders, three with
squeeze-and-excitation, by stage 1 on fewer pictures, and on each a decoder with channel modulation and one without.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import captions, record, table
from benchmarks.captions import KEPT, MINI, STAGE_1, parameters, pictures
from uvlm_mini.baselines.dynamic_decoder import DynamicAttSSM
from uvlm_mini.config import PRESETS, AttSSMConfig
from uvlm_mini.decoder import AttSSM, Context, Decoder, State

SOURCES = [
    *captions.SOURCES,
    "benchmarks/decoder_ablation.py",
    "uvlm_mini/baselines/dynamic_conv.py",
    "uvlm_mini/baselines/dynamic_decoder.py",
    "uvlm_mini/encoder.py",
]
SEEDS = [0, 1, 2]
STAGE_1_SHORT = replace(STAGE_1, epochs=1)

PARTS: dict[str, dict[str, bool]] = {
    "dynamic convolution": {},
    "+ multi-scale fusion": {"fusion": True},
    "+ spatial modulation": {"fusion": True, "spatial": True},
    "+ channel modulation": {"fusion": True, "spatial": True, "channel": True},
}
INSTEAD = ["fusion alone", "fusion and spatial modulation", "AttSSM"]  # without the convolution
SE = [f"{a} encoder, {b} decoder" for a in ("plain", "SE") for b in ("plain", "gated")]
ROWS = [*PARTS, *INSTEAD, *SE]


class Less(AttSSM):
    """AttSSM without channel modulation, and without the bias map too if so asked."""

    def __init__(self, config: AttSSMConfig, words: int, spatial: bool) -> None:
        super().__init__(config, words)
        gcdm, none = self.gcdm, nn.Identity()
        self.spatial = spatial
        gcdm.gate_x = gcdm.gate_q = none  # type: ignore[assignment]
        if not spatial:
            gcdm.signal_x = gcdm.signal_q = gcdm.point = self.ask = none  # type: ignore[assignment]

    def look(self, context: Context, state: State, query: Tensor) -> Tensor:
        """The fused features with or without a bias map, pooled: (B, 2C)."""
        bias = self.gcdm.bias(context.signal, query) if self.spatial else context.x.new_zeros(1, 1, 1, 1)
        x = context.x + bias
        return torch.cat([F.hardswish(x).mean((2, 3)), x.amax((2, 3)) - bias.amax((2, 3))], 1)


def build(row: str, words: int) -> Decoder:
    """The decoder of a row."""
    if row in PARTS:
        return DynamicAttSSM(MINI, words, **PARTS[row])
    if row == "AttSSM" or row.endswith("gated decoder"):
        return AttSSM(MINI, words)
    return Less(MINI, words, spatial=row != "fusion alone")


def eyes(kind: str, seed: int) -> Path:
    """The folder with what an encoder of the second table says of the usual pictures, which it makes if need be.

    Half as many pictures as elsewhere and one pass: two minutes of training.
    """
    folder = KEPT / f"{kind}-{seed}"
    config = replace(PRESETS["mini"].encoder, se=kind == "SE")
    encoder = captions.encoder(config, folder, seed, (pictures("usual", "train"),), STAGE_1_SHORT)
    for split in ("train", "val", "test", "compositional"):
        path = folder / f"usual-{split}.pt"
        if not path.exists():
            torch.save(captions.encode(encoder, pictures("usual", split)), path)
    return folder


def run(row: str, seed: int) -> dict[str, float]:
    """Train and test one decoder."""
    folder = KEPT
    if row in SE:
        folder = KEPT / f"{row.split()[0]}-{seed}"
    decoder = captions.learn(partial(build, row), "usual", seed, folder=folder)
    scores = captions.tested(decoder, "usual", ("test", "compositional"), folder)
    return {**scores, "parameters": parameters(decoder)}


def see(row: str, seed: int) -> dict[str, float]:
    """Train an encoder of the second table."""
    eyes(row, seed)
    return {}


def main() -> None:
    """Run what has not been run, and write the result file."""
    captions.prepare()
    first = table.runs("decoder_ablation", run, [*PARTS, *INSTEAD], SEEDS, SOURCES)
    seen = table.runs("decoder_ablation_encoders", see, ["plain", "SE"], SEEDS, SOURCES)
    second = table.runs("decoder_ablation_se", run, SE, SEEDS, SOURCES)
    lines = first + second
    rows = table.summary(lines, ROWS)
    rows["five steps of + channel modulation"] = captions.small(partial(build, "+ channel modulation"))
    note = (
        f"{captions.STEPS} steps of {captions.BATCH} captions, greedy search; "
        f"{max(line['seconds'] for line in lines):.0f} s the longest run, "
        f"{max(line['seconds'] for line in seen):.0f} s the longest of an encoder"
    )
    print(json.dumps({name: rows[name]["test CIDEr"] for name in ROWS}, indent=1))
    print(record.save("decoder_ablation", rows, SEEDS, SOURCES, spread=0.01, note=note))


if __name__ == "__main__":
    main()
