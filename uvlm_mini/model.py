"""The whole model: encoder, decoder and vocabulary, in one file on disk."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from . import search
from .config import UVLMConfig
from .datasets.vocab import SPECIALS, Vocabulary
from .decoder import AttSSM, Context, State
from .encoder import OverMod

FORMAT = "uvlm-mini 1"  # in every checkpoint; a file without it is not ours


class Familiarity(nn.Module):
    """Tells how unlike its training pictures a picture is, from the maps of OverNet's second stage.

    Mean and standard deviation of every channel make a vector; its Mahalanobis distance from the training pictures'
    vectors is compared with the distance that one validation picture in a hundred exceeds. Early maps serve better
    than late ones: they still tell strokes and textures that the later stages have learnt to overlook.

    Parameters
    ----------
    channels : channels C of the maps.
    """

    ALARMS = 0.01  # share of ordinary pictures that are warned of

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2 * channels))
        self.register_buffer("whiten", torch.eye(2 * channels))
        self.register_buffer("limit", torch.ones(()))

    @staticmethod
    def vector(maps: Tensor) -> Tensor:
        """(B, C, h, w) maps -> (B, 2C), all that is asked of them; what is a vector already stays one."""
        return maps if maps.ndim == 2 else torch.cat([maps.mean((2, 3)), maps.std((2, 3))], 1)

    def fit(self, train: Tensor, val: Tensor) -> None:
        """Learn from maps of training pictures, and set the limit on those of validation pictures; or their vectors."""
        vectors = self.vector(train).double()
        self.mean = vectors.mean(0).float()
        spread, axes = torch.linalg.eigh(torch.cov(vectors.T))
        # Directions in which the pictures hardly vary would drown the others in rounding errors: they are held back.
        scale = spread.clamp(min=float(spread[-1]) * 1e-5).rsqrt()
        self.whiten = (axes * scale).float()
        self.limit = torch.ones(())
        self.limit = torch.quantile(self(val), 1 - self.ALARMS)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps or vectors -> (B,) distance in units of the limit: above 1, a picture is unlike anything trained on."""
        return ((self.vector(maps) - self.mean) @ self.whiten).norm(dim=1) / self.limit


class UVLM(nn.Module):
    """A captioner.

    Parameters
    ----------
    config : sizes of both parts.
    vocabulary : the words that it can say; stored with the weights, so that a caption is never decoded with others.
    """

    def __init__(self, config: UVLMConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.encoder = OverMod(config.encoder)
        self.decoder = AttSSM(config.decoder, len(vocabulary))
        self.familiarity: Familiarity | None = None  # learned when a training is over

    def forward(self, pictures: Tensor, tokens: Tensor) -> Tensor:
        """Teacher forcing: (B, 3, S, S) pictures and (B, T) previous words -> (B, T, V) logits."""
        return self.decoder(self.encoder(pictures), tokens)

    def encode(self, pictures: Tensor) -> Context:
        """(B, 3, S, S) pictures -> what the decoder needs of them at every step."""
        return self.decoder.prepare(self.encoder(pictures))

    def step(self, token: Tensor, context: Context, state: State) -> tuple[Tensor, State]:
        """One word; see AttSSM.step."""
        return self.decoder.step(token, context, state)

    @torch.inference_mode()
    def caption(self, picture: np.ndarray | Tensor, width: int = 3) -> str:
        """The caption of one picture: (S, S, 3) uint8, or (3, S, S) as `to_tensor` makes it."""
        return self.captions(picture, width)[0][0]

    @torch.inference_mode()
    def captions(self, picture: np.ndarray | Tensor, width: int = 3) -> list[tuple[str, float]]:
        """The `width` best captions of one picture, each with its log-probability (natural logarithm, EOS included)."""
        tensor = picture if isinstance(picture, Tensor) else to_tensor(picture)
        training = self.training
        self.eval()
        found = search.beam(self.decoder, self.encoder(tensor[None]), width, self.config.longest)[0]
        self.train(training)
        return [(self.vocabulary.decode(f.tokens), f.log_prob) for f in found]

    @torch.inference_mode()
    def samples(
        self, picture: np.ndarray | Tensor, number: int, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0
    ) -> list[tuple[str, float]]:
        """`number` captions of one picture drawn by lot, each with its log-probability; see search.sample.

        The same seed draws the same captions, whatever else was drawn before.
        """
        if not 0 <= seed < 2**63:
            raise ValueError(f"A seed is a whole number from 0 to 2**63 - 1, not {seed}.")
        tensor = picture if isinstance(picture, Tensor) else to_tensor(picture)
        dice = torch.Generator().manual_seed(seed)
        training = self.training
        self.eval()
        features = self.encoder(tensor[None])
        found = search.sample(self.decoder, features, number, temperature, top_p, dice, self.config.longest)[0]
        self.train(training)
        return [(self.vocabulary.decode(f.tokens), f.log_prob) for f in found]

    @torch.inference_mode()
    def strangeness(self, picture: np.ndarray | Tensor) -> float:
        """How unlike the training pictures this one is: above 1, a caption of it deserves no trust.

        NaN for a model that was saved before its training was over.
        """
        tensor = picture if isinstance(picture, Tensor) else to_tensor(picture)
        if self.familiarity is None:
            return math.nan
        training = self.training
        self.eval()
        strange = float(self.familiarity(self.encoder.overnet.early(tensor[None]))[0])
        self.train(training)
        return strange

    def save(self, path: str | Path, **notes: str) -> None:
        """Write weights, configuration and vocabulary to one safetensors file; an older file survives a failure."""
        about = {"config": json.dumps(self.config.to_dict()), "words": json.dumps(self.vocabulary.words), **notes}
        write_tensors(path, self.state_dict(), about)

    @staticmethod
    def load(path: str | Path) -> UVLM:
        """The model in a file that `save` wrote, in eval mode.

        Raises
        ------
        ValueError : not such a file, truncated, or of another architecture.
        FileNotFoundError : no such file.
        """
        tensors, about = read_tensors(path)
        words = json.loads(about.get("words", "[]"))
        if tuple(words[: len(SPECIALS)]) != SPECIALS:
            raise ValueError(f"{path} holds no vocabulary of this package; give a file written by `uvlm train`.")
        model = UVLM(UVLMConfig.from_dict(json.loads(about["config"])), Vocabulary(words[len(SPECIALS) :]))
        if any(name.startswith("familiarity.") for name in tensors):
            model.familiarity = Familiarity(model.config.encoder.widths[1])
        fit_weights(model, tensors, path)
        return model.eval()


def to_tensor(picture: np.ndarray) -> Tensor:
    """(..., S, S, 3) uint8 -> (..., 3, S, S) float32 in [-1, 1): the value v becomes (v - 128) / 128, so int8
    pixels are the same numbers with the scale 1/128 and the zero point 0."""
    tensor = torch.from_numpy(np.array(picture)).to(torch.float32)  # a copy: read-only arrays make torch warn
    return ((tensor - 128.0) / 128.0).movedim(-1, -3)


def fit_weights(model: nn.Module, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Load `tensors` into the model, or say in one sentence what does not fit."""
    own = model.state_dict()
    missing, extra = own.keys() - tensors.keys(), tensors.keys() - own.keys()
    wrong = [k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape]
    if missing or extra or wrong:
        example = sorted([*missing, *extra, *wrong])[0]
        raise ValueError(
            f"{path} is of another architecture ({len(missing)} weights missing, {len(extra)} unknown, {len(wrong)} of "
            f"another shape, for example {example}); load it with the version that wrote it, or train again."
        )
    model.load_state_dict(tensors)


def write_tensors(path: str | Path, tensors: dict[str, Tensor], about: dict[str, str]) -> None:
    """Write tensors and notes as safetensors, atomically: beside the target first, then renamed onto it."""
    from safetensors.torch import save

    path = Path(path)
    blob = save({k: v.detach().contiguous() for k, v in tensors.items()}, {"format": FORMAT, **about})
    beside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        if beside.exists():
            beside.unlink()
        raise OSError(
            error.errno,
            f"Could not write {path} ({error.strerror}); what stood there before is unharmed. Make room or choose "
            "another folder, then resume.",
        ) from None


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and notes of a file that `write_tensors` wrote."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}; give a .safetensors file written by `uvlm train`.")
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or not a checkpoint ({error}); copy it again or train again.") from None
    if about.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not a checkpoint of this package (format {about.get('format')!r}, expected {FORMAT!r})."
        )
    return tensors, about
