"""The live page's warning: the measure on int8 maps against the float model's, and in JavaScript against Python."""

import json
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import familiar as bench
from scripts import build_live
from tests.conftest import ROOT
from uvlm_mini.cli import WEIGHTS
from uvlm_mini.deploy import familiar, wasm
from uvlm_mini.model import UVLM, Familiarity
from uvlm_mini.paths import data_path, result

pytest.importorskip("cffi")
from uvlm_mini.kernels.compilers import find

try:
    find()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

from uvlm_mini.deploy.blob import CCaptioner


@pytest.fixture(scope="module")
def blob() -> bytes:
    return data_path("uvlm_mini.bin").read_bytes()


@pytest.fixture(scope="module")
def captioner(blob: bytes) -> CCaptioner:
    return CCaptioner(blob)


@pytest.fixture(scope="module")
def model() -> UVLM:
    return UVLM.load(data_path(WEIGHTS))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Scenes, and some of every kind that is none."""
    return np.concatenate([bench.scenes("test", 30), *(bench.strange(kind, 5) for kind in bench.KINDS)])


@torch.inference_mode()
def test_maps_are_those_of_the_second_stage(model, captioner, pictures) -> None:
    """One scale and one zero point bring the int8 maps to the float model's, but for rounding."""
    from uvlm_mini.model import to_tensor

    maps = familiar.early(captioner, pictures[:30])
    wanted = model.encoder.overnet.early(to_tensor(pictures[:30])).flatten(2).movedim(1, 2).numpy()
    assert maps.shape == wanted.shape == (30, *familiar.stage(captioner)[1:])
    scale, shift = np.polyfit(maps.ravel().astype(float), wanted.ravel().astype(float), 1)
    error = scale * maps + shift - wanted
    assert np.sqrt(np.mean(error**2)) < 3 * scale and np.corrcoef(maps.ravel(), wanted.ravel())[0, 1] > 0.99


def test_captions_stay_what_they_were(captioner, pictures) -> None:
    """The first records run alone change nothing of what the encoder gave to the step."""
    captioner.encode(pictures[0])
    before = captioner.contexts()
    familiar.early(captioner, pictures[1:2])
    assert all((a == b).all() for a, b in zip(before, captioner.contexts(), strict=True))


def test_same_verdict_as_the_command_line(model, captioner, blob) -> None:
    """On a few again what the result file says; and on all in it, at least nine of ten strange pictures as float."""
    made, again = result("familiar")["rows"], bench.small(model, captioner, familiar.read(blob))
    assert again == pytest.approx(made["small"], rel=0.01, abs=0.01)
    assert made["test"]["same verdict"] >= 990 and made["test"]["pictures"] == 1000
    for kind in bench.KINDS:
        row = made[kind]
        assert row["same verdict"] >= 0.95 * row["pictures"], kind
    for kind in ("noise", "one colour", "gradients", "text"):
        assert made[kind]["page warns"] == made[kind]["command line warns"] == made[kind]["pictures"]


def test_in_float_is_what_the_command_line_asks(model, pictures) -> None:
    one_by_one = [model.strangeness(picture) for picture in pictures[::10]]
    np.testing.assert_allclose(bench.in_float(model, pictures[::10]), one_by_one, rtol=1e-5)


def test_strangeness_is_the_float_models_formula(captioner, pictures, blob) -> None:
    """In float64 here, in float32 there."""
    shipped = familiar.read(blob)
    maps = torch.from_numpy(familiar.early(captioner, pictures).astype(np.float32)).movedim(2, 1)[..., None]
    ours = familiar.strangeness(captioner, shipped, pictures)
    np.testing.assert_allclose(ours, shipped(maps).numpy(), rtol=1e-3)


def test_learning_sets_the_limit_on_validation_pictures(captioner) -> None:
    """One in a hundred exceeds it; training pictures are nearer than noise."""
    train, val = bench.scenes("train", 150), bench.scenes("val", 100)
    learned = familiar.learn(captioner, train, val)
    assert (familiar.strangeness(captioner, learned, val) > 1).sum() == 1
    assert familiar.strangeness(captioner, learned, bench.strange("noise", 5)).min() > 1


@pytest.mark.slow
def test_the_shipped_one_is_learned_from_the_shipped_blob(captioner, blob) -> None:
    """Not a number differs by more than rounding."""
    again = familiar.learn(captioner, bench.scenes("train", familiar.LEARNED), bench.scenes("val"))
    shipped, few = familiar.read(blob), bench.scenes("hard", 50)
    np.testing.assert_allclose(again.mean, shipped.mean, rtol=1e-5, atol=1e-5)
    ours, theirs = (familiar.strangeness(captioner, one, few) for one in (again, shipped))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_another_blob_is_refused(captioner, blob, tmp_path) -> None:
    """What was learned holds for one blob, and only for a network whose stages are known."""
    familiar.write(tmp_path / "f", Familiarity(32), blob)
    assert familiar.read(blob, tmp_path / "f").limit == 1
    with pytest.raises(ValueError, match=r"not learned with this blob; run `python -m benchmarks\.familiar`"):
        familiar.read(blob[:-1] + b"x", tmp_path / "f")
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        familiar.read(blob, tmp_path / "g")


def test_a_network_of_other_stages_is_refused(captioner, monkeypatch) -> None:
    monkeypatch.setattr(familiar, "of_blob", lambda kinds: [])
    with pytest.raises(ValueError, match="give one of preset mini"):
        familiar.stage(captioner)


IN_NODE = """
const fs = require("fs"), [captionerPath, familiarityPath, wasm, blob, about, pictures] = process.argv.slice(1);
const { Captioner } = require(captionerPath), { Familiarity } = require(familiarityPath);
const given = JSON.parse(fs.readFileSync(about)), all = fs.readFileSync(pictures), told = [];
for (const name of ["mean", "whiten"]) {
  given[name] = new Float32Array(Uint8Array.from(Buffer.from(given[name], "base64")).buffer);
}
const familiarity = new Familiarity(given);
Captioner.load(fs.readFileSync(wasm), fs.readFileSync(blob)).then((captioner) => {
  const refused = [0, -1, 1, 1 << 30, 121].map((records) => {
    try { captioner.early(records, 1); return ""; } catch (error) { return error.message; }
  });
  for (let at = 0; at < all.length; at += 3 * captioner.side ** 2) {
    captioner.encode(all.subarray(at, at + 3 * captioner.side ** 2));
    const before = captioner.context(0).slice(), strange = familiarity.strangeness(captioner);
    const maps = captioner.early(given.records, given.positions * given.channels);
    told.push([strange, captioner.checksum(maps), before.every((v, i) => v === captioner.context(0)[i])]);
  }
  console.log(JSON.stringify([told, refused]));
});
"""


@pytest.mark.skipif(bool(wasm.missing()), reason=wasm.missing() or "both are there")
@pytest.mark.parametrize("simd", [False, True], ids=["plain", "simd"])
def test_javascript_says_the_same(captioner, blob, pictures, tmp_path: Path, simd: bool) -> None:
    """The same maps to the bit, and the same number; records that end in no sum of two values are refused."""
    (tmp_path / "about.json").write_text(json.dumps(build_live.familiar(blob)))
    (tmp_path / "pictures.raw").write_bytes(pictures.tobytes())
    scripts = (wasm.PORT / "captioner.js", ROOT / "book" / "live" / "familiarity.js")
    files = (wasm.build(simd), data_path("uvlm_mini.bin"), tmp_path / "about.json", tmp_path / "pictures.raw")
    done = subprocess.run(
        [wasm.node(), "-e", IN_NODE, *map(str, (*scripts, *files))], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told, refused = json.loads(done.stdout)
    maps = familiar.early(captioner, pictures)
    assert [row[1] for row in told] == [zlib.crc32(one.tobytes()) for one in maps]
    assert all(row[2] for row in told)
    expected = familiar.strangeness(captioner, familiar.read(blob), pictures)
    np.testing.assert_allclose([row[0] for row in told], expected, rtol=1e-9)
    assert (expected > 1).any() and (expected < 1).any()
    assert all("something is missing" in text for text in refused)
