"""What `uvlm check` prints keeps to its width, whatever the verdict holds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uvlm_mini.npu.check import NodeVerdict, Verdict
from uvlm_mini.npu.operators import SOURCES, TARGETS
from uvlm_mini.npu.report import NARROWEST, table
from uvlm_mini.npu.rows import PLACES

letters = st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"])
texts = st.one_of(st.text(letters, max_size=300), st.sampled_from(["name" * 60, "a reason " * 30]))
sizes = st.one_of(st.integers(0, 2000), st.integers(0, 10**15))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(NARROWEST, 160))
def test_no_line_is_longer_than_the_width(data: st.DataObject, width: int) -> None:
    """Long names, reasons and shapes, large counts, hundreds of nodes of one kind."""
    shapes = st.one_of(st.none(), st.lists(st.integers(0, 10**6), max_size=6).map(tuple))
    nodes = tuple(
        NodeVerdict(
            data.draw(st.integers(i, 99_999)), "", data.draw(texts), data.draw(texts),
            data.draw(st.sampled_from(PLACES)), data.draw(texts),
            tuple(data.draw(st.sets(st.sampled_from(sorted(SOURCES)), max_size=4))), data.draw(shapes),
            data.draw(sizes), 0,
        )
        for i in range(data.draw(st.integers(1, 6)))
    ) * data.draw(st.sampled_from([1, 40]))  # fmt: skip
    answers = st.sampled_from([None, True, False])
    verdict = Verdict(
        data.draw(texts), data.draw(st.sampled_from(TARGETS)), data.draw(st.sampled_from(["float", "int8", "mixed"])),
        nodes, data.draw(sizes), 0, "the file's own order of nodes", data.draw(sizes), data.draw(sizes),
        sum(node.multiply_adds for node in nodes), {key: data.draw(answers) for key in ("sram", "flash", "budget")},
        tuple(data.draw(st.lists(texts, max_size=3))),
    )  # fmt: skip
    lines = table(verdict, width).splitlines()
    assert max(map(len, lines)) <= width and len(lines) > 8


def test_too_narrow_is_one_sentence() -> None:
    verdict = Verdict("f", "stm32n6", "float", (), 0, 0, "", 0, 0, 0, {}, ())
    with pytest.raises(ValueError, match=r"^The table needs 80 columns and got 79; give it more\.$"):
        table(verdict, 79)
