"""C text from a string compiles, loads and computes; its instructions are those of the function that was named."""

import numpy as np
import pytest

from uvlm_mini.kernels.compilers import find
from uvlm_mini.kernels.source import assembly, compile_source, inner_loop

pytest.importorskip("cffi")
try:
    find()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

DOT = """
int32_t other(int32_t n) { return n / 7; }

int32_t dot(const int8_t *w, const int8_t *x, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += w[i] * x[i];
    return sum;
}
"""


def test_computes_what_it_says() -> None:
    """On memory of NumPy's, with the headers of csrc/ at hand."""
    text = '#include "exp_f32.h"\n' + DOT + "\nfloat two(float z) { return uvlm_exp2_poly(z); }"
    ffi, lib = compile_source(text, "int32_t dot(const int8_t *w, const int8_t *x, int32_t n); float two(float z);")
    w, x = np.random.default_rng(0).integers(-128, 128, (2, 999), np.int8)
    assert lib.dot(ffi.from_buffer("int8_t[]", w), ffi.from_buffer("int8_t[]", x), 999) == int(w.astype(int) @ x)
    assert lib.two(-3.0) == 0.125


def test_says_what_the_compiler_refuses() -> None:
    """With the line of the text."""
    with pytest.raises(RuntimeError, match=r"The compiler refuses the text: .*your text:2.* mend it"):
        compile_source("int a;\nint f(;", "int f(void);")


def test_shows_the_instructions_of_one_function() -> None:
    """No directives, no labels that nothing jumps to; and the loop is shorter than the function."""
    whole, other = assembly(DOT, "dot"), assembly(DOT, "other")
    assert len(whole) > len(other) > 1
    assert not any(line.strip().startswith(".") and not line.endswith(":") for line in whole)
    loop = inner_loop(whole)
    assert loop[0].endswith(":") and loop[0][:-1] in loop[-1] and len(loop) < len(whole)
    assert len(inner_loop(whole, 8)) > 8
    with pytest.raises(RuntimeError, match="no function 'none'"):
        assembly(DOT, "none")
