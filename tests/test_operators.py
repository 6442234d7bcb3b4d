"""The operator tables, the chips' figures and what chapter 1 shows of them."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvlm_mini.npu import operators, show
from uvlm_mini.npu.operators import CHIPS, IDEAS, RUNS, SOURCES, TARGETS, WHERE, lookup, rules, verdict
from uvlm_mini.paper import COMPARISON

ALL = [rule for target in TARGETS for rule in rules(target)]


def test_every_rule_uses_the_closed_sets():
    for rule in ALL:
        assert rule.target in TARGETS
        assert rule.where in WHERE, rule
        assert rule.sources and set(rule.sources) <= set(SOURCES), rule
        assert len(set(rule.sources)) == len(rule.sources), rule


def test_every_word_and_every_source_is_used():
    assert {rule.where for rule in ALL} == set(WHERE)
    assert {letter for rule in ALL for letter in rule.sources} == set(SOURCES)


def test_targets_keep_to_their_sources():
    st_letters = set("ABCDEFGHIJKL")
    assert {letter for rule in rules("stm32n6") for letter in rule.sources} == st_letters
    assert {letter for rule in rules("ethos-u55") for letter in rule.sources} == {"V"}
    assert {letter for rule in rules("max78000") for letter in rule.sources} == {"X"}


@pytest.mark.parametrize("target", TARGETS)
def test_no_operator_has_two_rows(target):
    """A second row for an operator would silently replace the first when the table is indexed."""
    rows = {"stm32n6": operators._STM32N6, "ethos-u55": operators._ETHOS_U55, "max78000": operators._MAX78000}[target]
    written = [op for ops, *_ in rows for op in ops.split("|")]
    assert len(written) == len(set(written)) == len(rules(target))
    assert all(op and op == op.strip() for op in written)


def test_the_tables_have_not_shrunk():
    assert {target: len(rules(target)) for target in TARGETS} == {"stm32n6": 80, "ethos-u55": 44, "max78000": 23}


def test_a_condition_is_stated_wherever_the_answer_depends_on_one():
    for rule in ALL:
        if rule.where in ("conditional", "hw?", "general", "unknown"):
            assert rule.constraints, rule
        assert not rule.constraints or rule.constraints.endswith("."), rule


@pytest.mark.parametrize(
    ("target", "op", "where"),
    [
        ("stm32n6", "Conv", "hw"),
        ("stm32n6", "Conv(dilated)", "hw?"),
        ("stm32n6", "HardSwish", "hw"),
        ("stm32n6", "Gemm", "conditional"),
        ("stm32n6", "MatMul", "conditional"),
        ("stm32n6", "Softmax", "conditional"),
        ("stm32n6", "ReduceMean", "conditional"),
        ("stm32n6", "Resize", "conditional"),
        ("stm32n6", "Transpose", "hybrid"),
        ("stm32n6", "Gather", "sw"),
        ("stm32n6", "ReduceSum", "sw"),
        ("stm32n6", "Identity", "folded"),
        ("stm32n6", "HardSigmoid", "unknown"),
        ("stm32n6", "LayerNormalization", "none"),
        ("stm32n6", "LSTM", "none"),
        ("stm32n6", "If", "refused"),
        ("stm32n6", "Einsum", "refused"),
        ("stm32n6", "NonMaxSuppression", "refused"),
        ("ethos-u55", "*", "general"),
        ("ethos-u55", "CONV_2D", "hw"),
        ("ethos-u55", "SOFTMAX", "hw"),
        ("ethos-u55", "BATCH_MATMUL", "sw"),
        ("ethos-u55", "LSTM", "sw"),
        ("max78000", "Conv2d", "hw"),
        ("max78000", "Conv2d(depthwise)", "refused"),
        ("max78000", "Softmax", "sw"),
        ("max78000", "Mul", "refused"),
    ],
)
def test_known_verdicts(target, op, where):
    rule = lookup(target, op)
    assert rule is not None and (rule.target, rule.op, rule.where) == (target, op, where)


def test_unknown_operators_are_called_unknown():
    assert lookup("stm32n6", "Det") is None
    assert lookup("stm32n6", "conv") is None  # names are matched exactly
    assert lookup("ethos-u55", "Conv") is None  # an ONNX name on a TensorFlow Lite tool
    assert lookup("ethos-u55", "COS") is None  # "(other)" is never applied to a name by itself
    found = verdict("stm32n6", ["Conv", "Det", "Conv"])
    assert [op for op, _ in found] == ["Conv", "Det", "Conv"]
    assert found[1][1] is None and found[0][1] == found[2][1] == lookup("stm32n6", "Conv")


known = {rule.op for rule in ALL}


@given(st.sampled_from(TARGETS), st.lists(st.one_of(st.text(max_size=12), st.sampled_from(sorted(known)))))
def test_verdict_is_lookup_in_order(target, ops):
    assert verdict(target, ops) == [(op, lookup(target, op)) for op in ops]


@pytest.mark.parametrize("call", [lambda t: rules(t), lambda t: lookup(t, "Conv"), lambda t: verdict(t, [])])
def test_an_unknown_target_is_one_clear_sentence(call):
    with pytest.raises(ValueError, match=r"^No operator table for target 'tpu': choose one of stm32n6, .*\.$"):
        call("tpu")


def test_ideas_name_operators_that_have_a_rule():
    for idea, names in IDEAS.items():
        assert set(names) <= set(TARGETS), idea
        for target, op in names.items():
            assert lookup(target, op) is not None, (idea, target, op)


# --------------------------------------------------------------------------------------------------------------------
# chips and runs


def test_on_chip_memory_is_the_sum_of_its_regions():
    chip = CHIPS["stm32n657"]
    assert chip.sram_kib == 2 * 1024 + 4 * 448 + 256 + 128 == 4224
    assert round(chip.sram_kib / 1000, 1) == chip.facts["sram"].value == 4.2


def test_every_fact_has_a_unit_and_a_source():
    for chip in CHIPS.values():
        for key, fact in chip.facts.items():
            assert fact.value > 0 and fact.unit and fact.source, (chip.name, key)
        assert bool(chip.memories) == bool(chip.memory_source)


def test_runs_are_told_apart_and_have_sources():
    keys = [(run.model, run.data, run.side) for run in RUNS]
    assert len(set(keys)) == len(RUNS) == 18
    assert all(run.ms > 0 and run.source for run in RUNS)


def test_a_larger_classifier_costs_what_the_flash_says():
    """Pairs that differ in the classifier alone: three pairs, one bandwidth, under the peak of the bus."""
    by_key = {(run.model, run.data, run.side): run for run in RUNS}
    rates = []
    for model, side in (("MobileNetV2 0.35", 128), ("MobileNetV2 0.35", 224), ("MobileNetV2 1.0", 224)):
        small, large = by_key[model, "food101", side], by_key[model, "ImageNet", side]
        assert small.activations_kib == large.activations_kib
        rates.append((large.weights_kib - small.weights_kib) * 1024 / (large.ms - small.ms) / 1000)
    assert rates == pytest.approx([381.5, 381.5, 384.0], abs=0.1)
    facts = CHIPS["stm32n657"].facts
    peak = facts["flash_clock"].value * facts["flash_edges_per_cycle"].value * facts["flash_bytes_per_edge"].value
    assert max(rates) < peak == 400


# --------------------------------------------------------------------------------------------------------------------
# what the chapter shows


def test_support_grid_agrees_with_lookup_and_says_where_it_knows_nothing():
    grid = show.support_grid()
    assert list(grid) == list(IDEAS)
    assert grid["softmax"] == ("conditional", "hw", "sw")
    assert grid["layer norm"] == ("none", show.NO_RULE, "refused")
    for idea, places in grid.items():
        for target, place in zip(TARGETS, places, strict=True):
            op = IDEAS[idea].get(target)
            assert place == (lookup(target, op).where if op else show.NO_RULE)
            assert place in show._LOOK  # every word that is drawn has a colour


def test_verdict_table_says_unknown_and_repeats_nothing():
    text = show.verdict_table("stm32n6", ["Conv", "Det", "LSTM", "Conv"])
    assert text.count("Conv") == 1
    assert "Det                unknown     -" in text
    assert "LSTM               none        B,L     Runs on the Cortex-M55." in text
    assert max(map(len, text.splitlines())) <= 78


def test_comparison_table_leaves_gaps_open():
    lines = show.comparison_table(COMPARISON).splitlines()
    assert lines[1].split() == ["SmallCap", "872", "no", "no", "-", "28.3", "21.5", "121.8"]
    assert lines[5].split() == ["µVLM-b", "29.6", "yes", "yes", "36.1", "26.9", "20.8", "117.8"]
    assert len({len(line) for line in lines}) == 1 and len(lines) == 1 + len(COMPARISON)


def test_tally_counts_each_word():
    text = show.tally({"one": ["hw", "hw", "sw"], "two": ["sw"]})
    assert [line.split() for line in text.splitlines()] == [["hw", "sw"], ["one", "2", "1"], ["two", "0", "1"]]


@given(st.floats(0.01, 1000), st.sampled_from([2, 4, 8, 16, 32]), st.floats(50, 450))
def test_budget_is_bytes_over_bandwidth(parameters_m, bits, speed):
    found = show.budget(parameters_m, bits, speed)
    assert found.weight_mb == pytest.approx(parameters_m * bits / 8)
    assert found.fits_sram <= found.fits_budget <= found.fits_flash
    if found.fits_sram:
        assert found.weight_mb * 1e6 <= 4224 * 1024 and found.step_ms == 0
    else:
        assert found.step_ms * speed == pytest.approx(1000 * found.weight_mb)
        assert found.step_ms * found.steps_per_s == pytest.approx(1000)


def test_budget_knows_the_paper_s_decoder():
    found = show.budget(8.2, 8, 8.2e6 / 21e-3 / 1e6)
    assert found.step_ms == pytest.approx(21) and not found.fits_sram and found.fits_budget


@pytest.mark.parametrize("bad", [(0, 8, 390), (8.2, -8, 390), (8.2, 8, 0)])
def test_budget_refuses_what_is_not_positive(bad):
    with pytest.raises(ValueError, match="must be positive"):
        show.budget(*bad)


def test_the_widget_s_table_follows_its_sliders():
    box = show.budget_widget()
    size, bits, speed, answer = box.children
    assert answer.value == show.budget_html(size.value, bits.value, speed.value)
    bits.value = 4
    assert answer.value == show.budget_html(8.2, 4, 390) and "4.1 MB" in answer.value
    size.value = 100
    assert "does not fit" in answer.value


def test_the_figures_draw_what_they_are_given():
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    grid = show.support_grid()
    words = [text.get_text() for text in show.plot_support(grid).axes[0].texts]
    assert words == [place for places in grid.values() for place in places]

    sizes = show.plot_sizes(COMPARISON, {"a": 4.2, "b": 32.0}).axes[0]
    assert sorted(bar.get_width() for bar in sizes.patches) == sorted(row.size_mb for row in COMPARISON)
    assert [line.get_xdata()[0] for line in sizes.lines] == [4.2, 32.0]
    assert sizes.get_xscale() == "log"

    rates = show.plot_rates({"x": 390.0, "y": 290.0, "z": 114.0}, 400.0, (381.0, 384.0)).axes[0]
    assert [bar.get_width() for bar in rates.patches][:3] == [390.0, 290.0, 114.0]
    plt.close("all")


def test_the_tables_need_the_standard_library_alone():
    code = (
        "import sys, importlib.util as u\n"
        "import types; sys.modules['uvlm_mini'] = p = types.ModuleType('uvlm_mini'); p.__path__ = sys.argv[1:]\n"
        "import uvlm_mini.npu.operators, uvlm_mini.paper, uvlm_mini.npu.show\n"
        "print([m for m in ('numpy', 'torch', 'matplotlib', 'ipywidgets') if m in sys.modules])"
    )
    package = operators.__file__.rsplit("npu", 1)[0]
    done = subprocess.run([sys.executable, "-c", code, package], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
