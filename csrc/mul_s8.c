/* A product of two values, with strides as in add_s8.c: the gate of GCDM. */
#include "fixed.h"
#include "kernels_s8.h"

int uvlm_mul_s8(const uvlm_mul *r, const int8_t *x, const int8_t *other, int8_t *y) {
    if (!r || !x || !y || (!other && !r->constant)) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->x_position < 0 || r->x_channel < 0 || r->other_position < 0 || r->other_channel < 0) return UVLM_SIZE;
    if (r->zero_x < -128 || r->zero_x > 127 || r->zero_other < -128 || r->zero_other > 127) return UVLM_RANGE;
    if (r->lift < 0 || r->lift > 30 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (r->constant) other = r->constant;
    for (int32_t l = 0; l < r->positions; l++) {
        const int8_t *a = x + (size_t)l * (size_t)r->x_position;
        const int8_t *b = other + (size_t)l * (size_t)r->other_position;
        for (int32_t c = 0; c < r->channels; c++) {
            int32_t product = (a[(size_t)c * (size_t)r->x_channel] - r->zero_x) *
                              (b[(size_t)c * (size_t)r->other_channel] - r->zero_other);
            *y++ = uvlm_narrow(uvlm_requantise(uvlm_lift(product, r->lift), r->m, r->s), r->zero_y);
        }
    }
    return UVLM_OK;
}
