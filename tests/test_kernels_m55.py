"""The kernels on an emulated Cortex-M55, with Helium and without, from start-up to exit code."""

import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import m55_kernels, record
from tests.conftest import ROOT
from uvlm_mini.deploy import m55
from uvlm_mini.paths import result

TESTS = ROOT / "csrc" / "tests"
pytestmark = pytest.mark.skipif(bool(m55.missing()), reason=m55.missing())
HELIUM = pytest.mark.parametrize("helium", [True, False], ids=["Helium", "scalar"])
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, list[Path]]:
    """The compiled kernels by whether they have Helium; a warning is an error."""
    return {
        helium: m55.compile_kernels(tmp_path_factory.mktemp("objects"), helium, WARNINGS) for helium in (True, False)
    }


def program(text: str, tmp_path: Path, objects: dict[bool, list[Path]]) -> Path:
    """A program of a few lines, with Helium."""
    source = tmp_path / "program.c"
    source.write_text(text)
    return m55.build(source, tmp_path / "program.elf", objects[True])


@HELIUM
def test_golden_vectors(helium: bool, objects: dict[bool, list[Path]], tmp_path: Path) -> None:
    """Every kernel gives the bytes that the Python definition gives, in every form."""
    elf = m55.build(TESTS / "golden.c", tmp_path / "golden.elf", objects[helium], helium)
    code, printed = m55.run(elf)
    assert code == 0, printed
    lines = printed.splitlines()
    assert lines[-2:] == ["forms: plain Helium" if helium else "forms: plain", "all equal"]
    kernels = {line.split()[0] for line in lines[:-2]}
    assert {"gemm", "logits", "conv", "grn", "layer_norm", "scan", "attend", "lstm"} <= kernels
    assert all(re.fullmatch(r"\w+ +[1-9]\d* vectors, 0 wrong", line) for line in lines[:-2])


def test_forms(objects: dict[bool, list[Path]], tmp_path: Path) -> None:
    """Helium gives the bits of the plain form, whatever is in the arrays; assembly those of the intrinsics."""
    elf = m55.build(TESTS / "forms.c", tmp_path / "forms.elf", objects[True], flags=WARNINGS)
    code, printed = m55.run(elf, ["100"], seconds=120)
    first, *lines = printed.splitlines()
    assert code == 0 and first == "forms: plain Helium", printed
    assert all(line.endswith(", Helium: 100 cases, 0 differ") for line in lines)
    assert {"gemm_s8", "conv_s8", "dot4 in assembly"} <= {line.split(",")[0] for line in lines}


def test_a_difference_is_noticed(objects: dict[bool, list[Path]], tmp_path: Path) -> None:
    """With a kernel that lets 1 be 2^15 in Q15, which int16 cannot hold, the comparison fails: it is not vacuous."""
    text = (m55.SOURCES / "scan_s16.c").read_text()
    broken = text.replace("vqrshl.s16 q2, q2, q0", "vrshl.s16 q2, q2, q0", 1)
    assert broken != text
    source = tmp_path / "scan_s16.c"
    source.write_text(broken)
    others = [path for path in objects[True] if path.stem != "scan_s16"]
    made = tmp_path / "broken.o"
    flags = [f"-mcpu={m55.CPUS[True]}", *m55.FLAGS, f"-I{m55.SOURCES}", "-c", str(source), "-o", str(made)]
    subprocess.run([m55.COMPILER, *flags], check=True)
    code, printed = m55.run(m55.build(TESTS / "forms.c", tmp_path / "forms.elf", [*others, made]), ["40"], seconds=120)
    assert code == 1 and re.search(r"scan_s16, Helium: 40 cases, [1-9]\d* differ, the first is", printed), printed


COUNTER = """
#include <stdio.h>
#include "counter.h"
int main(void) {
    for (uint32_t n = 1; n < 3000000; n = 3 * n + 1) {
        uint32_t counted;
        UVLM_COUNT(counted, __asm volatile("mov r0, %0\\n 1: subs r0, #1\\n bne 1b" : : "r"(n) : "r0", "cc"));
        printf("%lu %lu\\n", (unsigned long)n, (unsigned long)counted);
    }
    return 0;
}
"""


def test_counter_counts_instructions(objects: dict[bool, list[Path]], tmp_path: Path) -> None:
    """A loop of two instructions, n times round, and one before it are counted as 2 n + 1, at any length."""
    code, printed = m55.run(program(COUNTER, tmp_path, objects), count=True)
    pairs = [tuple(map(int, line.split())) for line in printed.splitlines()]
    assert code == 0 and len(pairs) > 12
    assert [counted for _, counted in pairs] == [2 * n + 1 for n, _ in pairs]


def test_arguments_and_exit_code(objects: dict[bool, list[Path]], tmp_path: Path) -> None:
    """What main() gets and returns; floating point and printf work."""
    main = 'int main(int n, char **a) { printf("%d %s %.3f\\n", n, a[n - 1], n / 3.0); return 7; }'
    text = f"#include <stdio.h>\n{main}\n"
    assert m55.run(program(text, tmp_path, objects), ["one", "two"]) == (7, "3 two 1.000\n")
    with pytest.raises(ValueError, match="a blank or a comma"):
        m55.run(tmp_path / "program.elf", ["one two"])


def test_files_of_the_host(objects: dict[bool, list[Path]], tmp_path: Path) -> None:
    """A program reads and writes files by newlib's stdio."""
    (tmp_path / "in").write_bytes(bytes(range(256)) * 20)
    text = f"""
#include <stdio.h>
int main(void) {{
    static unsigned char x[5120];
    FILE *in = fopen("{tmp_path}/in", "rb"), *out = fopen("{tmp_path}/out", "wb"), *none = fopen("{tmp_path}/no", "rb");
    if (!in || !out || none || fseek(in, 1000, SEEK_SET)) return 1;
    size_t n = fread(x, 1, sizeof x, in);
    if (fwrite(x, 1, n, out) != n || fclose(out) || fclose(in)) return 2;
    return 0;
}}
"""
    assert m55.run(program(text, tmp_path, objects)) == (0, "")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()[1000:]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("*(volatile int *)0x00F00000 = 1; return 0;", 112),  # no memory there
        ("volatile char x[100000]; x[0] = 1; x[99999] = 2; return x[0] + argc;", 112),  # more than the stack
        ("abort();", 134),
    ],
    ids=["address", "stack", "abort"],
)
def test_faults_end_the_program(body: str, code: int, objects: dict[bool, list[Path]], tmp_path: Path) -> None:
    """A program that faults says so and ends; it neither hangs nor looks like a success."""
    text = f"#include <stdlib.h>\nint main(int argc, char **argv) {{ (void)argc; (void)argv; {body} }}\n"
    ended, printed = m55.run(program(text, tmp_path, objects), seconds=20)
    assert ended == code and ("fault at 0x" in printed) == (code == 112), (ended, printed)


def test_hanging_program_is_stopped(objects: dict[bool, list[Path]], tmp_path: Path) -> None:
    """The time limit holds."""
    elf = program('int main(void) { for (;;) __asm volatile(""); }\n', tmp_path, objects)
    with pytest.raises(TimeoutError, match=r"program\.elf did not end within 0\.5 s"):
        m55.run(elf, seconds=0.5)


@pytest.mark.parametrize(
    ("section", "size", "region"),
    [("arena", 1_835_009, "ARENA"), ("weights", 134_217_729, "FLASH"), ("bss.x", 1_600_000, "DATA")],
)
def test_what_does_not_fit_does_not_link(
    section: str, size: int, region: str, objects: dict[bool, list[Path]], tmp_path: Path
) -> None:
    """The chip's memory is the limit, to the byte; 64-bit hosts would not notice."""
    text = '__attribute__((section(".{}"))) char x[{}]; int main(void) {{ return *(volatile char *)x; }}\n'
    with pytest.raises(RuntimeError, match=rf"region [`']{region}' overflowed"):
        program(text.format(section, size), tmp_path, objects)
    if section == "arena":
        assert m55.run(program(text.format(section, size - 1), tmp_path, objects))[0] == 0


def test_compiler_errors_are_told(objects: dict[bool, list[Path]], tmp_path: Path) -> None:
    """Not swallowed."""
    with pytest.raises(RuntimeError, match=r"refused program\.c:(.|\n)*error"):
        program("int main(void) { return x; }\n", tmp_path, objects)


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that names the packages."""
    monkeypatch.setenv("PATH", "")
    assert m55.missing() == "The emulated Cortex-M55 needs gcc-arm-none-eabi and qemu-system-arm: apt-get install them."


def test_counts_are_those_of_the_file(objects: dict[bool, list[Path]], tmp_path: Path) -> None:
    """Counted again they are equal, to the instruction; with another compiler or other sources, nearly."""
    made = result("m55_kernels")
    again = m55_kernels.rows(*(m55_kernels.counts(helium, objects[helium], tmp_path) for helium in (False, True)))
    if made["note"] == m55_kernels.note() and record.source_hash(made["sources"]["files"]) == made["sources"]["sha256"]:
        assert again == made["rows"]
        return
    assert again.keys() == made["rows"].keys()
    for name, row in again.items():
        assert row.keys() == made["rows"][name].keys()
        assert row["scalar / best"] == pytest.approx(made["rows"][name]["scalar / best"], rel=made["spread"]), name
