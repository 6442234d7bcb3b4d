/* What the forms for WebAssembly's 128-bit vectors share: fixed.h four numbers at a time, and the products of four rows
 * with one vector.
 *
 * All numbers of a vector are shifted by one count, which is what the instructions can; where every row has its own,
 * numbers are requantised one by one (conv_s8.c).
 *
 * There is no product of int8 that keeps all its bits. So eight numbers at a time are read as int16, and multiplied and
 * added in pairs to int32 (i32x4.dot_i16x8_s): exact, for two products of int8 are far below 2^31. */
#ifndef UVLM_SIMD128_H
#define UVLM_SIMD128_H

#include "forms.h"

#ifdef UVLM_WASM

static inline v128_t uvlm_shift_half_up_simd128(v128_t x, int32_t s) {
    if (s <= 0) return x;
    if (s > 31) return wasm_i32x4_const_splat(0);
    v128_t below = wasm_v128_and(wasm_i32x4_shr(x, (uint32_t)s - 1), wasm_i32x4_const_splat(1));
    return wasm_i32x4_add(wasm_i32x4_shr(x, (uint32_t)s), below);
}

/* uvlm_requantise for shifts from 0 on: products of 64 bits, of which bits 31 to 62 are wanted. */
static inline v128_t uvlm_requantise_simd128(v128_t a, int32_t m, int32_t s) {
    v128_t by = wasm_i32x4_splat(m), half = wasm_i64x2_const_splat(1 << 30);
    v128_t low = wasm_u64x2_shr(wasm_i64x2_add(wasm_i64x2_extmul_low_i32x4(a, by), half), 31);
    v128_t high = wasm_u64x2_shr(wasm_i64x2_add(wasm_i64x2_extmul_high_i32x4(a, by), half), 31);
    return uvlm_shift_half_up_simd128(wasm_i32x4_shuffle(low, high, 0, 2, 4, 6), s);
}

/* uvlm_narrow of eight numbers, which are written to y: each step saturates. */
static inline void uvlm_narrow_simd128(int8_t *y, v128_t low, v128_t high, int32_t zero) {
    v128_t both = wasm_i16x8_add_sat(wasm_i16x8_narrow_i32x4(low, high), wasm_i16x8_splat((int16_t)zero));
    wasm_v128_store64_lane(y, wasm_i8x16_narrow_i16x8(both, both), 0);
}

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
