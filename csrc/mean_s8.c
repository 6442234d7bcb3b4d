/* The mean of every channel over a map: the sum is exact, the count is in multiplier and shift. */
#include "fixed.h"
#include "kernels_s8.h"

int uvlm_mean_s8(const uvlm_mean *r, const int8_t *x, int8_t *y) {
    if (!r || !x || !y) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->lift < 0 || r->lift > 30 || r->zero_x < -128 || r->zero_x > 127) return UVLM_RANGE;
    if (r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    for (int32_t c = 0; c < r->channels; c++) {
        int32_t sum = 0; /* at most 2^16 * 255 */
        for (int32_t l = 0; l < r->positions; l++) sum += x[(size_t)l * (size_t)r->channels + (size_t)c] - r->zero_x;
        y[c] = uvlm_narrow(uvlm_requantise(uvlm_lift(sum, r->lift), r->m, r->s), r->zero_y);
    }
    return UVLM_OK;
}
