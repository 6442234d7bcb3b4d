/* The product of two int8 vectors in every form: exact in int32, in whatever order its terms are added, so that all
 * forms give the same bits. At most UVLM_MOST terms.
 *
 *   plain    a loop that says what is computed
 *   AVX2     16 pairs at a time, widened to int16, multiplied and added in pairs (vpmaddwd)
 *   AVX-512  32 at a time, with the sum in the same instruction (vpdpwssd)
 *   Helium   16 at a time, multiplied and added up across the vector (VMLADAVA)
 */
#ifndef UVLM_DOT_S8_H
#define UVLM_DOT_S8_H

#include "forms.h"

typedef int32_t uvlm_dot(const int8_t *w, const int8_t *x, int32_t n);

static inline int32_t uvlm_dot_plain(const int8_t *w, const int8_t *x, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += w[i] * x[i];
    return sum;
}

#ifdef UVLM_X86
UVLM_FOR_AVX2 static inline int32_t uvlm_dot_avx2(const int8_t *w, const int8_t *x, int32_t n) {
    __m256i a = _mm256_setzero_si256(), b = a;
    int32_t i = 0;
    for (; i + 32 <= n; i += 32) {
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
    return _mm_cvtsi128_si32(c) + uvlm_dot_plain(w + i, x + i, n - i);
}

UVLM_FOR_AVX512 static inline int32_t uvlm_dot_avx512(const int8_t *w, const int8_t *x, int32_t n) {
    __m512i a = _mm512_setzero_si512(), b = a;
    int32_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512i w0 = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(w + i)));
        __m512i x0 = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(x + i)));
        __m512i w1 = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(w + i + 32)));
        __m512i x1 = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(x + i + 32)));
        a = _mm512_dpwssd_epi32(a, w0, x0);
        b = _mm512_dpwssd_epi32(b, w1, x1);
    }
    if (i < n) { /* the rest: bytes behind the end are not read, and count as 0 */
        for (; i < n; i += 32) {
            __mmask32 mask = n - i >= 32 ? 0xFFFFFFFFu : (((__mmask32)1 << (n - i)) - 1);
            __m512i w0 = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(mask, w + i));
            __m512i x0 = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(mask, x + i));
            a = _mm512_dpwssd_epi32(a, w0, x0);
        }
    }
    return _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
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
#endif

static inline uvlm_dot *uvlm_dot_of(int form) {
    switch (form) {
#ifdef UVLM_X86
    case UVLM_AVX2:
        return uvlm_dot_avx2;
    case UVLM_AVX512:
        return uvlm_dot_avx512;
#endif
#ifdef UVLM_HELIUM
    case UVLM_MVE:
        return uvlm_dot_mve;
#endif
    default:
        return uvlm_dot_plain;
    }
}

#endif
