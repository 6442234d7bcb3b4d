"""The package: what it asks for, what a wheel carries, and the lists that have to agree with each other."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from uvlm_mini.paths import data_path, result

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
OURS = canonicalize_name(PROJECT["project"]["name"])
# Extras for an environment of their own, whose packages cannot live beside the pinned ones; they pin what they need.
APART = {"npu"}
TOGETHER = sorted(set(EXTRAS) - APART)


def lines(name: str) -> list[str]:
    """Return the lines of a list in the root folder, without comments and empty ones."""
    stripped = [line.split("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf8").splitlines()]
    return [line for line in stripped if line]


def requirements() -> list[Requirement]:
    """Return everything that pyproject.toml names, our own extras and those apart left out."""
    named = [*PROJECT["project"]["dependencies"], *(line for extra in TOGETHER for line in EXTRAS[extra])]
    return [req for req in map(Requirement, named) if canonicalize_name(req.name) != OURS]


def constraints() -> dict[str, str]:
    """Return the pinned version of each package of constraints.txt."""
    pins = dict(line.split("==") for line in lines("constraints.txt"))
    return {canonicalize_name(name): version for name, version in pins.items()}


def run(*command: str, **options: object) -> str:
    """Run a command and return what it prints; fail with its errors."""
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_core_needs_torch_and_numpy_alone() -> None:
    """Everything else is an extra: an optional package that does not install must not stop the book."""
    assert {Requirement(line).name for line in PROJECT["project"]["dependencies"]} == {"torch", "numpy"}


def test_constraints_pin_everything_that_is_named() -> None:
    """Every named package has an exact version, and it is one that pyproject.toml allows."""
    pins = constraints()
    assert len(pins) == len(lines("constraints.txt"))
    for req in requirements():
        name = canonicalize_name(req.name)
        assert name in pins, f"constraints.txt does not pin {req.name}"
        assert req.specifier.contains(pins[name]), f"constraints.txt pins {req.name} to {pins[name]}, not {req}"


def test_constraints_pin_everything_that_is_pulled_in() -> None:
    """The pins are complete: nothing that the named packages need in turn, and that is installed here, is left open."""
    pins, seen = constraints(), set()
    queue = [(canonicalize_name(req.name), frozenset(req.extras)) for req in requirements()]
    while queue:
        name, extras = queue.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system
        if not name.startswith(("nvidia-", "triton", "cuda-")):  # torch pins these itself, where there is a GPU
            assert name in pins, f"{name} is installed and not in constraints.txt"
        for req in map(Requirement, needed):
            if req.marker is None or any(req.marker.evaluate({"extra": extra}) for extra in extras or {""}):
                queue.append((canonicalize_name(req.name), frozenset(req.extras)))


def test_pins_install_on_every_python_that_is_allowed() -> None:
    """What is pinned and installed here allows the oldest release of the oldest Python, and the newest one."""
    admitted = ("3.11.0", "3.13.99")
    assert PROJECT["project"]["requires-python"] == ">=3.11" and "(3, 13)" in (
        ROOT / "scripts" / "find_python.sh"
    ).read_text(encoding="utf8")
    for name, version in constraints().items():
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system
        asked = SpecifierSet(found.metadata.get("Requires-Python") or "")
        assert all(asked.contains(python) for python in admitted), f"{name} {version} wants Python {asked}"


def test_conda_environment_agrees() -> None:
    """environment.yml allows the same Pythons and installs every extra but those apart, at the pinned versions."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf8"))
    conda = {item for item in environment["dependencies"] if isinstance(item, str)}
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert f"python{PROJECT['project']['requires-python']},<3.14" in conda
    assert "pip" in conda
    assert set(pip) == {"-c constraints.txt", f"-e .[{','.join(TOGETHER)}]"}


def test_makefile_and_workflow_install_every_extra() -> None:
    """No extra is forgotten in a place that installs all of them, but those apart."""
    assert set(EXTRAS) > APART
    listed = ",".join(TOGETHER)
    assert f"EXTRAS := {listed}\n" in (ROOT / "Makefile").read_text(encoding="utf8")
    assert f'".[{listed}]"' in (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf8")


def test_extras_apart_pin_what_constraints_do_not() -> None:
    """Their own packages have exact versions; the others are pinned with the rest, or not at all."""
    pins = constraints()
    for req in (Requirement(line) for extra in APART for line in EXTRAS[extra]):
        name = canonicalize_name(req.name)
        assert name in {OURS, *pins} or [spec.operator for spec in req.specifier] == ["=="], req


def test_apt_list_is_a_list_of_packages() -> None:
    """One well-formed package name a line, none twice."""
    packages = lines("apt.txt")
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in packages)
    assert len(set(packages)) == len(packages)
    assert {"make", "git", "gcc", "python3-venv"} <= set(packages)


def test_every_folder_of_the_package_is_in_the_wheel() -> None:
    """The list in pyproject.toml names each folder with Python files, and what is shipped from outside of it."""
    folders = {path.parent for path in (ROOT / "uvlm_mini").rglob("*.py")}
    modules = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    shipped = {f"uvlm_mini.{name}" for name in ("_csrc", "_data", "_results")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == modules | shipped


def test_readme_names_only_what_exists() -> None:
    """Every path between backticks in README.md, the map of chapters included, is a file or folder."""
    text = (ROOT / "README.md").read_text(encoding="utf8")
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    folders = "|".join(re.escape(path.name) for path in ROOT.iterdir() if path.is_dir())
    path_like = re.compile(rf"(?:{folders})/[\w./-]*|[\w./-]+\.(?:py|ipynb|md|c|h|txt|yml|toml|json|cff|safetensors)")
    found = [span for span in re.findall(r"`([^`\n]+)`", text) if path_like.fullmatch(span)]
    assert found, "README.md has no map"
    missing = [path for path in found if not (ROOT / path).exists() and "_build" not in path and path != ".venv/"]
    assert missing == []


def test_data_path_finds_shipped_files_and_says_what_is_missing() -> None:
    """The function under the wheel test below, in the checkout."""
    shipped = [path for path in (ROOT / "data").iterdir() if path.is_file()]
    assert shipped, "data/ is empty"
    for path in shipped:
        assert data_path(path.name).read_bytes() == path.read_bytes()
    with pytest.raises(FileNotFoundError, match=r"no shipped file 'nothing\.bin'"):
        data_path("nothing.bin")
    assert result("dataset")["command"] == "python -m benchmarks.dataset"
    with pytest.raises(FileNotFoundError, match=r"no shipped file 'nothing\.json'"):
        result("nothing")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from the tree, outside of it."""
    out = tmp_path_factory.mktemp("wheel")
    copy = out / "tree"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-BOOK"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    for folder in ("uvlm_mini", "csrc", "data", "benchmarks/results"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                target = copy / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy))
    (built,) = out.glob("*.whl")
    return built


def test_wheel_carries_code_and_data(wheel: Path) -> None:
    """Every module and every shipped file is in it, and no test."""
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {str(path.relative_to(ROOT).as_posix()) for path in (ROOT / "uvlm_mini").rglob("*.py")}
    data = {f"uvlm_mini/_data/{path.relative_to(ROOT / 'data').as_posix()}" for path in (ROOT / "data").rglob("*.*")}
    csrc = ROOT / "csrc"
    kernels = {f"uvlm_mini/_csrc/{path.relative_to(csrc).as_posix()}" for path in csrc.rglob("[!.]*.*")}
    results = {f"uvlm_mini/_results/{path.name}" for path in (ROOT / "benchmarks" / "results").glob("*.json")}
    assert data and results and kernels
    made = {name for name in data | kernels if "__pycache__" in name}
    assert (code | data | results | kernels) - made <= names
    assert not [name for name in names if name.startswith(("tests/", "notebooks/", "book/"))]


def test_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Installed elsewhere it imports from there, finds its data, and captions a picture with the shipped weights."""
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    run(sys.executable, *install)
    program = (
        "import uvlm_mini, uvlm_mini.paths as p; from pathlib import Path; print(Path(uvlm_mini.__file__).parent);"
        "print(p.data_path('uvlm_mini.safetensors')); assert p.result('shipped')['rows']"
    )
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    for printed in run(sys.executable, "-c", program, cwd=elsewhere, env=environment).split():
        assert Path(printed).is_relative_to(site.resolve())
    uvlm = (sys.executable, "-m", "uvlm_mini.cli")
    run(*uvlm, "scenes", "out", "--splits", "test", "--limit", "29", cwd=elsewhere, env=environment)
    said = run(*uvlm, "caption", "out/test/test_28.png", cwd=elsewhere, env=environment)
    assert said.startswith((ROOT / "data" / "golden.txt").read_text(encoding="utf-8").strip())


BLOCKER = """
import importlib.abc, sys
blocked = set(sys.argv[1].split(","))
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r} (kept away by the test)", name=name)
sys.meta_path.insert(0, Block())
"""


def test_import_needs_torch_and_numpy_alone() -> None:
    """`import uvlm_mini` works where every package but torch, numpy and what those two need is kept away."""
    allowed, queue = set(), ["torch", "numpy"]
    while queue:
        name = canonicalize_name(queue.pop())
        if name in allowed:
            continue
        allowed.add(name)
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for req in map(Requirement, needed):
            if req.marker is None or req.marker.evaluate({"extra": ""}):
                queue.append(req.name)
    owners = importlib.metadata.packages_distributions()
    blocked = {
        module
        for module, dists in owners.items()
        if module != "uvlm_mini" and not {canonicalize_name(dist) for dist in dists} & allowed
    }
    assert {"PIL", "matplotlib", "tqdm", "torchvision", "safetensors"} <= blocked
    run(sys.executable, "-c", BLOCKER + "import uvlm_mini", ",".join(blocked), cwd=ROOT)
    with pytest.raises(AssertionError, match="kept away"):
        run(sys.executable, "-c", BLOCKER + "import PIL", ",".join(blocked), cwd=ROOT)


def test_the_extra_run_is_enough_for_its_commands(tmp_path: Path) -> None:
    """`uvlm scenes` and `uvlm caption` work where what the other extras name is kept away."""
    owners = importlib.metadata.packages_distributions()
    kept = {canonicalize_name(Requirement(line).name) for line in EXTRAS["run"]} | {"torch", "numpy"}
    others = {canonicalize_name(req.name) for req in requirements()} - kept
    blocked = {name for name, dists in owners.items() if {canonicalize_name(dist) for dist in dists} & others}
    assert {"pycocoevalcap", "matplotlib", "torchvision"} <= blocked
    blocked -= {"packaging", "yaml", "setuptools", "pkg_resources", "_distutils_hack"}  # torch's own
    code = BLOCKER + "from uvlm_mini.cli import main; raise SystemExit(main(sys.argv[2:]))"
    start = (sys.executable, "-c", code, ",".join(blocked))
    run(*start, "scenes", str(tmp_path), "--splits", "test", "--limit", "1", cwd=ROOT)
    assert run(*start, "caption", str(tmp_path / "test" / "test_0.png"), cwd=ROOT)
