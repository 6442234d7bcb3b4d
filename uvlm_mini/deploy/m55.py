"""Builds a C program for a Cortex-M55 and runs it in QEMU; csrc/ports/m55/ holds start-up and memory map.

QEMU's machine mps3-an547 is a Cortex-M55 with Helium. It is no STM32N657, and it counts instructions, not cycles.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..paths import csrc

COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
SOURCES = csrc()
PORT = SOURCES / "ports" / "m55"
CPUS = {True: "cortex-m55", False: "cortex-m55+nomve"}  # with Helium, and without
FLAGS = ["-std=c99", "-ffp-contract=off", "-O3", "-mthumb", "-mfloat-abi=hard", "-ffunction-sections", "-fdata-sections"]
LINK = ["-nostartfiles", "-Wl,--gc-sections", "-Wl,-T", str(PORT / "m55.ld")]
SHIFT = 8  # an instruction lasts 2^8 ns of the emulated clock: then the counter of counter.h counts them exactly


def missing() -> str:
    """What is not installed of compiler, C library and emulator, in one sentence; nothing if all are."""
    packages = {COMPILER: "gcc-arm-none-eabi", EMULATOR: "qemu-system-arm"}
    lacking = [package for program, package in packages.items() if shutil.which(program) is None]
    if not lacking or "gcc-arm-none-eabi" not in lacking:
        cpp = shutil.which(COMPILER)
        found = cpp and subprocess.run(
            [cpp, "-E", "-x", "c", "-"], input=b"#include <stdio.h>\n", capture_output=True
        ).returncode
        if found:
            lacking.append("libnewlib-arm-none-eabi")
    if not lacking:
        return ""
    return f"The emulated Cortex-M55 needs {' and '.join(lacking)}; install with apt (see apt.txt)."


def compiler_version() -> str:
    """The first line of what the compiler says of itself."""
    done = subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def emulator_version() -> str:
    """The first line of what QEMU says of itself."""
    done = subprocess.run([EMULATOR, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def kernels() -> list[Path]:
    """All C files of the library."""
    return sorted(SOURCES.glob("*.c"))


def build(sources: Sequence[Path], out: Path, helium: bool = True, flags: Sequence[str] = ()) -> Path:
    """Compile and link a program with all kernels and the start-up code.

    Parameters
    ----------
    sources : the program's own files, with a main().
    out : the ELF file to write.
    helium : whether Helium is there. Without it the compiler knows of a Cortex-M55 that lacks it.
    flags : further ones for the compiler.

    Returns
    -------
    out.

    Raises
    ------
    RuntimeError : it does not compile, or does not fit the memory map; with what the compiler said.
    """
    files = [*sources, *kernels(), *sorted(PORT.glob("*.c"))]
    command = [COMPILER, f"-mcpu={CPUS[helium]}", *FLAGS, f"-I{SOURCES}", f"-I{PORT}", *flags, *map(str, files)]
    done = subprocess.run([*command, *LINK, "-o", str(out), "-lm"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{COMPILER} refused {', '.join(path.name for path in sources)}:\n{done.stderr}")
    return out


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
