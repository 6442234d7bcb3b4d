/* softplus, log(1 + exp(x)), by the tables of exp and log: max(x, 0) + log(1 + e) with e = exp(-|x|), so that no exp
 * can overflow.
 *
 * A relative error of d in e makes one of at most d in log(1 + e); log_f32.h adds 5.1 * 10^-7 of its own. For x < 0
 * that is all. For x >= 0 the sum rounds once more, and the worst is x = 0: exp is off by 2.0 * 10^-7 there, which is
 * an error of 1.0 * 10^-7 in a sum of 0.69; from there on the errors fall and the sum grows. So the relative error is
 * at most
 *
 *     7.2 * 10^-7                       for x >= 0,
 *     7.2 * 10^-7 + 7.4 * 10^-8 |x|     for -87.33 <= x < 0,
 *
 * and below that it stays at 2^-126. */
#include "exp_f32.h"
#include "kernels_f32.h"
#include "log_f32.h"

int uvlm_softplus_f32_lut(const float *x, float *y, int32_t count) {
    if (!x || !y) return UVLM_NULL;
    if (count < 1 || count > UVLM_MOST_COUNT) return UVLM_SIZE;
    for (int32_t i = 0; i < count; i++) {
        if (x[i] != x[i]) return UVLM_RANGE;
    }
    for (int32_t i = 0; i < count; i++) {
        float e = uvlm_exp2_lut(uvlm_least_f32((x[i] < 0.0f ? x[i] : -x[i]) * UVLM_LOG2E));
        y[i] = (x[i] > 0.0f ? x[i] : 0.0f) + uvlm_log1p_lut(e);
    }
    return UVLM_OK;
}
