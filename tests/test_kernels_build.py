"""The kernels' build: every compiler, with and without Python's headers, a cache that survives what happens to files.

Most tests compile a small part of csrc/ in a process of its own, with a PATH of its own.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from uvlm_mini import doctor
from uvlm_mini.kernels import build, compilers
from uvlm_mini.kernels.cache import SUFFIX

# Prelude of each process: sources from a folder of the test's, and no compiler from a Python package unless asked for.
PRELUDE = """
import importlib.util, sys
from pathlib import Path
find_spec = importlib.util.find_spec
if {no_zig}:
    importlib.util.find_spec = lambda name, *rest: None if name == "ziglang" else find_spec(name, *rest)
import uvlm_mini.kernels.build as build
build.csrc = lambda: Path({csrc!r})
"""
PRINT = (
    "made = build.loaded(); print(made.path, made.way, made.lib.uvlm_has(0), made.seconds is not None, made.compiler)"
)
# Half of (3, -1; 2, 5) times (7, 1): 10 and 9.5, the latter rounded up.
GEMM = """
ffi, lib = build.library()
numbers = [ffi.new("int8_t[]", [3, -1, 2, 5]), ffi.new("int32_t[]", [0, 0]), ffi.new("int32_t[]", [1 << 30] * 2)]
numbers.append(ffi.new("int8_t[]", [0, 0]))
record = ffi.new("uvlm_gemm *", [*numbers, 2, 2, 0, 0])
for form in range(4):
    if lib.uvlm_has(form):
        y = ffi.new("int8_t[]", 2)
        print(form, lib.uvlm_gemm_s8_as(form, record, ffi.new("int8_t[]", [7, 1]), y), *y)
"""


def nothing_compiles() -> str:
    """Why no compiler is here, in a sentence; nothing if one is. zig does not count: most tests hide it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        return _why_none()


def _why_none() -> str:
    try:
        compilers.find()
    except RuntimeError as error:
        return str(error)
    return ""


compiler = pytest.mark.skipif(bool(nothing_compiles()), reason=nothing_compiles() or "there is one")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A csrc/ that compiles in a moment: the status codes, the forms, and one kernel with all that it includes."""
    folder = tmp_path / "csrc"
    folder.mkdir()
    for name in (
        "status.h",
        "forms.h",
        "forms.c",
        "fixed.h",
        "fixed_x86.h",
        "dot_s8.h",
        "mve.h",
        "simd128.h",
        "gemm_s8.c",
    ):
        shutil.copy(ROOT / "csrc" / name, folder)
    text = (ROOT / "csrc" / "kernels_s8.h").read_text(encoding="utf-8")
    structs = re.findall(r"typedef struct \{[^{}]*\} uvlm_gemm;", text)
    declared = [*re.findall(r"enum \{ UVLM_MOST.*?;", text), *structs]
    declared += re.findall(r"^int uvlm_(?:gemm|logits)_s8.*?;", text, re.M | re.S)
    assert len(declared) == 6
    guard = ["#ifndef UVLM_KERNELS_S8_H", "#define UVLM_KERNELS_S8_H"]
    lines = [*guard, '#include "status.h"', "/* declarations */", *declared, "/* end of declarations */", "#endif"]
    (folder / "kernels_s8.h").write_text("\n".join(lines), encoding="utf-8")
    return folder


def start(code: str, cache: Path, csrc: Path | None = None, no_zig: bool = True, **env: str) -> subprocess.Popen[str]:
    """Start a Python that runs this, with the kernels' module as `build`."""
    prelude = PRELUDE.format(no_zig=no_zig, csrc=str(csrc or ROOT / "csrc"))
    kept = {name: value for name, value in os.environ.items() if name not in ("CC", "UVLM_SANITIZE")}
    kept |= {"UVLM_CACHE": str(cache), "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code],
        env=kept | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it printed, and its warnings and errors."""
    out, err = process.communicate(timeout=250)
    return out, err


def run(code: str, cache: Path, csrc: Path | None = None, **env: object) -> tuple[str, str]:
    """Both."""
    return finish(start(code, cache, csrc, **env))  # type: ignore[arg-type]


def path_with(folder: Path, *programs: str) -> str:
    """A PATH that holds just these programs."""
    folder.mkdir()
    for name in programs:
        target = shutil.which(name)
        assert target, name
        (folder / name).symlink_to(target)
    return str(folder)


@pytest.mark.linux
@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_each_compiler_alone(name: str, small: Path, tmp_path: Path) -> None:
    """Where there is no other, it is found; every form gives the numbers that are written above."""
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name} here: apt install {name}")
    path = path_with(tmp_path / "bin", name, "as", "ld")
    out, err = run(PRINT + GEMM, tmp_path / "cache", small, PATH=path)
    first, *lines = out.splitlines()
    assert err == "" and name in first and " api 1 True " in first
    assert [line.split()[1:] for line in lines] == [["0", "10", "10"]] * len(lines)
    assert lines[0].startswith("0 ")


@pytest.mark.slow
def test_zig_alone(small: Path, tmp_path: Path) -> None:
    """Likewise, with a PATH that is empty; its forms are those that gcc or clang find, asking the processor."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("there is no ziglang here: pip install ziglang")
    (tmp_path / "empty").mkdir()
    out, err = run(PRINT + GEMM, tmp_path / "cache", small, no_zig=False, PATH=str(tmp_path / "empty"))
    first, *lines = out.splitlines()
    assert err == "" and " api 1 True zig cc" in first
    assert [line.split()[1:] for line in lines] == [["0", "10", "10"]] * len(lines)
    _, lib = build.library()
    assert [int(line.split()[0]) for line in lines] == [form for form in range(4) if lib.uvlm_has(form)]


def test_no_compiler(tmp_path: Path) -> None:
    """One sentence with the remedy, also from the command; the model runs all the same."""
    (tmp_path / "empty").mkdir()
    code = """
try:
    build.library()
except RuntimeError as error:
    print(error)
import uvlm_mini.kernels.__main__ as main
print(main.main())
import torch
from uvlm_mini.ssm import SelectiveSSM
print(SelectiveSSM(4, 2, 1)(torch.zeros(1, 3, 4))[0].shape[1])
"""
    out, err = run(code, tmp_path / "cache", PATH=str(tmp_path / "empty"))
    assert out.splitlines() == [compilers.NONE, "1", "3"], err
    assert err == f"The C kernels are not compiled. {compilers.NONE}\n"
    assert "pip install ziglang" in compilers.NONE and "install gcc" in compilers.NONE


def test_wrong_cc(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names a compiler that is none hears so, even if another is there, or a library is kept."""
    run(PRINT, tmp_path / "cache", small)
    for named in ("no-such-compiler", sys.executable + " -c 0", "false"):
        code = "try: build.library()\nexcept RuntimeError as error: print(error)"
        out, _ = run(code, tmp_path / "cache", small, CC=named)
        if named.startswith(sys.executable):  # a program that says a version when asked for one is taken at its word
            continue
        assert out.startswith(f"The environment variable CC is {named!r}, which does not run") and out.count("\n") == 1
    monkeypatch.setenv("CC", "cc -pipe")
    if shutil.which("cc"):
        assert compilers.find().command == ("cc", "-pipe")


@compiler
def test_a_kept_library_is_used_until_something_changes(small: Path, tmp_path: Path) -> None:
    """The second process compiles nothing; after a change of the sources, of a flag or of the compiler one does."""
    cache = tmp_path / "cache"
    first, again = run(PRINT, cache, small)[0].split(), run(PRINT, cache, small)[0].split()
    assert first[3] == "True" and again[3] == "False" and first[0] == again[0]
    flag = run("build.FLAGS = (*build.FLAGS, '-O1')\n" + PRINT, cache, small)[0].split()
    command = f"{shutil.which('cc') or shutil.which('gcc') or shutil.which('clang')} -pipe"
    compiler = run(PRINT, cache, small, CC=command)[0].split()
    (small / "forms.c").write_text((small / "forms.c").read_text(encoding="utf-8") + "\n", encoding="utf-8")
    source = run(PRINT, cache, small)[0].split()
    assert [kind[3] for kind in (flag, compiler, source)] == ["True"] * 3
    assert len({kind[0] for kind in (first, flag, compiler, source)}) == 4
    assert {Path(kind[0]).parent for kind in (first, flag, compiler, source)} == {cache / "kernels"}


@compiler
def test_a_kept_library_serves_without_a_compiler(small: Path, tmp_path: Path) -> None:
    """Built once where a compiler was, as in an image of a machine, it goes on working without."""
    first = run(PRINT, tmp_path / "cache", small)[0].split()
    (tmp_path / "empty").mkdir()
    again = run(PRINT, tmp_path / "cache", small, PATH=str(tmp_path / "empty"))[0].split()
    assert again == [first[0], "api", "1", "False", "unknown"]


@compiler
@pytest.mark.parametrize("damage", ["half", "empty", "no library"])
def test_a_damaged_library_is_made_anew(damage: str, small: Path, tmp_path: Path) -> None:
    """Half a file is noticed before it is loaded, which could end the process; and one that does not load, after."""
    cache = tmp_path / "cache"
    path = Path(run(PRINT, cache, small)[0].split()[0])
    whole = path.read_bytes()
    if damage == "no library":  # under a name that says it is whole
        path.unlink()
        text = b"no library"
        name = path.name.rpartition("-")[0] + f"-{hashlib.sha256(text).hexdigest()[:16]}{path.suffix}"
        path.with_name(name).write_bytes(text)
        said = "cannot be loaded"
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "half" else b"")
        said = "is damaged and is made anew"
    out, err = run(PRINT, cache, small)
    assert " api 1 True " in out and err.count("RuntimeWarning") == 1 and said in err
    out, err = run(PRINT, cache, small)
    assert " api 1 False " in out and err == ""


@compiler
def test_a_folder_that_cannot_be_written(small: Path, tmp_path: Path) -> None:
    """That is said, with the remedy, and a folder serves that is gone when the process ends."""
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    out, err = run(PRINT, tmp_path / "file" / "cache", small)
    path = Path(out.split()[0])
    assert " api 1 True " in out and not path.exists() and not path.parent.exists()
    assert err.count("RuntimeWarning") == 1 and "cannot be written" in err and "set UVLM_CACHE" in err


@compiler
def test_two_processes_at_once(small: Path, tmp_path: Path) -> None:
    """Both load a whole library, and nothing half-written stays behind."""
    cache = tmp_path / "cache"
    for process in [start(PRINT, cache, small) for _ in range(3)]:
        out, err = finish(process)
        assert " api 1 " in out and err == ""
    assert all(path.suffix == SUFFIX for path in (cache / "kernels").iterdir())
    assert " api 1 False " in run(PRINT, cache, small)[0]


@compiler
def test_without_python_headers(small: Path, tmp_path: Path) -> None:
    """The same kernels, opened as a plain shared library."""
    out, err = run("build.python_headers = lambda: None\n" + PRINT + GEMM, tmp_path / "cache", small)
    first, *lines = out.splitlines()
    assert err == "" and " abi 1 True " in first
    assert [line.split()[1:] for line in lines] == [["0", "10", "10"]] * len(lines) and lines


@compiler
def test_what_does_not_compile(small: Path, tmp_path: Path) -> None:
    """One sentence that names compiler, file and error; all that the compiler said is a note below it."""
    (small / "wrong.c").write_text("int uvlm_wrong(void) { return nothing; }\n", encoding="utf-8")
    code = "try: build.library()\nexcept RuntimeError as error: print(error, len(error.__notes__), sep='\\n')"
    out, err = run(code, tmp_path / "cache", small)
    assert "failed at wrong.c" in out and "'nothing'" in out and out.endswith("variable CC.\n1\n")
    assert out.count("\n") == 2 and err == ""


@compiler
def test_declarations_are_held_against_the_headers(small: Path, tmp_path: Path) -> None:
    """A function that is declared otherwise to Python does not compile."""
    code = """
right = build.declarations()
build.declarations = lambda: right.replace("int uvlm_has(int form)", "int uvlm_has(int form, int more)")
try: build.library()
except RuntimeError as error: print(error)
"""
    out, _ = run(code, tmp_path / "cache", small)
    assert "failed at _uvlm_kernels.c" in out and ("uvlm_has" in out or "argument" in out)  # gcc, clang


@compiler
def test_every_declared_function_is_there() -> None:
    """Each name that the headers declare can be called, and status codes have their numbers."""
    _, lib = build.library()
    text = re.sub(r"/\*.*?\*/", "", build.declarations(), flags=re.S)
    names = set(re.findall(r"\b(uvlm_\w+)\(", text))
    assert len(names) > 20 and not [name for name in names if not callable(getattr(lib, name))]
    assert (lib.UVLM_OK, lib.UVLM_FORM) == (0, 4)


def test_without_cffi() -> None:
    """The module imports, and the error names the extra."""
    code = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("cffi", "_cffi_backend"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Nothing())
import uvlm_mini.kernels as kernels
try: kernels.library()
except ModuleNotFoundError as error: print(error, error.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.endswith("through it; install uvlm_mini[kernels]. cffi\n"), done.stderr


@compiler
def test_doctor_names_the_compiler_and_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both lines are OK here; with a wrong $CC both fail, each in one line."""
    lines = [line for line in doctor.report()[0] if "C compiler" in line or "C kernels" in line]
    assert [line.split()[0] for line in lines] == ["OK", "OK"] and "plain" in lines[1]
    monkeypatch.setenv("CC", "no-such-compiler")
    build.loaded.cache_clear()
    lines = [line for line in doctor.report()[0] if "C compiler" in line or "C kernels" in line]
    assert [line.split()[0] for line in lines] == ["FAIL", "FAIL"]
    assert all("no-such-compiler" in line and "Chapters 9 and 10" in line and "\n" not in line for line in lines)
