/* What the Helium forms share: fixed.h four numbers at a time, and the products of four rows with one vector.
 *
 * Helium has the steps of the arithmetic as instructions: VQSHL shifts to the left and saturates, VQRDMULH gives
 * (a m + 2^30) >> 31, VRSHL with a negative shift rounds half up. Two things keep the bits equal for any content:
 *
 * - VQRDMULH saturates the one product that leaves int32, -2^31 times -2^31. So m = -2^31 is the one multiplier for
 *   which this differs from uvlm_requantise; multipliers are from 2^30 on.
 * - VRSHL and VQSHL read a shift's lowest byte alone, so that it has to be made with care where it can be -128. */
#ifndef UVLM_MVE_H
#define UVLM_MVE_H

#include "forms.h"

#ifdef UVLM_HELIUM

/* uvlm_requantise with a multiplier and a shift a lane, the shifts from int8: -s to the left where it is above 0, to
 * the right where it is below. Bytes are enough: see above. */
static inline int32x4_t uvlm_requantise_mve(int32x4_t a, int32x4_t m, int32x4_t s) {
    int8x16_t shift = vqnegq_s8(vreinterpretq_s8_s32(s));
    int32x4_t left = vreinterpretq_s32_s8(vmaxq_s8(shift, vdupq_n_s8(0)));
    int32x4_t right = vreinterpretq_s32_s8(vminq_s8(shift, vdupq_n_s8(0)));
    return vrshlq_s32(vqrdmulhq_s32(vqshlq_s32(a, left), m), right);
}

/* The same with one of each: the shifts are made once. */
typedef struct {
    int32_t left, m, right;
} uvlm_scale_mve;

static inline uvlm_scale_mve uvlm_scale_of(int32_t m, int32_t s) {
    uvlm_scale_mve made = {s < -31 ? 31 : s < 0 ? -s : 0, m, s > 32 ? -32 : s > 0 ? -s : 0};
    return made;
}

static inline int32x4_t uvlm_rescale_mve(int32x4_t a, uvlm_scale_mve by) {
    return vrshlq_n_s32(vqrdmulhq_n_s32(vqshlq_r_s32(a, by.left), by.m), by.right);
}

/* uvlm_narrow, the four results in the lowest bytes of the four lanes, where VSTRB.32 takes them from. */
static inline int32x4_t uvlm_narrow_mve(int32x4_t t, int32_t zero) {
    return vmaxq_s32(vminq_s32(vqaddq_n_s32(t, zero), vdupq_n_s32(127)), vdupq_n_s32(-128));
}

/* The nearest int16 in int32 lanes. */
static inline int32x4_t uvlm_to_s16_mve(int32x4_t x) {
    return vmovlbq_s16(vqmovnbq_s32(vreinterpretq_s16_s32(x), x));
}

/* Four rows of n numbers, `pitch` apart, times x: four sums. x is read once for all of them.
 *
 * A multiply-add costs 10/64 of an instruction: five loads, four VMLADAVA and the loop's end for 4 x 16 of them. The
 * compiler makes that loop of these lines; for what is left over it needs a second part, with a predicate. */
static inline int32x4_t uvlm_dot4_mve(const int8_t *w, int32_t pitch, const int8_t *x, int32_t n) {
    const int8_t *w1 = w + pitch, *w2 = w1 + pitch, *w3 = w2 + pitch;
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (int32_t k = n >> 4; k > 0; k--) {
        int8x16_t v = vldrbq_s8(x);
        a = vmladavaq_s8(a, vldrbq_s8(w), v);
        b = vmladavaq_s8(b, vldrbq_s8(w1), v);
        c = vmladavaq_s8(c, vldrbq_s8(w2), v);
        d = vmladavaq_s8(d, vldrbq_s8(w3), v);
        x += 16, w += 16, w1 += 16, w2 += 16, w3 += 16;
    }
    if (n & 15) {
        mve_pred16_t p = vctp8q((uint32_t)(n & 15));
        int8x16_t v = vldrbq_z_s8(x, p);
        a = vmladavaq_p_s8(a, vldrbq_z_s8(w, p), v, p);
        b = vmladavaq_p_s8(b, vldrbq_z_s8(w1, p), v, p);
        c = vmladavaq_p_s8(c, vldrbq_z_s8(w2, p), v, p);
        d = vmladavaq_p_s8(d, vldrbq_z_s8(w3, p), v, p);
    }
    const int32_t sums[4] = {a, b, c, d};
    return vldrwq_s32(sums);
}

/* The same in assembly, for the instructions that the compiler does not write: DLSTP counts numbers instead of rounds,
 * and in its last round the loop runs with as many lanes as are left, so that there is no second part.
 *
 *   dlstp.8  lr = n, lanes of 8 bits        the loop's start
 *   vldrb.8  sixteen int8, pointer + 16     behind the end nothing is read
 *   vmladava sum += products of all lanes   Te: the sum has to be in a register of even number
 *   letp     lr -= 16, again while above 0
 */
static inline int32x4_t uvlm_dot4_asm(const int8_t *w, int32_t pitch, const int8_t *x, int32_t n) {
    const int8_t *w1 = w + pitch, *w2 = w1 + pitch, *w3 = w2 + pitch;
    int32_t a = 0, b = 0, c = 0, d = 0;
    int32x4_t sum;
    __asm volatile(
        "dlstp.8 lr, %[n]\n"
        "1:\n"
        "vldrb.8 q0, [%[x]], #16\n"
        "vldrb.8 q1, [%[w]], #16\n"
        "vmladava.s8 %[a], q0, q1\n"
        "vldrb.8 q2, [%[w1]], #16\n"
        "vmladava.s8 %[b], q0, q2\n"
        "vldrb.8 q3, [%[w2]], #16\n"
        "vmladava.s8 %[c], q0, q3\n"
        "vldrb.8 q1, [%[w3]], #16\n"
        "vmladava.s8 %[d], q0, q1\n"
        "letp lr, 1b\n"
        "vmov %q[sum][2], %q[sum][0], %[a], %[c]\n"
        "vmov %q[sum][3], %q[sum][1], %[b], %[d]\n"
        : [sum] "=&t"(sum), [a] "+Te"(a), [b] "+Te"(b), [c] "+Te"(c), [d] "+Te"(d), [x] "+r"(x), [w] "+r"(w), [w1] "+r"(w1),
          [w2] "+r"(w2), [w3] "+r"(w3)
        : [n] "r"(n)
        : "lr", "q0", "q1", "q2", "q3", "memory");
    return sum;
}

/* Four rows of a matrix times x, with bias, lifted and requantised. */
static inline int32x4_t uvlm_rows_mve(const int8_t *w, int32_t columns, const int8_t *x, const int32_t *bias,
                                      const int32_t *m, const int8_t *s, int32_t lift) {
    int32x4_t sum = vaddq_s32(uvlm_dot4_asm(w, columns, x, columns), vldrwq_s32(bias));
    return uvlm_requantise_mve(vshlq_r_s32(sum, lift), vldrwq_s32(m), vldrbq_s32(s));
}

#endif
#endif
