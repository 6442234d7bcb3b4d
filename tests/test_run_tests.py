"""How the tests are run: in two phases, several at once, the notebooks without a network, and no skip under CI."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT

OFFLINE = [sys.executable, str(ROOT / "scripts" / "offline.py")]


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module scripts/run_tests.py."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("run_tests")


# --- without a network ----------------------------------------------------------------------------------------------

ALONE = """
import socket, sys
names = [name for _, name in socket.if_nameindex()]
with socket.create_server(("127.0.0.1", 0)) as server:  # as a kernel of Jupyter does
    socket.create_connection(server.getsockname(), 10).close()
try:
    socket.create_connection(("192.0.2.1", 80), 10)  # an address that is nobody's
    reached = "connected"
except OSError as error:
    reached = type(error).__name__, error.strerror
print(names, reached)
sys.exit(7)
"""


@pytest.mark.linux
def test_a_command_has_loopback_and_nothing_else(scripts: ModuleType) -> None:
    """It listens and connects here, reaches nothing outside, and keeps its exit status; or a sentence says why not."""
    done = subprocess.run([*OFFLINE, sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=120)
    if scripts.offline.prefix() is None:
        assert done.returncode == 1 and done.stderr.strip() == scripts.offline.NOT_HERE
    else:
        assert done.returncode == 7, done.stderr
        assert done.stdout.strip() == "['lo'] ('OSError', 'Network is unreachable')"


def test_where_no_program_can_be_cut_off_a_sentence_says_so(
    scripts: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without unshare, and where it refuses."""
    for way in (["a program that is not here"], [sys.executable, "-c", "raise SystemExit(1)"]):
        monkeypatch.setattr(scripts.offline, "WAYS", (way,))
        assert scripts.offline.prefix() is None
        with pytest.raises(SystemExit, match="lets no program give up its network"):
            scripts.offline.main(["true"])
    with pytest.raises(SystemExit, match="No command was given"):
        scripts.offline.main([])


# --- two phases -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "cut_off", "environment", "last"),
    [
        ((0, 0), True, {"CI": "true"}, "PASSED"),
        ((1, 0), True, {"CI": "true"}, "FAILED: tests"),
        ((0, 2), True, {}, "FAILED: notebooks"),
        ((5, 1), True, {}, "FAILED: tests, notebooks"),
        ((0, 0), False, {}, "PASSED"),
        ((0, 0), False, {"CI": "true"}, "FAILED: network off"),
        ((0, 1), False, {"CI": "1"}, "FAILED: network off, notebooks"),
        ((0, 0), False, {"CI": "true", "UVLM_ONLINE": "1"}, "PASSED"),
    ],
)
def test_both_phases_run_and_the_last_line_tells(
    codes: tuple[int, int],
    cut_off: bool,
    environment: dict[str, str],
    last: str,
    scripts: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """pytest is called twice whatever it says first; only the notebooks are cut off."""
    calls: list[list[str]] = []

    def run(command: list[str], **kwargs: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, codes[len(calls) - 1])

    monkeypatch.setattr(scripts.offline, "prefix", lambda: ["cut off"] if cut_off else None)
    monkeypatch.setattr(scripts.subprocess, "run", run)
    for name in ("CI", "UVLM_ONLINE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    status = scripts.main(["-m", "not browser"])
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == last
    assert status == (last != "PASSED")
    assert ("network on" in said) == (not cut_off)
    tests, notebooks = calls
    assert "tests" in tests and "-n" in tests and "--nbval" not in tests and "cut off" not in tests
    assert "notebooks" in notebooks and "--nbval" in notebooks and "-n" not in notebooks
    assert (notebooks[0] == "cut off") == cut_off
    assert all(call[-2:] == ["-m", "not browser"] for call in calls)


def test_workers_are_few(scripts: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a large machine memory would end before the processors do."""
    assert 1 <= scripts.workers() <= scripts.MOST_WORKERS
    monkeypatch.setattr(scripts.os, "sched_getaffinity", lambda _: range(64), raising=False)
    assert scripts.workers() == scripts.MOST_WORKERS


# --- no skip under CI, with workers or without ----------------------------------------------------------------------

FILES = {
    "test_fine.py": "def test_fine():\n    pass\n",
    "test_left_out.py": "import pytest\n\ndef test_left_out():\n    pytest.skip('no compiler')\n",
    "test_expected.py": "import pytest\n\n@pytest.mark.xfail\ndef test_expected():\n    assert False\n",
    "test_whole_file.py": "import pytest\n\npytest.importorskip('a_module_that_is_not_here')\n",
}


def report(folder: Path, files: list[str], *options: str, ci: bool) -> str:
    """What pytest reports of small files below this repository's conftest.py."""
    (folder / "conftest.py").write_bytes((ROOT / "conftest.py").read_bytes())
    for name in files:
        (folder / name).write_text(FILES[name], encoding="utf-8")
    environment = {**os.environ, "CI": "true" if ci else ""}
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_ADDOPTS"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--rootdir={folder}", *options, *files]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.parametrize("options", [(), ("-n", "1", "--dist", "loadfile")], ids=["alone", "workers"])
def test_a_skipped_test_fails_under_ci(options: tuple[str, ...], tmp_path: Path) -> None:
    """With its reason; a failure that is expected stays one."""
    files = ["test_fine.py", "test_left_out.py", "test_expected.py"]
    assert "1 passed, 1 skipped, 1 xfailed" in report(tmp_path, files, *options, ci=False)
    said = report(tmp_path, files, *options, ci=True)
    assert "1 failed, 1 passed, 1 xfailed" in said, said
    assert "Skipped under CI, and not in ALLOWED_SKIPS" in said and "no compiler" in said


@pytest.mark.parametrize("options", [(), ("-n", "1", "--dist", "loadfile")], ids=["alone", "workers"])
def test_a_skipped_file_fails_under_ci(options: tuple[str, ...], tmp_path: Path) -> None:
    """As an error, and named."""
    files = ["test_fine.py", "test_whole_file.py"]
    assert "1 passed, 1 skipped" in report(tmp_path, files, *options, ci=False)
    said = report(tmp_path, files, *options, ci=True)
    assert "1 error" in said, said
    assert "test_whole_file.py" in said and "Skipped under CI, and not in ALLOWED_SKIPS" in said
