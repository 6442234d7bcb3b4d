"""The C kernels under all that looks for mistakes: two compilers' warnings and analysers, sanitizers, a fuzzer."""

import os
import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts import fuzz
from tests.conftest import ROOT
from uvlm_mini.kernels import build

CSRC = ROOT / "csrc"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]
COMMON = ["-std=c99", "-ffp-contract=off"]
# Tests of the kernels that do not run under the sanitizers: those of the build itself, and of the emulated chip.
APART = {"test_kernels_build.py", "test_kernels_safety.py", "test_kernels_m55.py"}

pytestmark = pytest.mark.linux


def need(program: str) -> str:
    """Its path; skip the test where it is missing."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"there is no {program} here: apt install {program}")
    return path


def complaints(*command: str) -> list[str]:
    """Compile every kernel with this command, and return what is said of any."""

    def one(path: Path) -> str:
        done = subprocess.run([*command, str(path)], capture_output=True, text=True)
        return done.stderr + done.stdout if done.returncode or done.stderr else ""

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return [said for said in pool.map(one, sorted(CSRC.glob("*.c"))) if said]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_no_warning(name: str) -> None:
    """With every form and with the plain one alone."""
    compiler = need(name)
    command = [compiler, *COMMON, *WARNINGS, "-c", "-o", os.devnull]
    assert complaints(*command, "-O2") == []
    assert complaints(*command, "-O1", "-DUVLM_ONLY_PLAIN") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_static_analysis(name: str) -> None:
    """gcc -fanalyzer and clang --analyze find nothing; the plain forms, for the others are the same loops."""
    compiler = need(name)
    analysis = {
        # gcc 12 takes a struct that was assigned for one that was not (values_of of program.c); clang follows it.
        "gcc": ["-fanalyzer", "-Wno-analyzer-use-of-uninitialized-value", "-Werror", "-O1", "-c", "-o", os.devnull],
        "clang": ["--analyze", "--analyzer-output", "text", "-Xclang", "-analyzer-werror"],
    }
    assert complaints(compiler, *COMMON, "-DUVLM_ONLY_PLAIN", *analysis[name]) == []


def test_analysers_and_warnings_see(tmp_path: Path) -> None:
    """Each command above finds a mistake that it is there for."""
    wrong = tmp_path / "wrong.c"
    wrong.write_text("int f(int *p, long n);\nint f(int *p, long n) { p = 0; return *p + (int)n; }\n", encoding="utf-8")
    narrow = tmp_path / "narrow.c"
    narrow.write_text("int f(long n);\nint f(long n) { return n; }\n", encoding="utf-8")
    analysis = {"gcc": ["-fanalyzer", "-Werror"], "clang": ["--analyze", "-Xclang", "-analyzer-werror"]}
    for name in ("gcc", "clang"):
        for more, path in ((analysis[name], wrong), (WARNINGS, narrow)):
            command = [need(name), *COMMON, "-O1", *more, "-c", "-o", os.devnull, str(path)]
            assert subprocess.run(command, capture_output=True).returncode, (name, path)


def sanitized(cache: Path, *command: str, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    """Run Python with the sanitizers' library loaded first; the kernels are built with them."""
    compiler = need("clang")  # which, unlike gcc, also watches the masked loads and stores of AVX-512
    library = f"libclang_rt.asan-{platform.machine()}.so"
    runtime = subprocess.check_output([compiler, f"-print-file-name={library}"], text=True).strip()
    if not Path(runtime).is_absolute():
        pytest.skip("clang has no AddressSanitizer here: apt install libclang-rt-dev")
    env = {**os.environ, "UVLM_SANITIZE": "1", "CC": "clang", "UVLM_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    env |= {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    return subprocess.run(
        [sys.executable, *command], env=env, capture_output=True, text=True, cwd=ROOT, timeout=timeout
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the library with the sanitizers."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
def test_sanitizers_see(cache: Path) -> None:
    """One byte beyond an array of NumPy's ends the process, with a word on where."""
    code = """
import numpy as np
from uvlm_mini.kernels import library
ffi, lib = library()
table, x, y = np.zeros(256, np.int8), np.zeros(40, np.int8), np.zeros(40, np.int8)
record = ffi.new("uvlm_look_up *", [ffi.from_buffer("int8_t[]", table), COUNT])
print(lib.uvlm_look_up_s8_as(FORM, record, ffi.from_buffer("int8_t[]", x), ffi.from_buffer("int8_t[]", y)))
"""
    for form in ("0", "lib.uvlm_form()"):
        within = sanitized(cache, "-c", code.replace("COUNT", "40").replace("FORM", form))
        assert within.returncode == 0 and within.stdout == "0\n", within.stderr
        beyond = sanitized(cache, "-c", code.replace("COUNT", "41").replace("FORM", form))
        assert beyond.returncode and "AddressSanitizer: heap-buffer-overflow" in beyond.stderr, form
        assert "look_up_s8" in beyond.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_kernels_tests_pass_under_the_sanitizers(cache: Path) -> None:
    """All of them, in a build with AddressSanitizer and UndefinedBehaviorSanitizer."""
    files = sorted(str(path) for path in (ROOT / "tests").glob("test_kernels_*.py") if path.name not in APART)
    assert files
    command = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout=0", *files)
    done = sanitized(cache, *command, timeout=880)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert re.search(r"\d+ passed", done.stdout) and "Sanitizer" not in done.stderr + done.stdout


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of all fuzz targets."""
    need("clang")
    program = fuzz.build(tmp_path_factory.mktemp("fuzz"))
    fuzz.blob(program.parent / "blob")
    return program


def captioner() -> str:
    """What csrc/uvlm.h declares, but for log_softmax: it is all called by the target of that name."""
    text = (CSRC / "uvlm.h").read_text(encoding="utf-8")
    (found,) = re.findall(r"/\* declarations \*/(.*?)/\* In place", text, re.S)
    return found


def takes_sizes() -> set[str]:
    """Every function of the headers that gets a pointer, without its prefix; a twin _as belongs to its own."""
    text = re.sub(r"/\*.*?\*/", "", build.declarations(), flags=re.S)
    text = text.replace(re.sub(r"/\*.*?\*/", "", captioner(), flags=re.S), "")
    names = {name for name, arguments in re.findall(r"\buvlm_(\w+)\(([^)]*)\)", text) if "*" in arguments}
    return {re.sub("_as$", "", name) for name in names} - {"tables_f32"}  # that one takes no size


@pytest.mark.slow
def test_a_target_for_each_kernel(fuzzer: Path) -> None:
    """No entry point that takes sizes is left out; a kernel with forms is called in all of them."""
    assert set(fuzz.targets(fuzzer)) == takes_sizes() | {"captioner", "blob"}
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((CSRC / "fuzz").glob("targets*.h")))
    forms = dict(re.findall(r"^TARGET\((\w+), \w+, \w+, (\w+),", text, re.M))
    declared = build.declarations()
    for name, kind in forms.items():
        assert (kind != "NO_FORMS") == bool(re.search(rf"\buvlm_{name}_as\(", declared)), name


@pytest.mark.slow
def test_a_short_fuzz_finds_nothing(fuzzer: Path) -> None:
    """A thousand inputs each, always the same ones; `make fuzz` has ten minutes."""
    found = list(fuzz.fuzz_all(fuzzer, fuzz.targets(fuzzer), "-runs=1000", "-seed=7"))
    assert [each.target for each in found if each.failed] == [], next(each.output for each in found if each.failed)[
        -3000:
    ]
    assert all(each.runs >= 1000 for each in found)


# What is made wrong in a file, and what is said of it.
OVER, ACCEPTED = "heap-buffer-overflow", "accepted what the header forbids"
BROKEN = {
    "word_s8": (("number >= r->words", "number > r->words"), (OVER,)),
    "look_up_s8": (("|| !r->table", ""), ("Sanitizer",)),
    "concat_s8": (("c < count", "c <= count"), (OVER,)),
    "mean_s8": (("l < r->positions", "l <= r->positions"), (OVER,)),
    # Which of the two the fuzzer meets first depends on the forms that the processor has.
    "most_s8": (("r->positions > UVLM_MOST", "r->positions > UVLM_MOST + 9"), (OVER, ACCEPTED)),
    "attend_s8": (("UVLM_NULL;", "UVLM_NULL + 9;"), ("no such status",)),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of all fuzz targets, with those kernels made wrong."""
    need("clang")
    copy = tmp_path_factory.mktemp("broken") / "csrc"
    shutil.copytree(CSRC, copy, ignore=shutil.ignore_patterns("ports", "tests"))
    for name, ((old, new), _) in BROKEN.items():
        text = (copy / f"{name}.c").read_text(encoding="utf-8")
        assert old in text, name
        (copy / f"{name}.c").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fuzz, "CSRC", copy)
        return fuzz.build(copy.parent)


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_the_fuzzer_finds_what_is_broken(name: str, broken: Path) -> None:
    """Wrong kernels, each found by its own target."""
    found = fuzz.fuzz(broken, name, "-runs=100000", "-seed=7")
    assert found.failed, found.output[-3000:]
    assert any(said in found.output for said in BROKEN[name][1]), found.output[-3000:]
