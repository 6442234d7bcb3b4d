"""Feed the C kernels with what no caller should give: `make fuzz`, or `python scripts/fuzz.py --seconds 60 gemm_s8`.

Each target of csrc/fuzz/targets.h is run by libFuzzer in a build with AddressSanitizer and UndefinedBehaviorSanitizer,
two at a time where there are two cores. What is found stops its target and is left in runs/fuzz/ as a file, with which
the target can be run again: ``UVLM_FUZZ=gemm_s8 runs/fuzz/fuzz runs/fuzz/gemm_s8-crash-...``.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
FLAGS = ("-std=c99", "-ffp-contract=off", "-g", "-Wall", "-Wextra")
CHECKS = "address,undefined,float-cast-overflow"
WATCHED = ("-O1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", "-fsanitize=fuzzer-no-link," + CHECKS)
SKIPPED = ("#", "INFO", "\t", "NOTE", "      Combine", "stat::")  # of libFuzzer's lines
OPTIONS = ("-timeout=200", "-rss_limit_mb=2048", "-max_len=512", "-len_control=0", "-print_final_stats=1")


@dataclass(frozen=True)
class Found:
    """How a target ended."""

    target: str
    runs: int
    edges: int  # of the program, that were reached
    failed: bool
    output: str


def build(folder: Path, clang: str = "clang") -> Path:
    """Compile the kernels and the targets with libFuzzer and the sanitizers into one program, and return it."""
    program = folder / "fuzz"
    folder.mkdir(parents=True, exist_ok=True)

    def compile_one(path: Path) -> Path:
        target = folder / f"{path.stem}.o"
        watched = WATCHED if path.parent == CSRC else ("-O2",)  # the targets themselves only cost time
        run([clang, *FLAGS, *watched, "-c", str(path), "-o", str(target)])
        return target

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        objects = list(pool.map(compile_one, [*sorted(CSRC.glob("*.c")), CSRC / "fuzz" / "fuzz.c"]))
    run([clang, "-fsanitize=fuzzer," + CHECKS, *map(str, objects), "-lm", "-o", str(program)])
    return program


def run(command: list[str]) -> None:
    """Run it; its output is the error."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed, where it should compile csrc/ as shipped: {done.stderr}")


def blob(path: Path) -> Path:
    """Write the blob of a very small captioner with weights drawn by lot, from which its target begins."""
    import torch

    from uvlm_mini.config import AttSSMConfig, OverModConfig, UVLMConfig
    from uvlm_mini.datasets.vocab import Vocabulary
    from uvlm_mini.deploy.blob import write
    from uvlm_mini.model import UVLM
    from uvlm_mini.quantize import cfq, export
    from uvlm_mini.quantize.integer import Captioner

    torch.manual_seed(0)
    eyes = OverModConfig(widths=(4, 6, 8, 8), depths=(1, 1, 1, 1), mod_width=8, mod_depths=(1, 0), out=10)
    voice = AttSSMConfig(features=10, side=8, hidden=12, states=4, dt_rank=2)
    model = UVLM(UVLMConfig(eyes, voice, longest=8), Vocabulary([f"w{i}" for i in range(9)])).eval()
    pictures = torch.rand(4, 3, eyes.image, eyes.image)
    graphs = cfq.coordinate(export.encoder_graph(model), export.step_graph(model), pictures)
    path.write_bytes(write(Captioner.of(*graphs)))
    return path


def targets(program: Path) -> list[str]:
    """Names of all targets."""
    done = subprocess.run(
        [program], env={**os.environ, "UVLM_FUZZ": "list"}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def fuzz(program: Path, target: str, *options: str) -> Found:
    """Run one target until its options say enough, or something is found."""
    command = [str(program), *OPTIONS, f"-artifact_prefix={program.parent / target}-", *options]
    done = subprocess.run(
        command,
        env={**os.environ, "UVLM_FUZZ": target, "UVLM_BLOB": str(program.parent / "blob")},
        capture_output=True,
        text=True,
        errors="replace",
    )
    runs = re.findall(r"number_of_executed_units:\s*(\d+)", done.stderr)
    edges = re.findall(r"cov: (\d+)", done.stderr)
    return Found(
        target, int(runs[-1]) if runs else 0, int(edges[-1]) if edges else 0, done.returncode != 0, done.stderr
    )


def fuzz_all(program: Path, names: Iterable[str], *options: str) -> Iterable[Found]:
    """Run several, as many at a time as there are cores; each result when it is there, in order."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(lambda name: fuzz(program, name, *options), names)


def main(argv: list[str] | None = None) -> int:
    """Print a line a target; 1 if one has found something."""
    parser = argparse.ArgumentParser(description="Fuzz the C kernels.")
    parser.add_argument("targets", nargs="*", help="names; all, if none is given")
    parser.add_argument("--seconds", type=float, default=600, help="for all together (600)")
    parser.add_argument("--clang", default=os.environ.get("CLANG", "clang"), help="a clang with libFuzzer")
    arguments = parser.parse_args(argv)
    if shutil.which(arguments.clang) is None:
        print(f"There is no {arguments.clang}, whose libFuzzer is wanted: apt install clang libclang-rt-dev.")
        return 1
    program = build(ROOT / "runs" / "fuzz", arguments.clang)
    every = targets(program)
    if unknown := set(arguments.targets) - set(every):
        print(f"There is no target {', '.join(sorted(unknown))}: choose of {', '.join(every)}.")
        return 1
    names = arguments.targets or every
    if {"captioner", "blob"} & set(names):
        blob(program.parent / "blob")
    seconds = max(1, round(arguments.seconds * min(os.cpu_count() or 1, len(names)) / len(names)))
    print(f"{len(names)} targets, {seconds} s each")
    failed = 0
    for found in fuzz_all(program, names, f"-max_total_time={seconds}"):
        print(
            f"{found.target:15} {found.runs:10,d} runs, {found.edges:5d} edges: {'FOUND' if found.failed else 'clean'}"
        )
        failed += found.failed
        if found.failed:
            print("\n".join(line for line in found.output.splitlines() if not line.startswith(SKIPPED)))
        sys.stdout.flush()
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
