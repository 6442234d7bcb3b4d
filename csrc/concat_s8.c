/* Up to four maps of equal height and width, their channels one behind the other; and apart again. */
#include "forms.h"
#include "kernels_s8.h"

static void copy(const int8_t *x, int8_t *y, int32_t count) {
#ifdef UVLM_HELIUM
    for (; count > 0; count -= 16, x += 16, y += 16) {
        mve_pred16_t some = vctp8q((uint32_t)count);
        vstrbq_p_s8(y, vldrbq_z_s8(x, some), some);
    }
#endif
    for (int32_t c = 0; c < count; c++) y[c] = x[c];
}

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
            copy(x[p] + (size_t)l * (size_t)r->sizes[p], y, r->sizes[p]);
            y += r->sizes[p];
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
            copy(x, y[p] + (size_t)l * (size_t)r->sizes[p], r->sizes[p]);
            x += r->sizes[p];
        }
    }
    return UVLM_OK;
}
