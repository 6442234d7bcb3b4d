"""`uvlm deploy`: the captioner as a blob, in C here, as firmware on an emulated Cortex-M55, and as WebAssembly."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from ..paths import data_path

BLOB = "uvlm_mini.bin"
SCENE = ("test", 28)  # the picture of data/golden.txt


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `uvlm deploy` takes."""
    ways = parser.add_subparsers(dest="way", metavar="WAY", required=True)

    def way(name: str, text: str) -> argparse.ArgumentParser:
        return ways.add_parser(name, help=text, description=text)

    p = way("blob", "Write the int8 captioner as one file for C.")
    p.add_argument("folder", help="with the two files that `uvlm quantize` wrote")
    p.add_argument("--out", default=BLOB, help=f"the file to write (default: {BLOB})")
    p = way("caption", "Caption pictures in C on this computer.")
    p.add_argument("pictures", nargs="+")
    _common(p)
    p = way("firmware", "Build the firmware for a Cortex-M55.")
    p.add_argument("--blob", help="the shipped one if not given")
    p.add_argument("--scalar", action="store_true", help="without Helium")
    p.add_argument("--out", default="build/firmware/caption.elf", help="the ELF file (default: %(default)s)")
    p = way("run", "Caption a picture on an emulated Cortex-M55, and count instructions.")
    p.add_argument("picture")
    _common(p)
    p.add_argument("--scalar", action="store_true", help="without Helium")
    p.add_argument("--seconds", type=float, default=120.0, help="how long it may take (default: %(default)s)")
    p = way("wasm", "Build the captioner as WebAssembly; csrc/ports/wasm/captioner.js loads it with a blob.")
    p.add_argument("--plain", action="store_true", help="without SIMD")
    p.add_argument("--out", default="build/wasm/captioner.wasm", help="the file to write (default: %(default)s)")
    p = way("stm32", "Write a project folder for the STM32N657: what ST's tools take, and what to expect.")
    p.add_argument(
        "folder", nargs="?", help="with the two files that `uvlm quantize` wrote; the shipped weights if none"
    )
    p.add_argument("--out", required=True, help="the folder to write")
    p.add_argument("--picture", help="for the first run; a drawn scene if not given")
    p.add_argument("--no-count", action="store_true", help="do not count instructions in QEMU")


def _common(p: argparse.ArgumentParser) -> None:
    p.add_argument("--blob", help="the shipped one if not given")
    p.add_argument("--beam", type=int, default=3, help="beginnings that the search keeps, 1 to 8 (default: 3)")


def blob_of(name: str | None) -> bytes:
    """The content of a blob, the shipped one if no name is given."""
    return (Path(name) if name else data_path(BLOB)).read_bytes()


def deploy(given: argparse.Namespace) -> int:
    """Do what was asked; 1 if a compiler or the emulator is missing, refuses or does not end."""
    try:
        ways = {"blob": _blob, "caption": _caption, "firmware": _firmware, "run": _run, "wasm": _wasm, "stm32": _stm32}
        return ways[given.way](given)
    except (RuntimeError, TimeoutError) as error:
        print(f"uvlm: {error}", file=sys.stderr)
        return 1


def _blob(given: argparse.Namespace) -> int:
    from ..quantize.integer import Captioner
    from .blob import CCaptioner, write

    data = write(Captioner.load(given.folder))
    made = CCaptioner(data)  # it opens, before it is written
    path = Path(given.out)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(data)
    beside.replace(path)
    print(f"{path}: {len(data):,} bytes; {made.memory:,} bytes of memory beside it with a beam of 3, on this computer")
    return 0


def _caption(given: argparse.Namespace) -> int:
    from ..pictures import read_picture
    from .blob import CCaptioner

    captioner = CCaptioner(blob_of(given.blob), given.beam)
    for name in given.pictures:
        caption = captioner.caption(read_picture(name, captioner.side))
        print(f"{name}: {caption}" if len(given.pictures) > 1 else caption)
    return 0


def _firmware(given: argparse.Namespace) -> int:
    from .firmware import build
    from .memory import contents, table

    data = blob_of(given.blob)
    path = build(data, not given.scalar, Path(given.out))
    print(f"{path}: {path.stat().st_size:,} bytes as a file\n\nmemory, in bytes\n{table(path)}")
    print(f"\nthe blob, {len(data):,} bytes")
    for what, size in contents(data).items():
        print(f"  {what:24}{size:>11,}")
    return 0


def _run(given: argparse.Namespace) -> int:
    from ..pictures import read_picture
    from .blob import CCaptioner
    from .firmware import build, run
    from .stages import of_blob

    data = blob_of(given.blob)
    picture = read_picture(given.picture, CCaptioner(data, given.beam).side)
    told = run(build(data, not given.scalar), picture, given.beam, "count", seconds=given.seconds)
    print(told.caption)
    print(f"\nbytes: blob {told.blob:,}, arena {told.memory:,}")
    print(f"\ninstructions, {'with' if told.form == 'mve' else 'without'} Helium")
    stages = of_blob([kind for network, kind, _ in told.records if network == "encoder"])
    for network, whole in (("encoder", told.encoder), ("step", None)):
        parts: Counter[str] = Counter()
        of = [(kind, count) for where, kind, count in told.records if where == network]
        if network == "encoder" and stages:
            of = [(stage, count) for stage, (_, count) in zip(stages, of, strict=True)]
        for part, count in of:
            parts[part] += count
        print(f"  {network:22}{whole or parts.total():14,}")
        for part, count in parts.items() if network == "encoder" and stages else parts.most_common():
            print(f"    {part:20}{count:14,}")
    print(f"  {'all steps, search':22}{told.search:14,}")
    return 0


def _wasm(given: argparse.Namespace) -> int:
    from .wasm import build

    path = build(not given.plain, Path(given.out))
    print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


def _stm32(given: argparse.Namespace) -> int:
    from ..datasets.scenes import scene
    from ..pictures import read_picture
    from .stm32 import EXPECT, Parts, write

    parts = Parts.load(given.folder) if given.folder else Parts.shipped()
    side = parts.captioner.side
    picture = read_picture(given.picture, side) if given.picture else scene(*SCENE).draw(side)
    paths = write(parts, given.out, picture, not given.no_count)
    print((Path(given.out) / EXPECT).read_text(encoding="utf-8"))
    print(f"{given.out}: {len(paths)} files; README.md there tells what to do with them")
    return 0
