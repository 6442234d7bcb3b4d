"""The release checklist as a program: `make release`, or

    python scripts/release.py                    every step, in order; a step that fails ends it
    python scripts/release.py --list             the steps, and what each sees to
    python scripts/release.py --only wheel       one step alone (or several), whether it was done or not
    python scripts/release.py --leave-out fuzz   all but some; the table says so, and the exit status is 3

Each step is one command, whose output goes to build/release/NAME.log. Called again on the same commit it goes on where
it stopped: steps that passed are not repeated. After a change, committed or not, all of them are. It ends with a table,
and with 0 if everything passed, 1 if a step failed, 2 if what was asked for does not exist, 3 if nothing failed but
something was left out. All of it takes some hours.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
STEP = (PYTHON, "scripts/release_steps.py")


@dataclass(frozen=True)
class Step:
    """One line of the checklist."""

    name: str
    what: str
    command: tuple[str, ...]
    needs: str = ""  # a file of the repository without which the step is left out


STEPS = (
    Step("tree", "nothing is uncommitted", (*STEP, "tree")),
    Step("version", "pyproject, changelog and citation tell the same version, and the day", (*STEP, "version")),
    Step("doctor", "this machine has all that the steps below want", (PYTHON, "-m", "uvlm_mini.cli", "doctor")),
    Step("links", "the links of the book that lead outside", (*STEP, "links")),
    Step("pdf", "the whole book as one PDF", (PYTHON, "scripts/build_pdf.py")),
    Step("wheel", "a fresh clone's wheel captions in a new environment, and notebook 0 runs there", (*STEP, "wheel")),
    Step("colab", "the copy for Colab of notebook 0 installs the package out of a clone, and runs", (*STEP, "colab")),
    Step("students", "the notebooks without solutions run", (PYTHON, "scripts/student_notebooks.py", "--run"),
         "scripts/student_notebooks.py"),
    Step("notebooks", "nbval twice in a row, with the same outputs", (*STEP, "notebooks")),
    Step("clone", "CI's own script in a fresh clone", (*STEP, "clone")),
    Step("lowest", "the tests with the oldest versions that pyproject.toml allows", (*STEP, "lowest")),
    Step("newest", "the tests with the newest", (*STEP, "newest")),
    Step("firmware", "the firmware's bits on 20 pictures", (PYTHON, "scripts/firmware_check.py")),
    Step("mutants", "every listed wrong version is noticed", (PYTHON, "-m", "tests.mutants")),
    Step("fuzz", "ten minutes of fuzzing the kernels", (PYTHON, "scripts/fuzz.py", "--seconds", "600")),
)  # fmt: skip


def commit(root: Path) -> str:
    """The commit that is checked out; with a mark, and so equal to no other, if something is uncommitted."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "HEAD") + (f" and changes at {time.time_ns()}" if git("status", "--porcelain") else "")


class Checklist:
    """Steps, run in a repository, with what is known of them.

    Parameters
    ----------
    steps : in the order in which they run.
    root : of the repository.
    tell : what takes a line for the reader.
    """

    def __init__(self, steps: Sequence[Step], root: Path, tell: Callable[[str], None] = print) -> None:
        self.steps, self.root, self.tell = steps, root, tell
        self.folder = root / "build" / "release"
        self.commit = commit(root)
        kept = self.folder / "state.json"
        state = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        self.done: dict[str, float] = state["seconds"] if state.get("commit") == self.commit else {}
        self.rows: list[tuple[str, str]] = []

    def run(self, only: Sequence[str] = (), leave_out: Sequence[str] = ()) -> int:
        """Run what is to be run, print the table, and return the exit status."""
        known = [step.name for step in self.steps]
        if unknown := [name for name in (*only, *leave_out) if name not in known]:
            self.tell(f"There is no step {', '.join(unknown)}; the steps are {', '.join(known)}.")
            return 2
        failed = ""
        left: list[str] = []
        for step in self.steps:
            if only and step.name not in only:
                continue
            if failed:
                self.rows.append((step.name, "not run"))
            elif step.name in leave_out or (step.needs and not (self.root / step.needs).exists()):
                why = "as asked" if step.name in leave_out else f"there is no {step.needs}"
                self.rows.append((step.name, f"left out: {why}"))
                left.append(step.name)
            elif step.name in self.done and not only:
                self.rows.append((step.name, f"passed before, {self.done[step.name]:.0f} s"))
            elif not self._run(step):
                failed = step.name
        self._table(failed, left, bool(only))
        return 1 if failed else 3 if left else 0

    def _run(self, step: Step) -> bool:
        """Run one step, its output to its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{step.name}.log"
        self.tell(f"{step.name}: {step.what}")
        begun = time.monotonic()
        with log.open("wb") as to:
            code = subprocess.run(step.command, cwd=self.root, stdout=to, stderr=subprocess.STDOUT).returncode
        seconds = time.monotonic() - begun
        if code:
            self.rows.append((step.name, f"FAILED with exit status {code}, {seconds:.0f} s: see {self._name(log)}"))
            self.done.pop(step.name, None)
        else:
            self.rows.append((step.name, f"passed, {seconds:.0f} s"))
            self.done[step.name] = seconds
        kept = {"commit": self.commit, "seconds": self.done}
        (self.folder / "state.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        return not code

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _table(self, failed: str, left: Sequence[str], only: bool) -> None:
        self.tell("")
        for name, said in self.rows:
            self.tell(f"{name:12}{said}")
        self.tell("")
        if failed:
            log = self.folder / f"{failed}.log"
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]:
                self.tell(f"    {line}")
            self.tell(f"Step {failed} failed; all it said is in {self._name(log)}. Mend it, and run this again.")
        elif left:
            self.tell(f"Nothing failed, but this is no whole check: left out were {', '.join(left)}.")
        elif not only:
            self.tell(f"Everything passed at commit {self.commit}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checklist."""
    parser = argparse.ArgumentParser(description="The release checklist.")
    parser.add_argument("--list", action="store_true", help="name the steps, and run none")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="run these alone")
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="NAME", help="run all but these")
    given = parser.parse_args(arguments)
    if given.list:
        print("\n".join(f"{step.name:12}{step.what}" for step in STEPS))
        return 0
    return Checklist(STEPS, ROOT, lambda line: print(line, flush=True)).run(given.only, given.leave_out)


if __name__ == "__main__":
    sys.exit(main())
