/* exp of numbers that are at most 0, by polynomial. What it does, and how far it is off, is in exp_f32.h. */
#include "exp_f32.h"
#include "kernels_f32.h"

static void exp_plain(const float *x, float *y, int32_t count) {
    for (int32_t i = 0; i < count; i++) y[i] = uvlm_least_f32(x[i] * UVLM_LOG2E);
    for (int32_t i = 0; i < count; i++) y[i] = uvlm_exp2_poly(y[i]);
}

#ifdef UVLM_X86
UVLM_FOR_AVX2 static void exp_avx2(const float *x, float *y, int32_t count) {
    int32_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256 z = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(UVLM_LOG2E));
        _mm256_storeu_ps(y + i, uvlm_exp2_poly_avx2(z));
    }
    exp_plain(x + i, y + i, count - i);
}

UVLM_FOR_AVX512 static void exp_avx512(const float *x, float *y, int32_t count) {
    for (int32_t i = 0; i < count; i += 16) {
        __mmask16 mask = (__mmask16)(count - i >= 16 ? 0xFFFF : (1 << (count - i)) - 1);
        __m512 z = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), _mm512_set1_ps(UVLM_LOG2E));
        _mm512_mask_storeu_ps(y + i, mask, uvlm_exp2_poly_avx512(z));
    }
}
#endif

int uvlm_exp_f32_poly_as(int form, const float *x, float *y, int32_t count) {
    if (!x || !y) return UVLM_NULL;
    if (count < 1 || count > UVLM_MOST_COUNT) return UVLM_SIZE;
    for (int32_t i = 0; i < count; i++) {
        if (!(x[i] <= 0.0f)) return UVLM_RANGE;
    }
    if (!uvlm_has(form)) return UVLM_FORM;
    switch (form) {
#ifdef UVLM_X86
    case UVLM_AVX2:
        exp_avx2(x, y, count);
        break;
    case UVLM_AVX512:
        exp_avx512(x, y, count);
        break;
#endif
    default:
        exp_plain(x, y, count);
    }
    return UVLM_OK;
}

int uvlm_exp_f32_poly(const float *x, float *y, int32_t count) {
    return uvlm_exp_f32_poly_as(uvlm_form(), x, y, count);
}
