/* 2^z for z <= 0, and from it exp(x) = 2^(x log2 e): by a table of 16 numbers, and by a polynomial alone.
 *
 *     z = k/16 + r,  k the whole number nearest to 16 z,  so that |r| <= 1/32
 *     k = 16 e + i,  i from 0 to 15, e a whole number <= 0
 *     2^z = 2^e * powers[i] * 2^r
 *
 * 2^e costs nothing: it is added to the exponent's bits. powers has 16 entries, one line of a cache, or one register of
 * AVX-512. 2^r = exp(s) with s = r log 2, of which 1 + s + s^2/2 + s^3/6 is left. Without a table k is the whole number
 * nearest to z, |r| <= 1/2, and the series has to go on to s^6: that is what the table saves.
 *
 * The relative error of 2^z, with w = 2^-24 = 0.6 * 10^-7, what one rounding is off by at most:
 *
 *                       table                                polynomial
 *     |s|               <= 0.0217                            <= 0.3466
 *     the series' end   s^4/24                  0.1 * 10^-7  |s|^7/5040, of 2^-1/2 at least   1.7 * 10^-7
 *     powers[i]         w                       0.6 * 10^-7
 *     the series        its last sum w, all     0.7 * 10^-7  its last sum w, product and sum  1.3 * 10^-7
 *                       before 3 w |s|                       before it 0.41 w each, then
 *                                                            0.14 w each, ..., together 1.2 w
 *     the product       w                       0.6 * 10^-7  by 2^e: exact
 *     together                                  2.0 * 10^-7                                   3.1 * 10^-7
 *
 * z - k/16 is exact: either k is 0, or both numbers have one sign and neither is more than twice the other.
 *
 * exp has the error of z besides. The constant log2 e is off by 1.4 * 10^-8 of itself, the product by w, together by
 * less than 7.4 * 10^-8; and a relative error of d in x makes one of d |x| in exp(x). So, for -87.33 <= x <= 0,
 *
 *     |found / exp(x) - 1| <= 2.0 * 10^-7 + 7.4 * 10^-8 |x|     (polynomial: 3.1 * 10^-7),
 *
 * under 7 * 10^-6 at the worst. Since |x| exp(x) is at most 1/e, the absolute error is under 2.3 * 10^-7 (3.4 * 10^-7)
 * everywhere. Below, where float32 has no more normal numbers, 2^z stays at 2^-126: off by less than that.
 */
#ifndef UVLM_EXP_F32_H
#define UVLM_EXP_F32_H

#include "forms.h"
#include <float.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "the tables need sums of floats that are rounded to float: on 32-bit x86 add -msse2 -mfpmath=sse"
#endif

#define UVLM_LOG2E 0x1.715476p+0f

static const float uvlm_powers_f32[16] = {
    0x1p+0f,        0x1.0b5586p+0f, 0x1.172b84p+0f, 0x1.2387a6p+0f, 0x1.306fep+0f,  0x1.3dea64p+0f,
    0x1.4bfdaep+0f, 0x1.5ab07ep+0f, 0x1.6a09e6p+0f, 0x1.7a1148p+0f, 0x1.8ace54p+0f, 0x1.9c4918p+0f,
    0x1.ae89fap+0f, 0x1.c199bep+0f, 0x1.d5818ep+0f, 0x1.ea4afap+0f};

/* log(2)^k / k!: the series of 2^r */
#define UVLM_T1 0x1.62e43p-1f
#define UVLM_T2 0x1.ebfbep-3f
#define UVLM_T3 0x1.c6b08ep-5f
#define UVLM_T4 0x1.3b2ab6p-7f
#define UVLM_T5 0x1.5d87fep-10f
#define UVLM_T6 0x1.430912p-13f

static inline int32_t uvlm_bits_f32(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* x * 2^e, by the bits of the exponent: right as long as the result is a normal number. */
static inline float uvlm_scale_f32(float x, int32_t e) {
    uint32_t bits = (uint32_t)uvlm_bits_f32(x) + ((uint32_t)e << 23);
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* z, or -126 if it is below or NaN. By itself, and not a line of the functions below: gcc makes two ways of a function
 * that starts with it, and then takes one number at a time where it could take four. */
static inline float uvlm_least_f32(float z) { return z > -126.0f ? z : -126.0f; }

/* For z from -126 to 0. Adding 1.5 * 2^19 to a number, and taking it away again, rounds it to sixteenths: behind them a
 * float of that size has no bits. k stands in the low bits of the sum. With z above 0 some number comes out, and
 * nothing is undefined: bits are read as a whole number, not converted, and no index leaves the table. */
static inline float uvlm_exp2_lut(float z) {
    const float shift = 0x1.8p+19f;
    float t = z + shift, r = z - (t - shift);
    int32_t k = uvlm_bits_f32(t) - uvlm_bits_f32(shift);
    float series = 1.0f + r * (UVLM_T1 + r * (UVLM_T2 + r * UVLM_T3));
    return uvlm_scale_f32(uvlm_powers_f32[k & 15], k >> 4) * series;
}

static inline float uvlm_exp2_poly(float z) {
    const float shift = 0x1.8p+23f; /* to whole numbers */
    float t = z + shift, r = z - (t - shift);
    float series = UVLM_T3 + r * (UVLM_T4 + r * (UVLM_T5 + r * UVLM_T6));
    series = 1.0f + r * (UVLM_T1 + r * (UVLM_T2 + r * series));
    return uvlm_scale_f32(series, uvlm_bits_f32(t) - uvlm_bits_f32(shift));
}

#ifdef UVLM_X86
/* The same on 8 and 16 numbers at once. Adding 1.5 * 2^23 (for sixteenths 1.5 * 2^19) and taking it away again rounds
 * to whole numbers, and leaves them in the low bits of the sum besides. Only z > 0 is left to the caller. */
UVLM_FOR_AVX2 static inline __m256 uvlm_exp2_lut_avx2(__m256 z) {
    const __m256 shift = _mm256_set1_ps(0x1.8p+19f);
    z = _mm256_max_ps(z, _mm256_set1_ps(-126.0f));
    __m256 t = _mm256_add_ps(z, shift);
    __m256 r = _mm256_sub_ps(z, _mm256_sub_ps(t, shift));
    __m256i k = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_castps_si256(shift));
    /* powers[i]: the low three bits choose within a half of the table, the fourth chooses the half */
    __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(uvlm_powers_f32), k);
    __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(uvlm_powers_f32 + 8), k);
    __m256 power = _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(k, 28)));
    __m256i e = _mm256_slli_epi32(_mm256_srai_epi32(k, 4), 23);
    power = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(power), e));
    __m256 s = _mm256_fmadd_ps(r, _mm256_set1_ps(UVLM_T3), _mm256_set1_ps(UVLM_T2));
    s = _mm256_fmadd_ps(r, s, _mm256_set1_ps(UVLM_T1));
    s = _mm256_fmadd_ps(r, s, _mm256_set1_ps(1.0f));
    return _mm256_mul_ps(power, s);
}

UVLM_FOR_AVX2 static inline __m256 uvlm_exp2_poly_avx2(__m256 z) {
    const __m256 shift = _mm256_set1_ps(0x1.8p+23f);
    z = _mm256_max_ps(z, _mm256_set1_ps(-126.0f));
    __m256 t = _mm256_add_ps(z, shift);
    __m256 r = _mm256_sub_ps(z, _mm256_sub_ps(t, shift));
    __m256 s = _mm256_fmadd_ps(r, _mm256_set1_ps(UVLM_T6), _mm256_set1_ps(UVLM_T5));
    s = _mm256_fmadd_ps(r, s, _mm256_set1_ps(UVLM_T4));
    s = _mm256_fmadd_ps(r, s, _mm256_set1_ps(UVLM_T3));
    s = _mm256_fmadd_ps(r, s, _mm256_set1_ps(UVLM_T2));
    s = _mm256_fmadd_ps(r, s, _mm256_set1_ps(UVLM_T1));
    s = _mm256_fmadd_ps(r, s, _mm256_set1_ps(1.0f));
    __m256i e = _mm256_slli_epi32(_mm256_castps_si256(t), 23); /* of shift's own bits none is left */
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(s), e));
}

UVLM_FOR_AVX512 static inline __m512 uvlm_exp2_lut_avx512(__m512 z) {
    const __m512 shift = _mm512_set1_ps(0x1.8p+19f);
    z = _mm512_max_ps(z, _mm512_set1_ps(-126.0f));
    __m512 t = _mm512_add_ps(z, shift);
    __m512 whole = _mm512_sub_ps(t, shift);
    __m512 r = _mm512_sub_ps(z, whole);
    __m512 power = _mm512_permutexvar_ps(_mm512_castps_si512(t), _mm512_loadu_ps(uvlm_powers_f32)); /* the low 4 bits */
    __m512 s = _mm512_fmadd_ps(r, _mm512_set1_ps(UVLM_T3), _mm512_set1_ps(UVLM_T2));
    s = _mm512_fmadd_ps(r, s, _mm512_set1_ps(UVLM_T1));
    s = _mm512_fmadd_ps(r, s, _mm512_set1_ps(1.0f));
    return _mm512_mul_ps(_mm512_scalef_ps(power, whole), s); /* power * 2^floor(whole) */
}

UVLM_FOR_AVX512 static inline __m512 uvlm_exp2_poly_avx512(__m512 z) {
    const __m512 shift = _mm512_set1_ps(0x1.8p+23f);
    z = _mm512_max_ps(z, _mm512_set1_ps(-126.0f));
    __m512 t = _mm512_add_ps(z, shift);
    __m512 r = _mm512_sub_ps(z, _mm512_sub_ps(t, shift));
    __m512 s = _mm512_fmadd_ps(r, _mm512_set1_ps(UVLM_T6), _mm512_set1_ps(UVLM_T5));
    s = _mm512_fmadd_ps(r, s, _mm512_set1_ps(UVLM_T4));
    s = _mm512_fmadd_ps(r, s, _mm512_set1_ps(UVLM_T3));
    s = _mm512_fmadd_ps(r, s, _mm512_set1_ps(UVLM_T2));
    s = _mm512_fmadd_ps(r, s, _mm512_set1_ps(UVLM_T1));
    s = _mm512_fmadd_ps(r, s, _mm512_set1_ps(1.0f));
    __m512i e = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(s), e));
}
#endif

#endif
