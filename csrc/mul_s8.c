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
/* Eight channels of one position at a time, each value dense or the same for all, for shifts to the right alone; how
 * many were done. A value less its zero point has nine bits, a product of two fits int32. In assembly, for the compiler
 * copies what is narrowed in place; the loop needs nearly all registers. */
__attribute__((noinline)) static int32_t eights_mve(const uvlm_mul *r, const int8_t *a, const int8_t *b, int8_t *y) {
    const uvlm_scale_mve by = uvlm_scale_of(r->m, r->s);
    const int32_t eights = by.left ? 0 : r->channels >> 3;
    const int16x8_t zero_x = vdupq_n_s16((int16_t)r->zero_x), zero_other = vdupq_n_s16((int16_t)r->zero_other);
    int8_t u[8], v[8]; /* a value that is the same for all, eight times */
    if (!r->x_channel) vst1q_p_s8(u, vdupq_n_s8(*a), vctp8q(8)), a = u;
    if (!r->other_channel) vst1q_p_s8(v, vdupq_n_s8(*b), vctp8q(8)), b = v;
    __asm volatile(
        "wls lr, %[n], 2f\n"
        "1:\n"
        "vldrb.s16 q0, [%[a]]\n"
        "add %[a], %[step_a]\n"
        "vldrb.s16 q2, [%[b]]\n"
        "add %[b], %[step_b]\n"
        "vsub.i16 q0, q0, %q[zero_x]\n"
        "vsub.i16 q2, q2, %q[zero_other]\n"
        "vmullb.s16 q1, q0, q2\n" /* the even channels */
        "vmullt.s16 q0, q0, q2\n" /* the odd ones */
        "vshl.s32 q1, %[lift]\n"
        "vshl.s32 q0, %[lift]\n"
        "vqrdmulh.s32 q1, q1, %[m]\n"
        "vqrdmulh.s32 q0, q0, %[m]\n"
        "vrshl.s32 q1, %[right]\n"
        "vrshl.s32 q0, %[right]\n"
        "vqmovnb.s32 q1, q1\n"
        "vqmovnt.s32 q1, q0\n"
        "vqadd.s16 q1, q1, %[zero_y]\n"
        "vqmovnb.s16 q1, q1\n"
        "vstrb.16 q1, [%[y]], #8\n"
        "le lr, 1b\n"
        "2:\n"
        : [a] "+l"(a), [b] "+l"(b), [y] "+l"(y)
        : [n] "r"(eights), [step_a] "r"(r->x_channel * 8), [step_b] "r"(r->other_channel * 8), [zero_x] "t"(zero_x),
          [zero_other] "t"(zero_other), [lift] "r"(r->lift), [m] "r"(by.m), [right] "r"(by.right),
          [zero_y] "r"(r->zero_y)
        : "lr", "q0", "q1", "q2", "memory");
    return eights << 3;
}

/* Four channels of one position at a time, each value dense or the same for all; how many were done. */
static int32_t position_mve(const uvlm_mul *r, const int8_t *a, const int8_t *b, int8_t *y) {
    const int32_t channels = r->channels, zero_x = r->zero_x, zero_other = r->zero_other, zero_y = r->zero_y;
    const int32_t lift = r->lift, dense_x = r->x_channel, dense_other = r->other_channel;
    const uvlm_scale_mve by = uvlm_scale_of(r->m, r->s);
    int32x4_t u = vdupq_n_s32(*a), v = vdupq_n_s32(*b);
    int32_t c = eights_mve(r, a, b, y);
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
