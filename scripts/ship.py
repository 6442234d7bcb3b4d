"""Make a run's weights the shipped ones, and remake all that shows them.

    python scripts/ship.py runs/mini

Copies the weights, those from before stage 4 and the log of their training to data/, notes what the former say of one
held-out scene (data/golden.txt), draws the picture of README and landing page, scores every stage and every split
(data/MODEL_CARD.md), and runs the notebooks.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ("test", 28)  # the scene whose caption every port of the model must give
SHOWN = (4, 28, 22)  # test scenes of the picture


def picture(model, path: Path) -> None:
    """Three test scenes, each over the model's caption."""
    import matplotlib.pyplot as plt

    from uvlm_mini.datasets.scenes import scene

    fig, axes = plt.subplots(1, len(SHOWN), figsize=(9, 3.7), facecolor="white", layout="constrained")
    for axis, index in zip(axes, SHOWN, strict=True):
        one = scene("test", index)
        axis.imshow(one.draw(384))
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_xlabel("\n".join(textwrap.wrap(model.caption(one.draw()), 34)), fontsize=11)
    fig.savefig(path, dpi=110, bbox_inches="tight", pad_inches=0.05, metadata={"Software": None})


def main(run: str) -> int:
    """Ship the run in this folder."""
    from uvlm_mini.datasets.scenes import scene
    from uvlm_mini.model import UVLM, read_tensors, write_tensors

    weights = ROOT / "data" / "uvlm_mini.safetensors"
    if not list(Path(run).glob("stage_*_scst.safetensors")):
        sys.exit(f"{run} does not hold the weights of every stage; train it with `uvlm train --keep`, then ship it.")
    if Path(run, "weights.safetensors").resolve() != weights:
        tensors, about = read_tensors(Path(run, "weights.safetensors"))
        about.pop("format")
        write_tensors(weights, tensors, about)
    # Stage 4 leaves the encoder as it was, so that what is familiar to it holds for the weights before it, too.
    tensors, about = read_tensors(next(Path(run).glob("stage_*_together.safetensors")))
    familiar = {name: t for name, t in read_tensors(weights)[0].items() if name.startswith("familiarity.")}
    about.pop("format")
    write_tensors(weights.with_stem("uvlm_mini_before_scst"), {**tensors, **familiar}, about)
    shutil.copyfile(Path(run, "log.csv"), weights.with_suffix(".csv"))
    model = UVLM.load(weights)
    (ROOT / "data" / "golden.txt").write_text(model.caption(scene(*GOLDEN).draw()) + "\n", encoding="utf-8")
    picture(model, ROOT / "book" / "_static" / "readme.png")
    for command in (["-m", "benchmarks.stages", run], ["-m", "benchmarks.shipped"], ["scripts/run_notebooks.py"]):
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Give the folder of a finished run, for example: python scripts/ship.py runs/mini")
    sys.exit(main(sys.argv[1]))
