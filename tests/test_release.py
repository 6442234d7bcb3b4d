"""The release checklist: its list, that it goes on where it stopped, and says what failed or was left out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from scripts import dependency_sets, release, release_steps
from scripts.release import Checklist, Step
from tests.conftest import ROOT

SAY = (sys.executable, "-c")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, and what the steps build ignored."""
    (tmp_path / ".gitignore").write_text("/build/\n/counted\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True)
    return tmp_path


def counting(name: str, code: str = "pass", needs: str = "") -> Step:
    """A step that notes in the file `counted` that it ran."""
    return Step(name, f"what {name} is for", (*SAY, f"open('counted', 'a').write('{name} ')\n{code}"), needs)


def run(repository: Path, steps: list[Step], **how: list[str]) -> tuple[int, str]:
    """The exit status, and everything that was told."""
    told: list[str] = []
    status = Checklist(steps, repository, told.append).run(**how)
    return status, "\n".join(told)


def ran(repository: Path) -> list[str]:
    """The steps that ran so far, in order."""
    counted = repository / "counted"
    return counted.read_text().split() if counted.exists() else []


def test_list_names_every_step_once_and_runs_none(capsys: pytest.CaptureFixture[str]) -> None:
    """In the order in which they run; every program of a step exists, but for the one that is left out without."""
    assert release.main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [step.name for step in release.STEPS] and len(set(listed)) == len(listed)
    for step in release.STEPS:
        if step.command[1] == "-m":
            continue
        assert step.needs or (ROOT / step.command[1]).is_file(), step.name
        if step.command[1] == release.STEP[1]:
            assert step.command[2] in release_steps.STEPS
    used = {step.command[2] for step in release.STEPS if step.command[1] == release.STEP[1]}
    assert used == set(release_steps.STEPS)


def test_a_failing_step_stops_with_its_log_named_and_the_rest_goes_on_later(repository: Path) -> None:
    """What passed is not repeated; what failed and what came behind it runs then."""
    broken = [counting("one"), counting("two", "print('the reason'); raise SystemExit(3)"), counting("three")]
    status, told = run(repository, broken)
    assert status == 1 and ran(repository) == ["one", "two"]
    assert "two         FAILED with exit status 3" in told and "see build/release/two.log" in told
    assert "three       not run" in told and "    the reason" in told
    assert told.endswith("Step two failed; all it said is in build/release/two.log. Mend it, and run this again.")
    assert (repository / "build/release/two.log").read_text() == "the reason\n"
    status, told = run(repository, [counting("one"), counting("two"), counting("three")])
    assert status == 0 and ran(repository) == ["one", "two", "two", "three"]
    assert "one         passed before" in told and "Everything passed at commit" in told
    assert run(repository, broken[:1])[0] == 0 and len(ran(repository)) == 4


def test_after_a_change_everything_runs_again(repository: Path) -> None:
    """Committed or not; and what ran on a tree with changes counts for nothing later."""
    steps = [counting("one")]
    run(repository, steps)
    (repository / "new").write_text("x")
    run(repository, steps)
    run(repository, steps)
    assert len(ran(repository)) == 3
    subprocess.run(["git", "add", "new"], cwd=repository, check=True)
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", *who, "commit", "-qm", "y"], cwd=repository, check=True)
    run(repository, steps)
    run(repository, steps)
    assert len(ran(repository)) == 4


def test_what_is_left_out_is_said(repository: Path) -> None:
    """By wish or for want of a file, in the table, in the last line and in the exit status."""
    steps = [counting("one"), counting("two"), counting("three", needs="scripts/three.py")]
    status, told = run(repository, steps, leave_out=["two"])
    assert status == 3 and ran(repository) == ["one"]
    assert "two         left out: as asked" in told and "three       left out: there is no scripts/three.py" in told
    assert told.endswith("Nothing failed, but this is no whole check: left out were two, three.")


def test_one_step_alone(repository: Path) -> None:
    """Again, though it has passed; an unknown name is answered with the names there are."""
    steps = [counting("one"), counting("two")]
    run(repository, steps)
    assert run(repository, steps, only=["two"])[0] == 0
    assert ran(repository) == ["one", "two", "two"]
    status, told = run(repository, steps, only=["tow"])
    assert status == 2 and told == "There is no step tow; the steps are one, two."


def test_version_step_compares_the_three_files(tmp_path: Path) -> None:
    """Each way in which they can disagree has its sentence."""

    def said(told: str, cited: str, heading: str) -> str:
        (tmp_path / "pyproject.toml").write_text(f'[project]\nversion = "{told}"\n')
        (tmp_path / "CITATION.cff").write_text(f"cff-version: 1.2.0\nversion: {cited}\n")
        (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {heading}\n")
        return release_steps.version(tmp_path)

    assert said("1.0.0", "1.0.0", "[1.0.0] - 2026-12-01") == ""
    assert "CITATION.cff 0.9.0" in said("1.0.0", "0.9.0", "[1.0.0] - 2026-12-01")
    assert "the changelog opens with 0.9.0" in said("1.0.0", "1.0.0", "[0.9.0] - 2026-12-01")
    assert "write the day" in said("1.0.0", "1.0.0", "[1.0.0] - unreleased")


def test_files_agree_on_the_version_before_a_release_too() -> None:
    """Here, where only the day may be missing."""
    assert release_steps.version() == "" or "write the day" in release_steps.version()


def test_differing_outputs_are_found(tmp_path: Path) -> None:
    """Other text, and a cell that only one run has."""
    files = []
    for name, kept in (("a", {"1": ["x"], "2": ["y"], "3": []}), ("b", {"1": ["x"], "2": ["z"], "4": []})):
        files.append(tmp_path / name)
        files[-1].write_text(json.dumps(kept))
    assert release_steps.differing(*files) == ["2", "3", "4"]
    assert release_steps.differing(files[0], files[0]) == []


def test_kept_outputs_are_what_nbval_compares(tmp_path: Path) -> None:
    """Of two runs of one notebook: text is kept after the replacements, pictures and unchecked cells are not."""
    import nbformat

    code = ["print('took 3 s')", "# NBVAL_IGNORE_OUTPUT\nprint(id(object()))", "import time; print(time.time_ns())"]
    cells = [nbformat.v4.new_code_cell(one, execution_count=i) for i, one in enumerate(code, 1)]
    cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text="took 4 s\n")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "n.ipynb")
    kept = []
    for name in ("a.json", "b.json"):
        kept.append(tmp_path / name)
        environment = {"UVLM_OUTPUTS": str(kept[-1]), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "scripts.keep_outputs", str(tmp_path / "n.ipynb")]
        command += [f"--nbval-sanitize-with={ROOT}/tests/nbval_sanitize.cfg", "--nbval", "--nbval-current-env"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert kept[-1].exists(), done.stdout + done.stderr
    found = json.loads(kept[0].read_text())
    assert next(iter(found.values())) == ["stdout: took TIME\n"]
    assert len(found) == 2  # the cell that is not checked is not there
    assert len(release_steps.differing(*kept)) == 1


def test_lowest_and_newest(tmp_path: Path) -> None:
    """The highest of several lower bounds; a package without one is an error; extras apart are left out."""
    path = tmp_path / "pyproject.toml"
    text = '[project]\nname = "me"\ndependencies = ["numpy>=1.26", "torch>=2.4,<3"]\n'
    text += '[project.optional-dependencies]\na = ["me[b]", "torch>=2.10", "x==1.0"]\nnpu = ["z==1"]\nb = []\n'
    path.write_text(text)
    asked = dependency_sets.requirements(path)
    assert dependency_sets.lowest(asked) == ["numpy==1.26", "torch==2.10", "x==1.0"]
    assert dependency_sets.newest(asked) == ["numpy>=1.26", "torch<3,>=2.10,>=2.4", "x==1.0"]
    path.write_text(text.replace('"x==1.0"', '"x"'))
    with pytest.raises(ValueError, match="names x without a lower bound"):
        dependency_sets.lowest(dependency_sets.requirements(path))


def test_our_lowest_set_is_below_the_pins() -> None:
    """Every package of constraints.txt that pyproject.toml names is as new as its lower bound, or newer."""
    lines = (line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pins = {dependency_sets.canonicalize_name(name): Version(version) for name, version in lines}
    for line in map(Requirement, dependency_sets.lowest(dependency_sets.requirements())):
        (spec,) = line.specifier
        assert Version(spec.version) <= pins[line.name]


def test_tests_that_are_left_out_exist() -> None:
    """Each with a reason."""
    for name, why in release_steps.PINNED.items():
        path, _, test = name.partition("::")
        assert len(why) > 10 and f"def {test}" in (ROOT / path).read_text(encoding="utf-8")
