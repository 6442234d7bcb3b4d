"""The firmware's bits against those of NumPy and of C on this computer: `make firmware-check`.

    python scripts/firmware_check.py --pictures 20

Test pictures are captioned by the shipped blob in C here, and on the emulated Cortex-M55 with Helium and without. The
int8 files are made anew from the shipped weights, as a release makes them; where they give the shipped blob, byte for
byte, the integer reference in NumPy speaks for it, too. Where they do not (calibration is done in float, and another
processor may round otherwise), the blob made here is checked in the same way, with its reference, behind the other.
Every line has to be equal: see uvlm_mini/deploy/check.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small matrices: two threads would wait for each other
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks is not installed

import numpy as np

from uvlm_mini.deploy import check, m55
from uvlm_mini.deploy.blob import write
from uvlm_mini.deploy.commands import blob_of
from uvlm_mini.quantize.integer import Captioner


def reference() -> Captioner:
    """The integer captioner of the shipped weights, calibrated as the shipped blob's was."""
    from benchmarks import integer

    return Captioner.of(*integer.pair())


def examples(count: int) -> np.ndarray:
    """The first of the test split."""
    from benchmarks import integer

    return integer.pictures("test", count)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, say how far it is, and end with 1 if anything differs or cannot be run."""
    parser = argparse.ArgumentParser(description="Compare the firmware with its references, to the bit.")
    parser.add_argument("--pictures", type=int, default=20, help="of the test split (default: %(default)s)")
    given = parser.parse_args(arguments)
    if lacking := m55.missing():
        print(lacking, file=sys.stderr)
        return 1
    start, shipped, pictures = time.perf_counter(), blob_of(None), examples(given.pictures)
    print("quantizing the shipped weights, for the reference in NumPy", flush=True)
    made = reference()
    anew = shipped if made is None else write(made)
    cases = [("the shipped blob", shipped, made if anew == shipped else None)]
    if anew != shipped:
        print("the blob made here differs from the shipped one: both are checked, the reference with its own")
        cases.append(("the blob made here", anew, made))
    found: list[str] = []
    for title, data, captioner in cases:
        who = f"C here{', NumPy' if captioner else ''}, Cortex-M55 {' and '.join(check.BUILDS.values())}"
        print(f"{title}, {len(data):,} bytes: {who}", flush=True)
        try:
            found += check.check(data, pictures, captioner, tell=lambda line: print(f"  {line}", flush=True))
        except (RuntimeError, TimeoutError) as error:
            print(f"firmware-check: {error}", file=sys.stderr)
            return 1
    if found:
        print("\n".join(found), file=sys.stderr)
    else:
        print(f"all equal, {time.perf_counter() - start:.0f} s")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
