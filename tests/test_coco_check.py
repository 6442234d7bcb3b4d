"""The check of captioned pictures finds what would stop a training, and nothing where all is well."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from tests.test_coco import LISTS, OWN, edit, make_coco
from tests.test_files import pack
from uvlm_mini import cli, paper
from uvlm_mini.datasets import coco_check
from uvlm_mini.datasets.coco import read_captions, write_karpathy
from uvlm_mini.datasets.coco_check import check
from uvlm_mini.datasets.imagenet import Report
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.datasets.vocab import Vocabulary


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """COCO in small."""
    return make_coco(tmp_path)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Karpathy's split were that small, too."""
    monkeypatch.setattr(coco_check, "KARPATHY", {"train": 14, "val": 2, "test": 2})


def look(root: Path, own: bool = False, places: tuple[str, ...] = ("",), memory: float = 4.0, **options) -> Report:
    """The check of a model that has 100 features a picture of 32 pixels."""
    files = [root / name for name in (OWN if own else ("dataset_coco.json",))]
    lists = [root / name for name in LISTS] if own else []
    return check(files, lists, [root / p for p in places], 32, 100, 20, memory, root / "runs" / "coco", **options)


@pytest.mark.usefixtures("_small")
def test_where_all_is_well_it_counts(coco: Path) -> None:
    """The same lines and no problem from Karpathy's file and COCO's own, folders and archives; all files are read."""
    entries = read_captions([coco / "dataset_coco.json"]).splits["train"]
    words = Vocabulary.build(c for entry in entries for c in entry.captions)
    ticks: list[int] = []
    reports = [
        look(coco, tick=ticks.append),
        look(coco, own=True, decode=True),
        look(coco, places=("train2014.zip", "val2014.zip"), decode=True),
    ]
    assert [report.problems for report in reports] == [[], [], []] and sum(ticks) == 18
    assert reports[0].lines == reports[1].lines == reports[2].lines
    assert reports[0].lines == [
        "train: 14 pictures, 70 captions, 5 to 5 each",
        "val: 2 pictures, 10 captions, 5 to 5 each",
        "test: 2 pictures, 10 captions, 5 to 5 each",
        f"words: {len(words)}, of which 4 are specials, occur 5 times or more in the captions of train; COCO is said "
        f"to have about {paper.VOCABULARY:,}",
        "pictures of train: 4.3e-05 GB at 32 pixels, kept in memory",
        "their features: 5.6e-06 GB in float32, kept in memory",
    ]
    assert not (coco / "runs").exists()


def test_splits_are_compared_with_karpathys(coco: Path, tmp_path: Path) -> None:
    """COCO's own numbers; a split that is missing; scenes are no COCO, and may be as many as they are."""
    (coco / "karpathy_test_images.txt").write_text("")
    assert look(coco, own=True).problems == [
        "train has 14 pictures, and Karpathy's split of COCO 113,287, restval counted as train; give whole caption "
        "files, and all lists.",
        "val has 2 pictures, and Karpathy's split of COCO 5,000, restval counted as train; give whole caption files, "
        "and all lists.",
        "test has 0 pictures, and Karpathy's split of COCO 5,000, restval counted as train; give whole caption files, "
        "and all lists.",
    ]
    write_karpathy((("train", sample) for sample in samples("train", 8)), tmp_path / "scenes")
    report = check([tmp_path / "scenes" / "captions.json"], [], [tmp_path / "scenes"], 64, 9, 20, 4.0, tmp_path)
    assert report.problems == [] and report.lines[0] == "train: 8 pictures, 40 captions, 5 to 5 each"


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("packed", [False, True])
def test_broken_and_missing_files_are_named(coco: Path, packed: bool) -> None:
    """What is no picture is found by its header, what is truncated by decoding; what is not there is counted, too."""
    for part in ("train2014.zip", "val2014.zip"):
        (coco / part).unlink()
    name = "COCO_train2014_{:012d}.jpg".format
    folder = coco / "train2014"
    (folder / name(2)).unlink()
    (folder / name(5)).write_text("no picture")
    whole = (folder / name(7)).read_bytes()
    (folder / name(7)).write_bytes(whole[: len(whole) * 2 // 3])
    places: tuple[str, ...] = ("",)
    if packed:
        places = ("train2014.zip", "val2014")
        pack(folder, coco / "train2014.zip")
        shutil.rmtree(folder)
    report = look(coco, places=places)
    assert "train: 1 of 14 pictures are missing" in report.lines
    missing, no_picture = report.problems
    assert missing.startswith(f"There is no picture {name(2)} of train in {coco}") and missing.endswith(".")
    assert no_picture.endswith(f"{name(5)} is not a picture that Pillow can read; give a PNG, JPEG or similar.")
    decoded = look(coco, places=places, decode=True).problems
    assert set(report.problems) < set(decoded) and len(decoded) == 3
    (truncated,) = set(decoded) - set(report.problems)
    assert f"{name(7)} cannot be read to its end" in truncated


@pytest.mark.usefixtures("_small")
def test_captions_that_cannot_be_learned_from_are_told(coco: Path) -> None:
    """Too few of them; some that are empty after pruning, which are left out; a picture or a set that has no others."""

    def report(change) -> Report:
        edit(
            coco / "dataset_coco.json", lambda c: change([r for r in c["images"] if r["split"] in ("train", "restval")])
        )
        return look(coco)

    def few(rows: list[dict]) -> None:
        rows[0]["sentences"].pop()
        rows[1]["sentences"][0]["raw"], rows[1]["sentences"][3]["raw"] = "Zyzzyva!", " ... "

    def strange(rows: list[dict]) -> None:
        for sentence in (s for row in rows for s in row["sentences"]):
            sentence["raw"] = f"word{sentence['sentid']}"

    first, second, third, *_ = (e.name for e in read_captions([coco / "dataset_coco.json"]).splits["train"])
    found = report(few)
    assert found.problems == [
        f"1 pictures of train have fewer than 5 captions, for example {first}; download the caption file again."
    ]
    assert found.lines[4] == (
        f"words: 2 captions of train have none of these, for example one of {second}, and are left out of the training"
    )
    (problem,) = report(lambda rows: strange(rows[2:3])).problems[1:]
    assert problem.startswith(
        f"No caption of picture {third} has a word that the vocabulary keeps; give it another one"
    )
    assert "No word occurs 5 times in these captions" in report(strange).problems[-1]


@pytest.mark.usefixtures("_small")
def test_room_is_counted_and_must_be_there(coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into memory is read, or goes to the run's folder; a disk that is too full is a problem."""
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(3000 if folder == coco else 0))
    report = look(coco, memory=5e-6)
    assert report.problems == []
    assert report.lines[-2:] == [
        "pictures of train: 4.3e-05 GB at 32 pixels, more than --memory 5e-06: read as they are needed",
        f"their features: 5.6e-06 GB in float32, more than --memory 5e-06: 2.8e-06 GB in float16 in {coco}/runs/coco, "
        "where 3e-06 GB are free",
    ]
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(2799))
    (problem,) = look(coco, memory=5e-6).problems
    assert problem.endswith("features take 2.8e-06; make room, or choose another --out.")


def test_what_cannot_be_opened_is_the_problem(coco: Path) -> None:
    """A caption file or a place that is not there or not whole: the sentence that training would say."""
    (coco / "train2014.zip").write_bytes((coco / "train2014.zip").read_bytes()[:5000])
    assert "or only its beginning" in look(coco, places=("train2014.zip",)).problems[-1]
    assert "There is no folder or archive" in look(coco, places=("nowhere",)).problems[-1]
    (coco / "dataset_coco.json").write_text((coco / "dataset_coco.json").read_text()[:-9])
    (problem,) = look(coco).problems
    assert "is not a JSON in Karpathy's format" in problem


def test_the_command_tells_twenty_problems(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 where something is wrong, and how many more there are; nothing is written."""
    shutil.rmtree(coco / "train2014")
    shutil.rmtree(coco / "val2014")
    (coco / "train2014.zip").unlink()
    (coco / "empty").mkdir()
    command = ["train", "--data", str(coco / "dataset_coco.json"), "--images", str(coco / "empty"), "--check"]
    before = sorted(coco.rglob("*"))
    assert cli.main(command) == 2
    out, err = capsys.readouterr()
    assert "train: 14 of 14 pictures are missing" in out
    said = [line for line in err.splitlines() if line.startswith("uvlm: ")]
    assert len(said) == 21 and said[-1] == "uvlm: There are 1 problems more."  # 3 counts, 18 pictures
    assert cli.main(["train", "--check"]) == 2
    assert "give the captions to look at with --data" in capsys.readouterr().err
    assert sorted(coco.rglob("*")) == before


@pytest.mark.usefixtures("_small")
def test_the_command_says_that_all_is_well(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 0; what features need depends on the preset."""
    command = ["train", "--data", str(coco / "dataset_coco.json"), "--check", "--decode", "--preset"]
    for name, numbers, side in (("mini", 128 * 8 * 8, 64), ("b", 384 * 7 * 7, 224)):
        assert cli.main([*command, name]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert f"their features: {14 * numbers * 4 / 1e9:.3g} GB in float32, kept in memory" in lines
        assert f"pictures of train: {14 * 3 * side**2 / 1e9:.3g} GB at {side} pixels, kept in memory" in lines
