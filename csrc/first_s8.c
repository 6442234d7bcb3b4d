/* What an LSTM starts with: tanh of two matrices times the mean of the picture. */
#include "curve.h"
#include "dot_s8.h"
#include "fixed.h"
#include "kernels_s8.h"

int uvlm_first_s8(const uvlm_first *r, const int8_t *x, int8_t *h, int16_t *c) {
    if (!r || !x || !h || !c || !r->weight || !r->bias || !r->m || !r->s || !r->tanh) return UVLM_NULL;
    if (r->hidden < 1 || r->hidden > UVLM_MOST || r->columns < 1 || r->columns > UVLM_MOST) return UVLM_SIZE;
    uvlm_dots *of = uvlm_dots_of(uvlm_form());
    int32_t sum;
    for (int32_t i = 0; i < 2 * r->hidden; i++) { /* once a picture: one row at a time is fast enough */
        of(r->weight + (size_t)i * (size_t)r->columns, x, 1, r->columns, &sum);
        sum = uvlm_sum(sum, r->bias[i]);
        int32_t bent = uvlm_curve(uvlm_to_s16(uvlm_requantise(sum, r->m[i], r->s[i])), r->tanh);
        if (i < r->hidden) {
            h[i] = uvlm_to_s8(uvlm_shift_half_up(bent, 8));
        } else {
            c[i - r->hidden] = uvlm_to_s16(uvlm_requantise(bent, r->c_m, r->c_s));
        }
    }
    return UVLM_OK;
}
