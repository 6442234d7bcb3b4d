/* What the files of the SSM's step share: the checks, and the loop over channels for AVX2 and AVX-512. */
#ifndef UVLM_SSM_STEP_F32_H
#define UVLM_SSM_STEP_F32_H

#include "exp_f32.h"
#include "kernels_f32.h"

static inline int uvlm_ssm_sizes_f32(const uvlm_float_ssm *r) {
    if (!r || !r->A || !r->D) return UVLM_NULL;
    if (r->channels < 1 || r->channels > UVLM_MOST_F32) return UVLM_SIZE;
    return r->states < 1 || r->states > UVLM_MOST_STATES ? UVLM_SIZE : UVLM_OK;
}

/* Whether one of `count` numbers is below 0 or NaN. No early end: so the compiler takes several at once. */
static inline int uvlm_below_f32(const float *x, size_t count) {
    int found = 0;
    for (size_t i = 0; i < count; i++) found |= !(x[i] >= 0.0f);
    return found;
}

static inline int uvlm_ssm_wrong_f32(const uvlm_float_ssm *r, int32_t steps, const float *delta, const float *u,
                                     const float *b, const float *c, const float *h, const float *y) {
    int status = uvlm_ssm_sizes_f32(r);
    if (status) return status;
    if (!delta || !u || !b || !c || !h || !y) return UVLM_NULL;
    if (steps < 1 || steps > UVLM_MOST_F32) return UVLM_SIZE;
    return uvlm_below_f32(delta, (size_t)steps * (size_t)r->channels) ? UVLM_RANGE : UVLM_OK;
}

#ifdef UVLM_X86
/* The states of a channel are the lanes of a register, 8 or 16 at a time; what of it lies behind the last state is not
 * read, counts as 0 and is not written. Four channels are taken together: they share b and c, and the four registers of
 * products h c are added up across lanes in 11 or 13 instructions, where one alone would need about ten. `table` is a
 * constant in each caller, so that one exp or the other is built in. */
UVLM_FOR_AVX2 static inline __m256i uvlm_mask_avx2(int32_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

UVLM_FOR_AVX2 static inline __m256 uvlm_load_avx2(const float *x, int32_t count) {
    return count >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, uvlm_mask_avx2(count));
}

UVLM_FOR_AVX2 static inline void uvlm_store_avx2(float *x, int32_t count, __m256 y) {
    if (count >= 8) {
        _mm256_storeu_ps(x, y);
    } else {
        _mm256_maskstore_ps(x, uvlm_mask_avx2(count), y);
    }
}

/* Four registers to four sums: a transposition of 4 x 4 that adds up on its way, then the parts of the register. */
UVLM_FOR_AVX2 static inline __m128 uvlm_sums_avx2(const __m256 *s) {
    __m256 low = _mm256_add_ps(_mm256_unpacklo_ps(s[0], s[1]), _mm256_unpackhi_ps(s[0], s[1]));
    __m256 high = _mm256_add_ps(_mm256_unpacklo_ps(s[2], s[3]), _mm256_unpackhi_ps(s[2], s[3]));
    __m256 all = _mm256_add_ps(_mm256_shuffle_ps(low, high, 0x44), _mm256_shuffle_ps(low, high, 0xEE));
    return _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}

/* The next 8 states of `channels` channels, or as many as there are: `count`. */
UVLM_FOR_AVX2 static inline void uvlm_ssm_part_avx2(int table, int32_t channels, int32_t count, int32_t states,
        const float *A, const float *step, const float *write, const float *b, const float *c, float *h, __m256 *s) {
    __m256 bn = uvlm_load_avx2(b, count), cn = uvlm_load_avx2(c, count);
    for (int32_t j = 0; j < channels; j++) {
        __m256 z = _mm256_mul_ps(_mm256_set1_ps(step[j]), uvlm_load_avx2(A + j * states, count));
        __m256 decay = table ? uvlm_exp2_lut_avx2(z) : uvlm_exp2_poly_avx2(z);
        __m256 add = _mm256_mul_ps(_mm256_set1_ps(write[j]), bn);
        __m256 now = _mm256_fmadd_ps(decay, uvlm_load_avx2(h + j * states, count), add);
        uvlm_store_avx2(h + j * states, count, now);
        s[j] = _mm256_fmadd_ps(now, cn, s[j]);
    }
}

UVLM_FOR_AVX2 static inline void uvlm_ssm_avx2(int table, const uvlm_float_ssm *r, const float *delta,
        const float *u, const float *b, const float *c, float *h, float *y) {
    const int32_t states = r->states;
    for (int32_t i = 0; i < r->channels; i += 4) {
        const int32_t left = r->channels - i;
        const float *A = r->A + i * states; /* at most 2^24 */
        float *g = h + i * states;
        float step[4] = {0}, write[4] = {0}, sums[4];
        for (int32_t j = 0; j < 4 && j < left; j++) {
            step[j] = delta[i + j] * UVLM_LOG2E;
            write[j] = delta[i + j] * u[i + j];
        }
        __m256 s[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
        int32_t n = 0;
        for (; left >= 4 && n + 8 <= states; n += 8) {
            uvlm_ssm_part_avx2(table, 4, 8, states, A + n, step, write, b + n, c + n, g + n, s);
        }
        for (; n < states; n += 8) { /* up to three channels, or up to 7 states, are left */
            const int32_t channels = left < 4 ? left : 4;
            uvlm_ssm_part_avx2(table, channels, states - n, states, A + n, step, write, b + n, c + n, g + n, s);
        }
        _mm_storeu_ps(sums, uvlm_sums_avx2(s));
        for (int32_t j = 0; j < 4 && j < left; j++) y[i + j] = sums[j] + r->D[i + j] * u[i + j];
    }
}

UVLM_FOR_AVX512 static inline __m512 uvlm_load_avx512(const float *x, int32_t count) {
    return count >= 16 ? _mm512_loadu_ps(x) : _mm512_maskz_loadu_ps((__mmask16)((1 << count) - 1), x);
}

UVLM_FOR_AVX512 static inline void uvlm_store_avx512(float *x, int32_t count, __m512 y) {
    if (count >= 16) {
        _mm512_storeu_ps(x, y);
    } else {
        _mm512_mask_storeu_ps(x, (__mmask16)((1 << count) - 1), y);
    }
}

/* Four registers to four sums: a transposition of 4 x 4 that adds up on its way, then the parts of the register. */
UVLM_FOR_AVX512 static inline __m128 uvlm_sums_avx512(const __m512 *s) {
    __m512 low = _mm512_add_ps(_mm512_unpacklo_ps(s[0], s[1]), _mm512_unpackhi_ps(s[0], s[1]));
    __m512 high = _mm512_add_ps(_mm512_unpacklo_ps(s[2], s[3]), _mm512_unpackhi_ps(s[2], s[3]));
    __m512 all = _mm512_add_ps(_mm512_shuffle_ps(low, high, 0x44), _mm512_shuffle_ps(low, high, 0xEE));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

/* The next 16 states of `channels` channels, or as many as there are: `count`. */
UVLM_FOR_AVX512 static inline void uvlm_ssm_part_avx512(int table, int32_t channels, int32_t count, int32_t states,
        const float *A, const float *step, const float *write, const float *b, const float *c, float *h, __m512 *s) {
    __m512 bn = uvlm_load_avx512(b, count), cn = uvlm_load_avx512(c, count);
    for (int32_t j = 0; j < channels; j++) {
        __m512 z = _mm512_mul_ps(_mm512_set1_ps(step[j]), uvlm_load_avx512(A + j * states, count));
        __m512 decay = table ? uvlm_exp2_lut_avx512(z) : uvlm_exp2_poly_avx512(z);
        __m512 add = _mm512_mul_ps(_mm512_set1_ps(write[j]), bn);
        __m512 now = _mm512_fmadd_ps(decay, uvlm_load_avx512(h + j * states, count), add);
        uvlm_store_avx512(h + j * states, count, now);
        s[j] = _mm512_fmadd_ps(now, cn, s[j]);
    }
}

UVLM_FOR_AVX512 static inline void uvlm_ssm_avx512(int table, const uvlm_float_ssm *r, const float *delta,
        const float *u, const float *b, const float *c, float *h, float *y) {
    const int32_t states = r->states;
    for (int32_t i = 0; i < r->channels; i += 4) {
        const int32_t left = r->channels - i;
        const float *A = r->A + i * states; /* at most 2^24 */
        float *g = h + i * states;
        float step[4] = {0}, write[4] = {0}, sums[4];
        for (int32_t j = 0; j < 4 && j < left; j++) {
            step[j] = delta[i + j] * UVLM_LOG2E;
            write[j] = delta[i + j] * u[i + j];
        }
        __m512 s[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
        int32_t n = 0;
        for (; left >= 4 && n + 16 <= states; n += 16) {
            uvlm_ssm_part_avx512(table, 4, 16, states, A + n, step, write, b + n, c + n, g + n, s);
        }
        for (; n < states; n += 16) { /* up to three channels, or up to 15 states, are left */
            const int32_t channels = left < 4 ? left : 4;
            uvlm_ssm_part_avx512(table, channels, states - n, states, A + n, step, write, b + n, c + n, g + n, s);
        }
        _mm_storeu_ps(sums, uvlm_sums_avx512(s));
        for (int32_t j = 0; j < 4 && j < left; j++) y[i + j] = sums[j] + r->D[i + j] * u[i + j];
    }
}
#endif

#endif
