"""The oldest and the newest versions that pyproject.toml allows, as lists for pip.

    python scripts/dependency_sets.py lowest      each package at its lower bound
    python scripts/dependency_sets.py newest      each package as new as the index has it

constraints.txt is the set between them that is tested every time; `make release` installs both of these in an
environment of their own and runs the tests there.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
APART = {"npu"}  # an extra for an environment of its own
SETS = ("lowest", "newest")


def requirements(pyproject: Path = ROOT / "pyproject.toml") -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for, by package: a requirement for each place that names it, our own extras left out."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra, of in extras.items() if extra not in APART for line in of)]
    found: dict[str, list[Requirement]] = {}
    for one in map(Requirement, lines):
        if canonicalize_name(one.name) != canonicalize_name(project["name"]):
            found.setdefault(canonicalize_name(one.name), []).append(one)
    return dict(sorted(found.items()))


def lowest(asked: dict[str, list[Requirement]]) -> list[str]:
    """Every package at the highest of its lower bounds.

    Raises
    ------
    ValueError : a package has no lower bound, so that nobody knows what it was tried with.
    """
    made = []
    for name, places in asked.items():
        bounds = [spec.version for one in places for spec in one.specifier if spec.operator in (">=", "==", "~=")]
        if len(bounds) < len(places):
            raise ValueError(f"pyproject.toml names {name} without a lower bound; give it one, as in {name}>=1.0.")
        made.append(f"{name}=={max(bounds, key=Version)}")
    return made


def newest(asked: dict[str, list[Requirement]]) -> list[str]:
    """Every package with all that pyproject.toml says of it, for pip to choose the newest."""
    made = []
    for name, places in asked.items():
        said = sorted({str(spec) for one in places for spec in one.specifier})
        made.append(name + ",".join(said))
    return made


def main(arguments: list[str]) -> int:
    """Print one of the two lists."""
    if len(arguments) != 1 or arguments[0] not in SETS:
        print(f"Give one of {', '.join(SETS)}; given was {' '.join(arguments) or 'nothing'}.", file=sys.stderr)
        return 2
    asked = requirements()
    lines = lowest(asked) if arguments[0] == "lowest" else newest(asked)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
