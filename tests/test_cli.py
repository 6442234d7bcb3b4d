"""The command as people type it: answers on standard output, mistakes in one sentence with the right exit status."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.conftest import TINY
from uvlm_mini import cli
from uvlm_mini.datasets.scenes import scene
from uvlm_mini.datasets.vocab import Vocabulary
from uvlm_mini.doctor import report
from uvlm_mini.model import UVLM
from uvlm_mini.paths import data_path

# What the shipped weights say of a picture that they were never trained on. So does the captioner in C: test_deploy.py.
GOLDEN = ("test", 28)
GOLDEN_CAPTION = (data_path("golden.txt")).read_text(encoding="utf-8").strip()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture file."""
    path = tmp_path / "picture.png"
    Image.fromarray(scene(*GOLDEN).draw()).save(path)
    return path


def one_sentence(text: str) -> bool:
    """Whether an error is a single line that ends as sentences do, and no traceback."""
    return text.startswith("uvlm: ") and text.count("\n") == 1 and text.rstrip().endswith((".", ")"))


def test_golden_caption(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped weights caption a held-out scene as they did when they were made."""
    assert cli.main(["caption", str(picture)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(GOLDEN_CAPTION + "  (log-probability -") and err == ""


def test_captions_by_lot(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As many lines as asked for, the same for the same seed and others for another; near temperature 0 it is greedy
    search, which `--beam 1` is, too. The weights are those from before SCST, which leaves little to draw from."""
    weights, said = str(data_path("uvlm_mini_before_scst.safetensors")), {}
    for key, more in {
        "once": ["--sample", "6"],
        "again": ["--sample", "6", "--seed", "0"],
        "other": ["--sample", "6", "--seed", "1"],
        "cold": ["--sample", "2", "--temperature", "1e-9"],
        "nucleus": ["--sample", "2", "--top-p", "1e-9"],
        "greedy": ["--beam", "1"],
    }.items():
        assert cli.main(["caption", str(picture), "--weights", weights, *more]) == 0
        said[key] = capsys.readouterr().out.splitlines()
    assert len(said["once"]) == 6 and said["once"] == said["again"] != said["other"]
    assert said["cold"] == said["nucleus"] == said["greedy"] * 2


def test_a_draw_and_a_beam_are_two_things(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who asks for both is told so."""
    with pytest.raises(SystemExit, match="2"):
        cli.main(["caption", str(picture), "--beam", "5", "--sample", "2"])
    assert "not allowed with argument --beam" in capsys.readouterr().err


def test_a_bad_picture_does_not_cost_the_others(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Good pictures are captioned, bad ones named, and the exit status tells."""
    (tmp_path / "bad.png").write_bytes(picture.read_bytes()[:100])
    assert cli.main(["caption", str(tmp_path / "bad.png"), str(picture), str(tmp_path / "none.png")]) == 2
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and GOLDEN_CAPTION in out
    assert [line.startswith("uvlm: ") for line in err.splitlines()] == [True, True]


def test_warning_on_what_is_no_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A photograph and noise get a caption and a warning."""
    import matplotlib.cbook

    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        Image.open(file).save(tmp_path / "photograph.png")
    Image.effect_noise((64, 64), 80).save(tmp_path / "noise.png")
    assert cli.main(["caption", str(tmp_path / "photograph.png"), str(tmp_path / "noise.png")]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 2
    assert err.count("is unlike anything this model was trained on") == 2


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """`uvlm` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "uvlm_mini.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


MISTAKES = [
    (["caption", "none.png"], 2, "There is no picture"),
    (["caption", "picture.png", "--weights", "none.safetensors"], 2, "There is no checkpoint"),
    (["caption", "picture.png", "--weights", "picture.png"], 2, "truncated or not a checkpoint"),
    (["caption", "picture.png", "--beam", "0"], 2, "width of 1 at least"),
    (["caption", "picture.png", "--sample", "0"], 2, "one caption a picture at least, not 0"),
    (["caption", "picture.png", "--sample", "2", "--temperature", "-1"], 2, "finite number above 0, not -1.0"),
    (["caption", "picture.png", "--sample", "2", "--top-p", "1.5"], 2, "not 1.5"),
    (["caption", "picture.png", "--sample", "2", "--seed", "-1"], 2, "from 0 to 2**63 - 1, not -1"),
    (["caption", "picture.png", "--top-p", "0.9"], 2, "--top-p is about a draw"),
    (["evaluate", "--split", "dev"], 2, "no split 'dev'"),
    (["evaluate", "--data", "none.json"], 2, "no caption file"),
    (["train", "--recipe", "huge"], 2, "no recipe 'huge'"),
    (["train", "--stage", "rest"], 2, "no stage 'rest'"),
    (["train", "--rate", "1e-3"], 2, "say which with --stage"),
    (["train", "--stage", "scst", "--rate", "0"], 2, "rate of stage scst must be a number above 0, not 0.0"),
    (["train", "--stage", "scst", "--rate", "-1"], 2, "rate of stage scst must be a number above 0, not -1.0"),
    (["train", "--stage", "scst", "--rate", "nan"], 2, "rate of stage scst must be a number above 0, not nan"),
    (["train", "--recipe", "class", "--stage", "scst", "--limit", "64", "--out", "new"], 2, "from trained weights"),
    (["plot", "none", "--out", "plot.png"], 2, "There is no log"),
    (["plot", "none", "--out", "plot.doc"], 2, "as .png, .svg or .pdf"),
    (["export", "--weights", "none.safetensors", "--out", "out"], 2, "There is no checkpoint"),
    (["export", "--weights", "picture.png", "--out", "out"], 2, "truncated or not a checkpoint"),
    (["export", "--out", "file/out"], 1, "cannot be used"),
    (["scenes", "out", "--splits", "dev"], 2, "no split 'dev'"),
    (["scenes", "out", "--pixels", "1"], 2, "16 to 4096"),
    (["scenes", "file/out", "--splits", "val", "--limit", "1"], 1, "."),
]


@pytest.mark.parametrize(("arguments", "status", "says"), MISTAKES)
def test_mistakes(
    arguments: list[str],
    status: int,
    says: str,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each mistake is one sentence on standard error, and nothing is left half-written."""
    monkeypatch.chdir(picture.parent)
    (picture.parent / "file").write_text("a file where a folder is wanted")
    before = sorted(picture.parent.rglob("*"))
    assert cli.main(arguments) == status
    out, err = capsys.readouterr()
    error = err.splitlines()[-1] + "\n"
    assert one_sentence(error) and says in error and out == ""
    assert sorted(picture.parent.rglob("*")) == before


def test_other_architecture_and_other_words(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint that lacks a weight, and one whose list of words has another length, are refused."""
    from uvlm_mini.model import read_tensors, write_tensors

    UVLM(TINY, Vocabulary(["a", "cat"])).save(tmp_path / "tiny.safetensors")
    tensors, about = read_tensors(tmp_path / "tiny.safetensors")
    about.pop("format")
    write_tensors(tmp_path / "less.safetensors", dict(list(tensors.items())[1:]), about)
    words = {**about, "words": about["words"].replace('"cat"', '"cat", "dog"')}
    write_tensors(tmp_path / "words.safetensors", tensors, words)
    for name in ("less", "words"):
        assert cli.main(["caption", str(picture), "--weights", str(tmp_path / f"{name}.safetensors")]) == 2
        assert "is of another architecture" in capsys.readouterr().err


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files of the model that was named, each with its size; a second time over the first; without onnx, a word."""
    from uvlm_mini.quantize.export import load

    sizes = []
    for words in (["a"], ["a", "cat"]):
        UVLM(TINY, Vocabulary(words)).save(tmp_path / "tiny.safetensors")
        command = ["export", "--weights", str(tmp_path / "tiny.safetensors"), "--out", str(tmp_path / "onnx" / "tiny")]
        assert cli.main(command) == 0
        files = [tmp_path / "onnx" / "tiny" / name for name in ("encoder.onnx", "decoder_step.onnx")]
        sizes.append([path.stat().st_size for path in files])
        out, err = capsys.readouterr()
        assert out.splitlines() == [f"{path}: {path.stat().st_size:,} bytes" for path in files] and err == ""
        assert load(files[1]).graph.output[0].type.tensor_type.shape.dim[1].dim_value == len(Vocabulary(words))
    assert sizes[0][0] == sizes[1][0] and sizes[0][1] < sizes[1][1]
    assert sorted(path.name for path in files[0].parent.iterdir()) == ["decoder_step.onnx", "encoder.onnx"]
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert cli.main(command) == 1
    assert capsys.readouterr().err == "uvlm: onnx is not installed; install uvlm_mini[quantize].\n"


def test_scenes_can_be_captioned_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `uvlm scenes` writes, `uvlm evaluate --data` scores as it scores the embedded split."""
    assert cli.main(["scenes", str(tmp_path / "s"), "--splits", "test", "--limit", "12"]) == 0
    capsys.readouterr()
    tables = []
    for more in ([], ["--data", str(tmp_path / "s" / "captions.json")]):
        assert cli.main(["evaluate", "--limit", "12", "--no-java", *more]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1] and "CIDEr" in tables[0] and "right" in tables[0]


def test_no_permission(tmp_path: Path) -> None:
    """A folder that may not be written is one sentence, status 1 (as root nothing is forbidden: a file stands in)."""
    (tmp_path / "out").write_text("")
    done = run("scenes", "out", "--splits", "val", "--limit", "1", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("uvlm: ")
    assert "Traceback" not in done.stderr


def test_what_the_system_refuses_is_not_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is gone when the file is to be written: status 1; a path that never was: status 2."""
    from uvlm_mini.quantize import export

    monkeypatch.setattr(export, "encoder_graph", lambda model: Path(tmp_path, "gone", "x").write_text(""))
    assert cli.main(["export", "--out", str(tmp_path / "out")]) == 1
    said = f"uvlm: {tmp_path / 'gone' / 'x'} cannot be used (No such file or directory); choose another folder.\n"
    assert capsys.readouterr().err == said
    assert cli.main(["export", "--weights", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "There is no checkpoint" in capsys.readouterr().err


def test_stopped_training_resumes(tmp_path: Path) -> None:
    """Ctrl-C saves and says how to go on; the same command resumes and ends with weights."""
    import signal
    import time

    command = [sys.executable, "-m", "uvlm_mini.cli", "train", "--recipe", "class", "--limit", "128", "--out", "run"]
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (tmp_path / "run").exists():
            break
        time.sleep(0.1)
    time.sleep(3)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=120)
    assert first.returncode == 130 and "the same command resumes" in err and "Traceback" not in err
    assert (tmp_path / "run" / "last.safetensors").exists()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "Resuming" in done.stderr, done.stderr
    assert UVLM.load(tmp_path / "run" / "weights.safetensors").familiarity is not None


def test_one_stage_from_given_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stage 4 on the shipped weights, two steps; what was asked for is noted in what came out, and can be drawn."""
    from uvlm_mini.model import read_tensors

    weights = str(data_path(cli.WEIGHTS))
    asked = f"train --recipe class --seed 0 --limit 64 --stage scst --weights {weights} --rate 0.0001"
    assert cli.main([*asked.split(), "--out", str(tmp_path / "run")]) == 0
    made, about = read_tensors(tmp_path / "run" / "weights.safetensors")
    assert about["command"] == f"uvlm {asked}"
    before, _ = read_tensors(weights)
    moved = {name.split(".")[0] for name, value in made.items() if not torch.equal(value, before[name])}
    assert moved == {"decoder", "familiarity"}
    capsys.readouterr()
    pictures = []
    for name in ("a.png", "b.png"):
        assert cli.main(["plot", str(tmp_path / "run"), "--out", str(tmp_path / name)]) == 0
        assert capsys.readouterr().out == f"{tmp_path / name}\n"
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1] and Image.open(tmp_path / "a.png").width > 600


def test_doctor_says_ok_and_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A healthy machine gets OK lines only; one without Java gets one FAIL line, with the remedy."""
    lines, failures = report()
    bad = [line for line in lines if line.startswith("FAIL")]
    assert failures == len(bad)
    if any("compiler" in line for line in bad):
        pytest.skip("there is no C compiler here, and the doctor says so")
    assert not bad
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "java" else which(name))
    lines, failures = report()
    assert failures == 1
    (line,) = [line for line in lines if line.startswith("FAIL")]
    assert "Java" in line and "Install" in line


def test_import_needs_torch_and_numpy_alone(tmp_path: Path) -> None:
    """`import uvlm_mini` and the model code work where nothing else can be imported."""
    code = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"blocked {name}", name=name)
BLOCKED = {"PIL", "safetensors", "matplotlib", "ipywidgets", "pycocoevalcap", "tqdm", "torchvision", "onnx",
           "onnxruntime", "onnxscript", "cffi", "IPython", "nbformat"}
sys.meta_path.insert(0, Nothing())
import uvlm_mini, uvlm_mini.model, uvlm_mini.search, uvlm_mini.config, uvlm_mini.datasets.scenes, uvlm_mini.cli
from uvlm_mini.datasets.vocab import Vocabulary
import torch
torch.manual_seed(0)  # other weights may find fewer than three captions
model = uvlm_mini.model.UVLM(uvlm_mini.config.PRESETS["mini"], Vocabulary(["a"])).eval()
print(len(model.captions(uvlm_mini.datasets.scenes.scene("test", 0).draw())))
print(uvlm_mini.cli.main(["caption", "x.png"]))
import uvlm_mini.quantize.export
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines() == ["3", "1"], done.stderr
    assert "is not installed; install uvlm_mini[run]" in done.stderr


def test_captions_do_not_depend_on_threads(picture: Path) -> None:
    """One thread or two, the words are the same."""
    model = UVLM.load(data_path(cli.WEIGHTS))
    pixels = scene(*GOLDEN).draw()
    threads = torch.get_num_threads()
    try:
        said = []
        for n in (1, 2):
            torch.set_num_threads(n)
            said.append(model.caption(pixels))
    finally:
        torch.set_num_threads(threads)
    assert said[0] == said[1] == GOLDEN_CAPTION
