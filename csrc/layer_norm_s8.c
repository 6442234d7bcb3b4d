/* LayerNorm from int8 to int8 without a division and without a square root of the processor's.
 *
 *   c = H x - sum x                    H times what x is off its mean: needs no mean and no zero point
 *   n = c / sqrt(sum c^2 + epsilon)    in Q15, by a reciprocal square root from a table and two steps of Newton
 *   y = n gamma + beta                 requantised
 *
 * |c| is at most 255 H, below 2^23; the sum of squares below 2^61. */
#include "fixed.h"
#include "kernels_s8.h"

int uvlm_layer_norm_s8(const uvlm_layer_norm *r, const int8_t *x, int8_t *y) {
    if (!r || !x || !y || !r->gamma || !r->beta || !r->roots) return UVLM_NULL;
    if (r->hidden < 1 || r->hidden > 32768) return UVLM_SIZE;
    if (r->epsilon < 1 || r->lift < 0 || r->lift > 30 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    int32_t sum = 0, m, s;
    int64_t squares = r->epsilon;
    for (int32_t i = 0; i < r->hidden; i++) sum += x[i];
    for (int32_t i = 0; i < r->hidden; i++) {
        int64_t c = r->hidden * x[i] - sum;
        squares += c * c;
    }
    uvlm_inverse_root(squares, r->roots, &m, &s);
    for (int32_t i = 0; i < r->hidden; i++) {
        int32_t n = uvlm_to_s16(uvlm_requantise(r->hidden * x[i] - sum, m, s - 15));
        int32_t scaled = uvlm_requantise(uvlm_lift(uvlm_sum(n * r->gamma[i], r->beta[i]), r->lift), r->m, r->s);
        y[i] = uvlm_narrow(scaled, r->zero_y);
    }
    return UVLM_OK;
}
