"""The checker of C exercises, chapters 9 and 10, takes what is right, and says of all else what is wrong with it."""

import json
import re
from functools import partial

import pytest

from tests.answers import withstands
from tests.conftest import ROOT
from uvlm_mini.exercises.c_kernels import CHECKSUM, CURVE, PRODUCT, SIGMOID, Exercise, check
from uvlm_mini.kernels.compilers import find

pytest.importorskip("cffi")
try:
    find()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

# Those that are right, of which the notebook's may differ

RIGHT = {
    "curve": """
{
    int8_t table[256];
    for (int32_t q = -128; q < 128; q++) {
        float share = 1.0f / (1.0f + expf(-scale * q));
        table[q + 128] = (int8_t)floorf(255.0f * share - 128.0f + 0.5f);
    }
    for (int32_t i = 0; i < count; i++) y[i] = table[x[i] + 128];
}
""",
    "product": """
{
    for (int32_t i = 0; i < rows; i++) y[i] = 0;
    for (int32_t j = 0; j < columns; j++, weight += rows)
        for (int32_t i = 0; i < rows; i++) y[i] += weight[i] * x[j];
}
""",
    "sigmoid": """
{
    for (int32_t i = 0; i < count; i++) y[i] = uvlm_least_f32(-fabsf(x[i]) * UVLM_LOG2E);
    for (int32_t i = 0; i < count; i++) {
        float e = uvlm_exp2_poly(y[i]);
        y[i] = (x[i] >= 0.0f ? 1.0f : e) / (1.0f + e);
    }
}
""",
    "checksum": """
{
    static uint32_t table[256];
    for (uint32_t i = 0; i < 256 && !table[255]; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
        table[i] = crc;
    }
    uint32_t crc = 0xFFFFFFFFu;
    for (int32_t i = 0; i < count; i++) crc = crc >> 8 ^ table[(crc ^ x[i]) & 255];
    *sum = ~crc;
}
""",
}
ALL = pytest.mark.parametrize("exercise", [CURVE, PRODUCT, SIGMOID, CHECKSUM], ids=lambda e: e.name)


def text(exercise: Exercise, body: str) -> str:
    """The function with this body."""
    return f'#include <stdlib.h>\n#include "exp_f32.h"\n{exercise.declaration[:-1]} {body}'


def changed(exercise: Exercise, old: str, new: str) -> str:
    """What is right, with one thing changed."""
    body = RIGHT[exercise.name]
    assert body.count(old) >= 1
    return text(exercise, body.replace(old, new, 1))


@ALL
def test_the_chapter_begins_with_the_plain_function(exercise: Exercise) -> None:
    """What the student finds in the first cell is what speed is measured against, in the letter but for comments.

    Were it another text with the same results, a compiler could make the one faster than the other: the newest clang
    does so with a checksum whose polynomial it knows.
    """

    def bare(c: str) -> str:
        return re.sub(r"\s+", "", re.sub(r"/\*.*?\*/|//[^\n]*", "", c, flags=re.S))

    cells = (
        "".join(cell["source"])
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        for cell in json.loads(path.read_text(encoding="utf8"))["cells"]
        if cell["cell_type"] == "code"
    )
    first = next(cell for cell in cells if cell.startswith(f'my_{exercise.name} = r"""'))
    assert bare(first.split('"""')[1]) == bare(exercise.plain)


@ALL
def test_takes_what_is_right(exercise: Exercise) -> None:
    """And says how many times as fast it is."""
    verdict = check(exercise, text(exercise, RIGHT[exercise.name]))
    assert verdict and str(verdict).startswith("Right: "), verdict
    assert verdict.measured > exercise.gain


@ALL
def test_the_plain_function_is_right_and_not_fast(exercise: Exercise) -> None:
    """It is what a reader starts from."""
    verdict = check(exercise, exercise.plain)
    assert not verdict and "is right and in bounds, but not" in verdict.says, verdict


@ALL
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("int other;", "has no function"),
        ("int x = ;", "does not compile, your text:1"),
        ("int32_t {name}(void) {{ return 0; }}", "does not compile"),
        ("{stub}", "should be"),
    ],
    ids=["empty", "blank", "without the function", "syntax", "another function", "stub"],
)
def test_says_what_is_no_answer(exercise: Exercise, answer: str, says: str) -> None:
    """One sentence each, and none is taken."""
    stub = exercise.declaration[:-1] + " { }"
    verdict = check(exercise, answer.format(name=exercise.name, stub=stub))
    assert not verdict and says in verdict.says and str(verdict).startswith("Not yet: "), verdict


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{ y[rows] = 0; }", "not its own"),
        ("{ y[-1] = 0; }", "outside"),
        ("{ y[rows + 2000] = 0; }", "not its own"),
        ("{ volatile int8_t seen = weight[rows * columns]; y[seen & 0] = weight[0] * x[0]; }", "not its own"),
        ("{ volatile int8_t seen = x[-1]; y[seen & 0] = weight[0] * x[0]; }", "not its own"),
        ("{ ((int8_t *)x)[0] ^= 1; }", "changes x, which it should only read"),
        ("{ for (volatile int32_t i = 0; i < 1 || columns; i++) i = 0; }", "after 3 seconds; look for a loop"),
        ("{ *(volatile int32_t *)8 = rows; }", "not its own"),
        ("{ volatile int32_t none = 0; y[0] = columns / none; }", "divides by zero"),
        ("{ abort(); }", "SIGABRT"),
        ("{ exit(0); }", "instead of returning"),
    ],
)
def test_survives_what_c_can_do(body: str, says: str) -> None:
    """Whatever the text does, the answer is a sentence that tells the call."""
    verdict = check(PRODUCT, text(PRODUCT, body), seconds=3 if "volatile int32_t i" in body else 20)
    if says == "divides by zero" and "should be" in verdict.says:
        return  # a processor that gives 0 of it
    assert not verdict and says in verdict.says and "rows = 1, columns = 1" in verdict.says, verdict


@pytest.mark.parametrize(
    ("exercise", "old", "new"),
    [
        (CURVE, "q < 128", "q < 127"),  # one entry missing
        (CURVE, "+ 0.5f", ""),  # rounds down
        (CURVE, "x[i] + 128", "(uint8_t)x[i]"),  # the table turned
        (CURVE, "-scale", "-0.05f"),  # another scale
        (PRODUCT, "y[i] = 0;", ";"),  # adds to what was there
        (PRODUCT, "weight += rows", "weight += columns"),  # rows for columns
        (PRODUCT, "y[i] += weight[i] * x[j]", "y[i] = (int16_t)(y[i] + weight[i] * x[j])"),  # too narrow a sum
        (PRODUCT, "j = 0;", "j = 1;"),  # the first column missing
        (SIGMOID, "x[i] >= 0.0f ? 1.0f : e", "1.0f"),  # wrong on one side
        (SIGMOID, "-fabsf(x[i])", "-x[i]"),  # exp of what is above 0
        (SIGMOID, "uvlm_exp2_poly(y[i])", "(1.0f + y[i] / 1024)"),  # far too rough
        (SIGMOID, "uvlm_least_f32(-fabsf(x[i]) * UVLM_LOG2E)", "-fabsf(x[i]) * UVLM_LOG2E"),  # beyond the range
        (SIGMOID, "uvlm_exp2_poly(y[i])", "uvlm_exp2_poly(y[i]) * 1.0001f"),  # off by a little
        (CHECKSUM, "*sum = ~crc", "*sum = crc"),  # not complemented
        (CHECKSUM, "uint32_t crc = 0xFFFFFFFFu", "uint32_t crc = 0"),  # another start
        (CHECKSUM, "i = 0; i < count", "i = 1; i < count"),  # the first byte missing
        (CHECKSUM, "i < 256 &&", "i < 255 &&"),  # one entry missing
    ],
)
def test_notices_what_is_wrong(exercise: Exercise, old: str, new: str) -> None:
    """And tells a number that it should have been."""
    verdict = check(exercise, changed(exercise, old, new))
    assert not verdict and ("should be" in verdict.says or "not its own" in verdict.says), verdict


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, not a verdict on the answer."""
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(RuntimeError, match="CC is 'no-such-compiler'"):
        check(CURVE, CURVE.plain)


@ALL
def test_withstands_everything(exercise: Exercise) -> None:
    """No answer, other types, the plain function, and another function's text."""
    other = PRODUCT if exercise is not PRODUCT else CURVE
    withstands(partial(check, exercise), text(exercise, RIGHT[exercise.name]), [exercise.plain, other.plain, " "])
