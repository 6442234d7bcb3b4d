/* A sum of two values on different scales: each is weighed with an integer factor, and the sum is shifted. A stride of
 * 0 repeats a value, so that one vector is added at every position: GSM's bias map, GCDM's question. */
#include "fixed.h"
#include "kernels_s8.h"

int uvlm_add_s8(const uvlm_add *r, const int8_t *x, const int8_t *other, int8_t *y) {
    if (!r || !x || !y || (!other && !r->constant)) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->x_position < 0 || r->x_channel < 0 || r->other_position < 0 || r->other_channel < 0) return UVLM_SIZE;
    if (r->s < 0 || r->s > 31) return UVLM_RANGE;
    if (r->zero_x < -128 || r->zero_x > 127 || r->zero_other < -128 || r->zero_other > 127) return UVLM_RANGE;
    if (r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (r->constant) other = r->constant;
    for (int32_t l = 0; l < r->positions; l++) {
        const int8_t *a = x + (size_t)l * (size_t)r->x_position;
        const int8_t *b = other + (size_t)l * (size_t)r->other_position;
        for (int32_t c = 0; c < r->channels; c++) {
            int32_t sum = uvlm_sum(uvlm_times(a[(size_t)c * (size_t)r->x_channel] - r->zero_x, r->factor_x),
                                   uvlm_times(b[(size_t)c * (size_t)r->other_channel] - r->zero_other, r->factor_other));
            *y++ = uvlm_narrow(uvlm_shift_half_up(sum, r->s), r->zero_y);
        }
    }
    return UVLM_OK;
}
