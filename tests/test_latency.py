"""The latency model finds what made its rows, does not know the paper, and says how wrong it is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import latency as benchmark
from uvlm_mini import paper
from uvlm_mini.npu import latency
from uvlm_mini.npu.latency import ROWS, Constants, Work, fit, predict
from uvlm_mini.npu.nets import Layer
from uvlm_mini.npu.operators import CHIPS, RUNS
from uvlm_mini.paths import result

TRUE = Constants(350.0, 90.0, 1.1, 0.7, 40.0)
SIZES = st.integers(0, 10**9)


@pytest.mark.parametrize("rate", [60.0, 300.0])
def test_constants_of_synthetic_rows_are_found(rate: float) -> None:
    """Rows made by known constants give these back, also where many layers wait for multiply-adds."""
    true = replace(TRUE, npu_gmac_s=rate)
    made = [replace(row, ms=predict(row.work, true).ms) for row in ROWS]
    found = fit(made, rate)
    for name in ("flash_mb_s", "software_cycles", "product_gv_s", "element_gv_s", "external_ms_mb"):
        assert getattr(found, name) == pytest.approx(getattr(true, name), rel=1e-6), name
    assert max(map(abs, latency.errors(made, found).values())) < 1e-6


def test_noise_of_a_share_moves_them_little() -> None:
    """Two per cent on every time: all within twenty per cent."""
    noise = 1 + 0.02 * np.random.default_rng(0).standard_normal(len(ROWS))
    made = [replace(row, ms=predict(row.work, TRUE).ms * n) for row, n in zip(ROWS, noise, strict=True)]
    found = fit(made)
    assert found.flash_mb_s == pytest.approx(TRUE.flash_mb_s, rel=0.2)
    assert found.product_gv_s == pytest.approx(TRUE.product_gv_s, rel=0.2)
    assert found.element_gv_s == pytest.approx(TRUE.element_gv_s, rel=0.2)


def test_the_paper_has_no_part_in_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With other times and sizes in the paper the constants stay, and the predictions of its times change."""
    before = fit()
    strange = {key: replace(row, ms=row.ms * 3, size_mb=row.size_mb * 2) for key, row in paper.DEPLOYMENT.items()}
    monkeypatch.setattr(paper, "DEPLOYMENT", strange)
    assert fit() == before
    step = Work(paper.DEPLOYMENT["attssm"].size_mb * 1e6)
    assert predict(step, before).ms > 1.9 * 8.2e3 / before.flash_mb_s
    assert not any(word in row.name for row in ROWS for word in ("OverMod", "AttSSM", "LSTM"))


def test_rows_are_those_of_chapter_1() -> None:
    """What stands in the operators' table, rounded to KiB, stands here with its digits."""
    ours = {(row.network, row.variant, row.side, row.classes): row for row in ROWS}
    seen = 0
    for run in RUNS:
        network, _, variant = run.model.replace("EfficientNetV2-", "EfficientNetV2 ").partition(" ")
        row = ours.get((network, variant, run.side, {"ImageNet": 1000, "food101": 101}.get(run.data, 0)))
        if row is not None:
            seen += 1
            assert round(row.kib) == run.weights_kib and round(row.external_kib) == run.external_kib
            assert row.ms == pytest.approx(run.ms, abs=0.02)
    assert seen == 11


@given(SIZES, SIZES, SIZES, SIZES, SIZES, SIZES, SIZES)
def test_more_work_takes_no_less_time(macs, values, weight, software, cycles, outside, more) -> None:
    """Monotone in multiply-adds, values, bytes, software, cycles and what lies outside; and never negative."""
    c = fit()
    layer = Layer(macs, values)
    work = Work(weight, (layer,), software, cycles, outside)
    ms = predict(work, c).ms
    assert ms >= 0
    for bigger in (
        replace(work, weight_bytes=weight + more),
        replace(work, software=software + more),
        replace(work, cycles=cycles + more),
        replace(work, external_bytes=outside + more),
        replace(work, layers=(replace(layer, values=values + more),)),
        replace(work, layers=(replace(layer, macs=macs + more),)) if macs else work,
        replace(work, layers=(layer, Layer(more, more))),
    ):
        assert predict(bigger, c).ms >= ms


def test_a_prediction_by_hand() -> None:
    """One layer that waits for its values, one for its multiply-adds, one elementwise."""
    c = Constants(400.0, 100.0, 2.0, 0.5, 10.0, 300.0)
    layers = (Layer(300, 2_000_000), Layer(900_000_000, 2_000), Layer(0, 1_000_000))
    p = predict(Work(4e6, layers, software=8_000, cycles=800_000, external_bytes=5e5), c)
    assert (p.flash, p.cpu, p.external) == (10.0, 2.0, 5.0)
    assert p.npu == pytest.approx(1.0 + 3.0 + 2.0)
    assert p.ms == pytest.approx(23.0) and p.bound == "flash"
    assert predict(Work(0, layers), c).bound == "npu"


def test_interval_covers_every_reading_and_is_widened() -> None:
    """Its ends are the least and the greatest prediction, moved apart by the error."""
    works = [Work(4e6), Work(8e6)]
    options = [Constants(400.0, 0, 1, 1), Constants(200.0, 0, 1, 1)]
    assert latency.interval(works, options) == (10.0, 40.0)
    assert latency.interval(works, iter(options), 0.1) == pytest.approx((9.0, 44.0))


def test_nonnegative_least_squares() -> None:
    """A negative part is left out and the rest solved anew; a positive solution is the usual one."""
    a = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert latency.nonnegative(a, a @ [2.0, 3.0]) == pytest.approx([2.0, 3.0])
    x = latency.nonnegative(a, np.array([2.0, -3.0, 0.0]))
    assert x == pytest.approx([1.0, 0.0])
    assert latency.nonnegative(a, -np.ones(3)) == pytest.approx([0.0, 0.0])


def test_pairs_differ_in_classes_alone() -> None:
    """Nine of them; none with activations outside the chip."""
    found = latency.pairs(ROWS)
    assert len(found) == 9
    for a, b in found:
        assert (a.network, a.variant, a.side) == (b.network, b.variant, b.side) and a.classes < b.classes
        assert not a.external_kib and not b.external_kib
    assert len(latency.on_chip()) == 18 and len({row.name for row in latency.on_chip()}) == 9


def test_residuals_and_networks_left_out() -> None:
    """Within six per cent on the chip, fitted or left out; a network that is left out is predicted no better."""
    inside = latency.on_chip()
    own, out = latency.errors(inside, fit()), latency.left_out(inside)
    assert own.keys() == out.keys()
    assert max(map(abs, own.values())) < 0.06 and max(map(abs, out.values())) < 0.06
    assert latency.rms(out.values()) > latency.rms(own.values())
    families = latency.left_out(inside, key=lambda row: row.network)
    assert max(map(abs, families.values())) < 0.1


def test_left_out_means_left_out() -> None:
    """A network's own times do not enter its prediction."""
    changed = [replace(row, ms=row.ms * 2) if row.variant == "1.4" else row for row in ROWS]
    name = "MobileNetV2 1.4 at 224, 1000 classes"
    before, after = latency.left_out(ROWS)[name], latency.left_out(changed)[name]
    assert after == pytest.approx((before + 1) / 2 - 1)


def test_what_the_docstring_says_is_weak() -> None:
    """The rate is not found, the flash is near its wires, sigma is another for YuNet, and hiding whole is refuted."""
    rates = latency.with_rate((60.0, 150.0, 300.0, 1000.0))
    best = min(error for _, error in rates.values())
    assert rates[150.0][1] < 1.5 * best and rates[1000.0][1] < 1.2 * best and rates[60.0][1] > 3 * best
    c = rates[300.0][0]
    facts = CHIPS["stm32n657"].facts
    wires = facts["flash_clock"].value * facts["flash_edges_per_cycle"].value * facts["flash_bytes_per_edge"].value
    assert 0 < c.flash_mb_s - wires < 2 * latency.flash_error(ROWS, c)["flash_mb_s"]
    others = benchmark.others(c)
    assert c.external_ms_mb > 2 * others["YuNet 640"]["ms a MB outside"]
    assert c.external_ms_mb > 4 * others["SqueezeNet 1.0 at 224"]["ms a MB outside"]
    worst = max(map(abs, latency.errors(latency.on_chip(), c).values()))
    assert 2 * worst < others["RegNetX 002 at 224"]["error"] < 0.15
    meet = latency.misfit(ROWS, c)
    assert meet["add"] < meet["hide in each layer"] < 1.5 * meet["add"] < meet["hide as a whole"] / 4


def test_bounds_from_below_hold_for_third_parties() -> None:
    """No published time is shorter than its multiply-adds at the nominal rate and its weights from the flash."""
    found = benchmark.others(fit())
    for name, row in found.items():
        assert row.get("at least", 0.0) < row["published"], name
    assert sum("at least" in row for row in found.values()) == 7


def test_too_few_rows_are_refused() -> None:
    """One sentence says how many there were."""
    with pytest.raises(ValueError, match="1 rows with 0 pairs do not tell"):
        fit(ROWS[:1])


def test_table_prints_every_row() -> None:
    """A line each, with the sign of its error."""
    lines = latency.table().splitlines()
    assert len(lines) == len(ROWS) + 1
    assert max(map(len, lines)) <= 96
    assert "+" in latency.table() and lines[1].startswith("MobileNet 0.25 at 224")


def test_the_papers_rows_in_the_result() -> None:
    """AttSSM within ten per cent; encoder and LSTM inside their intervals, and the step is bound by the flash."""
    row = result("latency")["rows"]["paper"]
    assert abs(row["attssm"]["point, error"]) < 0.1 and row["attssm"]["bound"] == "flash"
    assert row["attssm"]["low, readings alone"] > 0.9 * 21 and row["attssm"]["high, readings alone"] < 1.1 * 21
    for key, part in row.items():
        assert part["published"] == paper.DEPLOYMENT[key].ms
        assert part["inside"] and part["low"] < part["published"] < part["high"], key


def test_pieces_of_a_large_kernel() -> None:
    """Taken apart, a 7 x 7 kernel is six pieces: each reads the map, and all but the first add to what is there."""
    operators = [benchmark.Operator("convolution", 100, 100, (10, 1, 7, 7)), benchmark.Operator("hardswish", 100, 100)]
    (whole,), grn = benchmark.layers(operators, apart=False, alone=False)
    (apart, swish), _ = benchmark.layers(operators, apart=True, alone=True)
    assert (whole.macs, whole.values, whole.weights, grn) == (4900, 200, 490, 0)
    assert (apart.macs, apart.values, apart.weights) == (4900, 600 + 1100, 490)
    assert (swish.macs, swish.values) == (0, 200)


def test_encoders_have_the_papers_parameters() -> None:
    """Every reading within five per cent of the published 18.1 million, and GRN is seen in it."""
    for name in benchmark.ENCODERS:
        operators, parameters = benchmark.seen(name)
        published = paper.ENCODERS["b"].parameters_m
        assert published and parameters / 1e6 == pytest.approx(published, rel=0.05), name
        found, grn = benchmark.layers(operators, apart=False, alone=False)
        assert 0 < grn < sum(layer.values for layer in found)


def test_standard_error_of_the_flash() -> None:
    """Noise of a known share on the pairs moves beta as far as the standard error says, on average."""
    random = np.random.default_rng(0)
    exact = [replace(row, ms=predict(row.work, TRUE).ms) for row in ROWS]
    found, told = [], []
    for _ in range(30):
        noise = 1 + 1e-3 * random.standard_normal(len(ROWS))
        made = [replace(row, ms=row.ms * n) for row, n in zip(exact, noise, strict=True)]
        c = latency.fit_flash(made, TRUE)
        found.append(c.flash_mb_s)
        told.append(latency.flash_error(made, c)["flash_mb_s"])
    assert 0.5 < np.std(found) / np.mean(told) < 2
