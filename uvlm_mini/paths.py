"""Where the shipped files are: in the checkout's data/, csrc/ and benchmarks/results/, or inside an installed wheel."""

import json
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent


def _shipped(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(
            f"uvlm_mini has no shipped file {name!r} in {folder}: check the name, or reinstall the package."
        )
    return path


def data_path(name: str) -> Path:
    """Return the path of a shipped file.

    Parameters
    ----------
    name : str
        File name below data/, for example ``"vocab.json"``.

    Raises
    ------
    FileNotFoundError
        If neither the checkout nor the installed package has that file.
    """
    installed = PACKAGE / "_data"  # exists in a wheel only: setuptools puts data/ there
    return _shipped(installed if installed.is_dir() else PACKAGE.parent / "data", name)


def csrc() -> Path:
    """Return the folder of the C kernels.

    Raises
    ------
    FileNotFoundError
        If neither the checkout nor the installed package has it.
    """
    installed = PACKAGE / "_csrc"  # likewise, with csrc/
    return _shipped(installed if installed.is_dir() else PACKAGE.parent / "csrc", "status.h").parent


def result(name: str) -> dict[str, Any]:
    """What a benchmark measured: its rows by name, and beside them command, seeds, versions and sources.

    Parameters
    ----------
    name : str
        Of the benchmark, for example ``"encoder_ablation"`` for benchmarks/encoder_ablation.py.

    Raises
    ------
    FileNotFoundError
        If there is no result of that name.
    """
    installed = PACKAGE / "_results"  # likewise, with benchmarks/results/
    folder = installed if installed.is_dir() else PACKAGE.parent / "benchmarks" / "results"
    return json.loads(_shipped(folder, f"{name}.json").read_text(encoding="utf-8"))
