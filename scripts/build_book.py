"""Build the book from the committed notebooks into book/_build/html; any warning is an error.

The old build is removed first. An incremental build would not repeat the warnings of pages that it does not
read again, so a book that failed once would pass the second time. Of several processes one builds and the others wait.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock  # torch brings it

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # scripts is not installed

from scripts import build_explore, build_live, slides

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "book" / "_build"
HTML = BUILD / "html"
STAMP = BUILD / "built"
SOURCE_DIRS = ("book", "notebooks", "csrc", "uvlm_mini")  # the reference is made of the last two
LOCK = ROOT / "build" / "book.lock"
MADE = (build_live.TARGET, build_explore.TARGET, slides.TARGET)
STUDENT = ROOT / "notebooks" / "student"  # copies, which are no pages


def sources() -> list[Path]:
    """Return every file that the built book depends on."""
    scripts = (__file__, build_live.__file__, build_explore.__file__, *slides.SCRIPTS)
    found = [*(Path(script).resolve() for script in scripts), ROOT / "constraints.txt"]
    found += [path for path in (ROOT / "data").iterdir() if path.suffix in (".bin", ".safetensors")]
    found += [ROOT / "pyproject.toml", ROOT / "scripts" / "colab.py"]  # whether pages link to Colab, and how
    found += (ROOT / "benchmarks").glob("**/notebooks.*")  # of the page of times: what measures, and what it wrote
    for name in SOURCE_DIRS:
        for path in (ROOT / name).rglob("*"):
            generated = {BUILD, STUDENT, *MADE} & {*path.parents}
            cached = {".ipynb_checkpoints", "__pycache__"} & {*path.parts}
            if path.is_file() and not generated and not cached:
                found.append(path)
    return found


def is_current() -> bool:
    """Tell whether the last build succeeded and no source is newer than it."""
    return STAMP.exists() and all(path.stat().st_mtime <= STAMP.stat().st_mtime for path in sources())


def build() -> None:
    """Build the book; raise SystemExit with one sentence if anything in it is wrong."""
    started = time.time()
    shutil.rmtree(BUILD, ignore_errors=True)
    build_live.build()
    build_explore.build()
    slides.build()
    jupyter_book = "from jupyter_book.cli.main import main; main()"  # it has no __main__, and need not be on PATH
    command = [sys.executable, "-c", jupyter_book, "build", ".", "--path-output", "book"]
    command += ["--config", "book/_config.yml", "--toc", "book/_toc.yml", "-W", "-n", "--keep-going", "-q"]
    code = subprocess.run(command, cwd=ROOT).returncode
    if code or not (HTML / "index.html").exists():
        raise SystemExit("The book was not built: the warnings and errors above are the reasons.")
    STAMP.touch()
    print(f"The book was built in {time.time() - started:.0f} s.")


if __name__ == "__main__":
    LOCK.parent.mkdir(exist_ok=True)
    with FileLock(LOCK):
        if is_current():
            print("The book is up to date.")
        else:
            build()
