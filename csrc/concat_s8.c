/* Up to four maps of equal height and width, their channels one behind the other; and apart again. */
#include "kernels_s8.h"

static int wrong(const uvlm_parts *r) {
    if (r->positions < 1 || r->positions > UVLM_MOST || r->parts < 1 || r->parts > 4) return UVLM_SIZE;
    for (int32_t p = 0; p < r->parts; p++) {
        if (r->sizes[p] < 1 || r->sizes[p] > UVLM_MOST) return UVLM_SIZE;
    }
    return UVLM_OK;
}

int uvlm_concat_s8(const uvlm_parts *r, const int8_t *const *x, int8_t *y) {
    if (!r || !x || !y) return UVLM_NULL;
    if (wrong(r)) return UVLM_SIZE;
    for (int32_t p = 0; p < r->parts; p++) {
        if (!x[p]) return UVLM_NULL;
    }
    for (int32_t l = 0; l < r->positions; l++) {
        for (int32_t p = 0; p < r->parts; p++) {
            const int8_t *a = x[p] + (size_t)l * (size_t)r->sizes[p];
            for (int32_t c = 0; c < r->sizes[p]; c++) *y++ = a[c];
        }
    }
    return UVLM_OK;
}

int uvlm_split_s8(const uvlm_parts *r, const int8_t *x, int8_t *const *y) {
    if (!r || !x || !y) return UVLM_NULL;
    if (wrong(r)) return UVLM_SIZE;
    for (int32_t p = 0; p < r->parts; p++) {
        if (!y[p]) return UVLM_NULL;
    }
    for (int32_t l = 0; l < r->positions; l++) {
        for (int32_t p = 0; p < r->parts; p++) {
            int8_t *a = y[p] + (size_t)l * (size_t)r->sizes[p];
            for (int32_t c = 0; c < r->sizes[p]; c++) a[c] = *x++;
        }
    }
    return UVLM_OK;
}
