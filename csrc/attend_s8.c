/* Bahdanau attention: the positions of a map, weighed with their shares and added up.
 *
 * 256 positions of 15 and 7 bits fit in 31, whatever the shares are; those of a softmax add up to little more than 1. */
#include "fixed.h"
#include "forms.h"
#include "kernels_s8.h"
#include "mve.h"

enum { BLOCK = 64 }; /* channels summed at once, so that the map is read in the order in which it lies */

#ifdef UVLM_X86
/* 16 channels at all positions: the sums of products, without zero point. */
UVLM_FOR_AVX512 static void sums_avx512(const uvlm_attend *r, const int16_t *share, const int8_t *x, int32_t count,
                                        int32_t *sum) {
    for (int32_t c = 0; c < count; c += 16) {
        __mmask16 some = count - c >= 16 ? 0xFFFF : (__mmask16)((1 << (count - c)) - 1);
        __m512i acc = _mm512_setzero_si512();
        for (int32_t l = 0; l < r->positions; l++) {
            const int8_t *a = x + (size_t)l * (size_t)r->channels + c;
            __m512i v = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, a));
            /* the lower half of each lane is the number, the upper half its sign, which is multiplied by 0 */
            acc = _mm512_dpwssd_epi32(acc, v, _mm512_set1_epi32(share[l] & 0xFFFF));
        }
        _mm512_mask_storeu_epi32(sum + c, some, acc);
    }
}
#endif

static void sums_plain(const uvlm_attend *r, const int16_t *share, const int8_t *x, int32_t count, int32_t *sum) {
    for (int32_t c = 0; c < count; c++) sum[c] = 0;
    for (int32_t l = 0; l < r->positions; l++) {
        const int8_t *a = x + (size_t)l * (size_t)r->channels;
        for (int32_t c = 0; c < count; c++) sum[c] += share[l] * a[c];
    }
}

#ifdef UVLM_HELIUM
/* 24 channels in six registers: a share is read once for them, and multiplied as a scalar. */
static void sums_of_24(const uvlm_attend *r, const int16_t *share, const int8_t *x, int32_t *sum) {
    int32x4_t s0 = vdupq_n_s32(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0;
    int32_t one;
    __asm volatile(
        "dls lr, %[n]\n"
        "1:\n"
        "ldrsh %[one], [%[share]], #2\n"
        "vldrb.s32 q0, [%[x]]\n"
        "vmla.s32 %q[s0], q0, %[one]\n"
        "vldrb.s32 q1, [%[x], #4]\n"
        "vmla.s32 %q[s1], q1, %[one]\n"
        "vldrb.s32 q0, [%[x], #8]\n"
        "vmla.s32 %q[s2], q0, %[one]\n"
        "vldrb.s32 q1, [%[x], #12]\n"
        "vmla.s32 %q[s3], q1, %[one]\n"
        "vldrb.s32 q0, [%[x], #16]\n"
        "vmla.s32 %q[s4], q0, %[one]\n"
        "vldrb.s32 q1, [%[x], #20]\n"
        "vmla.s32 %q[s5], q1, %[one]\n"
        "add %[x], %[channels]\n"
        "le lr, 1b\n"
        : [x] "+l"(x), [share] "+r"(share), [one] "=&r"(one), [s0] "+t"(s0), [s1] "+t"(s1), [s2] "+t"(s2),
          [s3] "+t"(s3), [s4] "+t"(s4), [s5] "+t"(s5)
        : [n] "r"(r->positions), [channels] "r"(r->channels)
        : "lr", "q0", "q1", "memory");
    vstrwq_s32(sum, s0);
    vstrwq_s32(sum + 4, s1);
    vstrwq_s32(sum + 8, s2);
    vstrwq_s32(sum + 12, s3);
    vstrwq_s32(sum + 16, s4);
    vstrwq_s32(sum + 20, s5);
}

/* Eight sums at a time to int8, for shifts to the right alone; how many were done. In assembly, for the compiler copies
 * what is narrowed in place. */
static int32_t eights_mve(const uvlm_attend *r, uvlm_scale_mve by, int32_t zeros, const int32_t *sum, int32_t count,
                          int8_t *y) {
    const int32_t eights = by.left ? 0 : count >> 3;
    __asm volatile(
        "wls lr, %[n], 2f\n"
        "1:\n"
        "vld20.32 {q0, q1}, [%[sum]]\n" /* the even channels, the odd ones */
        "vld21.32 {q0, q1}, [%[sum]]!\n"
        "vadd.i32 q0, q0, %[zeros]\n"
        "vadd.i32 q1, q1, %[zeros]\n"
        "vshl.s32 q0, %[lift]\n"
        "vshl.s32 q1, %[lift]\n"
        "vqrdmulh.s32 q0, q0, %[m]\n"
        "vqrdmulh.s32 q1, q1, %[m]\n"
        "vrshl.s32 q0, %[right]\n"
        "vrshl.s32 q1, %[right]\n"
        "vqmovnb.s32 q0, q0\n"
        "vqmovnt.s32 q0, q1\n"
        "vqadd.s16 q0, q0, %[zero_y]\n"
        "vqmovnb.s16 q0, q0\n"
        "vstrb.16 q0, [%[y]], #8\n"
        "le lr, 1b\n"
        "2:\n"
        : [sum] "+r"(sum), [y] "+l"(y)
        : [n] "r"(eights), [zeros] "r"(zeros), [lift] "r"(r->lift), [m] "r"(by.m), [right] "r"(by.right),
          [zero_y] "r"(r->zero_y)
        : "lr", "q0", "q1", "memory");
    return eights << 3;
}

/* The rest, 16 channels in four registers: a share is read once for them, and multiplied as a scalar. */
static void sums_mve(const uvlm_attend *r, const int16_t *share, const int8_t *x, int32_t count, int32_t *sum) {
    int32_t c = 0, channels = r->channels;
    for (; c + 24 <= count; c += 24) sums_of_24(r, share, x + c, sum + c);
    for (; c + 16 <= count; c += 16) {
        const int8_t *at = x + c;
        int32x4_t s0 = vdupq_n_s32(0), s1 = s0, s2 = s0, s3 = s0;
        for (int32_t l = 0; l < r->positions; l++, at += channels) {
            s0 = vmlaq_n_s32(s0, vldrbq_s32(at), share[l]);
            s1 = vmlaq_n_s32(s1, vldrbq_s32(at + 4), share[l]);
            s2 = vmlaq_n_s32(s2, vldrbq_s32(at + 8), share[l]);
            s3 = vmlaq_n_s32(s3, vldrbq_s32(at + 12), share[l]);
        }
        vstrwq_s32(sum + c, s0);
        vstrwq_s32(sum + c + 4, s1);
        vstrwq_s32(sum + c + 8, s2);
        vstrwq_s32(sum + c + 12, s3);
    }
    if (c < count) sums_plain(r, share, x + c, count - c, sum + c);
}
#endif

int uvlm_attend_s8_as(int form, const uvlm_attend *r, const int16_t *share, const int8_t *x, int8_t *y) {
    if (!r || !share || !x || !y) return UVLM_NULL;
    if (r->positions < 1 || r->positions > 256 || r->channels < 1 || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->lift < 0 || r->lift > 30 || r->zero_x < -128 || r->zero_x > 127) return UVLM_RANGE;
    if (r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (!uvlm_has(form)) return UVLM_FORM;
    int32_t whole = 0;
    for (int32_t l = 0; l < r->positions; l++) whole += share[l];
    for (int32_t start = 0; start < r->channels; start += BLOCK) {
        int32_t count = r->channels - start < BLOCK ? r->channels - start : BLOCK, sum[BLOCK];
#ifdef UVLM_X86
        if (form == UVLM_AVX512) {
            sums_avx512(r, share, x + start, count, sum);
        } else
#endif
#ifdef UVLM_HELIUM
        if (form == UVLM_MVE) {
            sums_mve(r, share, x + start, count, sum);
        } else
#endif
            sums_plain(r, share, x + start, count, sum);
        int32_t c = 0;
#ifdef UVLM_HELIUM
        if (form == UVLM_MVE) {
            uvlm_scale_mve by = uvlm_scale_of(r->m, r->s);
            int32_t zeros = -uvlm_times(r->zero_x, whole);
            c = eights_mve(r, by, zeros, sum, count, y + start);
            for (; c + 4 <= count; c += 4) {
                int32x4_t acc = vshlq_r_s32(vaddq_n_s32(vldrwq_s32(sum + c), zeros), r->lift);
                vstrbq_s32(y + start + c, uvlm_narrow_mve(uvlm_rescale_mve(acc, by), r->zero_y));
            }
        }
#endif
        for (; c < count; c++) {
            int32_t acc = uvlm_lift(uvlm_sum(sum[c], -uvlm_times(r->zero_x, whole)), r->lift);
            y[start + c] = uvlm_narrow(uvlm_requantise(acc, r->m, r->s), r->zero_y);
        }
    }
    return UVLM_OK;
}

int uvlm_attend_s8(const uvlm_attend *r, const int16_t *share, const int8_t *x, int8_t *y) {
    return uvlm_attend_s8_as(uvlm_form(), r, share, x, y);
}
