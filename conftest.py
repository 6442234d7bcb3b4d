"""What holds for every test and every notebook.

It stands in the root folder because pytest applies the hooks of a conftest.py only to the files below it.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from queue import Empty
from typing import Any

import pytest

# Tests that may be skipped under CI, by node id, each with its reason in a comment. Keep it short.
ALLOWED_SKIPS: frozenset[str] = frozenset()

# Copies without outputs and solutions; scripts/student_notebooks.py makes them, and runs them itself.
collect_ignore = ["notebooks/student"]

UNDER_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
BUDGET_FACTOR = 1.5  # a notebook may take this many times the budget_seconds of its metadata

_seconds: dict[Any, float] = defaultdict(float)  # notebook -> time spent in its cells so far
_over_budget: set[Any] = set()


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Let a machine's own warnings on stderr pass; the notebook linter forbids stderr in committed outputs."""
    if hasattr(collector, "skip_compare"):  # a notebook; this must stay a tuple, nbval tests membership in it
        collector.skip_compare = (*collector.skip_compare, "stderr")


def pytest_configure(config: pytest.Config) -> None:
    """Let nbval notice a kernel that has died: by itself it waits until the cell's time is over, and then says that."""
    if config.pluginmanager.hasplugin("nbval"):
        from nbval.kernel import RunningKernel

        RunningKernel.get_message = _get_message


def _get_message(kernel: Any, stream: str, timeout: float | None = None) -> Any:
    """The next message of a kernel, as nbval asks for it: Empty after so many seconds."""
    ask = {"iopub": kernel.kc.get_iopub_msg, "shell": kernel.kc.get_shell_msg}[stream]
    end = time.monotonic() + (timeout if timeout is not None else float("inf"))
    while True:
        alive = kernel.is_alive()  # asked first: what it sent before it died is still read
        try:
            return ask(timeout=min(1.0, max(0.0, end - time.monotonic())))
        except Empty:
            if not alive:
                raise RuntimeError(
                    "The kernel died in this cell. C code that reads or writes outside of its arrays does that; "
                    "try it out in another process, as uvlm_mini.exercises does."
                ) from None
            if time.monotonic() >= end:
                raise


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Under CI, a test file that is skipped as a whole is an error."""
    outcome = yield
    report = outcome.get_result()
    if UNDER_CI and report.skipped and collector.nodeid not in ALLOWED_SKIPS:
        report.outcome = "failed"
        report.longrepr = f"Skipped under CI, and not in ALLOWED_SKIPS of conftest.py: {report.longrepr}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Under CI, a skipped test is a failure; and a notebook that takes longer than it promises is one anywhere."""
    outcome = yield
    report = outcome.get_result()
    expected_failure = hasattr(report, "wasxfail")
    if UNDER_CI and report.skipped and not expected_failure and item.nodeid not in ALLOWED_SKIPS:
        report.outcome = "failed"
        report.longrepr = f"Skipped under CI, and not in ALLOWED_SKIPS of conftest.py: {report.longrepr}"
    if hasattr(item.parent, "nb") and call.when == "call":
        _check_budget(item, report)


def _check_budget(item: Any, report: pytest.TestReport) -> None:
    """Fail the first cell with which a notebook passes its time."""
    notebook = item.parent
    _seconds[notebook] += report.duration
    budget = notebook.nb.metadata.get("uvlm", {}).get("budget_seconds")
    if budget is None or notebook in _over_budget or _seconds[notebook] <= BUDGET_FACTOR * budget:
        return
    _over_budget.add(notebook)
    if report.passed:
        report.outcome = "failed"
        report.longrepr = (
            f"{notebook.path.name} has used {_seconds[notebook]:.1f} s up to this cell; its metadata promise "
            f"uvlm.budget_seconds = {budget}, and {BUDGET_FACTOR} times that is the limit."
        )
