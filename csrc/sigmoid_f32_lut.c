/* The sigmoid by the table of exp, whose argument is never above 0: with e = exp(-|x|) it is 1 / (1 + e) for x >= 0 and
 * e / (1 + e) for x < 0.
 *
 * A relative error of d in e makes one of d e / (1 + e) in the first, at most half of it, and of d / (1 + e) in the
 * second. The sum and the division round, 2^-24 each. With exp's bound that is a relative error of at most
 *
 *     2.2 * 10^-7                       for x >= 0,
 *     3.3 * 10^-7 + 7.4 * 10^-8 |x|     for -87.33 <= x < 0,
 *
 * and below that it stays at 2^-126. */
#include "exp_f32.h"
#include "kernels_f32.h"

int uvlm_sigmoid_f32_lut(const float *x, float *y, int32_t count) {
    if (!x || !y) return UVLM_NULL;
    if (count < 1 || count > UVLM_MOST_COUNT) return UVLM_SIZE;
    for (int32_t i = 0; i < count; i++) {
        if (x[i] != x[i]) return UVLM_RANGE;
    }
    for (int32_t i = 0; i < count; i++) {
        float e = uvlm_exp2_lut(uvlm_least_f32((x[i] < 0.0f ? x[i] : -x[i]) * UVLM_LOG2E));
        y[i] = (x[i] < 0.0f ? e : 1.0f) / (1.0f + e);
    }
    return UVLM_OK;
}
