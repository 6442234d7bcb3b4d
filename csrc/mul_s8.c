/* A product of two values, with strides as in add_s8.c: the gate of GCDM. */
#include "fixed_x86.h"
#include "kernels_s8.h"
#include "mve.h"

#ifdef UVLM_X86
/* 16 channels of one position; each value is dense or the same for all channels. */
UVLM_FOR_AVX512 static void position_avx512(const uvlm_mul *r, const int8_t *a, const int8_t *b, int8_t *y) {
    __m512i x = _mm512_set1_epi32(*a), other = _mm512_set1_epi32(*b);
    for (int32_t c = 0; c < r->channels; c += 16) {
        int32_t left = r->channels - c;
        __mmask16 some = left >= 16 ? 0xFFFF : (__mmask16)((1 << left) - 1);
        if (r->x_channel) x = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, a + c));
        if (r->other_channel) other = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, b + c));
        __m512i product = _mm512_mullo_epi32(_mm512_sub_epi32(x, _mm512_set1_epi32(r->zero_x)),
                                             _mm512_sub_epi32(other, _mm512_set1_epi32(r->zero_other)));
        product = uvlm_requantise_avx512(_mm512_sll_epi32(product, _mm_cvtsi32_si128(r->lift)), r->m, r->s);
        _mm_mask_storeu_epi8(y + c, some, uvlm_narrow_avx512(product, r->zero_y));
    }
}
#endif

#ifdef UVLM_HELIUM
/* Four channels of one position at a time, each value dense or the same for all; how many were done. */
static int32_t position_mve(const uvlm_mul *r, const int8_t *a, const int8_t *b, int8_t *y) {
    const int32_t channels = r->channels, zero_x = r->zero_x, zero_other = r->zero_other, zero_y = r->zero_y;
    const int32_t lift = r->lift, dense_x = r->x_channel, dense_other = r->other_channel;
    const uvlm_scale_mve by = uvlm_scale_of(r->m, r->s);
    int32x4_t u = vdupq_n_s32(*a), v = vdupq_n_s32(*b);
    int32_t c = 0;
    for (; c + 4 <= channels; c += 4) {
        if (dense_x) u = vldrbq_s32(a + c);
        if (dense_other) v = vldrbq_s32(b + c);
        int32x4_t product = vmulq_s32(vsubq_n_s32(u, zero_x), vsubq_n_s32(v, zero_other));
        vstrbq_s32(y + c, uvlm_narrow_mve(uvlm_rescale_mve(vshlq_r_s32(product, lift), by), zero_y));
    }
    return c;
}
#endif

int uvlm_mul_s8_as(int form, const uvlm_mul *r, const int8_t *x, const int8_t *other,
                   int8_t *y) {
    if (!r || !x || !y || (!other && !r->constant)) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->x_position < 0 || r->x_channel < 0 || r->other_position < 0 || r->other_channel < 0) return UVLM_SIZE;
    if (r->zero_x < -128 || r->zero_x > 127 || r->zero_other < -128 || r->zero_other > 127) return UVLM_RANGE;
    if (r->lift < 0 || r->lift > 30 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (!uvlm_has(form)) return UVLM_FORM;
    if (r->constant) other = r->constant;
    for (int32_t l = 0; l < r->positions; l++) {
        const int8_t *a = x + (size_t)l * (size_t)r->x_position;
        const int8_t *b = other + (size_t)l * (size_t)r->other_position;
#ifdef UVLM_X86
        if (form == UVLM_AVX512 && r->x_channel <= 1 && r->other_channel <= 1) {
            position_avx512(r, a, b, y + (size_t)l * (size_t)r->channels);
            continue;
        }
#endif
        int32_t c = 0;
#ifdef UVLM_HELIUM
        if (form == UVLM_MVE && r->x_channel <= 1 && r->other_channel <= 1) {
            c = position_mve(r, a, b, y + (size_t)l * (size_t)r->channels);
        }
#endif
        for (; c < r->channels; c++) {
            int32_t product = (a[(size_t)c * (size_t)r->x_channel] - r->zero_x) *
                              (b[(size_t)c * (size_t)r->other_channel] - r->zero_other);
            y[(size_t)l * (size_t)r->channels + (size_t)c] =
                uvlm_narrow(uvlm_requantise(uvlm_lift(product, r->lift), r->m, r->s), r->zero_y);
        }
    }
    return UVLM_OK;
}

int uvlm_mul_s8(const uvlm_mul *r, const int8_t *x, const int8_t *other, int8_t *y) {
    return uvlm_mul_s8_as(uvlm_form(), r, x, other, y);
}
