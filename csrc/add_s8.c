/* A sum of two values on different scales: each is weighed with an integer factor, and the sum is shifted. A stride of
 * 0 repeats a value, so that one vector is added at every position: GSM's bias map, GCDM's question. */
#include "fixed_x86.h"
#include "kernels_s8.h"

/* One position. */
typedef void position(const uvlm_add *r, const int8_t *a, const int8_t *b, int8_t *y);

static void position_plain(const uvlm_add *r, const int8_t *a, const int8_t *b, int8_t *y) {
    for (int32_t c = 0; c < r->channels; c++, a += r->x_channel, b += r->other_channel) {
        int32_t sum = uvlm_sum(uvlm_times(*a - r->zero_x, r->factor_x), uvlm_times(*b - r->zero_other, r->factor_other));
        *y++ = uvlm_narrow(uvlm_shift_half_up(sum, r->s), r->zero_y);
    }
}

#ifdef UVLM_X86
/* 16 channels at a time, where each value either lies dense or is one number for all of them. */
UVLM_FOR_AVX512 static void position_avx512(const uvlm_add *r, const int8_t *a, const int8_t *b, int8_t *y) {
    __m512i x = _mm512_set1_epi32(*a), other = _mm512_set1_epi32(*b);
    for (int32_t c = 0; c < r->channels; c += 16) {
        __mmask16 some = r->channels - c >= 16 ? 0xFFFF : (__mmask16)((1 << (r->channels - c)) - 1);
        if (r->x_channel) x = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, a + c));
        if (r->other_channel) other = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, b + c));
        __m512i sum = _mm512_mullo_epi32(_mm512_sub_epi32(x, _mm512_set1_epi32(r->zero_x)),
                                         _mm512_set1_epi32(r->factor_x));
        sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(_mm512_sub_epi32(other, _mm512_set1_epi32(r->zero_other)),
                                                       _mm512_set1_epi32(r->factor_other)));
        sum = uvlm_shift_half_up_avx512(sum, r->s);
        sum = _mm512_min_epi32(_mm512_max_epi32(sum, _mm512_set1_epi32(-1024)), _mm512_set1_epi32(1024));
        sum = _mm512_add_epi32(sum, _mm512_set1_epi32(r->zero_y));
        _mm_mask_storeu_epi8(y + c, some, _mm512_cvtsepi32_epi8(sum)); /* saturates */
    }
}
#endif

static position *position_of(int form, const uvlm_add *r) {
#ifdef UVLM_X86
    if (form == UVLM_AVX512 && r->x_channel <= 1 && r->other_channel <= 1) return position_avx512;
#endif
    (void)form, (void)r;
    return position_plain;
}

int uvlm_add_s8_as(int form, const uvlm_add *r, const int8_t *x, const int8_t *other, int8_t *y) {
    if (!r || !x || !y || (!other && !r->constant)) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->x_position < 0 || r->x_channel < 0 || r->other_position < 0 || r->other_channel < 0) return UVLM_SIZE;
    if (r->s < 0 || r->s > 31) return UVLM_RANGE;
    if (r->zero_x < -128 || r->zero_x > 127 || r->zero_other < -128 || r->zero_other > 127) return UVLM_RANGE;
    if (r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (!uvlm_has(form)) return UVLM_FORM;
    if (r->constant) other = r->constant;
    position *of = position_of(form, r);
    for (int32_t l = 0; l < r->positions; l++) {
        of(r, x + (size_t)l * (size_t)r->x_position, other + (size_t)l * (size_t)r->other_position,
           y + (size_t)l * (size_t)r->channels);
    }
    return UVLM_OK;
}

int uvlm_add_s8(const uvlm_add *r, const int8_t *x, const int8_t *other, int8_t *y) {
    return uvlm_add_s8_as(uvlm_form(), r, x, other, y);
}
