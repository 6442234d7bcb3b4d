/* fixed.h for vectors of x86: 16 numbers of int32 at a time in AVX-512, 8 in AVX2, to the same bits.
 *
 * The shift is the same for all numbers of a vector. Where its count is 32 or more an arithmetic shift leaves the sign
 * in every bit. */
#ifndef UVLM_FIXED_X86_H
#define UVLM_FIXED_X86_H

#include "fixed.h"
#include "forms.h"
#include "kernels_s8.h"

#ifdef UVLM_X86
#define UVLM_IN_AVX2 UVLM_FOR_AVX2 __attribute__((always_inline)) static inline
#define UVLM_IN_AVX512 UVLM_FOR_AVX512 __attribute__((always_inline)) static inline

UVLM_IN_AVX512 __m512i uvlm_shift_half_up_avx512(__m512i x, int32_t s) {
    if (s <= 0) return x;
    if (s > 31) return _mm512_setzero_si512();
    __m512i below = _mm512_and_si512(_mm512_srav_epi32(x, _mm512_set1_epi32(s - 1)), _mm512_set1_epi32(1));
    return _mm512_add_epi32(_mm512_srav_epi32(x, _mm512_set1_epi32(s)), below); /* counts in a vector: one step each */
}

UVLM_IN_AVX512 __m512i uvlm_requantise_avx512(__m512i a, int32_t m, int32_t s) {
    if (s < 0) { /* a shift to the left that saturates: what is too large is known before */
        int32_t n = s < -31 ? 31 : -s;
        __mmask16 over = _mm512_cmpgt_epi32_mask(a, _mm512_set1_epi32(INT32_MAX >> n));
        __mmask16 under = _mm512_cmplt_epi32_mask(a, _mm512_set1_epi32(INT32_MIN >> n));
        a = _mm512_sll_epi32(a, _mm_cvtsi32_si128(n));
        a = _mm512_mask_mov_epi32(a, over, _mm512_set1_epi32(INT32_MAX));
        a = _mm512_mask_mov_epi32(a, under, _mm512_set1_epi32(INT32_MIN));
    }
    __m512i by = _mm512_set1_epi32(m), half = _mm512_set1_epi64(1 << 30);
    __m512i even = _mm512_add_epi64(_mm512_mul_epi32(a, by), half);
    __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(a, 32), by), half);
    odd = _mm512_slli_epi64(odd, 1); /* bits 31 to 62 are wanted in the upper half */
    return uvlm_shift_half_up_avx512(_mm512_mask_mov_epi32(_mm512_srli_epi64(even, 31), 0xAAAA, odd), s);
}

/* The same with a multiplier and a shift for each number; shifts from 0 to 127. */
UVLM_IN_AVX512 __m512i uvlm_requantise_each_avx512(__m512i a, __m512i m, __m512i s) {
    __m512i one = _mm512_set1_epi32(1), half = _mm512_set1_epi64(1 << 30);
    __m512i even = _mm512_add_epi64(_mm512_mul_epi32(a, m), half);
    __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(m, 32)), half);
    __m512i t = _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 31), 0xAAAA, _mm512_slli_epi64(odd, 1));
    __m512i below = _mm512_and_si512(_mm512_srav_epi32(t, _mm512_sub_epi32(s, one)), one);
    return _mm512_mask_add_epi32(t, _mm512_test_epi32_mask(s, s), _mm512_srav_epi32(t, s), below);
}

/* And any shift. */
UVLM_IN_AVX512 __m512i uvlm_requantise_all_avx512(__m512i a, __m512i m, __m512i s) {
    if (_mm512_movepi32_mask(s)) { /* some go to the left, as logits do: what is too large then is known before */
        const __m512i most = _mm512_set1_epi32(INT32_MAX), least = _mm512_set1_epi32(INT32_MIN);
        const __m512i none = _mm512_setzero_si512();
        __m512i n = _mm512_min_epi32(_mm512_sub_epi32(none, _mm512_min_epi32(s, none)), _mm512_set1_epi32(31));
        __mmask16 over = _mm512_cmpgt_epi32_mask(a, _mm512_srav_epi32(most, n));
        __mmask16 under = _mm512_cmplt_epi32_mask(a, _mm512_srav_epi32(least, n));
        a = _mm512_mask_mov_epi32(_mm512_sllv_epi32(a, n), over, most);
        a = _mm512_mask_mov_epi32(a, under, least);
        s = _mm512_max_epi32(s, none);
    }
    return uvlm_requantise_each_avx512(a, m, s);
}

/* a + b as uvlm_to_s32 of the sum: where it has another sign than both, the end of the range that is theirs. */
UVLM_IN_AVX512 __m512i uvlm_adds_avx512(__m512i a, __m512i b) {
    __m512i end = _mm512_xor_si512(_mm512_srai_epi32(a, 31), _mm512_set1_epi32(INT32_MAX));
    __m512i sum = _mm512_add_epi32(a, b);
    __m512i other = _mm512_and_si512(_mm512_xor_si512(a, sum), _mm512_xor_si512(b, sum));
    return _mm512_mask_mov_epi32(sum, _mm512_movepi32_mask(other), end);
}

/* int32 -> int8 with a zero point, as uvlm_narrow. */
UVLM_IN_AVX512 __m128i uvlm_narrow_avx512(__m512i t, int32_t zero) {
    t = _mm512_min_epi32(_mm512_max_epi32(t, _mm512_set1_epi32(-1024)), _mm512_set1_epi32(1024));
    return _mm512_cvtsepi32_epi8(_mm512_add_epi32(t, _mm512_set1_epi32(zero)));
}

UVLM_IN_AVX2 __m256i uvlm_shift_half_up_avx2(__m256i x, int32_t s) {
    if (s <= 0) return x;
    if (s > 31) return _mm256_setzero_si256();
    __m256i below = _mm256_and_si256(_mm256_sra_epi32(x, _mm_cvtsi32_si128(s - 1)), _mm256_set1_epi32(1));
    return _mm256_add_epi32(_mm256_sra_epi32(x, _mm_cvtsi32_si128(s)), below);
}

UVLM_IN_AVX2 __m256i uvlm_requantise_avx2(__m256i a, int32_t m, int32_t s) {
    if (s < 0) {
        int32_t n = s < -31 ? 31 : -s;
        __m256i over = _mm256_cmpgt_epi32(a, _mm256_set1_epi32(INT32_MAX >> n));
        __m256i under = _mm256_cmpgt_epi32(_mm256_set1_epi32(INT32_MIN >> n), a);
        a = _mm256_sll_epi32(a, _mm_cvtsi32_si128(n));
        a = _mm256_blendv_epi8(a, _mm256_set1_epi32(INT32_MAX), over);
        a = _mm256_blendv_epi8(a, _mm256_set1_epi32(INT32_MIN), under);
    }
    __m256i by = _mm256_set1_epi32(m), half = _mm256_set1_epi64x(1 << 30);
    __m256i even = _mm256_add_epi64(_mm256_mul_epi32(a, by), half);
    __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(a, 32), by), half);
    __m256i t = _mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1), 0xAA);
    return uvlm_shift_half_up_avx2(t, s);
}

UVLM_IN_AVX2 int32_t uvlm_total_avx2(__m256i x) {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1)));
}
#endif

#endif
