"""What each stage of the training of the shipped weights brought, and what stage 4 trades.

python -m benchmarks.stages runs/mini          about five minutes on two cores

Scores the weights that `uvlm train --keep` kept at the end of stages 2, 3 and 4; the last ones are the shipped ones.
The model card and chapter 6 read the result.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks import prompts, record, shipped
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.evaluate import evaluate
from uvlm_mini.model import UVLM, read_tensors

SOURCES = [*shipped.SOURCES, "benchmarks/stages.py", "uvlm_mini/evaluate.py"]
SPLITS = ("test", "compositional")
SMALL = 40  # pictures of the row that the tests compute again


def kept(run: Path) -> dict[str, Path]:
    """The weights of a run that can caption: those at the end of each stage but the first, by the stage's name.

    Raises
    ------
    FileNotFoundError : there are none.
    """
    files = {path.stem.split("_", 2)[2]: path for path in sorted(run.glob("stage_*_*.safetensors"))}
    files.pop("pretrain", None)
    if not files:
        raise FileNotFoundError(f"{run} holds no weights of its stages; train it with `uvlm train --keep`.")
    return files


def measure(model: UVLM, split: str, limit: int | None = None, java: bool = True) -> dict[str, Any]:
    """The scores of a split, and how long the captions are."""
    data = CaptionSet.gather(samples(split, limit))
    with tqdm(total=len(data), desc=split, unit="picture") as bar:
        found = evaluate(model, data, java=java, progress=bar.update)
    row = shipped.row(found)
    del row["alarms"]  # learned when a training is over, so that the weights of earlier stages have none
    words = np.mean([len(caption.split()) for caption in found.captions])
    return row | {"words a caption": round(float(words), 3), "prompted": prompts.prompted(model, data)}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two files hold the same weights; what is learned when a training is over does not count."""
    learned = [{k: v for k, v in tensors.items() if not k.startswith("familiarity.")} for tensors in (one, other)]
    return learned[0].keys() == learned[1].keys() and all(torch.equal(v, learned[1][k]) for k, v in learned[0].items())


def scores(run: Path, limit: int | None = None, java: bool = True) -> dict[str, Any]:
    """A row a stage, with the scores of each split."""
    return {
        stage: {split: measure(UVLM.load(path), split, limit, java) for split in SPLITS}
        for stage, path in kept(run).items()
    }


def small() -> dict[str, Any]:
    """The scores of the shipped weights, which are those of the last stage, on the first pictures of the test split."""
    return measure(UVLM.load(record.ROOT / shipped.WEIGHTS), "test", SMALL, java=False)


def main(run: str) -> None:
    """Score what the run kept, and write the result file."""
    last = list(kept(Path(run)).values())[-1]
    tensors, about = read_tensors(record.ROOT / shipped.WEIGHTS)
    if not same(read_tensors(last)[0], tensors):
        sys.exit(f"{last} and {shipped.WEIGHTS} are not the same weights; ship that run, or give its folder.")
    rows = scores(Path(run)) | {f"first {SMALL} of test": small()}
    print(json.dumps({stage: row["test"]["model"] for stage, row in rows.items() if "test" in row}, indent=1))
    print(record.save("stages", rows, [int(about["seed"])], SOURCES, spread=0.05, note="beam 3"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Give the folder of the run that is shipped, for example: python -m benchmarks.stages runs/mini")
    main(sys.argv[1])
