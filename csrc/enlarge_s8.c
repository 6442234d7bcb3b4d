/* Every number becomes a square: (height, width, channels) -> (height * side, width * side, channels). */
#include "kernels_s8.h"

int uvlm_enlarge_s8(const uvlm_pool *r, const int8_t *x, int8_t *y) {
    if (!r || !x || !y) return UVLM_NULL;
    if (r->height < 1 || r->width < 1 || r->channels < 1 || r->side < 1) return UVLM_SIZE;
    if (r->height > UVLM_MOST || r->width > UVLM_MOST || r->channels > UVLM_MOST || r->side > 256) return UVLM_SIZE;
    for (int32_t i = 0; i < r->height * r->side; i++) {
        const int8_t *row = x + (size_t)(i / r->side) * (size_t)r->width * (size_t)r->channels;
        for (int32_t j = 0; j < r->width * r->side; j++) {
            const int8_t *at = row + (size_t)(j / r->side) * (size_t)r->channels;
            for (int32_t c = 0; c < r->channels; c++) *y++ = at[c];
        }
    }
    return UVLM_OK;
}
