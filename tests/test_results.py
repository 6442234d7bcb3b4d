"""Committed results are what the code still gives."""

import json
import math
from functools import partial
from pathlib import Path

import pytest

from benchmarks import (
    captions,
    card,
    cfq,
    core_cost,
    dataset,
    decoder_ablation,
    decoder_cost,
    decoders,
    encoder_ablation,
    encoder_peers,
    encoder_speed,
    gcdm_readings,
    int4,
    int8_steps,
    integer,
    kernels,
    latency,
    long_run,
    modulation_cost,
    norms,
    paper_cost,
    quarter,
    record,
    recurrence,
    scst_step,
    shipped,
    sizes,
    stages,
)
from uvlm_mini.model import UVLM, read_tensors
from uvlm_mini.paths import result


def flat(row: dict, prefix: str = "") -> dict[str, float | str | None]:
    """A nested row as one level of names."""
    found: dict[str, float | str | None] = {}
    for key, value in row.items():
        found |= flat(value, f"{prefix}{key}/") if isinstance(value, dict) else {prefix + key: value}
    return found


def agree(made: dict, name: str, again: dict) -> None:
    """The row computed again equals the committed one, or stays within its spread if the sources have changed."""
    same = record.source_hash(made["sources"]["files"]) == made["sources"]["sha256"]
    spread = 1e-3 if same else max(made["spread"], 1e-3)
    old, new = flat(made["rows"][name]), flat(again)
    assert old.keys() == new.keys()
    for key, value in old.items():
        if value is None or isinstance(value, str):
            assert new[key] == value, key
        else:
            assert math.isclose(new[key], value, rel_tol=spread, abs_tol=spread), (key, value, new[key])


def test_dataset() -> None:
    """The first pictures of the validation split still have the words and the variety that the sheet tells."""
    agree(result("dataset"), "first 50 of val", dataset.measure("val", dataset.SMALL))


def test_shipped() -> None:
    """The shipped weights still get the scores that their card tells, on the first pictures of the test split."""
    again = shipped.measure(UVLM.load(record.ROOT / shipped.WEIGHTS), "test", shipped.SMALL, java=False)
    agree(result("shipped"), "first 40 of test", again)


def test_stages() -> None:
    """The last stage's weights are the shipped ones, and score on the first test pictures what the file tells."""
    made = result("stages")
    agree(made, f"first {stages.SMALL} of test", stages.small())
    last, all_ = made["rows"]["scst"]["test"], result("shipped")["rows"]["test"]
    assert {k: v for k, v in last.items() if k != "words a caption"} == {k: v for k, v in all_.items() if k != "alarms"}


@pytest.mark.slow
def test_cfq() -> None:
    """CFQ on a few calibration pictures still scores the same on the first test pictures."""
    agree(result("cfq"), "first 40 of test", cfq.small())


def test_cfq_costs_what_it_may() -> None:
    """At most 1 % of CIDEr and half a point of truth against float, and not less than independent beyond the spread."""
    rows = result("cfq")["rows"]
    ours, real, apart = rows["cfq"], rows["float"], rows["independent"]
    assert min(ours["CIDEr"]["runs"]) > 0.99 * real["CIDEr"]
    assert ours["right"]["mean"] > real["right"] - 0.005
    assert ours["CIDEr"]["mean"] > apart["CIDEr"]["mean"] - max(ours["CIDEr"]["spread"], apart["CIDEr"]["spread"])
    whole = rows["whole test split"]
    assert whole["cfq"]["CIDEr"] > 0.99 * whole["float"]["CIDEr"]
    assert whole["cfq"]["right"] > whole["float"]["right"] - 0.005


def test_quarter() -> None:
    """A tiny model still learns in the same way through four stages, with an LSTM as its decoder."""
    agree(result("quarter"), "four tiny stages", quarter.small())


def test_encoder_ablation() -> None:
    """The first steps of the full encoder's training still give the same losses."""
    agree(result("encoder_ablation"), "five steps of full", encoder_ablation.small("full"))


def test_encoder_peers() -> None:
    """A peer still starts to learn in the same way, and another one still costs the same."""
    made = result("encoder_peers")
    agree(made, "five steps of MobileNetV2", encoder_peers.small("MobileNetV2"))
    encoder = encoder_peers.deploy(encoder_peers.build("ShuffleNetV2", 0).encoder.eval())
    agree(made, "costs of ShuffleNetV2", encoder_peers.costs("ShuffleNetV2", encoder))


def test_encoder_speed() -> None:
    """Both forms of the mini encoder still have the same number of nodes and parameters, and compute the same."""
    agree(result("encoder_speed"), "sizes of mini", encoder_speed.sizes("mini"))


def test_modulation_cost() -> None:
    """Learned numbers, multiply-adds and bytes on a map of 7 x 7 are still the same."""
    agree(result("modulation_cost"), "counted at 49", modulation_cost.counted([7]))


def test_core_cost() -> None:
    """Parameters, operators, multiply-adds and bytes of the cores of mini after 16 words are still the same."""
    agree(result("core_cost"), "counted at 160, 16 words", core_cost.counted(160, [16]))


def test_scst_step() -> None:
    """What people said still earns the same rewards, whole and cut off."""
    agree(result("scst_step"), f"references of {scst_step.SMALL}", scst_step.references(scst_step.SMALL))


def test_long_run() -> None:
    """The first 2,000 of the million steps reach the same states, and differ from float64 in the same digit."""
    agree(result("long_run"), f"first {long_run.SMALL}", long_run.small())


@pytest.mark.parametrize(
    ("table", "name"),
    [(decoders, "LSTM + Bahdanau"), (gcdm_readings, "vector, H-Swish"), (decoder_ablation, "+ channel modulation")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_tables_of_decoders(table, name: str) -> None:
    """One decoder of each table still starts to learn in the same way."""
    made = result(table.__name__.split(".")[-1])
    agree(made, f"five steps of {name}", captions.small(partial(table.build, name)))


def test_decoder_cost() -> None:
    """Multiply-adds, elementwise operations and weights of a step are still the same, and the bytes of preset t."""
    agree(result("decoder_cost"), "step counted", decoder_cost.step(timed=False))
    agree(result("decoder_cost"), "sizes of t", decoder_cost.sizes("t"))


def test_paper_cost() -> None:
    """Operations of a picture in stage 3 are still the same, and the page shows what the file holds, to the letter."""
    made = result("paper_cost")
    agree(made, "small", paper_cost.small())
    for name in paper_cost.NAMES:
        again = paper_cost.totals(made["rows"][name]["counted"])
        assert again == made["rows"][name]["operations"]
        assert made["rows"][name]["hours"]["whole"] == [round(h, 2) for h in paper_cost.hours(again["whole"])]
    page = (record.ROOT / paper_cost.PAGE).read_text(encoding="utf-8")
    assert page == paper_cost.page(page, made["rows"])


def test_integer() -> None:
    """The integer captioner still says of the first test pictures what onnxruntime's pair says, scores and all."""
    agree(result("integer"), f"first {integer.SMALL} of test", integer.small())


@pytest.mark.slow
def test_int4() -> None:
    """Four bits still get the same scores on the first test pictures; noise, bytes and times are the same."""
    made = result("int4")
    agree(made, f"first {int4.SMALL} of test", int4.small())
    agree(made, "noise", int4.noise())
    agree(made, "paper's size", int4.sizes())


def c_kernels() -> None:
    """Skip a test where the kernels cannot be compiled."""
    pytest.importorskip("cffi")
    from uvlm_mini.kernels import library

    try:
        library()
    except RuntimeError as none:
        pytest.skip(str(none))


def test_kernels_are_as_exact_as_the_file_says() -> None:
    """Every form of the recurrence and the norms that runs here is off by no more than the committed file allows."""
    c_kernels()
    made, one, many = result("kernels")["rows"], recurrence.given(1), recurrence.given()
    again = recurrence.errors(recurrence.c_contenders(one), one)
    scans = recurrence.scan_errors(recurrence.c_scans(many), many)
    assert all("y off" in made["recurrence"][name] for name in again) and all(name in made["scan"] for name in scans)
    for rows in (again, scans, {k: v for k, v in made["recurrence"].items() if "y off" in v}, made["scan"]):
        for name, row in rows.items():
            assert max(row["y off"], row["h off"]) < (0.02 if "int16" in name else 1e-6), name
    for title, norm in zip(made["norms"], (norms.layer_norms(), norms.grns()), strict=True):
        for name, row in norms.off(norm).items():
            committed = made["norms"][title][name]
            assert row.get("off", 0) < 1e-6 and committed.get("off", 0) < 1e-6
            assert abs(row.get("steps off", 0) - committed.get("steps off", 0)) < 2e-3 and row.get("steps off", 0) < 1.5


def test_kernels_read_the_bytes_that_the_decoders_have() -> None:
    """The parts' bytes add to the step's; the matrices are those that chapter 5 counts, a byte a number."""
    rows = result("kernels")["rows"]["step"]
    for decoder, name in zip(decoder_cost.decoders().values(), (int8_steps.SSM, int8_steps.LSTM), strict=True):
        held = rows[name]["bytes"]
        for what in ("weights", "bytes"):
            assert sum(held[part][what] for part in int8_steps.PARTS) == held["step"][what]
        modules = {
            part: of for part, of in decoder_cost.parts(decoder)[1].items() if part in ("look", "core", "output")
        }
        matrices = {
            id(p): p.numel() for of in modules.values() for m in of for p in m.parameters() if p.dim() > 1
        }  # A_log is a table of the scan's
        apart = decoder.ssm.A_log.numel() if name == int8_steps.SSM else 0
        assert held["step"]["weights"] == sum(matrices.values()) - apart
    assert rows["limit"]["buffer bytes"] >= rows[int8_steps.SSM]["bytes"]["step"]["bytes"]


def test_kernels_onnxruntime_has_fused_every_layer() -> None:
    """With activations in uint8 all ten Gemm are integer, and the one product that is not is the scan's own."""
    rows = result("kernels")["rows"]["step"]["onnxruntime"]
    for name, row in rows.items():
        if name.startswith("uint8"):
            assert row["fused"] == {"QGemm": 10, "QLinearConv": 1} and row["unfused"] == {"MatMul": 1}
            assert "SelectiveScan" in row["unfused names"]
    assert rows["float32"]["fused"] == {} and sum(rows["float32"]["unfused"].values()) == 12


def test_kernels_conclusions_follow_from_the_times() -> None:
    """Ratios, shares and what is reached are what the times of the same file make of them."""
    rows = result("kernels")["rows"]
    forms = rows["machine"]["forms"].split(", ")
    for form in forms:
        agree({**result("kernels"), "rows": rows["step"]["ratio"]}, form, int8_steps.ratio(rows["step"], form))
    assert kernels.reached(rows, forms[-1]) == rows["reached"]


def test_latency() -> None:
    """The model fitted again has the same constants and residuals, and says the same of the paper's three times."""
    made, again = result("latency"), latency.measure()
    assert made["rows"].keys() == again.keys()
    for name in made["rows"]:
        agree(made, name, again[name])


@pytest.mark.slow  # exports and calibrates
def test_sizes() -> None:
    """The shipped model's files still have as many bytes, kind by kind."""
    made = result("sizes")
    agree(made, "mini", {**sizes.measure(sizes.mini()), "published MB": None})


def test_sizes_do_not_depend_on_weights() -> None:
    """Other weights change less than a thousandth of a file; every file's kinds add to its bytes."""
    rows = result("sizes")["rows"]
    again = rows["mini again"]
    assert again["differ by"] < 1e-3 and again["shipped"] == rows["mini"]["int8"]
    for name in ("t", "s", "b", "mini"):
        for part in sizes.PARTS:
            assert sum(rows[name][f"int8, {part}"].values()) == rows[name]["int8"][part]


def test_a_changed_number_is_noticed() -> None:
    """The comparison fails where a number is another: it is not vacuous."""
    made = result("dataset")
    row = made["rows"]["first 50 of val"]
    with pytest.raises(AssertionError):
        agree(made, "first 50 of val", {**row, "words a caption": row["words a caption"] * 1.01})


@pytest.mark.parametrize("path", sorted(record.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_commands_run_anywhere(path: Path) -> None:
    """The command of a result file names no folder of the machine that it was made on."""
    command = json.loads(path.read_text(encoding="utf-8"))["command"].split()
    assert command[:2] == ["python", "-m"] and (record.ROOT / command[2].replace(".", "/")).with_suffix(".py").exists()
    assert not any(Path(part).is_absolute() for part in command)


def test_card_tells_the_file() -> None:
    """The model card is what the result file and the weights make of it, to the letter."""
    path = record.ROOT / shipped.WEIGHTS
    _, about = read_tensors(path)
    told = (record.ROOT / "data" / "MODEL_CARD.md").read_text(encoding="utf-8")
    others = shipped.made("stages"), shipped.made("quarter")
    assert told == card.card(result("shipped")["rows"], about, UVLM.load(path), *others)
