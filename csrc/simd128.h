/* What the forms for WebAssembly's 128-bit vectors share: the products of four rows with one vector.
 *
 * There is no product of int8 that keeps all its bits. So eight numbers at a time are read as int16, and multiplied and
 * added in pairs to int32 (i32x4.dot_i16x8_s): exact, for two products of int8 are far below 2^31. */
#ifndef UVLM_SIMD128_H
#define UVLM_SIMD128_H

#include "forms.h"

#ifdef UVLM_WASM

static inline v128_t uvlm_pairs_simd128(v128_t sum, const int8_t *w, v128_t x) {
    return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(w), x));
}

/* Four rows of n numbers, `pitch` apart, times x: four sums. x is read once for all of them. */
static inline v128_t uvlm_dot4_simd128(const int8_t *w, int32_t pitch, const int8_t *x, int32_t n) {
    const int8_t *w1 = w + pitch, *w2 = w1 + pitch, *w3 = w2 + pitch;
    v128_t a = wasm_i32x4_const_splat(0), b = a, c = a, d = a;
    int32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        v128_t v = wasm_i16x8_load8x8(x + i);
        a = uvlm_pairs_simd128(a, w + i, v);
        b = uvlm_pairs_simd128(b, w1 + i, v);
        c = uvlm_pairs_simd128(c, w2 + i, v);
        d = uvlm_pairs_simd128(d, w3 + i, v);
    }
    v128_t ab = wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));
    v128_t cd = wasm_i32x4_add(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
    v128_t sum = wasm_i32x4_add(wasm_i64x2_shuffle(ab, cd, 0, 2), wasm_i64x2_shuffle(ab, cd, 1, 3));
    for (; i < n; i++) {
        v128_t rest = wasm_i32x4_make(w[i] * x[i], w1[i] * x[i], w2[i] * x[i], w3[i] * x[i]);
        sum = wasm_i32x4_add(sum, rest);
    }
    return sum;
}

#endif

#endif
