"""Pictures where they lie, in folders or zip archives, read when they are asked for.

COCO's train2014.zip may stay packed. Its directory is read once; after that every read opens the archive anew, takes
one member and closes it, so that threads and processes, forked ones too, have nothing in common that could break.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..pictures import load_picture, picture_size, read_picture

THREADS = 8  # that read; Pillow decodes outside of Python's lock
_pools: dict[int, ThreadPoolExecutor] = {}


def _pool() -> ThreadPoolExecutor:
    """The reading threads of this process; a forked one starts its own, for threads do not survive a fork."""
    if os.getpid() not in _pools:
        _pools[os.getpid()] = ThreadPoolExecutor(THREADS, "pictures")
    return _pools[os.getpid()]


class Archive:
    """A zip archive.

    zipfile.ZipFile would have to be opened by every thread, each time with the whole directory. What is kept of it
    here is where each member begins.

    Raises
    ------
    ValueError : not a zip archive, or not the whole of it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with zipfile.ZipFile(path) as opened:
                members = [m for m in opened.infolist() if not m.is_dir()]
        except zipfile.BadZipFile as error:
            raise ValueError(
                f"{path} is not a zip archive, or only its beginning ({error}); download it again."
            ) from None
        self.members = {m.filename: (m.header_offset, m.compress_size, m.compress_type, m.CRC) for m in members}
        self.names: dict[str, str] = {}  # a file's name alone -> the member, "" where several are called so
        for member in self.members:
            name = PurePosixPath(member).name
            self.names[name] = "" if name in self.names else member

    def find(self, folder: str, name: str) -> File | None:
        """The member folder/name; else the only one that is called so, in whatever folder."""
        inside = str(PurePosixPath(folder, name))
        member = inside if inside in self.members else self.names.get(name)
        return File(member, self) if member else None

    def read(self, member: str) -> bytes:
        """The bytes of a member.

        Raises
        ------
        ValueError : damaged, or packed in another way than zip's usual one.
        """
        offset, size, packed, crc = self.members[member]
        with open(self.path, "rb") as file:
            file.seek(offset)
            header = file.read(30)  # of the member, before its name; lengths of that and of what follows at its end
            file.seek(sum(struct.unpack("<HH", header[26:].ljust(4, b"\0"))), os.SEEK_CUR)
            content = file.read(size)
        if packed not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(
                f"{member} in {self.path} is packed by method {packed}; pack it with deflate, or not at all."
            )
        try:
            content = zlib.decompress(content, -zlib.MAX_WBITS) if packed else content
            whole = zlib.crc32(content) == crc
        except zlib.error:
            whole = False
        if not whole:
            raise ValueError(f"{member} in {self.path} is damaged; download the archive again.")
        return content


@dataclass(frozen=True)
class File:
    """A picture file: a path, or a member of an archive."""

    path: str
    archive: Archive | None = None

    def __str__(self) -> str:
        return f"{self.archive.path}/{self.path}" if self.archive else self.path

    def _content(self) -> bytes | None:
        return self.archive.read(self.path) if self.archive else None

    def read(self, side: int) -> np.ndarray:
        """(side, side, 3) uint8, and errors, as `read_picture` gives them."""
        return read_picture(str(self), side, self._content())

    def check(self, decode: bool) -> None:
        """Raise what reading it would; without `decode`, for what its header tells."""
        look: Any = load_picture if decode else picture_size
        look(str(self), content=self._content())


class Images:
    """Folders and archives in which pictures are looked for, in this order.

    A folder may hold the pictures, or folders of them (train2014), or these packed (train2014.zip).

    Raises
    ------
    FileNotFoundError, ValueError : there is no such folder or file, or it is no archive.
    """

    def __init__(self, places: Iterable[str | Path]) -> None:
        self.places: list[Path | Archive] = []
        for place in map(Path, places):
            if not place.exists():
                raise FileNotFoundError(f"There is no folder or archive {place}; give what holds the pictures.")
            self.places.append(place if place.is_dir() else Archive(place))
        self._names: dict[Path, frozenset[str]] = {}  # in a folder: one look instead of one for every picture
        self._packed: dict[Path, Archive | None] = {}

    def __str__(self) -> str:
        return ", ".join(str(p if isinstance(p, Path) else p.path) for p in self.places)

    def find(self, folder: str, name: str) -> File | None:
        """Where the picture lies, or None."""
        for place in self.places:
            if isinstance(place, Archive):
                if found := place.find(folder, name):
                    return found
                continue
            for path in (place / folder / name, place / name):
                if path.name in self._list(path.parent):
                    return File(str(path))
            archive = self._beside(place / f"{folder}.zip") if folder else None
            if archive and (found := archive.find(folder, name)):
                return found
        return None

    def _list(self, folder: Path) -> frozenset[str]:
        if folder not in self._names:
            self._names[folder] = frozenset(os.listdir(folder) if folder.is_dir() else ())
        return self._names[folder]

    def _beside(self, path: Path) -> Archive | None:
        if path not in self._packed:
            self._packed[path] = Archive(path) if path.is_file() else None
        return self._packed[path]


class PictureFiles:
    """Pictures that stand in for an array of (n, S, S, 3) uint8, and are read when they are asked for.

    A slice is such a sequence again and reads nothing; one row, several by their numbers, or all by np.asarray, are
    read, cut to their middle square and scaled, several at a time.

    Parameters
    ----------
    files : the pictures.
    side : S in pixels.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, files: Sequence[File], side: int) -> None:
        self.files, self.side = files, side
        self._ahead: tuple[int, list[int], list[Future]] = (0, [], [])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.files), self.side, self.side, 3)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, slice):
            return PictureFiles(self.files[rows], self.side)
        numbers = np.arange(len(self))[rows]  # as NumPy counts: from behind, too, or those that are True
        return self._read(numbers.tolist()) if numbers.ndim else self.files[numbers].read(self.side)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._read(list(range(len(self)))).astype(dtype or self.dtype, copy=False)

    def __reduce__(self) -> Any:
        return PictureFiles, (self.files, self.side)  # threads stay where they are

    def expect(self, rows: Sequence[int] | np.ndarray) -> None:
        """Begin to read these rows, which will be asked for next."""
        numbers = np.arange(len(self))[rows].tolist()
        self._ahead = (os.getpid(), numbers, [_pool().submit(self.files[i].read, self.side) for i in numbers])

    def _read(self, numbers: list[int]) -> np.ndarray:
        (process, expected, begun), self._ahead = self._ahead, (0, [], [])
        if (process, expected) != (os.getpid(), numbers):
            begun = [_pool().submit(self.files[i].read, self.side) for i in numbers]
        pictures = np.empty((len(numbers), self.side, self.side, 3), np.uint8)
        try:
            for i, future in enumerate(begun):
                pictures[i] = future.result()
        finally:
            for future in begun:
                future.cancel()  # those that have not begun, when one has failed
        return pictures


def expect(pictures: np.ndarray | PictureFiles, rows: np.ndarray) -> None:
    """Begin to read the rows that are asked for next, if the pictures are not in memory."""
    if isinstance(pictures, PictureFiles):
        pictures.expect(rows)
