"""Copies of the notebooks for Colab: without outputs, and with a first cell that installs the package.

    python scripts/colab.py

Colab opens a notebook out of a public GitHub repository, in a machine that has PyTorch and no `uvlm_mini`. So as soon
as pyproject.toml tells the repository's address,

    [project.urls]
    Repository = "https://github.com/OWNER/NAME"

this script writes colab/NAME.ipynb for every notebook; commit what it wrote. book/_ext/launch.py then shows the links
on the pages, and tests/test_launch.py sees to it that the copies are up to date. Binder takes the notebooks as they
are, in the environment that binder/ describes. Without an address there is nothing to open, nothing is written, and no
page shows a link. Neither Colab nor Binder has opened any of it yet: there is no public address. `make release` runs
the first copy in a new environment, with a clone on the disk as the repository.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "main"
EXTRAS = "deploy,train"  # Colab has Jupyter, matplotlib and widgets, and our extra `book` would bring them once more
# What a chapter's programs need of the system besides.
SYSTEM = {"10_deployment": "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"}
GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")


def address(pyproject: Path = ROOT / "pyproject.toml") -> str | None:
    """OWNER/NAME of the public repository on GitHub, or None while pyproject.toml tells none.

    Raises
    ------
    ValueError : the address is not one of GitHub, which is where Colab opens notebooks from.
    """
    urls = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"].get("urls", {})
    if "Repository" not in urls:
        return None
    found = GITHUB.fullmatch(urls["Repository"])
    if not found:
        raise ValueError(
            f"[project.urls] Repository is {urls['Repository']!r}; give https://github.com/OWNER/NAME, or leave it out."
        )
    return found[1]


def first_cell(source: str, name: str) -> str:
    """The cell that makes a bare machine ready for one notebook, from a repository that pip can clone."""
    lines = [
        "# Installs the book's package where it is missing: once a session, some minutes.",
        "import importlib.util",
        "",
        'if importlib.util.find_spec("uvlm_mini") is None:',
        f'    %pip install -q "uvlm_mini[{EXTRAS}] @ {source}"',
    ]
    if name in SYSTEM:
        lines.append(f"    !apt-get -q install -y {SYSTEM[name]}")
    return "\n".join(lines)


def copy_of(path: Path, source: str) -> nbformat.NotebookNode:
    """A notebook without outputs and saved widgets, the installing cell before its first code."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    first = next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    cell = nbformat.v4.new_code_cell(first_cell(source, path.stem), id="install")
    notebook.cells.insert(first, cell)
    return notebook


def main() -> int:
    """Write every copy, or say why there is none."""
    repository = address()
    if repository is None:
        print("pyproject.toml tells no Repository in [project.urls]: nothing was written.")
        return 0
    folder = ROOT / "colab"
    folder.mkdir(exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        nbformat.write(copy_of(path, f"git+https://github.com/{repository}@{BRANCH}"), folder / path.name)
        print(f"colab/{path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
