/* Means over squares that do not overlap: (height, width, channels) -> (height / side, width / side, channels). */
#include "fixed.h"
#include "kernels_s8.h"

int uvlm_pool_s8(const uvlm_pool *r, const int8_t *x, int8_t *y) {
    if (!r || !x || !y) return UVLM_NULL;
    if (r->height < 1 || r->width < 1 || r->channels < 1 || r->side < 1) return UVLM_SIZE;
    if (r->height > UVLM_MOST || r->width > UVLM_MOST || r->channels > UVLM_MOST || r->side > 256) return UVLM_SIZE;
    if (r->height % r->side || r->width % r->side) return UVLM_SIZE;
    if (r->lift < 0 || r->lift > 30 || r->zero_x < -128 || r->zero_x > 127) return UVLM_RANGE;
    if (r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    size_t row = (size_t)r->width * (size_t)r->channels;
    for (int32_t i = 0; i < r->height; i += r->side) {
        for (int32_t j = 0; j < r->width; j += r->side) {
            const int8_t *corner = x + (size_t)i * row + (size_t)j * (size_t)r->channels;
            for (int32_t c = 0; c < r->channels; c++) {
                int32_t sum = 0; /* at most 2^16 * 255 */
                for (int32_t dy = 0; dy < r->side; dy++) {
                    for (int32_t dx = 0; dx < r->side; dx++) {
                        sum += corner[(size_t)dy * row + (size_t)dx * (size_t)r->channels + (size_t)c] - r->zero_x;
                    }
                }
                *y++ = uvlm_narrow(uvlm_requantise(uvlm_lift(sum, r->lift), r->m, r->s), r->zero_y);
            }
        }
    }
    return UVLM_OK;
}
