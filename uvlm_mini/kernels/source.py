"""C text from a string: compiled, loaded and called at once, or shown as the instructions that it becomes.

For trying things out in a chapter. The text may include the headers of csrc/. What it does is up to it: C checks
nothing, and a mistake can end the process that calls it; uvlm_mini.exercises tries out code in another process.
"""

from __future__ import annotations

import atexit
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..paths import csrc
from .build import FLAGS
from .compilers import complaint, find

COMMON = "#include <stdint.h>\n#include <stddef.h>\n#include <math.h>\n"  # stands before every text, on line 0


def shared(texts: Sequence[str], folder: Path, flags: Sequence[str] = ()) -> Path:
    """Compile C texts, each by itself, into one shared library.

    Parameters
    ----------
    texts : C99; stdint.h, stddef.h and math.h are included.
    folder : where the files go.
    flags : for the compiler, behind those of the kernels.

    Raises
    ------
    RuntimeError : there is no compiler, or it refuses; one sentence, with all that it said as a note.
    """
    compiler, files = find(), []
    for i, text in enumerate(texts):
        files.append(folder / f"text{i}.c")
        files[-1].write_text(f'{COMMON}#line 1 "your text"\n{text}\n', encoding="utf-8")
    made = folder / "text.so"
    _run(compiler.command, [*_flags(flags), "-fPIC", "-shared", "-o", str(made), *map(str, files), "-lm"])
    return made


def compile_source(text: str, declarations: str, flags: Sequence[str] = ()) -> tuple[Any, Any]:
    """Compile C text and load it.

    Parameters
    ----------
    text : C99; stdint.h, stddef.h and math.h are included, and those of csrc/ can be.
    declarations : of the functions that Python is to see.
    flags : for the compiler, behind those of the kernels.

    Returns
    -------
    ffi, lib
        cffi's two objects: ``lib.f(...)`` calls the function f of the text.

    Raises
    ------
    RuntimeError : there is no compiler, or it refuses.

    Notes
    -----
    Source: chapter 9.
    """
    from cffi import FFI

    folder = Path(tempfile.mkdtemp(prefix="uvlm_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    ffi = FFI()
    ffi.cdef(declarations)
    return ffi, ffi.dlopen(str(shared([text], folder, flags)))


def assembly(text: str, function: str, flags: Sequence[str] = ()) -> list[str]:
    """The instructions that the compiler makes of a function, one a line, with the labels that they jump to.

    Parameters
    ----------
    text, flags : as for `compile_source`.
    function : its name; it must not be static.

    Raises
    ------
    RuntimeError : there is no compiler, it refuses, or there is no such function.
    """
    with tempfile.TemporaryDirectory(prefix="uvlm_") as name:
        file, made = Path(name, "text.c"), Path(name, "text.s")
        file.write_text(f'{COMMON}#line 1 "your text"\n{text}\n', encoding="utf-8")
        _run(find().command, [*_flags(flags), "-fno-asynchronous-unwind-tables", "-S", "-o", str(made), str(file)])
        lines = made.read_text(encoding="utf-8").splitlines()
    starts = [i for i, line in enumerate(lines) if re.match(rf"_?{re.escape(function)}:", line)]
    if not starts:
        raise RuntimeError(f"The text has no function {function!r} that is not static; name one of its functions.")
    body: list[str] = []
    for line in lines[starts[0] + 1 :]:
        code = " ".join(re.split(r"\s+(?:#|//|@|;)", line)[0].split())  # without remarks
        if code.startswith((".size", ".cfi_endproc")):
            break
        if code.endswith(":"):
            body.append(code)
        elif code and not code.startswith("."):  # which directives do
            body.append(f"    {code}")
    used = {line.split()[-1].split(",")[-1] for line in body}  # where jumps go
    return [line for line in body if not line.endswith(":") or line[:-1] in used]


def inner_loop(lines: Sequence[str], at_least: int = 1) -> list[str]:
    """Of a function's instructions, the shortest loop that holds `at_least` of them: from a label to the jump back."""
    places = {line[:-1]: i for i, line in enumerate(lines) if line.endswith(":")}
    loops = []
    for i, line in enumerate(lines):
        target = line.split()[-1].split(",")[-1]
        if target in places and places[target] < i and i - places[target] >= at_least:
            loops.append(list(lines[places[target] : i + 1]))
    return min(loops, key=len) if loops else list(lines)


def _flags(more: Sequence[str]) -> list[str]:
    return [*FLAGS, *more, f"-I{csrc()}"]


def _run(command: Sequence[str], arguments: Sequence[str]) -> None:
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, errors="replace")
    if done.returncode:
        error = RuntimeError(f"The compiler refuses the text: {complaint(done.stderr)}; mend it there.")
        error.add_note(done.stderr)
        raise error
