"""Karpathy's JSON and COCO's own files, folders and archives: one set of pictures; and what is broken is named."""

import json
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import TINY
from tests.test_files import draw_jpegs, pack
from uvlm_mini.datasets.coco import CaptionSet, Sample, open_set, read_captions, write_karpathy, write_results
from uvlm_mini.datasets.files import Images, PictureFiles
from uvlm_mini.datasets.scenes import samples, scene
from uvlm_mini.train.loop import Trainer
from uvlm_mini.train.stages import Stage, loss_of

OWN = ("captions_train2014.json", "captions_val2014.json")
LISTS = tuple(f"karpathy_{split}_images.txt" for split in ("train", "val", "test"))


def make_coco(root: Path, train: int = 12, val: int = 6) -> Path:
    """COCO in small, as it is downloaded: pictures in folders and packed, Karpathy's JSON and lists, COCO's own files.

    Of the pictures of val2014, two are in Karpathy's val and two in his test; the others are restval.
    """
    shuffle = random.Random(0).shuffle
    rows, lists = [], {split: [] for split in ("train", "val", "test")}
    for (part, n), own in zip((("train2014", train), ("val2014", val)), OWN, strict=True):
        images, annotations = [], []
        for i, name in enumerate(draw_jpegs(root / part, n, first=100 * (part == "val2014"))):
            number = int(name[-10:-4])
            split = "train" if part == "train2014" else ("val", "val", "test", "test", "restval")[min(i, 4)]
            said = scene("train", i).captions(f"{part}/{i}")
            sentences = [
                {"raw": c, "tokens": c.split(), "imgid": len(rows), "sentid": 1000 * number + 7 * k}
                for k, c in enumerate(said)
            ]
            row = {"imgid": len(rows), "cocoid": number, "filepath": part, "filename": name, "split": split}
            rows.append({**row, "sentids": [s["sentid"] for s in sentences], "sentences": sentences})
            images.append({"license": 3, "file_name": name, "height": 96, "width": 128, "id": number})
            annotations += [{"image_id": number, "id": s["sentid"], "caption": s["raw"]} for s in sentences]
        shuffle(images)
        shuffle(annotations)
        (root / own).write_text(json.dumps({"info": {}, "images": images, "licenses": [], "annotations": annotations}))
        pack(root / part, root / f"{part}.zip")
    shuffle(rows)
    for row in rows:
        lists["train" if row["split"] == "restval" else row["split"]].append(row)
    (root / "dataset_coco.json").write_text(json.dumps({"dataset": "coco", "images": rows}))
    for split, listed in lists.items():
        lines = [f"{row['filepath']}/{row['filename']} {row['cocoid']}\n" for row in listed]
        (root / f"karpathy_{split}_images.txt").write_text("".join(lines))
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO in small, to be read."""
    return make_coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """The same, to be broken."""
    return make_coco(tmp_path)


def read(root: Path, split: str = "train", files: tuple[str, ...] = OWN, lists: tuple[str, ...] = LISTS) -> list:
    """The entries of a split, by COCO's own files if nothing else is said."""
    return read_captions([root / name for name in files], [root / name for name in lists]).split(split)


def same(a: CaptionSet, b: CaptionSet) -> None:
    """Two sets with the same pictures to the byte, the same words, names and ids, in the same order."""
    assert np.array_equal(np.asarray(a.pictures), np.asarray(b.pictures))
    assert (a.captions, a.names, a.scenes, a.ids) == (b.captions, b.names, b.scenes, b.ids)


# ----------------------------------------------------------------------------------------------------------------
# The same set


def test_whatever_it_is_read_from_it_is_the_same_set(whole: Path) -> None:
    """Karpathy's JSON or COCO's files with lists, folders or archives, in memory or not; restval counts as train."""
    for split, n in (("train", 14), ("val", 2), ("test", 2)):
        sets = []
        ways = product(
            (("dataset_coco.json",), OWN, OWN[::-1]),
            ([whole], [whole / "train2014", whole / "val2014"], [whole / "train2014.zip", whole / "val2014.zip"]),
            (False, True),
        )
        for files, places, lazily in ways:
            entries = read(whole, split, files, LISTS if len(files) == 2 else ())
            sets.append(open_set(entries, Images(places), 32, lazily))
            assert isinstance(sets[-1].pictures, PictureFiles if lazily else np.ndarray)
            same(sets[-1], sets[0])
        assert len(sets[0]) == n and sets[0].pictures.shape == (n, 32, 32, 3) and len(sets) == 18
    assert [f"val2014_{number:012d}.jpg" for number in sets[0].ids] == [name[5:] for name in sets[0].names]


def test_and_it_is_the_same_training(whole: Path, tmp_path: Path) -> None:
    """The first loss, to the bit, with the pictures in memory or read ahead of every step."""
    stages = (Stage("together", epochs=1, rate=1e-3, batch=4, captions=2),)
    losses = []
    for files, place, lazily in product((("dataset_coco.json",), OWN), ("", "train2014.zip"), (False, True)):
        lists = LISTS if len(files) == 2 else ()
        places = [whole / place, whole / "val2014.zip"] if place else [whole]
        train, val = (
            open_set(read(whole, split, files, lists), Images(places), TINY.encoder.image, lazily)
            for split in ("train", "val")
        )
        trainer = Trainer(TINY, stages, train, val, tmp_path / str(len(losses)), quiet=True)
        torch.manual_seed(0)
        batch = trainer._batch(stages[0], trainer._plan(stages[0], 0)[0], 0)
        losses.append(loss_of(stages[0], trainer.model, trainer.heads, batch).item())
    assert len(losses) == 8 and len(set(losses)) == 1


def test_lists_of_names_or_ids_name_the_same_pictures(whole: Path, tmp_path: Path) -> None:
    """Name and id, either alone, the name of 2014 for a picture of 2017: a list is read in its own order."""
    expected = read(whole, "train")
    lines = (whole / LISTS[0]).read_text().splitlines()
    (tmp_path / OWN[0].replace("2014", "2017")).write_text((whole / OWN[0]).read_text().replace("COCO_train2014_", ""))
    short = [line for line in lines if line.startswith("train")]
    for cut in (str, lambda s: s.split()[0], lambda s: s.split()[1], lambda s: s.split()[0].split("/")[1]):
        (tmp_path / "my train list.txt").write_text("\n".join(map(cut, lines)) + "\n\n")
        assert read_captions([whole / name for name in OWN], [tmp_path / "my train list.txt"]).splits == {
            "train": expected
        }
        (tmp_path / "my train list.txt").write_text("\n".join(map(cut, short)))
        (new,) = read_captions([tmp_path / "captions_train2017.json"], [tmp_path / "my train list.txt"]).splits.values()
        assert [e.id for e in new] == [e.id for e in expected if "train" in e.name]
        assert {(e.folder, e.name) for e in new} == {("train2017", f"{e.id:012d}.jpg") for e in new}
    (tmp_path / "restval.txt").write_text(lines[1])
    (tmp_path / "train.txt").write_text(lines[0])
    (tmp_path / "valid.txt").write_text(lines[2])
    three = [tmp_path / name for name in ("restval.txt", "train.txt", "valid.txt")]
    found = read_captions([whole / name for name in OWN], three).splits
    assert found == {"train": [expected[1], expected[0]], "val": [expected[2]]}


def test_pictures_of_scenes_written_and_read_again(tmp_path: Path) -> None:
    """Pictures to the byte, captions to the letter, graphs to the last relation; from an archive, too."""
    pairs = [(split, sample) for split in ("train", "val", "test") for sample in samples(split, 4)]
    assert write_karpathy(pairs, tmp_path) == 12
    pack(tmp_path / "val", tmp_path / "val.zip")
    images = json.loads((tmp_path / "captions.json").read_text())["images"]
    assert [s["sentid"] for row in images for s in row["sentences"]] == list(range(60))
    for row in images:
        assert row["sentids"] == [s["sentid"] for s in row["sentences"]]
        assert all(s["tokens"] == s["raw"].split() for s in row["sentences"])
        assert (tmp_path / row["filepath"] / row["filename"]).is_file()
    captions = read_captions([tmp_path / "captions.json"])
    assert captions.dataset == "scenes"
    for k, split in enumerate(("train", "val", "test")):
        drawn = CaptionSet.gather(samples(split, 4))
        for places in ([tmp_path], [tmp_path / "val.zip", tmp_path]):
            got = open_set(captions.split(split), Images(places), 64)
            assert np.array_equal(got.pictures, drawn.pictures) and got.captions == drawn.captions
            assert got.scenes == drawn.scenes and got.ids == [4 * k + i for i in range(4)] and drawn.ids is None
            assert [s.relations for s in got.scenes] == [s.relations for s in drawn.scenes]


def test_results_are_what_cocos_own_program_reads(whole: Path, tmp_path: Path) -> None:
    """pycocotools takes the file as results on COCO's own captions; an older file survives a failure."""
    from pycocotools.coco import COCO

    entries = read(whole, "val")
    write_results(tmp_path / "r.json", [e.id for e in entries], [e.captions[0] for e in entries])
    assert json.loads((tmp_path / "r.json").read_text()) == [
        {"image_id": e.id, "caption": e.captions[0]} for e in entries
    ]
    truth = COCO(str(whole / OWN[1]))
    results = truth.loadRes(str(tmp_path / "r.json"))
    for e in entries:
        ((said,), told) = (c.loadAnns(c.getAnnIds(imgIds=[e.id])) for c in (results, truth))
        assert said["caption"] == e.captions[0] and said["caption"] in [t["caption"] for t in told]
    before = (tmp_path / "r.json").read_bytes()
    with pytest.raises(ValueError, match="zip"):
        write_results(tmp_path / "r.json", [1, 2], ["one"])
    assert (tmp_path / "r.json").read_bytes() == before


# ----------------------------------------------------------------------------------------------------------------
# Mistakes


def edit(path: Path, change: Callable[[dict], object]) -> None:
    """Change the content of a JSON."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def sentence(error: pytest.ExceptionInfo) -> None:
    """What is said is one sentence, with a remedy."""
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and ";" in text


KARPATHY_BROKEN = [
    (lambda c: c["images"][5].pop("split"), "Picture 5 in .* has no field 'split'"),
    (lambda c: c["images"][0].pop("sentences"), "Picture 0 in .* has no field 'sentences'"),
    (lambda c: c["images"][0]["sentences"][2].pop("raw"), "Picture 0 in .* has no field 'raw'"),
    (lambda c: c["images"][3].update(filename=7), "Picture 3 in .* has 7 as its filename; it must be text"),
    (lambda c: c["images"][3].update(cocoid="7"), "Picture 3 in .* has '7' as its cocoid; it must be a whole number"),
    (lambda c: c["images"].insert(4, "text"), "Picture 4 in .* has no field 'split'"),
    (lambda c: c["images"][1].update(sentences=[]), r"Picture COCO_.*jpg in .* has no captions; give it one"),
    (lambda c: c["images"][2].update(cocoid=c["images"][1]["cocoid"]), r"and COCO_.* have the same id, \d+; give"),
    (
        lambda c: c["images"].append({**c["images"][1], "cocoid": 999}),
        "Picture COCO_.* stands twice in .*; take one of them out",
    ),
]


@pytest.mark.parametrize(("change", "says"), KARPATHY_BROKEN)
def test_karpathys_file_is_broken(coco: Path, change, says: str) -> None:
    """A missing or strange field, a picture or id that stands twice, one without captions: named, with its place."""
    edit(coco / "dataset_coco.json", change)
    with pytest.raises(ValueError, match=says) as error:
        read(coco, files=("dataset_coco.json",), lists=())
    sentence(error)


def drop_captions(content: dict) -> None:
    """Take the captions of a picture that Karpathy trains on."""
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 3]


OWN_BROKEN = [
    (lambda c: c["images"][1].pop("id"), "Picture 1 in .*train2014.json has no field 'id'"),
    (lambda c: c["images"][1].pop("file_name"), "Picture 1 in .* has no field 'file_name'"),
    (lambda c: c["images"][1].update(id="12"), "Picture 1 in .* has '12' as its id; it must be a whole number"),
    (lambda c: c["images"].append(c["images"][0]), r"Image id \d+ stands twice, the second time in .*train2014.json"),
    (lambda c: c["annotations"][6].pop("caption"), "Annotation 6 in .* has no field 'caption'; give a whole file"),
    (lambda c: c["annotations"][6].pop("image_id"), "Annotation 6 in .* has no field 'image_id'"),
    (lambda c: c["annotations"].append(c["annotations"][0]), r"Annotation id \d+ stands twice in .*; download"),
    (
        lambda c: c["annotations"][2].update(image_id=77),
        "Annotation 2 in .* is a caption of image id 77, which it lacks",
    ),
    (lambda c: c["images"].pop(0), r"Annotation \d+ in .* is a caption of image id \d+, which it lacks"),
    (drop_captions, "Picture COCO_train2014_000000000003.jpg in .* has no captions; give it one"),
]


@pytest.mark.parametrize(("change", "says"), OWN_BROKEN)
def test_cocos_own_file_is_broken(coco: Path, change, says: str) -> None:
    """Ids that stand twice or are missing, captions of no picture, pictures without captions."""
    edit(coco / OWN[0], change)
    with pytest.raises(ValueError, match=says) as error:
        read(coco)
    sentence(error)


LISTS_BROKEN = [
    ("karpathy_train_images.txt", "train2014/COCO_train2014_000000000099.jpg 99", "Line 3 of .*99.jpg 99, of which"),
    (
        "karpathy_train_images.txt",
        "somewhere/else.jpg",
        "Line 3 of .* names somewhere/else.jpg, of which .* has nothing",
    ),
    (
        "karpathy_train_images.txt",
        "2",
        r"Line \d+ of .*train_images.txt names .*, and so does .*train_images.txt; take",
    ),
    ("karpathy_test_images.txt", "2", r"Line 3 of .*test_images.txt names 2, and so does .*train_images.txt; take"),
]


@pytest.mark.parametrize(("name", "line", "says"), LISTS_BROKEN)
def test_a_list_names_what_it_may_not(coco: Path, name: str, line: str, says: str) -> None:
    """A picture that no caption file has, or one that a list has already."""
    lines = (coco / name).read_text().splitlines()
    (coco / name).write_text("\n".join([*lines[:2], line, *lines[2:]]))
    with pytest.raises(ValueError, match=says) as error:
        read(coco)
    sentence(error)


def test_files_that_do_not_go_together(coco: Path) -> None:
    """No lists, lists too many, two years, two kinds, a list whose name is no split's, files that are not there."""
    (coco / "captions_train2017.json").write_text((coco / OWN[0]).read_text())
    (coco / "pictures.txt").write_text("1\n")
    (coco / "train_or_val.txt").write_text("1\n")
    for files, lists, kind, says in (
        (OWN, (), ValueError, "does not say which picture belongs to which split; give --lists"),
        (("dataset_coco.json",), LISTS, ValueError, "says itself which picture .*; leave --lists out"),
        ((*OWN, "captions_train2017.json"), LISTS, ValueError, r"Image id \d+ stands twice, .*2017.json; give"),
        (("dataset_coco.json", OWN[1]), LISTS, ValueError, "do not belong together; give one JSON"),
        (OWN[:1], LISTS, ValueError, r"Line \d+ of .*karpathy_train_images.txt names val2014/COCO_val2014_"),
        (OWN, ("pictures.txt",), ValueError, "The name of .*pictures.txt does not say which split"),
        (OWN, ("train_or_val.txt",), ValueError, "The name of .*train_or_val.txt does not say which split"),
        (OWN, ("none.txt",), FileNotFoundError, "There is no list .*none.txt; give"),
        (("none.json",), (), FileNotFoundError, "There is no caption file .*none.json; give"),
    ):
        with pytest.raises(kind, match=says) as error:
            read(coco, files=files, lists=lists)
        sentence(error)
    with pytest.raises(ValueError, match=r"has no split 'hard'; it has test, train, val\."):
        read(coco, "hard")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"annotations": []}', '{"images": {}}', "\xff\xfe"])
def test_something_else_than_captions(tmp_path: Path, text: str) -> None:
    """A file that was cut off or is of another kind."""
    (tmp_path / "other.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="is not a JSON in Karpathy's format or COCO's") as error:
        read_captions([tmp_path / "other.json"])
    sentence(error)


def test_pictures_that_are_missing(coco: Path) -> None:
    """An id without a file, a folder of another kind, half a download: the first is named, and how many there are."""
    (coco / "train2014" / "COCO_train2014_000000000004.jpg").unlink()
    (coco / "train2014" / "COCO_train2014_000000000006.jpg").unlink()
    entries = read(coco)
    for lazily in (False, True):
        with pytest.raises(FileNotFoundError, match=r"000000000\d{3}.jpg in .*, nor are 1 others of 14; give") as error:
            open_set(entries, Images([coco / "train2014", coco / "val2014"]), 32, lazily)
        sentence(error)
    open_set(entries, Images([coco]), 32, True)  # the archive beside the folder has them
    (coco / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"nor are 13 others of 14"):
        open_set(entries, Images([coco / "empty"]), 32)
    with pytest.raises(ValueError, match="There is no picture in this set"):
        open_set([], Images([coco]), 32)
    with pytest.raises(ValueError, match="There is no picture in this set"):
        CaptionSet.gather([])
    assert CaptionSet.gather([Sample("x", np.zeros((8, 8, 3), np.uint8), ["a cat"])]).ids is None
