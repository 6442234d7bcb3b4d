"""Make a run's weights the shipped ones, and remake all that shows them.

    python scripts/ship.py runs/mini

Looks through the whole run first, and changes nothing if something is missing or does not belong together. Then copies
the weights, those from before stage 4 and the log of their training to data/, notes what the former say of one
held-out scene (data/golden.txt), draws the picture of README and landing page, writes the int8 captioner for C
(data/uvlm_mini.bin) and what is familiar to it, scores every stage and every split (data/MODEL_CARD.md), and runs the
notebooks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks is not installed

from benchmarks import stages  # noqa: E402
from uvlm_mini.config import PRESETS  # noqa: E402
from uvlm_mini.datasets.scenes import scene  # noqa: E402
from uvlm_mini.model import UVLM, read_tensors, write_tensors  # noqa: E402
from uvlm_mini.viz import read_log  # noqa: E402

CONFIG = PRESETS["mini"]
TRAINED = ("decoder", "together", "scst")  # stages whose weights can caption
GOLDEN = ("test", 28)  # the scene whose caption every port of the model must give
SHOWN = (4, 28, 22)  # test scenes of the picture


def picture(model, path: Path) -> None:
    """Three test scenes, each over the model's caption."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(SHOWN), figsize=(9, 3.7), facecolor="white", layout="constrained")
    for axis, index in zip(axes, SHOWN, strict=True):
        one = scene("test", index)
        axis.imshow(one.draw(384))
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_xlabel("\n".join(textwrap.wrap(model.caption(one.draw()), 34)), fontsize=11)
    fig.savefig(path, dpi=110, bbox_inches="tight", pad_inches=0.05, metadata={"Software": None})


def checked(run: Path) -> dict[str, tuple[dict[str, Tensor], dict[str, str]]]:
    """Tensors and notes of the files that are shipped, by name: `weights`, and `together` from before stage 4.

    Raises
    ------
    FileNotFoundError : a file is missing.
    ValueError : the files are not those of one whole run of the preset that is shipped.
    """
    if not run.is_dir():
        raise FileNotFoundError(f"There is no folder {run}; give that of a run of `uvlm train --recipe mini --keep`.")
    files = {"weights": run / "weights.safetensors", **stages.kept(run)}
    missing = [name for name in TRAINED if name not in files]
    missing += [path.name for path in (files["weights"], run / "log.csv") if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{run} lacks {', '.join(missing)}; let `uvlm train --recipe mini --keep` come to its end, then ship it."
        )
    told = [name for name, _, _ in read_log(run / "log.csv").stages]
    if [name for name in told if name in TRAINED] != list(TRAINED):
        raise ValueError(f"{run / 'log.csv'} tells of the stages {told}, not of {list(TRAINED)}; ship one whole run.")

    # Loading reads the words, and compares every tensor with the architecture that the notes tell.
    models = {name: UVLM.load(path) for name, path in files.items()}
    for name, model in models.items():
        if model.config != CONFIG:
            raise ValueError(f"{files[name]} is not of preset mini, whose weights are shipped; train with that preset.")
        if model.vocabulary.words != models["weights"].vocabulary.words:
            raise ValueError(f"{files[name]} has other words than {files['weights']}; ship the files of one run.")
    found = {name: read_tensors(path) for name, path in files.items()}
    tensors, about = found["weights"]
    lacking = [note for note in ("command", "seed", "seconds") if note not in about]
    if lacking:
        raise ValueError(f"{files['weights']} does not note its {', '.join(lacking)}; ship what `uvlm train` wrote.")
    for name, (_, notes) in found.items():
        if notes.get("seed") != about["seed"]:
            raise ValueError(
                f"{files[name]} is of seed {notes.get('seed', 'unknown')}, {files['weights']} of seed {about['seed']}; "
                "ship the files of one run."
            )
    if not stages.same(found["scst"][0], tensors):
        raise ValueError(f"{files['scst']} and {files['weights']} are not the same weights; ship the files of one run.")
    if not any(name.startswith("familiarity.") for name in tensors):
        raise ValueError(f"{files['weights']} cannot tell strange pictures; let the training come to its end.")
    # Stage 4 leaves the encoder as it was; only so does what is familiar to it hold for the weights before it, too.
    before = found["together"][0]
    moved = [name for name in before if name.startswith("encoder.") and not torch.equal(before[name], tensors[name])]
    if moved:
        raise ValueError(f"{files['together']} has another encoder than {files['weights']}; ship the files of one run.")
    return {name: found[name] for name in ("weights", "together")}


def main(run: str) -> int:
    """Ship the run in this folder."""
    try:
        found = checked(Path(run))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    weights = ROOT / "data" / "uvlm_mini.safetensors"
    for _, about in found.values():
        about.pop("format")
    tensors, about = found["weights"]
    write_tensors(weights, tensors, about)
    familiar = {name: tensor for name, tensor in tensors.items() if name.startswith("familiarity.")}
    write_tensors(weights.with_stem("uvlm_mini_before_scst"), found["together"][0] | familiar, found["together"][1])
    shutil.copyfile(Path(run, "log.csv"), weights.with_suffix(".csv"))
    model = UVLM.load(weights)
    (ROOT / "data" / "golden.txt").write_text(model.caption(scene(*GOLDEN).draw()) + "\n", encoding="utf-8")
    picture(model, ROOT / "book" / "_static" / "readme.png")
    place = os.path.relpath(run, ROOT)  # it is noted in a result file, where no folder of this machine belongs
    int8 = os.path.join("runs", "int8")
    for command in (
        ["-m", "uvlm_mini.cli", "quantize", "--out", int8],
        ["-m", "uvlm_mini.cli", "deploy", "blob", int8, "--out", os.path.join("data", "uvlm_mini.bin")],
        ["-m", "benchmarks.familiar"],
        ["-m", "benchmarks.stages", place],
        ["-m", "benchmarks.shipped"],
        ["scripts/run_notebooks.py"],
    ):
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Give the folder of a finished run, for example: python scripts/ship.py runs/mini")
    sys.exit(main(sys.argv[1]))
