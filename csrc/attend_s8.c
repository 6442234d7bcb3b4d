/* Bahdanau attention: the positions of a map, weighed with their shares and added up.
 *
 * 256 positions of 15 and 7 bits fit in 31, whatever the shares are; those of a softmax add up to little more than 1. */
#include "fixed.h"
#include "kernels_s8.h"

enum { BLOCK = 64 }; /* channels summed at once, so that the map is read in the order in which it lies */

int uvlm_attend_s8(const uvlm_attend *r, const int16_t *share, const int8_t *x, int8_t *y) {
    if (!r || !share || !x || !y) return UVLM_NULL;
    if (r->positions < 1 || r->positions > 256 || r->channels < 1 || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->lift < 0 || r->lift > 30 || r->zero_x < -128 || r->zero_x > 127) return UVLM_RANGE;
    if (r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    int32_t whole = 0;
    for (int32_t l = 0; l < r->positions; l++) whole += share[l];
    for (int32_t start = 0; start < r->channels; start += BLOCK) {
        int32_t count = r->channels - start < BLOCK ? r->channels - start : BLOCK, sum[BLOCK] = {0};
        for (int32_t l = 0; l < r->positions; l++) {
            const int8_t *a = x + (size_t)l * (size_t)r->channels + (size_t)start;
            for (int32_t c = 0; c < count; c++) sum[c] += share[l] * a[c];
        }
        for (int32_t c = 0; c < count; c++) {
            int32_t acc = uvlm_lift(uvlm_sum(sum[c], -uvlm_times(r->zero_x, whole)), r->lift);
            y[start + c] = uvlm_narrow(uvlm_requantise(acc, r->m, r->s), r->zero_y);
        }
    }
    return UVLM_OK;
}
