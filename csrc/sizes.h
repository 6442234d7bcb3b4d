/* Products of sizes that come from a file: counted in int64 and cut off above int32, where no arena and no blob reaches.
 * -1 stands for "no size", and stays it. */
#ifndef UVLM_SIZES_H
#define UVLM_SIZES_H

#include <stdint.h>

static inline int64_t uvlm_within(int64_t n) { return n < 1 || n > INT32_MAX ? -1 : n; }

static inline int64_t uvlm_product(int64_t a, int64_t b) { return a < 1 || b < 1 ? -1 : uvlm_within(a * b); }

/* How far a value reaches that is read with strides. */
static inline int64_t uvlm_reach(int32_t positions, int32_t channels, int32_t by_position, int32_t by_channel) {
    if (positions < 1 || channels < 1 || by_position < 0 || by_channel < 0) return -1;
    return uvlm_within((int64_t)(positions - 1) * by_position + (int64_t)(channels - 1) * by_channel + 1);
}

#endif
