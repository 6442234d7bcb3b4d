"""Bytes in int8 follow the rules, and the presets have the paper's sizes."""

import pytest
import torch
from torch import nn

from uvlm_mini import paper
from uvlm_mini.baselines.bahdanau import BahdanauLSTM
from uvlm_mini.config import PRESETS
from uvlm_mini.decoder import AttSSM
from uvlm_mini.encoder import GRN, Classifier
from uvlm_mini.npu.size import int8_bytes
from uvlm_mini.reparam import fuse
from uvlm_mini.ssm import SelectiveSSM


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Linear(7, 5, bias=False), 5 * 7 + 5 * 4),
        (nn.Linear(7, 5), 5 * 7 + 5 * 4 + 5 * 4),
        (nn.Conv2d(6, 4, 3, groups=2), 4 * 3 * 9 + 4 * 4 + 4 * 4),
        (nn.Embedding(9, 3), 9 * 3 + 9 * 4),
        (nn.LayerNorm(6), 2 * 12),
        (GRN(6), 2 * 12),
        (SelectiveSSM(4, 2, 3, 1), 8 * 4 + 8 * 4 + 7 * 8 + 7 * 4 + 8 + 8 * 4 + 8 * 4 + 2 * 24 + 2 * 8 + 4 * 8 + 4 * 4),
    ],
    ids=["matrix", "with bias", "convolution", "embedding", "LayerNorm", "GRN", "SSM"],
)
def test_bytes_by_hand(module, expected):
    """A byte a weight and a scale a row, four bytes a bias, two bytes what is no matrix."""
    assert int8_bytes(module) == expected


def test_what_is_tied_counts_once():
    """Two modules that share a matrix take its bytes once."""
    first, second = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
    second.weight = first.weight
    assert int8_bytes(nn.Sequential(first, second)) == int8_bytes(first)


@pytest.mark.parametrize("name", ["t", "s", "b"])
def test_decoders_of_the_presets_have_the_published_size(name):
    """8.2 MB within 3 %, and encoder and decoder together stay within the paper's 32 MB."""
    with torch.device("meta"):
        decoder = int8_bytes(AttSSM(PRESETS[name].decoder, paper.VOCABULARY))
        whole = int8_bytes(fuse(Classifier(PRESETS[name].encoder, 1000).eval())) if name == "b" else 0
    assert abs(decoder / 1e6 / paper.DEPLOYMENT["attssm"].size_mb - 1) < 0.03
    assert (decoder + whole) / 1e6 < paper.BUDGET_MB


def test_the_baseline_has_its_published_size():
    """LSTM with Bahdanau attention, 9.3 MB within 3 %."""
    with torch.device("meta"):
        bytes_ = int8_bytes(BahdanauLSTM(PRESETS["b"].decoder, paper.VOCABULARY))
    assert abs(bytes_ / 1e6 / paper.DEPLOYMENT["lstm"].size_mb - 1) < 0.03
