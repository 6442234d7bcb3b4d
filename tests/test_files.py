"""Pictures in folders and in archives are the same pictures, whoever reads them and in whatever order."""

import multiprocessing
import pickle
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uvlm_mini.datasets import files
from uvlm_mini.datasets.files import Archive, Images, PictureFiles, expect
from uvlm_mini.datasets.scenes import scene
from uvlm_mini.pictures import read_picture


def draw_jpegs(folder: Path, n: int = 10, first: int = 0) -> list[str]:
    """Scenes as JPEG files, wider than high; one of them grey, one CMYK, and one that lies on its side, by its EXIF."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"COCO_{folder.name}_{first + i:012d}.jpg" for i in range(n)]
    for i, name in enumerate(names):
        drawn = Image.fromarray(np.pad(scene("train", i).draw(96), ((0, 0), (20, 12), (0, 0)), "edge"))
        exif = Image.Exif()
        exif[0x0112] = 6 if i == 3 else 1
        drawn = drawn.convert({1: "L", 2: "CMYK"}.get(i, "RGB"))
        (drawn.rotate(90, expand=True) if i == 3 else drawn).save(folder / name, quality=92, exif=exif)
    return names


def pack(folder: Path, path: Path, method: int = zipfile.ZIP_STORED, inside: str = "") -> Path:
    """A folder as an archive, its name or `inside` before every member's, as COCO's archives have it."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(f"{folder.name}/", b"")
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{inside or folder.name}/{file.name}")
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train2014 as a folder, as an archive of stored and one of deflated files."""
    root = tmp_path_factory.mktemp("root")
    draw_jpegs(root / "train2014")
    pack(root / "train2014", root / "stored.zip")
    pack(root / "train2014", root / "packed.zip", zipfile.ZIP_DEFLATED, "some/other/folder")
    (root / "beside").mkdir()
    pack(root / "train2014", root / "beside" / "train2014.zip")
    return root


def names(root: Path) -> list[str]:
    """Of the pictures in the folder."""
    return sorted(path.name for path in (root / "train2014").iterdir())


def opened(root: Path, where: str, side: int = 32) -> PictureFiles:
    """All pictures, from one of the places."""
    images = Images([root / where])
    return PictureFiles([images.find("train2014", name) for name in names(root)], side)  # type: ignore[misc]


@pytest.mark.parametrize("where", ["", "train2014", "stored.zip", "packed.zip", "beside"])
def test_every_place_gives_the_pictures_of_the_files(root: Path, where: str) -> None:
    """A folder of the folder, the folder itself, archives however packed, an archive in a folder: the same bytes."""
    expected = np.stack([read_picture(root / "train2014" / name, 32) for name in names(root)])
    pictures = opened(root, where)
    assert pictures.shape == expected.shape == (10, 32, 32, 3) and len(pictures) == 10
    assert np.array_equal(np.asarray(pictures), expected) and np.array(pictures).dtype == np.uint8
    assert (expected[1, ..., 0] == expected[1, ..., 1]).all()  # the grey one
    upright = np.pad(scene("train", 3).draw(96), ((0, 0), (20, 12), (0, 0)), "edge")[:, 16:112]
    assert np.abs(expected[3] - upright.reshape(32, 3, 32, 3, 3).mean((1, 3))).mean() < 5  # the one on its side


def test_rows_are_picked_as_from_an_array(root: Path) -> None:
    """Numbers, negative ones, repeated ones, masks, slices of slices: as NumPy does it."""
    lazy, array = opened(root, "stored.zip"), np.asarray(opened(root, "stored.zip"))
    even = np.arange(10) % 2 == 0
    for rows in (3, -1, np.int64(4), [2, 2, -3], np.array([7, 0, 7]), even, slice(2, 9), slice(None, None, -3), []):
        assert np.array_equal(np.asarray(lazy[rows]), array[rows])
    assert np.array_equal(np.asarray(lazy[1:9][2:5][::-1]), array[1:9][2:5][::-1])
    for rows in (10, [0, 10]):
        with pytest.raises(IndexError):
            lazy[rows]


def test_a_slice_reads_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is asked for is read, and each picture once."""
    read: list[str] = []
    real = files.File.read
    monkeypatch.setattr(files.File, "read", lambda file, side: (read.append(file.path), real(file, side))[1])
    pictures = opened(root, "")
    part = pictures[2:9]
    assert read == []
    _ = part[np.array([1, 3])]
    assert sorted(Path(path).name for path in read) == [names(root)[3], names(root)[5]]


def test_reading_ahead_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was expected is not read again; what was not expected is read as ever; an array expects nothing."""
    read: list[str] = []
    real = files.File.read
    monkeypatch.setattr(files.File, "read", lambda file, side: (read.append(file.path), real(file, side))[1])
    pictures, array = opened(root, "stored.zip"), np.asarray(opened(root, ""))
    read.clear()
    expect(pictures, np.array([4, 1]))
    assert np.array_equal(pictures[np.array([4, 1])], array[[4, 1]]) and len(read) == 2
    assert np.array_equal(pictures[np.array([4, 1])], array[[4, 1]]) and len(read) == 4
    expect(pictures, np.array([4, 1]))
    assert np.array_equal(pictures[np.array([1, 4])], array[[1, 4]]) and len(read) == 8
    expect(array, np.array([4, 1]))


def _sums(pictures: PictureFiles, queue: multiprocessing.Queue) -> None:
    queue.put(np.asarray(pictures).sum((1, 2, 3)).tolist())


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_processes_read_for_themselves(root: Path, way: str) -> None:
    """A process that was forked while its parent's threads were at work, and one that was started anew."""
    pictures = opened(root, "stored.zip")
    expected = np.asarray(pictures).sum((1, 2, 3)).tolist()
    pictures.expect(np.arange(10))
    context = multiprocessing.get_context(way)
    queue = context.Queue()
    process = context.Process(target=_sums, args=(pictures, queue))
    process.start()
    assert queue.get(timeout=250) == expected
    process.join()
    assert process.exitcode == 0
    assert np.asarray(pickle.loads(pickle.dumps(pictures))).sum((1, 2, 3)).tolist() == expected


def test_threads_read_side_by_side(root: Path) -> None:
    """Eight threads at one archive, each in its own order."""
    pictures, array, wrong = opened(root, "packed.zip"), np.asarray(opened(root, "")), []

    def work(seed: int) -> None:
        for _ in range(5):
            rows = np.random.default_rng(seed).permutation(10)
            wrong.extend([seed] if not np.array_equal(pictures[rows], array[rows]) else [])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_archives_that_zip_tools_write(root: Path, tmp_path: Path) -> None:
    """Extra fields in a member's header, bytes before the archive, sizes in 64 bits: as zipfile reads them."""
    content = (root / "train2014" / names(root)[0]).read_bytes()
    path = tmp_path / "odd.zip"
    path.write_bytes(b"some program that unpacks what follows")
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("a/ä.jpg")
        info.extra = b"\x99\x99\x04\x00abcd"
        archive.writestr(info, content)
        with archive.open(zipfile.ZipInfo("b.jpg"), "w", force_zip64=True) as file:
            file.write(content * 2)
    made = Archive(path)
    assert made.read("a/ä.jpg") == content and made.read("b.jpg") == content * 2
    assert made.find("", "ä.jpg") == made.find("a", "ä.jpg") and made.find("", "c.jpg") is None


def test_a_name_that_two_members_have_is_found_by_its_folder_alone(root: Path, tmp_path: Path) -> None:
    """Better no picture than the wrong one."""
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for folder in ("train", "val"):
            archive.writestr(f"{folder}/1.jpg", folder)
    made = Archive(tmp_path / "two.zip")
    assert made.find("", "1.jpg") is None and made.find("test", "1.jpg") is None
    assert [made.read(made.find(folder, "1.jpg").path) for folder in ("train", "val")] == [b"train", b"val"]


def test_an_unpacked_folder_is_completed_from_the_archive_beside_it(root: Path, tmp_path: Path) -> None:
    """Places are searched in turn, folders before the archives in them; what none has is None."""
    (tmp_path / "train2014").mkdir()
    (tmp_path / "train2014" / names(root)[0]).write_bytes(b"here")
    pack(root / "train2014", tmp_path / "train2014.zip")
    images = Images([root / "packed.zip", tmp_path])
    assert str(images) == f"{root / 'packed.zip'}, {tmp_path}"
    assert str(images.find("train2014", names(root)[0])).startswith(str(root / "packed.zip"))
    alone = Images([tmp_path])
    assert str(alone.find("train2014", names(root)[0])) == str(tmp_path / "train2014" / names(root)[0])
    assert str(alone.find("train2014", names(root)[1])).startswith(str(tmp_path / "train2014.zip"))
    assert images.find("train2014", "other.jpg") is None and images.find("", "other.jpg") is None


def test_what_is_broken_is_named(root: Path, tmp_path: Path) -> None:
    """No folder, half an archive, a member that is damaged or cut off or packed strangely, a truncated picture."""
    with pytest.raises(FileNotFoundError, match=r"There is no folder or archive .*none; give"):
        Images([tmp_path / "none"])
    whole = (root / "stored.zip").read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half.zip is not a zip archive, or only its beginning .*; download"):
        Images([tmp_path / "half.zip"])

    name = names(root)[5]
    for source in ("stored.zip", "packed.zip"):
        bad = bytearray((root / source).read_bytes())
        inside = bad.index(name.encode()) + 200
        bad[inside : inside + 40] = bytes(40)
        (tmp_path / "damaged.zip").write_bytes(bad)
        file = Images([tmp_path / "damaged.zip"]).find("train2014", name)
        with pytest.raises(ValueError, match=rf"{name} in .*damaged.zip is damaged; download") as caught:
            file.read(32)
        assert "\n" not in str(caught.value)

    pack(root / "train2014", tmp_path / "bz.zip", zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match="is packed by method 12; pack it with deflate"):
        Images([tmp_path / "bz.zip"]).find("train2014", name).read(32)

    (tmp_path / "train2014").mkdir()
    content = (root / "train2014" / name).read_bytes()
    (tmp_path / "train2014" / name).write_bytes(content[: len(content) // 2])
    pack(tmp_path / "train2014", tmp_path / "short.zip")
    for place in (tmp_path, tmp_path / "short.zip"):
        file = Images([place]).find("train2014", name)
        file.check(decode=False)  # its header is whole
        for look in (lambda file=file: file.check(decode=True), lambda file=file: file.read(32)):
            with pytest.raises(ValueError, match=rf"{name} cannot be read to its end .*; it may be truncated"):
                look()
        with pytest.raises(ValueError, match="cannot be read to its end"):  # however many are read at a time
            _ = PictureFiles([file] * 3, 32)[np.array([2, 1, 0])]
