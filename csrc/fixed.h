/* The integer arithmetic: uvlm_mini/quantize/fixed.py in C, to the bit. That file says what each function is and how
 * far it is off; here stands what C needs besides: which sums fit, and why no shift or sum is undefined.
 *
 * C99 leaves the right shift of a negative number to the compiler. All that this is built with shift arithmetically;
 * one that does not fails here. */
#ifndef UVLM_FIXED_H
#define UVLM_FIXED_H

#include <stdint.h>

typedef char uvlm_right_shifts_must_be_arithmetic[((-3) >> 1) == -2 ? 1 : -1];

static inline int8_t uvlm_to_s8(int32_t x) { return (int8_t)(x < -128 ? -128 : x > 127 ? 127 : x); }

/* t + zero as int8. t is cut first, far outside of what the sum can show: so the sum cannot overflow. */
static inline int8_t uvlm_narrow(int32_t t, int32_t zero) {
    return uvlm_to_s8((t < -1024 ? -1024 : t > 1024 ? 1024 : t) + zero);
}

static inline int16_t uvlm_to_s16(int32_t x) { return (int16_t)(x < -32768 ? -32768 : x > 32767 ? 32767 : x); }

static inline int32_t uvlm_to_s32(int64_t x) {
    return (int32_t)(x < INT32_MIN ? INT32_MIN : x > INT32_MAX ? INT32_MAX : x);
}

/* a + b, a * b and a * 2^n without undefined overflow. The tables are made so that neither leaves int32; if a broken file says
 * otherwise the result is wrong, and the program still well-defined. */
static inline int32_t uvlm_sum(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }

static inline int32_t uvlm_times(int32_t a, int32_t b) { return (int32_t)((uint32_t)a * (uint32_t)b); }

static inline int32_t uvlm_lift(int32_t a, int32_t n) { return (int32_t)((uint32_t)a << (n & 31)); }

/* x * 2^-s, halves up, for s from 0 on. What is above bit s, plus the bit below it: that needs no sum that could
 * overflow, as x + 2^(s-1) could. */
static inline int32_t uvlm_shift_half_up(int32_t x, int32_t s) {
    return s <= 0 ? x : s > 31 ? 0 : (x >> s) + ((x >> (s - 1)) & 1);
}

static inline int64_t uvlm_shift_half_up_64(int64_t x, int32_t s) {
    return s <= 0 ? x : s > 63 ? 0 : (x >> s) + ((x >> (s - 1)) & 1);
}

/* a * m * 2^-31 * 2^-s; any s, of which -31 to 32 make a difference. |a m| is at most 2^62. */
static inline int32_t uvlm_requantise(int32_t a, int32_t m, int32_t s) {
    if (s < 0) a = uvlm_to_s32((int64_t)a * ((int64_t)1 << (s < -31 ? 31 : -s)));
    int32_t t = (int32_t)(((int64_t)a * m + (1 << 30)) >> 31);
    return uvlm_shift_half_up(t, s);
}

/* The place of the highest bit of x that is set, x at least 1. */
static inline int32_t uvlm_leading(uint64_t x) {
#if defined(__GNUC__)
    return 63 - __builtin_clzll(x | 1);
#else
    int32_t place = 0;
    for (int32_t k = 32; k; k >>= 1) {
        if (x >> k) {
            x >>= k;
            place += k;
        }
    }
    return place;
#endif
}

/* 2^-t in Q30 for t in Q16, at least 0; powers: 257 numbers. */
static inline int32_t uvlm_power(int32_t t, const int32_t *powers) {
    int32_t whole = t >> 16, i = (t >> 8) & 255, rest = t & 255;
    if (whole > 30) return 0;
    int32_t low = powers[i], fall = uvlm_sum(low, uvlm_times(powers[i + 1], -1)); /* under 2^22; 255 of it under 2^30 */
    return uvlm_shift_half_up(uvlm_sum(low, -(uvlm_sum(uvlm_times(fall, rest), 128) >> 8)), whole);
}

/* a * b * 2^-15, halves up, of numbers of 16 bits: one instruction of every vector unit here. Not both -32,768 there. */
static inline int32_t uvlm_rounded(int32_t a, int32_t b) { return (a * b + (1 << 14)) >> 15; }

/* 2^((g - 1) / 2) in Q15 is C0 + g (C1 + g (C2 + g (C3 + g C4))) for g in Q15. Partial sums are int16; the last saturates. */
enum { UVLM_EXP2_0 = 23170, UVLM_EXP2_1 = 8030, UVLM_EXP2_2 = 1393, UVLM_EXP2_3 = 162, UVLM_EXP2_4 = 13 };

/* 2^(t * 2^-places) in Q15, 0 to 32,767, for int16 t and places from 1 to 15. t above 0 gives what 0 gives: 32,767. */
static inline int32_t uvlm_power_q15(int32_t t, int32_t places) {
    t = uvlm_to_s16(t + (1 << (places - 1)));
    int32_t whole = (t + (1 << (places - 1))) >> places, g = (int16_t)((uint32_t)t << (16 - places));
    int32_t power = uvlm_rounded(UVLM_EXP2_4, g) + UVLM_EXP2_3;
    power = uvlm_rounded(power, g) + UVLM_EXP2_2;
    power = uvlm_rounded(power, g) + UVLM_EXP2_1;
    power = uvlm_to_s16(uvlm_rounded(power, g) + UVLM_EXP2_0);
    return whole > 0 ? 32767 : uvlm_shift_half_up(power, -whole);
}

/* log2 x in Q16 for x from 1 to 2^62; logs: 257 numbers. */
static inline int32_t uvlm_logarithm(int64_t x, const int32_t *logs) {
    int32_t place = uvlm_leading((uint64_t)x);
    int64_t part = (x << (62 - place)) >> 38;
    int32_t i = (int32_t)(part >> 16) & 255, rest = (int32_t)(part & 0xFFFF);
    int64_t low = logs[i], high = logs[i + 1];
    int32_t y = (int32_t)(low + (((high - low) * rest) >> 16));
    return (place << 16) + uvlm_shift_half_up(y, 14);
}

/* 1 / sqrt(x) as multiplier and shift of uvlm_requantise, for x from 1 to 2^62; roots: 96 numbers. */
static inline void uvlm_inverse_root(int64_t x, const int32_t *roots, int32_t *m, int32_t *s) {
    int32_t place = uvlm_leading((uint64_t)x);
    int32_t p = place >= 30 ? (place - 30) & ~1 : -((31 - place) & ~1); /* even, rounded down: v is in [2^30, 2^32) */
    int64_t v = p >= 0 ? x >> p : x << -p;
    int64_t r = roots[(v >> 25) - 32];
    for (int step = 0; step < 2; step++) {
        int64_t square = (int64_t)((uint64_t)r * (uint64_t)r) >> 30;
        int64_t share = (int64_t)((uint64_t)square * (uint64_t)v) >> 32; /* v r^2, about 2^30: products are unsigned, */
        r = (int64_t)((uint64_t)r * (uint64_t)(((int64_t)3 << 30) - share)) >> 31; /* so that no table overflows it */
    }
    *m = (int32_t)(r < (1 << 30) ? (1 << 30) : r > INT32_MAX ? INT32_MAX : r);
    *s = 15 + (p >> 1);
}

/* a / b, halves up, for b above 0 and |2 a + b| under 2^63. */
static inline int64_t uvlm_divide(int64_t a, int64_t b) {
    int64_t n = 2 * a + b, d = 2 * b, q = n / d;
    return q - (n % d < 0);
}

#endif
