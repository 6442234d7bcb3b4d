"""What is read out of a blob is what its writer put in."""

from itertools import pairwise

import matplotlib
import numpy as np
import pytest

pytest.importorskip("cffi")

from uvlm_mini.deploy import layout, memory
from uvlm_mini.kernels.compilers import find
from uvlm_mini.paths import data_path

matplotlib.use("Agg")
try:
    find()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)


@pytest.fixture(scope="module")
def data() -> bytes:
    return data_path("uvlm_mini.bin").read_bytes()


def test_arrays_are_those_that_the_memory_map_counts(data) -> None:
    """By what they are, each once; the search's tables are no record's."""
    once = {(a.at, a.bytes): memory.PARTS.get(a.field, memory.OTHERS) for a in layout.arrays(data)}
    found = memory.contents(data)
    for what in ("weights", "biases", memory.OTHERS):
        assert sum(size for (_, size), kind in once.items() if kind == what) == found[what]
    assert all(at % 16 == 0 and at + size <= len(data) for at, size in once)


def test_the_tied_matrix_is_there_once(data) -> None:
    head, arrays = layout.header(data), layout.arrays(data)
    ties = [a for a in arrays if a.kind in ("logits", "word") and a.field == "weight"]
    assert [a.network for a in ties] == ["step", "word"] and ties[0][3:] == ties[1][3:]
    assert ties[0].bytes % head["words"] == 0


def test_segments_are_the_file(data) -> None:
    """From its beginning to its end, none over another, with no more between them than alignment."""
    rows = layout.segments(data)
    assert rows[0].at == 0 and rows[-1].at + rows[-1].bytes == len(data)
    gaps = [b.at - a.at - a.bytes for a, b in pairwise(rows)]
    assert min(gaps) >= 0 and sum(gaps) < 16 * len(rows)
    axis = layout.plot_layout(data).axes[0]
    assert len(axis.patches) == len(rows)
    assert sum(bar.get_width() for bar in axis.patches) == pytest.approx(sum(row.bytes for row in rows) / 1e3)


def test_a_blob_that_is_cut_off_is_told(data) -> None:
    for end in (0, 3, 40, 5000):
        with pytest.raises(ValueError, match="cut off or damaged"):
            layout.header(data[:end])
    assert np.frombuffer(data[:4], "<i4")[0] == layout.header(data)["magic"]
