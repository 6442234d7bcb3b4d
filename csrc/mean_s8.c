/* The mean of every channel over a map: the sum is exact, the count is in multiplier and shift. */
#include "fixed_x86.h"
#include "kernels_s8.h"
#include "mve.h"

enum { BLOCK = 64 }; /* channels summed at once, so that the map is read in the order in which it lies */

#ifdef UVLM_X86
/* 32 channels at a time; up to 256 positions are added up in int16. */
UVLM_FOR_AVX512 static void mean_avx512(const uvlm_mean *r, const int8_t *x, int8_t *y) {
    const int32_t channels = r->channels, zero_y = r->zero_y;
    const __m512i zeros = _mm512_set1_epi32(r->zero_x * r->positions);
    const __m128i lift = _mm_cvtsi32_si128(r->lift);
    for (int32_t c = 0; c < channels; c += 32) {
        __mmask32 some = channels - c >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << (channels - c)) - 1;
        const int8_t *at = x + c;
        __m512i low = _mm512_sub_epi32(_mm512_setzero_si512(), zeros), high = low;
        for (int32_t left = r->positions; left > 0; left -= 256) {
            __m512i few = _mm512_setzero_si512();
            for (int32_t l = left < 256 ? left : 256; l > 0; l--, at += channels) {
                few = _mm512_add_epi16(few, _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(some, at)));
            }
            low = _mm512_add_epi32(low, _mm512_cvtepi16_epi32(_mm512_castsi512_si256(few)));
            high = _mm512_add_epi32(high, _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(few, 1)));
        }
        low = uvlm_requantise_avx512(_mm512_sll_epi32(low, lift), r->m, r->s);
        high = uvlm_requantise_avx512(_mm512_sll_epi32(high, lift), r->m, r->s);
        __m256i both = _mm256_castsi128_si256(uvlm_narrow_avx512(low, zero_y));
        both = _mm256_inserti128_si256(both, uvlm_narrow_avx512(high, zero_y), 1);
        _mm256_mask_storeu_epi8(y + c, some, both);
    }
}
#endif

#ifdef UVLM_HELIUM
/* Eight sums, lifted, requantised and narrowed. In assembly, for the compiler copies what is narrowed in place. */
static inline int8_t *eight_mve(int16x8_t sums, int32_t lift, uvlm_scale_mve by, int32_t zero_y, int8_t *y) {
    __asm volatile(
        "vmovlb.s16 q0, %q[sums]\n" /* the even channels */
        "vmovlt.s16 q1, %q[sums]\n" /* the odd ones */
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
        : [y] "+l"(y)
        : [sums] "t"(sums), [lift] "r"(lift), [m] "r"(by.m), [right] "r"(by.right), [zero_y] "r"(zero_y)
        : "q0", "q1", "memory");
    return y;
}

/* 32 channels at a time, of up to 128 positions: their sums stay in int16 with the zero points off, 255 each at most.
 * For shifts to the right alone. How many channels were done. */
static int32_t few_positions_mve(const uvlm_mean *r, const int8_t *x, int8_t *y) {
    const uvlm_scale_mve by = uvlm_scale_of(r->m, r->s);
    const int32_t channels = r->channels, positions = r->positions, lift = r->lift, zero_y = r->zero_y;
    const int16x8_t start = vdupq_n_s16((int16_t)(-r->zero_x * positions));
    int32_t c = 0;
    if (positions > 128 || by.left) return 0;
    for (; c + 32 <= channels; c += 32) {
        const int8_t *at = x + c;
        int16x8_t s0 = start, s1 = start, s2 = start, s3 = start;
        __asm volatile(
            "dls lr, %[n]\n"
            "1:\n"
            "vldrb.s16 q0, [%[at]]\n"
            "vadd.i16 %q[s0], %q[s0], q0\n"
            "vldrb.s16 q1, [%[at], #8]\n"
            "vadd.i16 %q[s1], %q[s1], q1\n"
            "vldrb.s16 q0, [%[at], #16]\n"
            "vadd.i16 %q[s2], %q[s2], q0\n"
            "vldrb.s16 q1, [%[at], #24]\n"
            "vadd.i16 %q[s3], %q[s3], q1\n"
            "add %[at], %[channels]\n"
            "le lr, 1b\n"
            : [at] "+l"(at), [s0] "+t"(s0), [s1] "+t"(s1), [s2] "+t"(s2), [s3] "+t"(s3)
            : [n] "r"(positions), [channels] "r"(channels)
            : "lr", "q0", "q1", "memory");
        y = eight_mve(s0, lift, by, zero_y, y);
        y = eight_mve(s1, lift, by, zero_y, y);
        y = eight_mve(s2, lift, by, zero_y, y);
        y = eight_mve(s3, lift, by, zero_y, y);
    }
    return c;
}

/* The others, 16 at a time; how many are done then. Up to 256 positions are added up in int16, in two registers. */
static int32_t mean_mve(const uvlm_mean *r, const int8_t *x, int8_t *y) {
    const uvlm_scale_mve by = uvlm_scale_of(r->m, r->s);
    const int32_t channels = r->channels, lift = r->lift, zero_y = r->zero_y;
    int32_t c = few_positions_mve(r, x, y);
    for (; c + 16 <= channels; c += 16) {
        const int8_t *at = x + c;
        int32x4_t s0 = vdupq_n_s32(-r->zero_x * r->positions), s1 = s0, s2 = s0, s3 = s0;
        for (int32_t left = r->positions; left > 0; left -= 256) {
            int16_t sums[16];
            int16x8_t low = vdupq_n_s16(0), high = low;
            for (int32_t l = left < 256 ? left : 256; l > 0; l--, at += channels) {
                low = vaddq_s16(low, vldrbq_s16(at));
                high = vaddq_s16(high, vldrbq_s16(at + 8));
            }
            vstrhq_s16(sums, low);
            vstrhq_s16(sums + 8, high);
            s0 = vaddq_s32(s0, vldrhq_s32(sums));
            s1 = vaddq_s32(s1, vldrhq_s32(sums + 4));
            s2 = vaddq_s32(s2, vldrhq_s32(sums + 8));
            s3 = vaddq_s32(s3, vldrhq_s32(sums + 12));
        }
        vstrbq_s32(y + c, uvlm_narrow_mve(uvlm_rescale_mve(vshlq_r_s32(s0, lift), by), zero_y));
        vstrbq_s32(y + c + 4, uvlm_narrow_mve(uvlm_rescale_mve(vshlq_r_s32(s1, lift), by), zero_y));
        vstrbq_s32(y + c + 8, uvlm_narrow_mve(uvlm_rescale_mve(vshlq_r_s32(s2, lift), by), zero_y));
        vstrbq_s32(y + c + 12, uvlm_narrow_mve(uvlm_rescale_mve(vshlq_r_s32(s3, lift), by), zero_y));
    }
    return c;
}
#endif

int uvlm_mean_s8_as(int form, const uvlm_mean *r, const int8_t *x, int8_t *y) {
    if (!r || !x || !y) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->lift < 0 || r->lift > 30 || r->zero_x < -128 || r->zero_x > 127) return UVLM_RANGE;
    if (r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (!uvlm_has(form)) return UVLM_FORM;
#ifdef UVLM_X86
    if (form == UVLM_AVX512) {
        mean_avx512(r, x, y);
        return UVLM_OK;
    }
#endif
    int32_t start = 0;
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE) start = mean_mve(r, x, y);
#endif
    for (; start < r->channels; start += BLOCK) {
        int32_t count = r->channels - start < BLOCK ? r->channels - start : BLOCK, sum[BLOCK] = {0};
        for (int32_t l = 0; l < r->positions; l++) {
            const int8_t *a = x + (size_t)l * (size_t)r->channels + (size_t)start;
            for (int32_t c = 0; c < count; c++) sum[c] += a[c]; /* at most 2^16 * 2^7 */
        }
        for (int32_t c = 0; c < count; c++) {
            int32_t acc = uvlm_lift(sum[c] - r->zero_x * r->positions, r->lift);
            y[start + c] = uvlm_narrow(uvlm_requantise(acc, r->m, r->s), r->zero_y);
        }
    }
    return UVLM_OK;
}

int uvlm_mean_s8(const uvlm_mean *r, const int8_t *x, int8_t *y) { return uvlm_mean_s8_as(uvlm_form(), r, x, y); }
