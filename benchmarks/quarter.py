"""All four stages on a quarter of the pictures: three seeds of AttSSM, one of each decoder that it is compared with.

python -m benchmarks.quarter          about two hours on two idle cores; may be stopped and run again

The recipe is that of the shipped weights with a quarter of its pictures. A quarter of the epochs would be no whole
numbers, and would let some stages go before they are through; this way each stage keeps its epochs, its batches and the
shape of its schedule, and has a quarter of the steps. The price is that no picture is new after the first epoch.

The decoders are as large as AttSSM. Stage 1 does not know them: with each seed it is done once, and every decoder
starts from its encoder. Where only the decoder learns, in stages 2 and 4, its rate is the recipe's times that by which
the best rates of benchmarks/decoders.py differ from AttSSM's. Beam 3. The model card and chapter 6 read the result.
"""

from __future__ import annotations

import csv
import json
import tempfile
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from benchmarks import decoders, record, stages, table
from uvlm_mini.baselines.bahdanau import BahdanauLSTM
from uvlm_mini.config import PRESETS, AttSSMConfig, OverModConfig, UVLMConfig
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.evaluate import caption_all
from uvlm_mini.metrics import cider, truthfulness
from uvlm_mini.model import UVLM, fit_weights, read_tensors
from uvlm_mini.train.loop import Trainer
from uvlm_mini.train.stages import PICTURES, RECIPES, Stage

SOURCES = [
    *decoders.SOURCES,
    "benchmarks/quarter.py",
    "uvlm_mini/encoder.py",
    "uvlm_mini/search.py",
    "uvlm_mini/train/reward.py",
    "uvlm_mini/train/scst.py",
    "uvlm_mini/train/stages.py",
]
RATES = record.RESULTS / "decoders.json"
if RATES.exists():
    SOURCES.append("benchmarks/results/decoders.json")
ROWS = ["AttSSM", "NIC", "LSTM + Bahdanau", "Up-Down", "Transformer", "dynamic convolution"]
SEEDS = [0, 1, 2]
RECIPE = RECIPES["mini"]
TRAIN, VAL, TEST = PICTURES["mini"] // 4, 200, 500  # pictures
SPLITS = ("test", "compositional")
TRUTHS = {"right things": "right things", "told relation": "told relation", "true relations": "relations"}


@lru_cache(maxsize=4)
def pictures(split: str) -> CaptionSet:
    """Captioned pictures of a split."""
    return CaptionSet.gather(samples(split, {"train": TRAIN, "val": VAL}.get(split, TEST)))


def factors() -> dict[str, float]:
    """By how much the rate of each decoder is above AttSSM's; 1 as long as nobody has measured it."""
    if not RATES.exists():
        return dict.fromkeys(ROWS, 1.0)
    rows = json.loads(RATES.read_text(encoding="utf-8"))["rows"]
    return {name: rows[name]["rate"] / rows["AttSSM"]["rate"] for name in ROWS}


def recipe(factor: float, whole: tuple[Stage, ...] = RECIPE) -> tuple[Stage, ...]:
    """The stages after the first, with the rates of a decoder."""
    return tuple(replace(s, rate=s.rate * factor) if s.frozen else s for s in whole[1:])


def folder(row: str, seed: int) -> Path:
    """Where a run trains, and is resumed; runs of other sources stand elsewhere."""
    return record.ROOT / "runs" / "quarter" / record.source_hash(SOURCES)[:8] / f"{row} {seed}"


def look(row: str, seed: int) -> dict[str, float]:
    """Stage 1 alone, which all decoders of a seed share."""
    Trainer(PRESETS["mini"], RECIPE[:1], pictures("train"), pictures("val"), folder(row, seed), seed, quiet=True).run()
    with open(folder(row, seed) / "log.csv", newline="") as file:
        return {"cells": float(list(csv.DictReader(file))[-1]["cells"])}


def scores(model: UVLM, path: Path, data: CaptionSet) -> dict[str, float]:
    """CIDEr and truth of what the weights in a file say, by a model that takes them."""
    model.familiarity = None
    fit_weights(model, read_tensors(path)[0], path)
    found, _ = caption_all(model.eval(), data.pictures)
    said = [model.vocabulary.decode(f.tokens) for f in found]
    truth = truthfulness(said, data.scenes)
    return {"CIDEr": cider(said, data.captions), **{name: truth[of] for name, of in TRUTHS.items()}}


def run(row: str, seed: int) -> dict[str, float]:
    """Stages 2 to 4 of one decoder, and its scores after each of them."""
    eyes = UVLM.load(folder("encoder", seed) / "weights.safetensors").encoder
    make = None if row == "AttSSM" else partial(decoders.build, row)
    todo, where = recipe(factors()[row]), folder(row, seed)
    data, val = pictures("train"), pictures("val")
    model = Trainer(
        PRESETS["mini"], todo, data, val, where, seed, quiet=True, encoder=eyes, keep=True, decoder=make
    ).run()
    numbers: dict[str, float] = {}
    for stage, path in stages.kept(where).items():
        for split in SPLITS:
            found = scores(model, path, pictures(split))
            numbers |= {f"{split} {name} after {stage}": value for name, value in found.items()}
    for split in SPLITS:
        before, after = (numbers[f"{split} CIDEr after {stage}"] for stage in ("together", "scst"))
        numbers[f"{split} CIDEr gained by scst"] = after - before
    return numbers


def small() -> dict[str, float]:
    """Losses and rewards of a tiny model through four tiny stages, with an LSTM as its decoder."""
    config = UVLMConfig(
        OverModConfig(widths=(4, 6, 8, 8), depths=(1, 1, 1, 1), mod_width=8, mod_depths=(1, 0), out=10),
        AttSSMConfig(features=10, side=8, hidden=12, states=4, dt_rank=2),
    )
    whole = tuple(Stage(s.name, epochs=1, rate=s.rate, batch=16) for s in RECIPE)
    data, val = (CaptionSet.gather(samples(split, n)) for split, n in (("train", 48), ("val", 8)))
    with tempfile.TemporaryDirectory() as place:
        eyes = Trainer(config, whole[:1], data, val, Path(place, "1"), quiet=True).run().encoder
        make = partial(BahdanauLSTM, config.decoder)
        todo = recipe(2.0, whole)
        Trainer(config, todo, data, val, Path(place, "2"), quiet=True, encoder=eyes, decoder=make).run()
        lines = []
        for part in ("1", "2"):
            with open(Path(place, part, "log.csv"), newline="") as file:
                lines += list(csv.DictReader(file))
    numbers = {f"{line['stage']} loss": float(line["loss"]) for line in lines if line["stage"] != "scst"}
    return numbers | {"scst reward": float(lines[-1]["reward"])}


def main() -> None:
    """Run what has not been run, and write the result file."""
    seen = table.summary(table.runs("quarter_encoders", look, ["encoder"], SEEDS, SOURCES), ["encoder"])
    lines = table.runs("quarter", run, ROWS[:1], SEEDS, SOURCES)
    lines += table.runs("quarter", run, ROWS[1:], SEEDS[:1], SOURCES)
    rows = {name: summary | {"rate, times": factors()[name]} for name, summary in table.summary(lines, ROWS).items()}
    print(json.dumps({name: row["test CIDEr gained by scst"] for name, row in rows.items()}, indent=1))
    longest = max(line["seconds"] for line in lines)
    note = f"{TRAIN} pictures, {TEST} of each split, beam 3; {longest:.0f} s the longest run"
    made = rows | seen | {"four tiny stages": small()}
    print(record.save("quarter", made, SEEDS, SOURCES, spread=0.05, note=note))


if __name__ == "__main__":
    main()
