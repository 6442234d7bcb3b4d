/* The maximum of every channel over a map. */
#include "kernels_s8.h"

int uvlm_most_s8(const uvlm_mean *r, const int8_t *x, int8_t *y) {
    if (!r || !x || !y) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    for (int32_t c = 0; c < r->channels; c++) y[c] = x[c];
    for (int32_t l = 1; l < r->positions; l++) {
        const int8_t *a = x + (size_t)l * (size_t)r->channels;
        for (int32_t c = 0; c < r->channels; c++) y[c] = y[c] > a[c] ? y[c] : a[c];
    }
    return UVLM_OK;
}
