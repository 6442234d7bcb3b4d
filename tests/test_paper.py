"""The paper's published numbers agree with one another, and with what the text says about them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvlm_mini import paper
from uvlm_mini.npu.operators import CHIPS

ROWS = {row.model: row for row in paper.COMPARISON}


def test_generated_values():
    dynamic = paper.dynamic_conv_values(filters=256, channels=192, kernel=7)
    ours = paper.gsm_values(channels=192, height=7, width=7)
    assert (dynamic, ours) == (2_408_448, 9_408)
    assert dynamic / ours == 256 > 250  # the paper says "over 250x"


@given(st.integers(1, 512), st.integers(1, 512), st.integers(1, 17))
def test_the_saving_is_the_number_of_filters_where_kernel_and_map_have_one_side(filters, channels, side):
    ratio = paper.dynamic_conv_values(filters, channels, side) / paper.gsm_values(channels, side, side)
    assert ratio == pytest.approx(filters)


@given(st.integers(1, 4096), st.integers(1, 4096))
def test_the_ssm_is_smaller_exactly_if_3n_is_below_4h(hidden, state):
    assert (paper.ssm_count(hidden, state) < paper.lstm_count(hidden)) == (3 * state < 4 * hidden)


@given(st.integers(48, 4096), st.integers(1, 63))
def test_the_paper_s_almost_always(hidden, state):
    """N < 64 satisfies 3N < 4H from H = 48 on."""
    assert paper.ssm_count(hidden, state) < paper.lstm_count(hidden)


def test_counts_at_a_plausible_width():
    assert paper.lstm_count(512) == 2_097_152
    assert paper.ssm_count(512, 16) == 1_073_152
    assert paper.ssm_count(512, 16, expansion=4) == 2_121_728


def test_times_and_sizes_add_up():
    parts = paper.DEPLOYMENT
    assert parts["encoder"].ms + parts["attssm"].ms == paper.TTFT_MS == 208
    assert parts["attssm"].ms == paper.TBT_MS
    assert parts["encoder"].size_mb + parts["attssm"].size_mb == pytest.approx(ROWS["µVLM-b"].size_mb)
    assert paper.ENCODERS["b"].size_mb == parts["encoder"].size_mb
    assert parts["attssm"].size_mb / parts["attssm"].ms * 1000 == pytest.approx(390, abs=1)
    assert parts["lstm"].size_mb / parts["lstm"].ms * 1000 == pytest.approx(291, abs=1)


def test_budgets_are_those_of_the_chip():
    facts = CHIPS["stm32n657"].facts
    assert facts["sram"].value == paper.SRAM_MB
    assert facts["nominal_gops"].value == paper.NOMINAL_GOPS
    assert facts["power_below"].value == paper.POWER_BELOW_MW
    assert all(part.power_below_mw in (None, paper.POWER_BELOW_MW) for part in paper.DEPLOYMENT.values())


def test_comparison_is_corrected():
    for name, meteor, spice in (("SmallCap", 28.3, 21.5), ("RFNet", 27.7, 21.1), ("Up-Down", 27.7, 21.4)):
        row = ROWS[name]
        assert (row.bleu4, row.meteor, row.spice) == (None, meteor, spice)
    complete = [row for row in paper.COMPARISON if row.bleu4 is not None]
    assert [row.model for row in complete] == ["NIC", "µVLM-b", "µVLM-s", "µVLM-t"]


def test_corrected_columns_rank_as_cider_does():
    """Read uncorrected, the three best models by CIDEr would have the three worst METEOR scores."""
    strong = [row for row in paper.COMPARISON if row.bleu4 is None]
    weak = [row for row in paper.COMPARISON if row.bleu4 is not None]
    assert min(row.cider for row in strong) > max(row.cider for row in weak)
    assert min(row.meteor for row in strong) > max(row.meteor for row in weak)
    assert min(row.spice for row in strong) > max(row.spice for row in weak)
    assert max(row.spice for row in strong) < min(row.meteor for row in weak)  # what the shift would have printed


def test_only_the_three_own_models_keep_the_memory_budget():
    small = {row.model for row in paper.COMPARISON if row.size_mb < paper.BUDGET_MB}
    assert small == {"µVLM-t", "µVLM-s", "µVLM-b"} == {row.model for row in paper.COMPARISON if row.hardware_aware}


def test_ablation_steps():
    scores = [step.score for step in paper.ABLATION]
    gains = [round(after - before, 1) for before, after in pairwise(scores)]
    assert gains == [5.9, 5.7, 10.7]
    assert scores[-1] == ROWS["µVLM-b"].cider
    assert [step.score for step in paper.ENCODER_ABLATION] == [79.2, 79.0]
    assert paper.ENCODER_ABLATION[0].score == paper.ENCODERS["t"].top1


def test_an_int8_encoder_takes_a_little_more_than_a_byte_a_parameter():
    encoder = paper.ENCODERS["b"]
    assert 1.0 < encoder.size_mb / encoder.parameters_m < 1.25
