/* Rows of an int8 matrix times an int8 vector, in every form: sums[i] = weight[i] . x.
 *
 * Each sum is exact in int32 for up to UVLM_MOST columns, in whatever order its terms are added, so that all forms give
 * the same bits.
 *
 *   plain    a loop that says what is computed
 *   AVX2     16 pairs at a time, widened to int16, multiplied and added in pairs (vpmaddwd)
 *   AVX-512  64 at a time. VNNI's vpdpbusd multiplies unsigned by signed bytes: so it is given x + 128, and 128 times
 *            the sum of the weights, which the same instruction adds up, is taken off at the end
 *   WebAssembly  8 at a time of four rows, in pairs: simd128.h
 *   Helium   16 at a time of four rows, which share x, multiplied and added up across the vector (VMLADAVA): mve.h
 *
 * The weights of a large matrix come from far away and are read once: the x86 forms ask for them 8 KB ahead, line
 * after line even where four rows are read side by side: that is the order which the processor guesses best. */
#ifndef UVLM_DOT_S8_H
#define UVLM_DOT_S8_H

#include "forms.h"
#include "mve.h"
#include "simd128.h"

enum { UVLM_ROWS = 16, UVLM_AHEAD = 8192 }; /* rows at a time; bytes */

/* rows up to UVLM_ROWS. */
typedef void uvlm_dots(const int8_t *weight, const int8_t *x, int32_t rows, int32_t columns, int32_t *sums);

static inline int32_t uvlm_dot_plain(const int8_t *w, const int8_t *x, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += w[i] * x[i];
    return sum;
}

static inline void uvlm_dots_plain(const int8_t *weight, const int8_t *x, int32_t rows, int32_t columns,
                                   int32_t *sums) {
    for (int32_t i = 0; i < rows; i++, weight += columns) sums[i] = uvlm_dot_plain(weight, x, columns);
}

#ifdef UVLM_X86
UVLM_FOR_AVX2 static inline int32_t uvlm_dot_avx2(const int8_t *w, const int8_t *x, int32_t n) {
    __m256i a = _mm256_setzero_si256(), b = a;
    int32_t i = 0;
    for (; i + 32 <= n; i += 32) {
        if (!(i & 32)) uvlm_ask(w, i + UVLM_AHEAD);
        __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(w + i)));
        __m256i x0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(x + i)));
        __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(w + i + 16)));
        __m256i x1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(x + i + 16)));
        a = _mm256_add_epi32(a, _mm256_madd_epi16(w0, x0));
        b = _mm256_add_epi32(b, _mm256_madd_epi16(w1, x1));
    }
    a = _mm256_add_epi32(a, b);
    __m128i c = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    c = _mm_add_epi32(c, _mm_shuffle_epi32(c, 0x4E));
    c = _mm_add_epi32(c, _mm_shuffle_epi32(c, 0xB1));
    int32_t sum = _mm_cvtsi128_si32(c);
    for (; i < n; i++) sum += w[i] * x[i];
    return sum;
}

UVLM_FOR_AVX2 static inline void uvlm_dots_avx2(const int8_t *weight, const int8_t *x, int32_t rows, int32_t columns,
                                                int32_t *sums) {
    for (int32_t i = 0; i < rows; i++, weight += columns) sums[i] = uvlm_dot_avx2(weight, x, columns);
}

/* 16 sums that are still to be added up. */
UVLM_FOR_AVX512 static inline __m512i uvlm_row_avx512(const int8_t *w, const int8_t *x, int32_t n) {
    __m512i a = _mm512_setzero_si512(), b = a, one = _mm512_set1_epi8(1), offset = _mm512_set1_epi8(-128);
    int32_t i = 0;
    for (; i + 64 <= n; i += 64) {
        uvlm_ask(w, i + UVLM_AHEAD);
        __m512i w0 = _mm512_loadu_si512(w + i);
        a = _mm512_dpbusd_epi32(a, _mm512_xor_si512(_mm512_loadu_si512(x + i), offset), w0);
        b = _mm512_dpbusd_epi32(b, one, w0);
    }
    if (i < n) { /* bytes behind the end are not read, and count as 0 */
        __mmask64 some = ((__mmask64)1 << (n - i)) - 1;
        __m512i w0 = _mm512_maskz_loadu_epi8(some, w + i);
        a = _mm512_dpbusd_epi32(a, _mm512_xor_si512(_mm512_maskz_loadu_epi8(some, x + i), offset), w0);
        b = _mm512_dpbusd_epi32(b, one, w0);
    }
    return _mm512_sub_epi32(a, _mm512_slli_epi32(b, 7));
}

UVLM_FOR_AVX512 static inline __m512i uvlm_pairs_avx512(__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}

/* Four rows side by side share x, and no sum waits for the one before. */
UVLM_FOR_AVX512 static inline __m128i uvlm_four_avx512(const int8_t *w, const int8_t *x, int32_t n) {
    const int8_t *w1 = w + n, *w2 = w1 + n, *w3 = w2 + n;
    const __m512i one = _mm512_set1_epi8(1), offset = _mm512_set1_epi8(-128);
    __m512i a0 = _mm512_setzero_si512(), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    for (int32_t i = 0; i < n; i += 64) {
        /* bytes behind the end are not read, and count as 0 */
        __mmask64 some = n - i < 64 ? ((__mmask64)1 << (n - i)) - 1 : ~(__mmask64)0;
        for (int32_t k = 0; k < 4; k++) uvlm_ask(w, 4 * i + 64 * k + UVLM_AHEAD);
        __m512i x0 = _mm512_xor_si512(_mm512_maskz_loadu_epi8(some, x + i), offset);
        __m512i v0 = _mm512_maskz_loadu_epi8(some, w + i), v1 = _mm512_maskz_loadu_epi8(some, w1 + i);
        __m512i v2 = _mm512_maskz_loadu_epi8(some, w2 + i), v3 = _mm512_maskz_loadu_epi8(some, w3 + i);
        a0 = _mm512_dpbusd_epi32(a0, x0, v0), b0 = _mm512_dpbusd_epi32(b0, one, v0);
        a1 = _mm512_dpbusd_epi32(a1, x0, v1), b1 = _mm512_dpbusd_epi32(b1, one, v1);
        a2 = _mm512_dpbusd_epi32(a2, x0, v2), b2 = _mm512_dpbusd_epi32(b2, one, v2);
        a3 = _mm512_dpbusd_epi32(a3, x0, v3), b3 = _mm512_dpbusd_epi32(b3, one, v3);
    }
    a0 = uvlm_pairs_avx512(a0, a1), b0 = uvlm_pairs_avx512(b0, b1); /* added up in one go */
    a2 = uvlm_pairs_avx512(a2, a3), b2 = uvlm_pairs_avx512(b2, b3);
    a0 = _mm512_sub_epi32(a0, _mm512_slli_epi32(b0, 7)), a2 = _mm512_sub_epi32(a2, _mm512_slli_epi32(b2, 7));
    a0 = _mm512_add_epi32(_mm512_unpacklo_epi64(a0, a2), _mm512_unpackhi_epi64(a0, a2));
    __m256i e = _mm256_add_epi32(_mm512_castsi512_si256(a0), _mm512_extracti64x4_epi64(a0, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(e), _mm256_extracti128_si256(e, 1));
}

/* 16 rows of up to 32 columns, two neighbours in one vector: the even row in its lower half. */
UVLM_FOR_AVX512 static inline __m512i uvlm_short_avx512(const int8_t *w, const int8_t *x, int32_t n) {
    __mmask32 some = n >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << n) - 1;
    const __m512i one = _mm512_set1_epi8(1), zero = _mm512_setzero_si512();
    __m512i x0 = _mm512_xor_si512(_mm512_broadcast_i64x4(_mm256_maskz_loadu_epi8(some, x)), _mm512_set1_epi8(-128));
    __m512i quarters[2];
    for (int32_t half = 0; half < 2; half++) {
        __m512i a[4], b[4];
        for (int32_t k = 0; k < 4; k++, w += 2 * (size_t)n) {
            __m512i w0;
            if (n == 32) { /* they lie in one piece */
                w0 = _mm512_loadu_si512(w);
            } else {
                w0 = _mm512_castsi256_si512(_mm256_maskz_loadu_epi8(some, w));
                w0 = _mm512_inserti64x4(w0, _mm256_maskz_loadu_epi8(some, w + n), 1);
            }
            uvlm_ask(w, UVLM_AHEAD);
            a[k] = _mm512_dpbusd_epi32(zero, x0, w0);
            b[k] = _mm512_dpbusd_epi32(zero, one, w0);
        }
        for (int32_t k = 0; k < 4; k += 2) {
            a[k] = uvlm_pairs_avx512(a[k], a[k + 1]);
            b[k] = uvlm_pairs_avx512(b[k], b[k + 1]);
            a[k] = _mm512_sub_epi32(a[k], _mm512_slli_epi32(b[k], 7));
        }
        quarters[half] = _mm512_add_epi32(_mm512_unpacklo_epi64(a[0], a[2]), _mm512_unpackhi_epi64(a[0], a[2]));
    }
    /* of each half two times four even rows, then two times four odd ones: added up, and put in their order */
    __m512i sums = _mm512_add_epi32(_mm512_shuffle_i32x4(quarters[0], quarters[1], 0x88),
                                    _mm512_shuffle_i32x4(quarters[0], quarters[1], 0xDD));
    const __m512i order = _mm512_set_epi32(15, 11, 14, 10, 13, 9, 12, 8, 7, 3, 6, 2, 5, 1, 4, 0);
    return _mm512_permutexvar_epi32(order, sums);
}

/* Sums that have just been stored by fours: read as they were written, for a vector of all has to wait for the last. */
UVLM_FOR_AVX512 static inline __m512i uvlm_fours_avx512(const int32_t *sums) {
    __m512i all = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)sums));
    all = _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(const void *)(sums + 4)), 1);
    all = _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(const void *)(sums + 8)), 2);
    return _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(const void *)(sums + 12)), 3);
}

UVLM_FOR_AVX512 static inline void uvlm_dots_avx512(const int8_t *weight, const int8_t *x, int32_t rows,
                                                    int32_t columns, int32_t *sums) {
    int32_t i = 0;
    if (rows == UVLM_ROWS && columns <= 32) {
        _mm512_storeu_si512(sums, uvlm_short_avx512(weight, x, columns));
        return;
    }
    for (; i + 4 <= rows; i += 4, weight += 4 * (size_t)columns) {
        _mm_storeu_si128((__m128i *)(void *)(sums + i), uvlm_four_avx512(weight, x, columns));
    }
    for (; i < rows; i++, weight += columns) {
        sums[i] = _mm512_reduce_add_epi32(uvlm_row_avx512(weight, x, columns));
    }
}
#endif

#ifdef UVLM_HELIUM
static inline int32_t uvlm_dot_mve(const int8_t *w, const int8_t *x, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i += 16) {
        mve_pred16_t p = vctp8q((uint32_t)(n - i));
        sum = vmladavaq_p_s8(sum, vldrbq_z_s8(w + i, p), vldrbq_z_s8(x + i, p), p);
    }
    return sum;
}

static inline void uvlm_dots_mve(const int8_t *weight, const int8_t *x, int32_t rows, int32_t columns, int32_t *sums) {
    int32_t i = 0;
    for (; i + 4 <= rows; i += 4, weight += 4 * (size_t)columns) {
        vstrwq_s32(sums + i, uvlm_dot4_asm(weight, columns, x, columns));
    }
    for (; i < rows; i++, weight += columns) sums[i] = uvlm_dot_mve(weight, x, columns);
}
#endif

#ifdef UVLM_WASM
static inline void uvlm_dots_simd128(const int8_t *weight, const int8_t *x, int32_t rows, int32_t columns,
                                     int32_t *sums) {
    int32_t i = 0;
    for (; i + 4 <= rows; i += 4, weight += 4 * (size_t)columns) {
        wasm_v128_store(sums + i, uvlm_dot4_simd128(weight, columns, x, columns));
    }
    for (; i < rows; i++, weight += columns) sums[i] = uvlm_dot_plain(weight, x, columns);
}
#endif

static inline uvlm_dots *uvlm_dots_of(int form) {
    switch (form) {
#ifdef UVLM_X86
    case UVLM_AVX2:
        return uvlm_dots_avx2;
    case UVLM_AVX512:
        return uvlm_dots_avx512;
#endif
#ifdef UVLM_HELIUM
    case UVLM_MVE:
        return uvlm_dots_mve;
#endif
#ifdef UVLM_WASM
    case UVLM_SIMD128:
        return uvlm_dots_simd128;
#endif
    default:
        return uvlm_dots_plain;
    }
}

#endif
