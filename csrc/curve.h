/* A function of a Q12 number in -8..8 as 513 entries of Q15, 2^-5 apart, with straight lines between: tanh, sigmoid. */
#ifndef UVLM_CURVE_H
#define UVLM_CURVE_H

#include <stdint.h>

static inline int32_t uvlm_curve(int16_t x, const int16_t *table) {
    int32_t i = (x >> 7) + 256, rest = x & 127, low = table[i], high = table[i + 1];
    return low + (((high - low) * rest + 64) >> 7);
}

#endif
