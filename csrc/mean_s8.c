/* The mean of every channel over a map: the sum is exact, the count is in multiplier and shift. */
#include "fixed.h"
#include "kernels_s8.h"

enum { BLOCK = 64 }; /* channels summed at once, so that the map is read in the order in which it lies */

int uvlm_mean_s8(const uvlm_mean *r, const int8_t *x, int8_t *y) {
    if (!r || !x || !y) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->lift < 0 || r->lift > 30 || r->zero_x < -128 || r->zero_x > 127) return UVLM_RANGE;
    if (r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    for (int32_t start = 0; start < r->channels; start += BLOCK) {
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
