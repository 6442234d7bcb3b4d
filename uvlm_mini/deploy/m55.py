"""Builds a C program for a Cortex-M55 and runs it in QEMU; csrc/ports/m55/ holds start-up and memory map.

QEMU's machine mps3-an547 is a Cortex-M55 with Helium. It is no STM32N657, and it counts instructions, not cycles.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..paths import csrc

COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
SOURCES = csrc()
PORT = SOURCES / "ports" / "m55"
CPUS = {True: "cortex-m55", False: "cortex-m55+nomve"}  # with Helium, and without
FLAGS = ["-std=c99", "-ffp-contract=off", "-O3", "-mthumb", "-mfloat-abi=hard", "-ffunction-sections"]
LINK = ["-nostartfiles", "-Wl,--gc-sections", "-Wl,-T", str(PORT / "m55.ld")]
SHIFT = 8  # an instruction lasts 2^8 ns of the emulated clock: then the counter of counter.h counts them exactly


def missing() -> str:
    """What is not installed of compiler, C library and emulator, in one sentence; nothing if all are."""
    lacking = []
    if shutil.which(COMPILER) is None:
        lacking.append("gcc-arm-none-eabi")
    if not lacking:
        command = [COMPILER, "-E", "-x", "c", "-"]
        if subprocess.run(command, input=b"#include <stdio.h>\n", capture_output=True).returncode:
            lacking.append("libnewlib-arm-none-eabi")
    if shutil.which(EMULATOR) is None:
        lacking.append("qemu-system-arm")
    return f"The emulated Cortex-M55 needs {' and '.join(lacking)}: apt-get install them." if lacking else ""


def version(program: str) -> str:
    """The first line of what the compiler or the emulator says of itself."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def compile_kernels(folder: Path, helium: bool = True, flags: Sequence[str] = ()) -> list[Path]:
    """Compile all kernels and the start-up code, which programs are then linked with.

    Parameters
    ----------
    folder : where the object files go; it has to exist.
    helium : whether Helium is there. Without it the compiler knows of a Cortex-M55 that lacks it.
    flags : further ones for the compiler.

    Raises
    ------
    RuntimeError : a file does not compile; with what the compiler said.
    """

    def one(source: Path) -> Path:
        made = folder / f"{source.stem}.o"
        _call(source.name, ["-c", *flags, str(source), "-o", str(made)], helium)
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, [*sorted(SOURCES.glob("*.c")), *sorted(PORT.glob("*.c"))]))


def build(source: Path, out: Path, objects: Sequence[Path], helium: bool = True, flags: Sequence[str] = ()) -> Path:
    """Compile a program and link it with the kernels.

    Parameters
    ----------
    source : a C file with a main().
    out : the ELF file to write.
    objects : from `compile_kernels`, with the same `helium`.

    Returns
    -------
    out.

    Raises
    ------
    RuntimeError : it does not compile, or does not fit the memory map; with what the compiler said.
    """
    _call(source.name, [*flags, str(source), *map(str, objects), *LINK, "-o", str(out), "-lm"], helium)
    return out


def _call(name: str, arguments: list[str], helium: bool) -> None:
    command = [COMPILER, f"-mcpu={CPUS[helium]}", *FLAGS, f"-I{SOURCES}", f"-I{PORT}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{COMPILER} refused {name}:\n{done.stderr}")


def run(program: Path, arguments: Sequence[str] = (), seconds: float = 60, count: bool = False) -> tuple[int, str]:
    """Run a program in QEMU.

    Parameters
    ----------
    program : an ELF file of `build`.
    arguments : words of its command line, without blanks and commas.
    seconds : how long it may take.
    count : whether the emulated clock advances by a fixed time an instruction, which the program can then count.

    Returns
    -------
    Its exit code, 0 to 255, and all that it printed. A fault ends it with 112.

    Raises
    ------
    ValueError : an argument with a blank or comma, which would not arrive as it is.
    TimeoutError : it did not end in time.
    """
    if any(" " in word or "," in word for word in arguments):
        raise ValueError(f"Arguments {list(arguments)} hold a blank or a comma; QEMU cannot hand those over.")
    semihosting = ",".join(["enable=on,target=native", *(f"arg={word}" for word in (program.name, *arguments))])
    command = [EMULATOR, "-M", "mps3-an547", "-nographic", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting-config", semihosting, "-kernel", str(program)]
    command += ["-icount", f"shift={SHIFT}"] if count else []
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{program.name} did not end within {seconds} s in {EMULATOR}; it was stopped.") from error
    return done.returncode, done.stdout.decode("utf-8", "replace")
