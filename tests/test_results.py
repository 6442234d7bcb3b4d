"""Committed results are what the code still gives."""

import math

import pytest

from benchmarks import dataset, record, shipped
from uvlm_mini.model import UVLM, read_tensors


def flat(row: dict, prefix: str = "") -> dict[str, float | None]:
    """A nested row as one level of names."""
    found: dict[str, float | None] = {}
    for key, value in row.items():
        found |= flat(value, f"{prefix}{key}/") if isinstance(value, dict) else {prefix + key: value}
    return found


def agree(result: dict, name: str, again: dict) -> None:
    """The row computed again equals the committed one, or stays within its spread if the sources have changed."""
    same = record.source_hash(result["sources"]["files"]) == result["sources"]["sha256"]
    spread = 1e-3 if same else max(result["spread"], 1e-3)
    old, new = flat(result["rows"][name]), flat(again)
    assert old.keys() == new.keys()
    for key, value in old.items():
        if value is None:
            assert new[key] is None, key
        else:
            assert math.isclose(new[key], value, rel_tol=spread, abs_tol=spread), (key, value, new[key])


def test_dataset() -> None:
    """The first pictures of the validation split still have the words and the variety that the sheet tells."""
    agree(record.load("dataset"), "first 50 of val", dataset.measure("val", dataset.SMALL))


def test_shipped() -> None:
    """The shipped weights still get the scores that their card tells, on the first pictures of the test split."""
    again = shipped.measure(UVLM.load(record.ROOT / shipped.WEIGHTS), "test", shipped.SMALL, java=False)
    agree(record.load("shipped"), "first 40 of test", again)


def test_a_changed_number_is_noticed() -> None:
    """The comparison fails where a number is another: it is not vacuous."""
    result = record.load("dataset")
    row = result["rows"]["first 50 of val"]
    with pytest.raises(AssertionError):
        agree(result, "first 50 of val", {**row, "words a caption": row["words a caption"] * 1.01})


def test_card_tells_the_file() -> None:
    """The model card is what the result file and the weights make of it, to the letter."""
    path = record.ROOT / shipped.WEIGHTS
    _, about = read_tensors(path)
    card = (record.ROOT / "data" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card == shipped.card(record.load("shipped")["rows"], about, UVLM.load(path))
