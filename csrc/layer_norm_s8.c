/* LayerNorm from int8 to int8 without a division and without a square root of the processor's.
 *
 *   c = H x - sum x                    H times what x is off its mean: needs no mean and no zero point
 *   n = c / sqrt(sum c^2 + epsilon)    in Q15, by a reciprocal square root from a table and two steps of Newton
 *   y = n gamma + beta                 requantised
 *
 * |c| is at most 255 H, below 2^23; the sum of squares below 2^61. */
#include "fixed_x86.h"
#include "kernels_s8.h"
#include "mve.h"

static int64_t squares_plain(const uvlm_layer_norm *r, const int8_t *x, int32_t sum) {
    int64_t squares = 0;
    for (int32_t i = 0; i < r->hidden; i++) {
        int64_t c = r->hidden * x[i] - sum;
        squares += c * c;
    }
    return squares;
}

/* Numbers `from` on. */
static void norm_plain(const uvlm_layer_norm *r, const int8_t *x, int32_t from, int32_t sum, int32_t m, int32_t s,
                       int8_t *y) {
    for (int32_t i = from; i < r->hidden; i++) {
        int32_t n = uvlm_to_s16(uvlm_requantise(r->hidden * x[i] - sum, m, s));
        int32_t scaled = uvlm_requantise(uvlm_lift(uvlm_sum(n * r->gamma[i], r->beta[i]), r->lift), r->m, r->s);
        y[i] = uvlm_narrow(scaled, r->zero_y);
    }
}

#ifdef UVLM_X86
/* H x - sum of 16 numbers; 0 where there are none. */
UVLM_IN_AVX512 __m512i off_mean(const uvlm_layer_norm *r, const int8_t *x, __mmask16 some, int32_t sum) {
    __m512i at = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, x));
    return _mm512_maskz_sub_epi32(some, _mm512_mullo_epi32(at, _mm512_set1_epi32(r->hidden)), _mm512_set1_epi32(sum));
}

UVLM_IN_AVX512 __mmask16 those(int32_t left) { return left >= 16 ? 0xFFFF : (__mmask16)((1 << left) - 1); }

UVLM_FOR_AVX512 static int64_t squares_avx512(const uvlm_layer_norm *r, const int8_t *x, int32_t sum) {
    __m512i squares = _mm512_setzero_si512();
    for (int32_t i = 0; i < r->hidden; i += 16) {
        __m512i c = off_mean(r, x + i, those(r->hidden - i), sum), odd = _mm512_srli_epi64(c, 32);
        squares = _mm512_add_epi64(squares, _mm512_add_epi64(_mm512_mul_epi32(c, c), _mm512_mul_epi32(odd, odd)));
    }
    return _mm512_reduce_add_epi64(squares);
}

UVLM_FOR_AVX512 static void norm_avx512(const uvlm_layer_norm *r, const int8_t *x, int32_t sum, int32_t m, int32_t s,
                                        int8_t *y) {
    for (int32_t i = 0; i < r->hidden; i += 16) {
        __mmask16 some = those(r->hidden - i);
        __m512i n = uvlm_requantise_avx512(off_mean(r, x + i, some, sum), m, s);
        n = _mm512_cvtepi16_epi32(_mm512_cvtsepi32_epi16(n)); /* saturates */
        __m512i gamma = _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(some, r->gamma + i));
        n = _mm512_add_epi32(_mm512_mullo_epi32(n, gamma), _mm512_maskz_loadu_epi32(some, r->beta + i));
        n = uvlm_requantise_avx512(_mm512_sll_epi32(n, _mm_cvtsi32_si128(r->lift)), r->m, r->s);
        _mm_mask_storeu_epi8(y + i, some, uvlm_narrow_avx512(n, r->zero_y));
    }
}
#endif

#ifdef UVLM_HELIUM
/* The sum of (H x - sum)^2 is H (H sum x^2 - sum^2): squares of int8, which VMLADAVA adds 16 at a time. They stay below
 * 2^29, the result is the same. Gives the sum, too. */
static int64_t squares_mve(const uvlm_layer_norm *r, const int8_t *x, int32_t *sum) {
    int32_t n = r->hidden, values = 0, squares = 0;
    __asm volatile(
        "dlstp.8 lr, %[n]\n"
        "1:\n"
        "vldrb.8 q0, [%[x]], #16\n"
        "vaddva.s8 %[values], q0\n"
        "vmladava.s8 %[squares], q0, q0\n"
        "letp lr, 1b\n"
        : [x] "+l"(x), [values] "+Te"(values), [squares] "+Te"(squares)
        : [n] "r"(n)
        : "lr", "q0", "memory");
    *sum = values;
    return n * ((int64_t)n * squares - (int64_t)values * values);
}

/* Eight at a time, for shifts to the right alone; how many were done. In assembly, for the compiler copies what is
 * narrowed in place. Even and odd numbers part where 32 bits are needed. */
__attribute__((noinline)) static int32_t eights_mve(const uvlm_layer_norm *r, const int8_t *x, int32_t sum,
                                                    uvlm_scale_mve root, uvlm_scale_mve last, int8_t *y) {
    const int32x4_t hidden = vdupq_n_s32(r->hidden);
    const int16_t *gamma = r->gamma;
    const int32_t *beta = r->beta;
    const int32_t eights = root.left || last.left ? 0 : r->hidden >> 3;
    /* the loop needs nearly all registers: these come by memory, and the place of the first is used again */
    const int32_t numbers[6] = {eights, root.right, r->lift, last.m, last.right, r->zero_y}, *from = numbers;
    __asm volatile(
        "ldr lr, [%[from]], #8\n"
        "ldm %[from], {r2, r3, r4, r5}\n"
        "ldr %[from], [%[from], #-4]\n" /* from now on root.right */
        "wls lr, lr, 2f\n"
        "1:\n"
        "vldrb.s16 q0, [%[x]], #8\n"
        "vmovlb.s16 q1, q0\n"
        "vmovlt.s16 q0, q0\n"
        "vmlas.s32 q1, %q[hidden], %[minus]\n"
        "vmlas.s32 q0, %q[hidden], %[minus]\n"
        "vqrdmulh.s32 q1, q1, %[m]\n"
        "vqrdmulh.s32 q0, q0, %[m]\n"
        "vrshl.s32 q1, %[from]\n"
        "vrshl.s32 q0, %[from]\n"
        "vqmovnb.s32 q1, q1\n"
        "vqmovnt.s32 q1, q0\n" /* n */
        "vldrh.u16 q2, [%[gamma]], #16\n"
        "vmullb.s16 q0, q1, q2\n"
        "vmullt.s16 q1, q1, q2\n"
        "vld20.32 {q2, q3}, [%[beta]]\n"
        "vld21.32 {q2, q3}, [%[beta]]!\n"
        "vadd.i32 q0, q0, q2\n"
        "vadd.i32 q1, q1, q3\n"
        "vshl.s32 q0, r2\n"
        "vshl.s32 q1, r2\n"
        "vqrdmulh.s32 q0, q0, r3\n"
        "vqrdmulh.s32 q1, q1, r3\n"
        "vrshl.s32 q0, r4\n"
        "vrshl.s32 q1, r4\n"
        "vqmovnb.s32 q0, q0\n"
        "vqmovnt.s32 q0, q1\n"
        "vqadd.s16 q0, q0, r5\n"
        "vqmovnb.s16 q0, q0\n"
        "vstrb.16 q0, [%[y]], #8\n"
        "le lr, 1b\n"
        "2:\n"
        : [x] "+l"(x), [y] "+l"(y), [gamma] "+r"(gamma), [beta] "+r"(beta), [from] "+r"(from)
        : [hidden] "t"(hidden), [minus] "r"(-sum), [m] "r"(root.m)
        : "lr", "r2", "r3", "r4", "r5", "q0", "q1", "q2", "q3", "memory");
    return eights << 3;
}

/* Four at a time; what is left over goes the plain way. */
static void norm_mve(const uvlm_layer_norm *r, const int8_t *x, int32_t sum, int32_t m, int32_t s, int8_t *y) {
    uvlm_scale_mve root = uvlm_scale_of(m, s), last = uvlm_scale_of(r->m, r->s);
    const int16_t *gamma = r->gamma;
    const int32_t *beta = r->beta;
    int32_t i = eights_mve(r, x, sum, root, last, y), hidden = r->hidden, lift = r->lift, zero_y = r->zero_y;
    for (; i + 4 <= hidden; i += 4) {
        int32x4_t c = vsubq_n_s32(vmulq_n_s32(vldrbq_s32(x + i), hidden), sum);
        int32x4_t n = uvlm_to_s16_mve(uvlm_rescale_mve(c, root));
        int32x4_t t = vaddq_s32(vmulq_s32(n, vldrhq_s32(gamma + i)), vldrwq_s32(beta + i));
        vstrbq_s32(y + i, uvlm_narrow_mve(uvlm_rescale_mve(vshlq_r_s32(t, lift), last), zero_y));
    }
    norm_plain(r, x, i, sum, m, s, y);
}
#endif

int uvlm_layer_norm_s8_as(int form, const uvlm_layer_norm *r, const int8_t *x, int8_t *y) {
    if (!r || !x || !y || !r->gamma || !r->beta || !r->roots) return UVLM_NULL;
    if (r->hidden < 1 || r->hidden > 32768) return UVLM_SIZE;
    if (r->epsilon < 1 || r->lift < 0 || r->lift > 30 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (!uvlm_has(form)) return UVLM_FORM;
    int32_t sum = 0, m, s;
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE) {
        int64_t squares = squares_mve(r, x, &sum);
        uvlm_inverse_root(squares + r->epsilon, r->roots, &m, &s);
        norm_mve(r, x, sum, m, s - 15, y);
        return UVLM_OK;
    }
#endif
    for (int32_t i = 0; i < r->hidden; i++) sum += x[i];
#ifdef UVLM_X86
    if (form == UVLM_AVX512) {
        uvlm_inverse_root(squares_avx512(r, x, sum) + r->epsilon, r->roots, &m, &s);
        norm_avx512(r, x, sum, m, s - 15, y);
        return UVLM_OK;
    }
#endif
    uvlm_inverse_root(squares_plain(r, x, sum) + r->epsilon, r->roots, &m, &s);
    norm_plain(r, x, 0, sum, m, s - 15, y);
    return UVLM_OK;
}

int uvlm_layer_norm_s8(const uvlm_layer_norm *r, const int8_t *x, int8_t *y) {
    return uvlm_layer_norm_s8_as(uvlm_form(), r, x, y);
}
