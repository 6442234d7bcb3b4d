"""Scenes and COCO-like folders are read by one loader, and what is broken in them is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from uvlm_mini.datasets.coco import CaptionSet, read_karpathy, write_karpathy
from uvlm_mini.datasets.scenes import samples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three splits of scenes, written out."""
    pairs = [(split, sample) for split in ("train", "val", "test") for sample in samples(split, 4)]
    assert write_karpathy(pairs, tmp_path) == 12
    return tmp_path


def change(folder: Path, edit) -> Path:
    """The caption file after `edit` has changed its list of pictures."""
    path = folder / "captions.json"
    content = json.loads(path.read_text())
    edit(content["images"])
    path.write_text(json.dumps(content))
    return path


def test_written_and_read_again(folder: Path) -> None:
    """Pictures to the byte, captions to the letter, graphs to the last relation."""
    for split in ("train", "val", "test"):
        got = list(read_karpathy(folder / "captions.json", folder, split, 64))
        for a, b in zip(got, samples(split, 4), strict=True):
            assert np.array_equal(a.picture, b.picture)
            assert a.captions == b.captions and a.scene == b.scene and a.scene.relations == b.scene.relations


def test_fields_of_karpathys_format(folder: Path) -> None:
    """The file has what tools for COCO look for: tokens beside the raw caption, ids that run through."""
    images = json.loads((folder / "captions.json").read_text())["images"]
    ids = [s["sentid"] for row in images for s in row["sentences"]]
    assert ids == list(range(60)) and [row["imgid"] for row in images] == list(range(12))
    for row in images:
        assert row["sentids"] == [s["sentid"] for s in row["sentences"]]
        assert all(s["tokens"] == s["raw"].split() for s in row["sentences"])
        assert (folder / row["filepath"] / row["filename"]).is_file()


def test_restval_counts_as_train(folder: Path) -> None:
    """COCO's restval pictures are trained on; a file without scene graphs is read, too."""

    def edit(rows: list[dict]) -> None:
        for row in rows:
            row.pop("scene")
            if row["split"] == "val":
                row["split"] = "restval"

    path = change(folder, edit)
    got = CaptionSet.gather(read_karpathy(path, folder, "train", 32))
    assert len(got) == 8 and got.pictures.shape == (8, 32, 32, 3) and got.scenes == [None] * 8


BROKEN = [
    (lambda rows: rows[5].pop("split"), "Picture 5 .* has no field 'split'"),
    (lambda rows: rows[0].pop("sentences"), "Picture 0 .* has no field 'sentences'"),
    (lambda rows: rows[0]["sentences"][2].pop("raw"), "Picture 0 .* has no field 'raw'"),
    (lambda rows: rows[1].update(sentences=[]), "Picture train_1.png .* has no captions"),
]


@pytest.mark.parametrize(("edit", "says"), BROKEN)
def test_broken_files(folder: Path, edit, says: str) -> None:
    """A missing field or a picture without captions is named, with its place."""
    with pytest.raises(ValueError, match=says):
        list(read_karpathy(change(folder, edit), folder, "train", 64))


def test_missing_things(folder: Path) -> None:
    """A split, a picture, a file that is not there; a file that is something else."""
    with pytest.raises(ValueError, match=r"has no split 'hard'; it has test, train, val\."):
        list(read_karpathy(folder / "captions.json", folder, "hard", 64))
    (folder / "test" / "test_2.png").unlink()
    with pytest.raises(FileNotFoundError, match="There is no picture"):
        list(read_karpathy(folder / "captions.json", folder, "test", 64))
    with pytest.raises(FileNotFoundError, match="There is no caption file"):
        list(read_karpathy(folder / "none.json", folder, "test", 64))
    for text in ("{", "[]", '{"annotations": []}'):
        (folder / "other.json").write_text(text)
        with pytest.raises(ValueError, match="is not a JSON in Karpathy's format"):
            list(read_karpathy(folder / "other.json", folder, "test", 64))
    with pytest.raises(ValueError, match="no picture in this set"):
        CaptionSet.gather([])
