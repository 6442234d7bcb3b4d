"""The whole model: one file on disk, whole or refused, and the configurations that it can have."""

import errno
import json
import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import TINY
from uvlm_mini import model as module
from uvlm_mini.config import PRESETS, UVLMConfig, preset
from uvlm_mini.datasets.scenes import scene
from uvlm_mini.datasets.vocab import Vocabulary
from uvlm_mini.model import FORMAT, UVLM, Familiarity, read_tensors, to_tensor, write_tensors

WORDS = Vocabulary(["a", "red", "cat", "on", "the", "grass"])


@pytest.fixture(scope="module")
def model() -> UVLM:
    """A tiny model with opinions."""
    torch.manual_seed(0)
    made = UVLM(TINY, WORDS)
    torch.nn.init.normal_(made.decoder.embedding.weight, std=0.5)
    return made.eval()


@pytest.fixture
def saved(model, tmp_path):
    """The model, written to a file."""
    model.save(tmp_path / "weights.safetensors", seed="0")
    return tmp_path / "weights.safetensors"


def picture(i: int = 0) -> np.ndarray:
    """A scene."""
    return scene("test", i).draw()


# ----------------------------------------------------------------------------------------------------------------
# There and back


def test_a_loaded_model_is_the_saved_one(model, saved):
    """Bit for bit: weights, words, configuration, captions and their log-probabilities."""
    back = UVLM.load(saved)
    assert back.config == model.config and back.vocabulary == model.vocabulary
    assert not back.training
    assert back.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(v, back.state_dict()[k]) for k, v in model.state_dict().items())
    for i in range(3):
        assert back.captions(picture(i)) == model.captions(picture(i))


def test_notes_are_kept(saved):
    """What `save` is told besides stands in the file."""
    assert read_tensors(saved)[1]["seed"] == "0"
    assert read_tensors(saved)[1]["format"] == FORMAT


def test_memory_formats_do_not_matter(model, saved, tmp_path):
    """A model in channels-last order is written as any other."""
    again = UVLM.load(saved)
    again.encoder.to(memory_format=torch.channels_last)
    again.save(tmp_path / "other.safetensors", seed="0")
    a, b = read_tensors(saved)[0], read_tensors(tmp_path / "other.safetensors")[0]
    assert all(torch.equal(a[k], b[k]) for k in a)


# ----------------------------------------------------------------------------------------------------------------
# Files that are not such


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 0.1, 0.5, 0.99, -1])
def test_a_truncated_file_is_refused(saved, keep):
    """Cut anywhere, in the header or in the weights, down to nothing."""
    data = saved.read_bytes()
    saved.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match=r"weights\.safetensors is truncated or not a checkpoint"):
        UVLM.load(saved)


@pytest.mark.parametrize("data", [b"hello", b"\x00" * 4096, b"\xff" * 4096, b"PK\x03\x04" * 500], ids=range(4))
def test_another_kind_of_file_is_refused(tmp_path, data):
    """Text, zeros, ones, a zip archive."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="truncated or not a checkpoint"):
        UVLM.load(path)


@pytest.mark.parametrize("about", [None, {"format": "pt"}, {"format": "uvlm-mini 0"}])
def test_another_format_is_refused(tmp_path, about):
    """A safetensors file of another program, or of another version."""
    save_file({"x": torch.zeros(3)}, tmp_path / "x.safetensors", about)
    with pytest.raises(ValueError, match="not a checkpoint of this package"):
        UVLM.load(tmp_path / "x.safetensors")


def test_a_file_without_words_is_refused(model, tmp_path):
    """A checkpoint from the middle of a training holds no captioner."""
    write_tensors(tmp_path / "last.safetensors", model.state_dict(), {"config": json.dumps(TINY.to_dict())})
    with pytest.raises(ValueError, match="holds no vocabulary"):
        UVLM.load(tmp_path / "last.safetensors")


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "words"])
def test_weights_that_do_not_fit_are_refused(model, tmp_path, change):
    """One missing, one too many, one of another shape, or a word more than the embedding has rows."""
    tensors, words = dict(model.state_dict()), list(WORDS.words)
    if change == "missing":
        del tensors["decoder.ssm.D"]
    elif change == "extra":
        tensors["decoder.ssm.E"] = torch.zeros(2)
    elif change == "shape":
        tensors["decoder.ssm.D"] = torch.zeros(3)
    else:
        words.append("dog")
    about = {"config": json.dumps(TINY.to_dict()), "words": json.dumps(words)}
    write_tensors(tmp_path / "w.safetensors", tensors, about)
    with pytest.raises(ValueError, match=r"of another architecture.*decoder\.") as caught:
        UVLM.load(tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spoil", ["a field too few", "a part too few", "a field too many"])
def test_a_configuration_of_another_version_is_refused(model, tmp_path, spoil):
    """One sentence, not a traceback from inside."""
    values = json.loads(json.dumps(TINY.to_dict()))
    if spoil == "a field too few":
        del values["longest"]
    elif spoil == "a part too few":
        del values["decoder"]
    else:
        values["encoder"]["depth"] = 3
    about = {"config": json.dumps(values), "words": json.dumps(WORDS.words)}
    write_tensors(tmp_path / "w.safetensors", model.state_dict(), about)
    with pytest.raises(ValueError, match="not one of this version"):
        UVLM.load(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["nothing.safetensors", "."])
def test_a_missing_file_is_named(tmp_path, name):
    """No file, or a folder in its place."""
    with pytest.raises(FileNotFoundError, match=r"There is no checkpoint .*; give a \.safetensors file"):
        UVLM.load(tmp_path / name)


# ----------------------------------------------------------------------------------------------------------------
# Disks that are full


def full(*_: object, **__: object) -> None:
    """What a full disk answers."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["fsync", "replace", "open"])
def test_the_old_file_survives_a_full_disk(model, saved, monkeypatch, where):
    """Whenever the disk is found full: the old bytes stay, nothing half-written does, one sentence says so."""
    before = saved.read_bytes()
    if where == "open":
        monkeypatch.setattr(module, "open", full, raising=False)
    else:
        monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match=r"Could not write .*No space left.*unharmed") as caught:
        model.save(saved, seed="1")
    assert caught.value.errno == errno.ENOSPC
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]
    monkeypatch.undo()
    model.save(saved, seed="1")
    assert read_tensors(saved)[1]["seed"] == "1"


def test_a_folder_that_cannot_be_made_is_named(model, tmp_path):
    """A file stands where the folder should: the same sentence as for a full disk."""
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OSError, match="Could not write"):
        model.save(tmp_path / "out" / "weights.safetensors")
    assert (tmp_path / "out").read_text() == "a file"


# ----------------------------------------------------------------------------------------------------------------
# Pictures


def test_to_tensor_is_the_int8_pixel():
    """(v - 128) / 128 is exact: every byte is its int8 value at the scale 1/128."""
    every = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    tensor = to_tensor(every)
    assert tensor.shape == (3, 256, 1)
    assert torch.equal(tensor[0, :, 0] * 128, torch.arange(-128.0, 128))


def test_to_tensor_moves_channels_first():
    """Of one picture and of many."""
    batch = np.stack([picture(i) for i in range(3)])
    tensor = to_tensor(batch)
    assert tensor.shape == (3, 3, 64, 64)
    assert torch.equal(tensor[1], to_tensor(batch[1]))
    assert float(tensor[2, 1, 10, 20]) == (int(batch[2, 10, 20, 1]) - 128) / 128


@pytest.mark.parametrize("view", ["read-only", "mirrored"])
def test_any_view_of_a_picture_becomes_a_tensor(view):
    """As Pillow hands it over (read-only), or turned round by NumPy: the same values, and no warning."""
    one = picture()
    seen = one[:, ::-1] if view == "mirrored" else one
    seen.setflags(write=view != "read-only")
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tensor = to_tensor(seen)
    finally:
        torch.set_warn_always(False)
    np.testing.assert_array_equal(tensor.movedim(0, 2).numpy() * 128 + 128, seen)


def test_captions_are_the_search_in_words(model):
    """A picture as bytes and as a tensor, the best caption and the list: all the same."""
    found = model.captions(picture(), width=3)
    assert model.caption(picture()) == found[0][0] == model.caption(to_tensor(picture()))
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
    assert all(set(caption.split()) <= set(WORDS.words[4:]) for caption, _ in found)


def test_captioning_leaves_the_mode_as_it_was(model):
    """In training, captions are made without dropout and batch statistics, and training goes on."""
    expected = model.captions(picture())
    model.train()
    try:
        assert model.captions(picture()) == expected
        assert model.training and model.encoder.training and model.decoder.training
    finally:
        model.eval()


def test_forward_is_encode_and_step(model):
    """Teacher forcing on pictures equals `encode` and a loop over `step`."""
    tokens = torch.tensor([[1, 4, 5, 6], [1, 6, 5, 4]])
    pictures = torch.stack([to_tensor(picture(i)) for i in (0, 1)])
    whole = model(pictures, tokens)
    context = model.encode(pictures)
    state = model.decoder.start(context)
    for t in range(4):
        logits, state = model.step(tokens[:, t], context, state)
        torch.testing.assert_close(logits, whole[:, t], rtol=1e-5, atol=1e-5)


# ----------------------------------------------------------------------------------------------------------------
# Pictures that are like none


def test_familiarity_is_the_mahalanobis_distance():
    """Against NumPy's inverse covariance, of mean and deviation of every channel, in units of its limit."""
    train, val, other = (torch.randn(n, 3, 4, 4) * torch.rand(1, 3, 1, 1) + 1 for n in (400, 300, 20))
    familiarity = Familiarity(3)
    familiarity.fit(train, val)

    def vectors(x: torch.Tensor) -> np.ndarray:
        v = x.double().numpy()
        return np.concatenate([v.mean(axis=(2, 3)), v.std(axis=(2, 3), ddof=1)], axis=1)

    inverse = np.linalg.inv(np.cov(vectors(train).T))
    away = {n: vectors(x) - vectors(train).mean(axis=0) for n, x in (("val", val), ("other", other))}
    distance = {n: np.sqrt(np.einsum("bi,ij,bj->b", d, inverse, d)) for n, d in away.items()}
    expected = distance["other"] / np.quantile(distance["val"], 0.99)
    np.testing.assert_allclose(familiarity(other).numpy(), expected, rtol=1e-3)
    assert (familiarity(val) > 1).float().mean() == pytest.approx(0.01, abs=0.005)
    same = Familiarity(3)  # of vectors that were made part by part, when the maps are too many for memory
    same.fit(*(torch.cat([Familiarity.vector(part) for part in maps.split(70)]) for maps in (train, val)))
    torch.testing.assert_close(same(other), familiarity(other))


def test_a_channel_that_never_varies_does_not_alarm_by_itself():
    """Dead channels have no spread to divide by; ordinary pictures stay ordinary."""
    train, val = torch.randn(400, 3, 4, 4), torch.randn(300, 3, 4, 4)
    train[:, 1] = val[:, 1] = 0.5
    familiarity = Familiarity(3)
    familiarity.fit(train, val)
    assert familiarity.whiten.isfinite().all()
    assert (familiarity(val) > 1).float().mean() == pytest.approx(0.01, abs=0.005)
    assert (familiarity(val + 3) > 1).all()


def test_familiarity_travels_with_the_weights(model, tmp_path):
    """A model that has learned it gives the same strangeness when loaded; one that has not gives none."""
    assert np.isnan(model.strangeness(picture()))
    pictures = to_tensor(np.stack([picture(i) for i in range(40)]))
    with torch.inference_mode():
        maps = model.encoder.overnet.early(pictures).clone()
    other = UVLM(TINY, WORDS)
    other.load_state_dict(model.state_dict())
    other.familiarity = Familiarity(TINY.encoder.widths[1])
    other.eval().familiarity.fit(maps[:30], maps[30:])
    other.save(tmp_path / "weights.safetensors")
    back = UVLM.load(tmp_path / "weights.safetensors")
    # In memory its matrix lies the other way round, and a processor may add it up in another order.
    assert back.strangeness(picture(3)) == pytest.approx(other.strangeness(picture(3)), rel=1e-5)
    assert back.strangeness(picture(3)) > 0
    assert back.strangeness(np.full((64, 64, 3), 255, np.uint8)) > back.strangeness(picture(3))


def test_asking_for_strangeness_leaves_the_model_as_it_was(model):
    """In training, too, the answer is the same, and no batch statistic takes notice of the picture."""
    other = UVLM(TINY, WORDS)
    other.load_state_dict(model.state_dict())
    other.familiarity = Familiarity(TINY.encoder.widths[1])
    expected = other.eval().strangeness(picture())
    other.train()
    assert other.strangeness(picture()) == expected
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())
    assert other.training and other.encoder.training


# ----------------------------------------------------------------------------------------------------------------
# Configurations


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_survives_json(name):
    """The one that comes back is equal, tuples included."""
    assert UVLMConfig.from_dict(json.loads(json.dumps(PRESETS[name].to_dict()))) == PRESETS[name]


def test_the_mini_model_is_small_enough():
    """At most a million parameters in all, with the scenes' vocabulary of about 120 words."""
    model = UVLM(preset("mini"), Vocabulary([f"word{i}" for i in range(116)]))
    assert sum(p.numel() for p in model.parameters()) <= 1_000_000


@pytest.mark.parametrize("change", [{"features": 11}, {"side": 4}])
def test_parts_that_do_not_fit_are_refused(change):
    """The sentence gives both sides' channels and side."""
    with pytest.raises(ValueError, match=r"gives 10 channels of side 8, the decoder expects .*make them equal"):
        replace(TINY, decoder=replace(TINY.decoder, **change))


def test_presets_are_chosen_by_name():
    """With fields replaced; an unknown name is answered with the known ones."""
    assert preset("mini", longest=9) == replace(PRESETS["mini"], longest=9)
    with pytest.raises(ValueError, match="no preset 'maxi'; use one of mini, t, s, b"):
        preset("maxi")
