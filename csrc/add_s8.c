/* A sum of two values on different scales: each is weighed with an integer factor, and the sum is shifted. A stride of
 * 0 repeats a value, so that one vector is added at every position: GSM's bias map, GCDM's question. */
#include "fixed_x86.h"
#include "kernels_s8.h"
#include "mve.h"

#ifdef UVLM_X86
/* 16 channels at all positions, then the next 16. A value is dense or the same for all channels (stride 0); one that is
 * the same at all positions is weighed once. The zero points are taken off together: sums are right modulo 2^32, and
 * end within int32. */
UVLM_FOR_AVX512 static void add_avx512(const uvlm_add *r, const int8_t *x, const int8_t *other, int8_t *y) {
    __m512i by_x = _mm512_set1_epi32(r->factor_x), by_other = _mm512_set1_epi32(r->factor_other);
    int32_t zeros = uvlm_sum(uvlm_times(r->zero_x, r->factor_x), uvlm_times(r->zero_other, r->factor_other));
    __m512i start = _mm512_set1_epi32(uvlm_times(zeros, -1));
    for (int32_t c = 0; c < r->channels; c += 16) {
        int32_t left = r->channels - c;
        __mmask16 some = left >= 16 ? 0xFFFF : (__mmask16)((1 << left) - 1);
        const int8_t *a = x + (r->x_channel ? c : 0), *b = other + (r->other_channel ? c : 0);
        __m512i rest = start;
        for (int32_t l = 0; l < r->positions; l++, a += r->x_position, b += r->other_position) {
            if (!l || r->other_position) {
                __m512i v = _mm512_set1_epi32(*b);
                if (r->other_channel) v = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, b));
                rest = _mm512_add_epi32(_mm512_mullo_epi32(v, by_other), start);
            }
            __m512i u = r->x_channel ? _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, a)) : _mm512_set1_epi32(*a);
            __m512i sum = uvlm_shift_half_up_avx512(_mm512_add_epi32(_mm512_mullo_epi32(u, by_x), rest), r->s);
            sum = _mm512_add_epi32(sum, _mm512_set1_epi32(r->zero_y));
            int8_t *to = y + (size_t)l * (size_t)r->channels + c;
            _mm_mask_storeu_epi8(to, some, _mm512_cvtsepi32_epi8(sum)); /* saturates */
        }
    }
}
#endif

#ifdef UVLM_HELIUM
/* What is left to do with sixteen sums: shift, and narrow by halves. The sums are those of every fourth number: that is
 * the order in which VQMOVNB and VQMOVNT, which fill even and odd lanes, put them one behind the other. */
static inline int8x16_t sixteen_mve(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d, int32_t right, int16_t zero) {
    int16x8_t even = vqmovntq_s32(vqmovnbq_s32(vdupq_n_s16(0), vrshlq_n_s32(a, right)), vrshlq_n_s32(c, right));
    int16x8_t odd = vqmovntq_s32(vqmovnbq_s32(vdupq_n_s16(0), vrshlq_n_s32(b, right)), vrshlq_n_s32(d, right));
    int8x16_t made = vqmovnbq_s16(vdupq_n_s8(0), vqaddq_n_s16(even, zero));
    return vqmovntq_s16(made, vqaddq_n_s16(odd, zero));
}

/* Sixteen channels of one position at a time, `a` dense, `b` dense or the same for all; how many were done. The zero
 * points are taken off together: sums are right modulo 2^32, and end within int32. */
static int32_t position_mve(const uvlm_add *r, const int8_t *a, const int8_t *b, int32_t factor_a, int32_t factor_b,
                            int32_t dense, int8_t *y) {
    const uint32x4_t fourth = vidupq_n_u32(0, 4);
    const int32x4_t by = vdupq_n_s32(factor_a);
    const int32_t channels = r->channels, right = -r->s;
    const int16_t zero_y = (int16_t)r->zero_y;
    uint32_t zeros = (uint32_t)r->zero_x * (uint32_t)r->factor_x + (uint32_t)r->zero_other * (uint32_t)r->factor_other;
    int32_t rest = (int32_t)((dense ? 0u : (uint32_t)*b * (uint32_t)factor_b) - zeros), c = 0;
#define UVLM_FOURTH(of, k) vldrbq_gather_offset_s32((of) + c + (k), fourth)
    if (dense) {
        for (; c + 16 <= channels; c += 16) {
            int32x4_t s0 = vmlaq_n_s32(vmlasq_n_s32(UVLM_FOURTH(a, 0), by, rest), UVLM_FOURTH(b, 0), factor_b);
            int32x4_t s1 = vmlaq_n_s32(vmlasq_n_s32(UVLM_FOURTH(a, 1), by, rest), UVLM_FOURTH(b, 1), factor_b);
            int32x4_t s2 = vmlaq_n_s32(vmlasq_n_s32(UVLM_FOURTH(a, 2), by, rest), UVLM_FOURTH(b, 2), factor_b);
            int32x4_t s3 = vmlaq_n_s32(vmlasq_n_s32(UVLM_FOURTH(a, 3), by, rest), UVLM_FOURTH(b, 3), factor_b);
            vstrbq_s8(y + c, sixteen_mve(s0, s1, s2, s3, right, zero_y));
        }
        return c;
    }
    for (; c + 16 <= channels; c += 16) {
        int32x4_t s0 = vmlasq_n_s32(UVLM_FOURTH(a, 0), by, rest), s1 = vmlasq_n_s32(UVLM_FOURTH(a, 1), by, rest);
        int32x4_t s2 = vmlasq_n_s32(UVLM_FOURTH(a, 2), by, rest), s3 = vmlasq_n_s32(UVLM_FOURTH(a, 3), by, rest);
        vstrbq_s8(y + c, sixteen_mve(s0, s1, s2, s3, right, zero_y));
    }
#undef UVLM_FOURTH
    return c;
}
#endif

int uvlm_add_s8_as(int form, const uvlm_add *r, const int8_t *x, const int8_t *other, int8_t *y) {
    if (!r || !x || !y || (!other && !r->constant)) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->x_position < 0 || r->x_channel < 0 || r->other_position < 0 || r->other_channel < 0) return UVLM_SIZE;
    if (r->s < 0 || r->s > 31) return UVLM_RANGE;
    if (r->zero_x < -128 || r->zero_x > 127 || r->zero_other < -128 || r->zero_other > 127) return UVLM_RANGE;
    if (r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (!uvlm_has(form)) return UVLM_FORM;
    if (r->constant) other = r->constant;
#ifdef UVLM_X86
    if (form == UVLM_AVX512 && r->x_channel <= 1 && r->other_channel <= 1 && r->s > 0) {
        add_avx512(r, x, other, y);
        return UVLM_OK;
    }
#endif
    for (int32_t l = 0; l < r->positions; l++) {
        const int8_t *a = x + (size_t)l * (size_t)r->x_position;
        const int8_t *b = other + (size_t)l * (size_t)r->other_position;
        int32_t c = 0;
#ifdef UVLM_HELIUM
        if (form == UVLM_MVE && r->x_channel <= 1 && r->other_channel <= 1) {
            if (r->x_channel) c = position_mve(r, a, b, r->factor_x, r->factor_other, r->other_channel, y);
            else if (r->other_channel) c = position_mve(r, b, a, r->factor_other, r->factor_x, 0, y);
            a += c * r->x_channel, b += c * r->other_channel, y += c;
        }
#endif
        for (; c < r->channels; c++, a += r->x_channel, b += r->other_channel) {
            int32_t sum = uvlm_sum(uvlm_times(*a - r->zero_x, r->factor_x),
                                   uvlm_times(*b - r->zero_other, r->factor_other));
            *y++ = uvlm_narrow(uvlm_shift_half_up(sum, r->s), r->zero_y);
        }
    }
    return UVLM_OK;
}

int uvlm_add_s8(const uvlm_add *r, const int8_t *x, const int8_t *other, int8_t *y) {
    return uvlm_add_s8_as(uvlm_form(), r, x, other, y);
}
