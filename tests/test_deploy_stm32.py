"""The project for the STM32N657: its files agree with each other, its C is compiled, and run with stand-ins in QEMU."""

import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import integer as bench
from uvlm_mini import cli
from uvlm_mini.datasets.vocab import BOS, EOS
from uvlm_mini.deploy import blob as blobs
from uvlm_mini.deploy import m55, stm32
from uvlm_mini.encoder import GRN
from uvlm_mini.kernels.build import library
from uvlm_mini.kernels.compilers import find
from uvlm_mini.npu.check import check
from uvlm_mini.npu.operators import CHIPS
from uvlm_mini.quantize.pair import load_as
from uvlm_mini.ssm import discretise

pytest.importorskip("cffi")
try:
    find()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

PORT = stm32.PORT
STANDIN = PORT / "standin"
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]
needs_qemu = pytest.mark.skipif(bool(m55.missing()), reason=m55.missing() or "all is there")


@pytest.fixture(scope="module")
def parts() -> stm32.Parts:
    """The shipped weights, calibrated on few pictures."""
    return stm32.Parts.of(*bench.pair(8))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return bench.pictures("test", 4)


@pytest.fixture(scope="module")
def place(parts, tmp_path_factory) -> Path:
    """A folder with project.h and the blob."""
    folder = tmp_path_factory.mktemp("stm32")
    (folder / "project.h").write_text(stm32.header(parts))
    (folder / "blob.bin").write_bytes(parts.data)
    return folder


@pytest.fixture(scope="module")
def objects(place) -> list[Path]:
    """The kernels, with Helium."""
    return m55.compile_kernels(place)


def built(place: Path, objects: list[Path], main: str, *sources: Path) -> Path:
    """A program of the stand-ins with sources of the port."""
    flags = [*STRICT, f"-I{PORT}", f"-I{STANDIN}", f"-I{place}", f'-DUVLM_BLOB="{place / "blob.bin"}"']
    return m55.build(STANDIN / main, place / f"{Path(main).stem}.elf", objects, True, [*flags, *map(str, sources)])


@pytest.fixture(scope="module")
def application(place, objects) -> Path:
    return built(place, objects, "caption.c", PORT / "app.c", STANDIN / "npu.c")


@needs_qemu
@pytest.mark.parametrize("known", ["scales", "order"])
def test_application_says_the_reference_s_caption(parts, pictures, place, application, known) -> None:
    """app.c with the C encoder as NPU: words and score of the integer reference, the caches kept in order."""
    decoder = parts.captioner.decoder
    for picture in pictures[:2] if known == "scales" else pictures[2:3]:
        (place / "picture.raw").write_bytes(picture.tobytes())
        code, text = m55.run(application, [str(place / "picture.raw"), known])
        assert code == 0, text
        best = decoder.beam(parts.captioner.encode(picture[None]))[0][0]
        lines = text.splitlines()
        assert f"caption {decoder.text(best)}" in lines
        assert f"score {best.score} ended {int(best.ended)}" in lines
        assert "words " + " ".join(map(str, best.tokens)) in lines
        assert "runs 2 addresses 0 stale 0 refused 0" in lines
        for n, (_, size, _) in enumerate(parts.seen):
            assert f"context {n} of {size} differ 0 by at most 0" in lines


@needs_qemu
@pytest.mark.parametrize("tensors", ["int8", "float"])
def test_custom_layers_give_the_reference_s_bytes(parts, pictures, place, objects, tensors) -> None:
    """All layers of a caption, through the stand-in of ST's interface: as the kernels and as the integer reference."""
    rows = [
        f"{{UVLM_{'SCAN' if x.kind == 'SelectiveScan' else x.record.kind.upper()}, {{{told(x)}}}}}"
        for x in parts.layers
    ]
    (place / "told.h").write_text("#define TOLD " + ", ".join(rows) + "\n")
    program = built(place, objects, "layers.c", PORT / "layers.c", STANDIN / "interface.c")
    (place / "picture.raw").write_bytes(pictures[0].tobytes())
    code, text = m55.run(program, [str(place / "picture.raw"), tensors])
    assert code == 0, text
    assert text.splitlines() == expected(parts, pictures[0])


def told(layer: stm32.Layer) -> str:
    return ", ".join(
        f"{number:.9g}" + ("f" if isinstance(number, float) and number % 1 else "") for number in layer.numbers
    )


def expected(parts: stm32.Parts, picture: np.ndarray) -> list[str]:
    """What the program of the custom layers prints, from the integer reference."""
    lib = library()[1]
    kinds = {"GRN": lib.UVLM_GRN, "LayerNorm": lib.UVLM_LAYER_NORM, "SelectiveScan": lib.UVLM_SCAN}

    def lines(values: dict[str, np.ndarray], encoder: bool) -> list[str]:
        made = []
        for layer in parts.layers:
            if (layer.kind == "GRN") == encoder:
                value = values[layer.record.outputs[0]][0]
                value = np.moveaxis(value, 0, -1) if value.ndim == 3 else value
                made.append(f"layer {kinds[layer.kind]} {layer.number} {zlib.crc32(value.tobytes()):08x}")
        return made

    captioner, decoder = parts.captioner, parts.captioner.decoder
    pixels = np.moveaxis(picture[None] ^ np.uint8(128), 3, 1).view(np.int8)
    values = captioner.encoder.run({"pixels": pixels}, keep=True)
    found = lines(values, True)
    context, state = decoder.start({name: values[name] for name in captioner.encoder.outputs})
    word = BOS
    for _ in range(decoder.longest + 1):
        if word == EOS:
            break
        values = decoder.step.run({"word": decoder.hear(np.array([word])), **context, **state}, keep=True)
        state = {name: values[f"{name}_next"] for name in state}
        word = EOS + int(values["logits"][0, EOS:].argmax())
        found += [*lines(values, False), f"word {word}"]
    return found


# What app.c does for the caches, and what happens without.
CACHES = (
    "    SCB_CleanDCache_by_Addr((void *)line_of(input), lines_of(input));\n",
    "        SCB_InvalidateDCache_by_Addr((void *)line_of(output[n]), lines_of(output[n])); /* before */\n",
    "        SCB_InvalidateDCache_by_Addr((void *)line_of(output[n]), lines_of(output[n])); /* after */\n",
)


@needs_qemu
@pytest.mark.slow
@pytest.mark.parametrize("call", CACHES)
def test_every_call_for_the_caches_is_needed(parts, pictures, place, objects, call) -> None:
    """Left out, the caption is another or the stand-in complains."""
    text = (PORT / "app.c").read_text()
    assert text.count(call) == 1
    (place / "broken.c").write_text(text.replace(call, ""))
    program = built(place, objects, "caption.c", place / "broken.c", STANDIN / "npu.c")
    (place / "picture.raw").write_bytes(pictures[0].tobytes())
    code, told = m55.run(program, [str(place / "picture.raw"), "scales"])
    best = parts.captioner.decoder.beam(parts.captioner.encode(pictures[:1]))[0][0]
    right = f"caption {parts.captioner.decoder.text(best)}" in told and "stale 0" in told and "differ 0" in told
    assert code != 0 or not right


def regions(script: Path) -> dict[str, tuple[int, int]]:
    """Address and bytes of each region of a linker script."""
    units = {"K": 1024, "M": 1024**2}
    found = re.findall(r"^ +(\w+) +\(\w+\) *: ORIGIN = (\w+), LENGTH = (\d+)([KM])", script.read_text(), re.M)
    return {name: (int(at, 16), int(size) * units[unit]) for name, at, size, unit in found}


def test_pools_leave_what_the_linker_takes() -> None:
    """Pools, the chip's linker script and the emulated machine's have one budget, and nothing lies over another."""
    chip, emulated, pools = regions(PORT / "stm32n657.ld"), regions(m55.PORT / "m55.ld"), stm32.pools()
    header = 1024
    assert chip["CODE"][1] + header == emulated["CODE"][1] and chip["CODE"][0] % 0x1000 == header
    for name in ("DATA", "ARENA", "FLASH"):
        assert chip[name][1] == emulated[name][1]
    assert stm32.npu_bytes() == chip["ARENA"][1]
    used = sorted(span for span in [*pools.values(), chip["CODE"], chip["DATA"]] if span[1])
    for (at, size), (then, _) in itertools.pairwise(used):
        assert at + size <= then
    banks = {bank.name: bank.kib * 1024 for bank in CHIPS["stm32n657"].memories}
    npu = [name for name in pools if name.startswith("npuRAM")]
    assert len(npu) == 4 and all(pools[name][1] == banks[f"AXISRAM{name[-1]}"] for name in npu)
    assert chip["CODE"][0] - header + banks["AXISRAM1"] + banks["AXISRAM2"] == chip["DATA"][0] + chip["DATA"][1]
    assert pools["npuRAM3"][0] == chip["ARENA"][0] == sum(chip["DATA"])
    at, size = pools["octoFlash"]
    assert at + size == stm32.BLOB_AT and sum(chip["FLASH"]) - stm32.BLOB_AT > 32 * 1024**2


def test_addresses_are_the_same_everywhere() -> None:
    """In the scripts, README and code."""
    weights, text = stm32.pools()["octoFlash"][0], (PORT / "README.md").read_text()
    script, flash = (PORT / "compile.sh").read_text(), (PORT / "flash.sh").read_text()
    for address in (weights, stm32.BLOB_AT):
        assert f"--change-addresses 0x{address:08X} " in script.upper().replace(
            "--CHANGE-ADDRESSES 0X", "--change-addresses 0x"
        )
        assert f"| 0x{address:08X} |" in text
    assert "app_signed.bin 0x70100000" in flash and "| 0x70100000 |" in text


def test_profile_and_its_options() -> None:
    """The profile names the pools, compile.sh the profile; every option of both is explained in one line."""
    profiles = json.loads((PORT / "neural_art.json").read_text())["Profiles"]
    assert list(profiles) == ["uvlm"] and (PORT / profiles["uvlm"]["memory_pool"]).is_file()
    text = (PORT / "compile.sh").read_text()
    assert "--st-neural-art uvlm@neural_art.json" in text
    told = [line for line in text.splitlines() if line.startswith("#   ")]
    commands = " ".join(line for line in text.splitlines() if not line.startswith("#"))
    options = re.findall(r"(?<= )--?[A-Za-z][\w-]*", " " + profiles["uvlm"]["options"])
    options += re.findall(r" (--[\w-]+)", commands.split("objcopy")[0])
    assert len(options) > 15
    for option in options:
        assert [line for line in told if re.search(rf"{option}\b", line)], option


def test_custom_layers_json_names_what_is_there() -> None:
    """Each class has its two functions in C, and is in the Python file."""
    rows = json.loads((PORT / "custom_layers.json").read_text())
    assert set(rows) == set(stm32.CLASSES.values())
    for name, files in rows.items():
        assert set(files) == {"python", "c"}
        source, classes = ((PORT / files[key]).read_text() for key in ("c", "python"))
        assert re.search(rf"^void custom_init_{name}\(ai_layer \*\w+\) {{", source, re.M)
        assert re.search(rf"^void custom_forward_{name}\(ai_layer \*\w+\) {{", source, re.M)
        assert f"class {name}(" in classes


class Keras:
    """As much of Keras as custom_layers.py needs, in PyTorch."""

    class Variable(torch.Tensor):
        def assign(self, value: torch.Tensor) -> None:
            self.copy_(value)

    class Layer:
        def __init__(self, **options: object) -> None:
            self.weights: dict[str, torch.Tensor] = {}

        def add_weight(self, name: str, shape: tuple[int, ...], **options: object) -> torch.Tensor:
            start = torch.zeros(shape) if options.get("initializer") == "zeros" else torch.rand(shape)
            self.weights[name] = start.as_subclass(Keras.Variable)
            return self.weights[name]

        def get_config(self) -> dict[str, object]:
            return {}

        def __call__(self, x: Any) -> torch.Tensor:
            if not self.weights:
                self.build([y.shape for y in x] if isinstance(x, list) else x.shape)  # type: ignore[attr-defined]
            return self.call(x)  # type: ignore[attr-defined]


def keras_layers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """custom_layers.py with the stand-in."""

    def reduced(f: Callable) -> Callable:
        return lambda x, axis, keepdims=False: f(x, dim=axis, keepdim=keepdims)

    ops = SimpleNamespace(
        mean=reduced(torch.mean), sum=reduced(torch.sum), sqrt=torch.sqrt, exp=torch.exp,
        softplus=torch.nn.functional.softplus,
    )  # fmt: skip
    module = ModuleType("keras")
    module.layers, module.ops = SimpleNamespace(Layer=Keras.Layer), ops  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keras", module)
    spec = importlib.util.spec_from_file_location("custom_layers", PORT / "custom_layers.py")
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@torch.no_grad()
def test_keras_layers_are_the_modules(monkeypatch) -> None:
    """LayerNorm, GRN, and three steps of the scan; the weight that tells C has as many numbers as layers.c expects."""
    made, rng = keras_layers(monkeypatch), torch.Generator().manual_seed(0)
    x = torch.randn(1, 12, generator=rng)
    norm = made.LayerNorm()
    got = norm(x)
    torch.testing.assert_close(got, torch.nn.functional.layer_norm(x, (12,), norm.gamma, norm.beta), check_dtype=False)
    grn, module = made.GRN(), GRN(6)
    map_ = torch.randn(1, 6, 5, 4, generator=rng)
    got = grn(map_.permute(0, 2, 3, 1))
    module.gamma.copy_(grn.gamma[:, None, None])
    module.beta.copy_(grn.beta[:, None, None])
    torch.testing.assert_close(got.permute(0, 3, 1, 2), module(map_), check_dtype=False)
    scan, h = made.SelectiveScan(states=4), torch.zeros(1, 6, 4)
    for _ in range(3):
        dt, u = torch.randn(2, 1, 6, generator=rng)
        b, c = torch.randn(2, 1, 4, generator=rng)
        got = scan([dt, u, b, c])
        decay, write = discretise(torch.nn.functional.softplus(dt), scan.A_log, b, u)
        h = decay * h + write
        torch.testing.assert_close(got, torch.einsum("bin,bn->bi", h, c) + scan.D * u, check_dtype=False)
    for layer, inputs in ((norm, 1), (grn, 1), (scan, 4)):
        assert next(iter(layer.weights)) == "told" and layer.weights["told"].shape == (1 + 2 * (inputs + 1),)
    assert scan.get_config() == {"states": 4}


def test_layers_are_told_as_many_numbers_as_they_read(parts) -> None:
    for layer in parts.layers:
        assert len(layer.numbers) == (11 if layer.kind == "SelectiveScan" else 5) and layer.numbers[0] == layer.number
    kinds = [layer.kind for layer in parts.layers]
    assert [kinds.count(kind) for kind in ("GRN", "LayerNorm", "SelectiveScan")] == [10, 2, 1]


@needs_qemu
def test_project_builds_and_links(parts, place, objects) -> None:
    """build.sh makes the library; the chip's linker script puts everything where the pools leave room."""
    project = place / "project"
    stm32.write(parts, project, np.zeros((64, 64, 3), np.uint8), instructions=False)
    assert not list(project.rglob("standin"))
    subprocess.run(
        ["sh", "build.sh"], cwd=project, env={**os.environ, "INCLUDES": f"-I{STANDIN} -Wall -Werror"}, check=True
    )
    out = project / "app.elf"
    command = [
        m55.COMPILER,
        "-mcpu=cortex-m55",
        "-mthumb",
        "-mfloat-abi=hard",
        "-O2",
        "-nostartfiles",
        "--specs=nosys.specs",
    ]
    command += ["-T", str(PORT / "stm32n657.ld"), "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments", f"-I{project}"]
    command += [f"-I{project}/csrc", f"-I{STANDIN}", str(STANDIN / "link.c"), str(STANDIN / "npu.c")]
    command += [
        str(STANDIN / "interface.c"),
        "-Wl,--section-start=.arena=0x34200000",
        "-L",
        str(project),
        "-luvlm",
        "-lm",
    ]
    subprocess.run([*command, "-o", str(out)], check=True, capture_output=True)
    listed = subprocess.run(["arm-none-eabi-nm", out], capture_output=True, text=True, check=True).stdout
    at = {
        name: int(value, 16)
        for value, _, name in (line.split() for line in listed.splitlines() if line.count(" ") == 2)
    }
    chip = regions(PORT / "stm32n657.ld")

    def lies(name: str, region: str) -> bool:
        return chip[region][0] <= at[name] <= sum(chip[region])

    assert at["_estack"] == sum(chip["DATA"]) and lies("_sstack", "DATA")
    assert all(lies(name, "CODE") for name in ("Reset_Handler", "uvlm_app_caption", "uvlm_scan_s16_as", "_sidata"))
    assert all(lies(name, "DATA") for name in ("_sdata", "_edata", "_sbss", "_ebss", "end"))
    assert at["_ebss"] - at["_sbss"] > parts.memory


def test_project_folder(parts, tmp_path, capsys, monkeypatch, pictures) -> None:
    """All files that README.md names, blob and encoder as they are, expectations that are those of the files."""
    from PIL import Image

    monkeypatch.setattr(stm32.Parts, "load", lambda folder: parts)
    Image.fromarray(pictures[1]).save(tmp_path / "p.png")
    out = tmp_path / "project"
    given = ["deploy", "stm32", "int8", "--out", str(out), "--picture", str(tmp_path / "p.png"), "--no-count"]
    assert cli.main(given) == 0
    printed = capsys.readouterr().out
    named = re.findall(r"^\| (`[^|]+`) \|", (PORT / "README.md").read_text(), re.M)
    files = {name for row in named for name in re.findall(r"`([\w.]+)/?`", row)}
    assert files - {"standin"} == {path.name for path in out.iterdir()} - {"README.md"}
    assert (out / "uvlm_mini.bin").read_bytes() == parts.data and (out / "picture.raw").read_bytes() == pictures[
        1
    ].tobytes()
    again = stm32.Parts.of(load_as(out / "encoder_int8.onnx", True), step_of(parts))
    assert again.data == parts.data
    text = (out / "EXPECT.md").read_text()
    assert text in printed and f"{len(parts.data):,} bytes" in text and f"{zlib.crc32(parts.data[16:]):08x}" in text
    assert f"    {blobs.CCaptioner(parts.data).caption(pictures[1])}\n" in text
    assert not check(parts.encoder).warnings and parts.encoder.opset_import[0].version == 18
    assert len(parts.data) < 1_100_000 and parts.memory < 512 * 1024
    kernels = {path.name for path in m55.SOURCES.glob("*.[ch]")}
    assert {path.name for path in (out / "csrc").iterdir()} == kernels


def test_readme_tells_what_was_run_of_each_file() -> None:
    """Every file of the port has a row with three columns; none claims the board."""
    text = (PORT / "README.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for path in PORT.iterdir():
        if path.is_file() and path.name != "README.md":
            (row,) = [line for line in rows if f"`{path.name}`" in line.split("|")[1]]
            assert row.count("|") == 4
    assert "Nothing here was run on the board, and nothing by ST's" in text


TOOL = """#!/bin/sh
echo "$(basename "$0") $*" >> "$TOLD"
case "$(basename "$0")" in
stedgeai) mkdir -p st_ai_output; : > st_ai_output/network_atonbuf.xSPI2.raw;;
*Signing*) for last; do :; done; : > "$last";;
esac
"""


def test_scripts_call_the_tools(tmp_path) -> None:
    """compile.sh and flash.sh with stand-ins of the tools: which are called, with what."""
    bin_, told = tmp_path / "bin", tmp_path / "told"
    bin_.mkdir()
    for name in ("stedgeai", "arm-none-eabi-objcopy", "STM32_SigningTool_CLI", "STM32_Programmer_CLI"):
        (bin_ / name).write_text(TOOL)
        (bin_ / name).chmod(0o755)
    for name in ("compile.sh", "flash.sh"):
        shutil.copy(PORT / name, tmp_path)
    env = {"PATH": f"{bin_}:{os.environ['PATH']}", "TOLD": str(told)}
    subprocess.run(["sh", "compile.sh"], cwd=tmp_path, env=env, check=True)
    given = {"APP": "app.bin", "FSBL": "fsbl.hex", "LOADER": "x.stldr"}
    subprocess.run(["sh", "flash.sh"], cwd=tmp_path, env=env | given, check=True)
    subprocess.run(["sh", "flash.sh"], cwd=tmp_path, env=env | given | {"ALIGN": ""}, check=True)
    lines = told.read_text().splitlines()
    assert [line.split()[0] for line in lines[:4]] == [
        "stedgeai",
        *["arm-none-eabi-objcopy"] * 2,
        "STM32_SigningTool_CLI",
    ]
    assert lines[0].startswith(
        "stedgeai generate --model encoder_int8.onnx --target stm32n6 --st-neural-art uvlm@neural_art"
    )
    assert lines[3] == "STM32_SigningTool_CLI -bin app.bin -nk -t ssbl -hv 2.3 -align -o app_signed.bin"
    assert "STM32_SigningTool_CLI -bin app.bin -nk -t ssbl -hv 2.3 -o app_signed.bin" in lines
    written = [line.partition(" -w ")[2] for line in lines if line.startswith("STM32_Programmer_CLI")]
    assert written[:4] == ["fsbl.hex", "./weights.hex", "./blob.hex", "app_signed.bin 0x70100000"]
    assert all("-c port=SWD mode=HOTPLUG -el x.stldr -hardRst -w" in line for line in lines if "Programmer" in line)
    done = subprocess.run(["sh", "flash.sh"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode and "names no application; build one" in done.stderr


def test_scales_that_differ_are_refused(parts) -> None:
    """An encoder and a step that were calibrated apart: the NPU's numbers would mean something else to the decoder."""
    with pytest.raises(ValueError, match="different scales for x"):
        stm32.Parts.of(parts.encoder, changed(step_of(parts), "x_scale"))
    with pytest.raises(ValueError, match="The encoder takes pictures on the scale"):
        stm32.Parts.of(changed(parts.encoder, "picture_scale"), step_of(parts))


def test_a_context_is_handed_in(parts, pictures) -> None:
    """uvlm_context: what one captioner's encoder gives, another says; what is no context is refused."""
    ffi, lib = library()
    one, two = blobs.CCaptioner(parts.data), blobs.CCaptioner(parts.data)
    one.encode(pictures[0])
    two.encode(pictures[3])
    assert one.search() != two.search()
    for n in range(one._m.contexts):
        at = one._m.saying + one._m.context[n].to
        assert lib.uvlm_context(two._m, n, at) == 0
    assert one.search() == two.search()
    for n in (-1, one._m.contexts):
        assert lib.uvlm_context(two._m, n, at) == lib.UVLM_RANGE
    assert lib.uvlm_context(two._m, 0, ffi.NULL) == lib.UVLM_NULL == lib.uvlm_context(ffi.NULL, 0, at)


def step_of(parts: stm32.Parts) -> Any:
    """The int8 step that the module's parts were made of."""
    return bench.pair(8)[1]


def changed(model: Any, scale: str) -> Any:
    """A model with one scale a little larger."""
    from onnx import ModelProto, numpy_helper

    made = ModelProto.FromString(model.SerializeToString())
    (one,) = [part for part in made.graph.initializer if part.name == scale]
    one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one) * np.float32(1.01), scale))
    return made
