"""A row of an operator table in the words of a verdict: where a node runs, and why."""

from __future__ import annotations

from collections.abc import Sequence

from uvlm_mini.npu.operators import lookup

PLACES = ("hw", "conditional", "hybrid", "software", "folded", "refused", "unknown")
NPU = PLACES[:3]  # what an unknown shape or a float may take away
Found = tuple[str, str]  # a place, and why; an empty reason where there is nothing to say


def answer(target: str, row: str) -> Found:
    """What a row says whose condition, if it has one, is not looked up here."""
    rule = lookup(target, row)
    if rule is None:
        return "unknown", "no source names it"
    if rule.where == "none":
        return "software", rule.constraints or "read by the tool, but no mapping to the NPU is listed"
    place = {"sw": "software", "hw?": "conditional"}.get(rule.where, rule.where)
    return place, rule.constraints if place != "hw" else ""


def seen(target: str, row: str) -> str:
    """What was seen against a row, and who saw it, as part of a reason."""
    rule = lookup(target, row)
    assert rule is not None and rule.seen, row
    return f"{rule.seen[0].lower()}{rule.seen[1:].rstrip('.')} (src {''.join(rule.sources)})"


def x(numbers: Sequence[int]) -> str:
    """A shape as text: 3x3."""
    return "x".join(map(str, numbers))
