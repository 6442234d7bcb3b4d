"""Run everything that `make test` proves: the tests, several at once, then the notebooks without a network.

    python scripts/run_tests.py                  all of it
    python scripts/run_tests.py -m "not linux"   options of pytest go to both phases

Each phase ends with pytest's own line; the last line of all is PASSED, or FAILED and which phase. The notebooks run one
after the other, because their cells are compared and timed, and with the network off, so that none of them can depend
on it. Where a machine does not allow that they run with it on; that is said, and under CI it is a failure, unless
UVLM_ONLINE=1 says that it is meant.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import offline  # beside this file

ROOT = Path(__file__).resolve().parent.parent
MOST_WORKERS = 4  # each holds PyTorch and a model or two, and some start compilers and browsers
TESTS = ["tests", "--dist", "loadfile"]  # fixtures of a file are made once
NOTEBOOKS = ["notebooks", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=60"]
NOTEBOOKS += ["--nbval-sanitize-with=tests/nbval_sanitize.cfg"]


def workers() -> int:
    """How many tests run at once: as many as there are processors for this process, up to a limit."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(here, MOST_WORKERS)


def yes(variable: str) -> bool:
    """Tell whether a variable of the environment is set to 1, true or yes."""
    return os.environ.get(variable, "").lower() in ("1", "true", "yes")


def pytest(*words: str, before: tuple[str, ...] = (), **environment: str) -> int:
    """Run pytest from the root folder, behind other words; returns its exit status."""
    command = [*before, sys.executable, "-m", "pytest", *words]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}).returncode


def main(options: list[str]) -> int:
    """Run both phases, whatever the first says; returns the exit status."""
    failed = []
    count = workers()
    # One thread each: two workers that compute on two threads each only get in each other's way.
    if pytest("-n", str(count), *TESTS, *options, OMP_NUM_THREADS="1"):
        failed.append("tests")
    before = offline.prefix()
    if before is None:
        print(f"The notebooks run with the network on. {offline.NOT_HERE}", flush=True)
        if yes("CI") and not yes("UVLM_ONLINE"):
            failed.append("network off")
    if pytest(*NOTEBOOKS, *options, before=tuple(before or ())):
        failed.append("notebooks")
    print(f"FAILED: {', '.join(failed)}" if failed else "PASSED", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
