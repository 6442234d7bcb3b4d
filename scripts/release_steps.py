"""The steps of `make release` that are more than one command: python scripts/release_steps.py NAME.

They print what they do, and end with 0 if all is well. What they build is below build/release/, and new each time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # scripts is not installed

from scripts import build_book, colab, dependency_sets, outside_links

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "release"
NBVAL = ("--nbval", "--nbval-current-env", "--nbval-cell-timeout=60", "--nbval-sanitize-with=tests/nbval_sanitize.cfg")
# Tests that hold only with the versions of constraints.txt, and why they are left out with others.
PINNED = {
    "tests/test_style.py": "other versions of ruff and mypy find other things",
    "tests/test_packaging.py": "it compares what is installed with constraints.txt",
    "tests/test_results.py": "result files are compared to the digit, and were made with the pinned versions",
    "tests/test_affine.py::test_scale_and_zero_point_are_onnxruntimes": "an older onnxruntime rounds the last "
    "bit of a scale otherwise, since it takes the difference of the ends in float32",
}
RUN_NOTEBOOK = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": "."}}).execute()
print(sum(cell.cell_type == "code" for cell in notebook.cells), "cells ran")
"""


def call(*command: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    """Run a command, shown before it runs; SystemExit with its status if it fails."""
    print("$", *command, flush=True)
    # what is installed there is meant, not what this process was told to import
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    code = subprocess.run([*map(str, command)], cwd=cwd, env={**inherited, **environment}).returncode
    if code:
        raise SystemExit(code)


def output(*command: str) -> str:
    """What a command prints, in the repository."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def emptied(name: str) -> Path:
    """A new folder of a step."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def environment(folder: Path) -> Path:
    """A new virtual environment; returns its Python."""
    call(sys.executable, "-m", "venv", folder)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def clone(folder: Path) -> Path:
    """The commit that is checked out here, as a stranger would get it."""
    call("git", "clone", "--quiet", "--no-hardlinks", ROOT, folder)
    call("git", "checkout", "--quiet", output("git", "rev-parse", "HEAD").strip(), cwd=folder)
    return folder


def tree() -> str:
    """Whether something is uncommitted; a sentence if so."""
    changed = output("git", "status", "--porcelain").splitlines()
    return f"{len(changed)} files are not as committed, {changed[0][3:]} among them; commit them." if changed else ""


def version(root: Path = ROOT) -> str:
    """Whether the files that tell a version tell the same, and the changelog its day; a sentence if not."""
    told = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    cited = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    heading = re.search(r"^## \[(.+?)\] - (.+)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    if not cited or cited[1] != told:
        return f"pyproject.toml says {told}, CITATION.cff {cited[1] if cited else 'nothing'}; make them the same."
    if not heading or heading[1] != told:
        return f"pyproject.toml says {told}, the changelog opens with {heading[1] if heading else 'nothing'}; agree."
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", heading[2]):
        return f"The changelog says of {told}: {heading[2]}; write the day of the release there, as 2026-01-31."
    return ""


def links() -> str:
    """The outside links of a book that is up to date; a sentence if one is wrong."""
    if not build_book.is_current():
        build_book.build()
    return "A link is wrong, see above; mend it." if outside_links.main() else ""


def wheel() -> None:
    """A wheel of a fresh clone: with the extra run alone it captions, with book and train notebook 0 runs."""
    folder = emptied("wheel")
    source = clone(folder / "clone")
    python = environment(folder / "venv")
    call(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source)
    (made,) = folder.glob("*.whl")
    call(python, "-m", "pip", "install", "--quiet", f"{made}[run]", "-c", ROOT / "constraints.txt")
    here = {"cwd": folder / "elsewhere"}
    here["cwd"].mkdir()
    uvlm = python.parent / "uvlm"
    call(uvlm, "scenes", "pictures", "--splits", "test", "--limit", "2", **here)
    call(uvlm, "caption", "pictures/test/test_1.png", **here)
    call(python, "-m", "pip", "install", "--quiet", f"{made}[book,train]", "-c", ROOT / "constraints.txt")
    call(python, "-c", RUN_NOTEBOOK, source / "notebooks" / "00_a_caption_in_five_minutes.ipynb", **here)


def on_colab() -> None:
    """The copy for Colab of notebook 0, where there is Jupyter and no package, with a clone as the repository."""
    folder = emptied("colab")
    source = clone(folder / "clone")
    python = environment(folder / "venv")
    there = ("ipykernel", "ipywidgets", "matplotlib", "nbclient", "torch")
    # an old pip takes no clone on the disk for the address of a repository
    call(python, "-m", "pip", "install", "--quiet", "--upgrade", "pip")
    call(python, "-m", "pip", "install", "--quiet", *there, "-c", ROOT / "constraints.txt")
    path = source / "notebooks" / "00_a_caption_in_five_minutes.ipynb"
    copy = folder / path.name
    copy.write_text(colab.nbformat.writes(colab.copy_of(path, f"git+{source.as_uri()}")), encoding="utf-8")
    call(python, "-c", RUN_NOTEBOOK, copy.name, cwd=folder)


def ci() -> None:
    """What CI runs, in a fresh clone."""
    call("bash", ".ci/run", cwd=clone(emptied("clone") / "clone"))


def differing(first: Path, second: Path) -> list[str]:
    """Cells whose outputs are not the same in two files of scripts/keep_outputs.py."""
    one, other = (json.loads(path.read_text(encoding="utf-8")) for path in (first, second))
    return [cell for cell in {**one, **other} if one.get(cell) != other.get(cell)]


def notebooks() -> str:
    """Nbval twice in a row; a sentence if the outputs of the two differ."""
    kept = []
    for name in ("first", "second"):
        kept.append(emptied("notebooks") / "first.json" if not kept else kept[0].with_name(f"{name}.json"))
        where = {"UVLM_OUTPUTS": str(kept[-1]), "PYTHONPATH": str(ROOT)}
        call(sys.executable, "-m", "pytest", "-q", "-p", "scripts.keep_outputs", "notebooks", *NBVAL, **where)
    if cells := differing(*kept):
        return f"{len(cells)} cells gave other outputs the second time, {cells[0]} among them; mend what is random."
    print(f"{len(json.loads(kept[0].read_text(encoding='utf-8')))} cells gave the same outputs twice.")
    return ""


def dependencies(which: str) -> None:
    """The tests with the oldest or the newest versions, those of PINNED left out."""
    folder = emptied(which)
    python = environment(folder / "venv")
    asked = dependency_sets.requirements()
    lines = dependency_sets.lowest(asked) if which == "lowest" else dependency_sets.newest(asked)
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = clone(folder / "clone")
    call(python, "-m", "pip", "install", "--quiet", "-r", folder / "requirements.txt")
    call(python, "-m", "pip", "install", "--quiet", "--no-deps", "-e", source)
    call(python, "-m", "pip", "list")
    for test, why in PINNED.items():
        print(f"left out: {test}: {why}", flush=True)
    call(python, "-m", "pytest", "-q", "tests", *(f"--deselect={test}" for test in PINNED), cwd=source)


STEPS: dict[str, Callable[[], str | None]] = {
    "tree": tree,
    "version": version,
    "links": links,
    "wheel": wheel,
    "colab": on_colab,
    "clone": ci,
    "notebooks": notebooks,
    "lowest": lambda: dependencies("lowest"),
    "newest": lambda: dependencies("newest"),
}


def main(arguments: Sequence[str]) -> int:
    """Run one step."""
    if len(arguments) != 1 or arguments[0] not in STEPS:
        print(f"Give one of {', '.join(STEPS)}; given was {' '.join(arguments) or 'nothing'}.", file=sys.stderr)
        return 2
    sentence = STEPS[arguments[0]]()
    if sentence:
        print(sentence, file=sys.stderr)
    return 1 if sentence else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
