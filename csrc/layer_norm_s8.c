/* LayerNorm from int8 to int8 without a division and without a square root of the processor's.
 *
 *   c = H x - sum x                    H times what x is off its mean: needs no mean and no zero point
 *   n = c / sqrt(sum c^2 + epsilon)    in Q15, by a reciprocal square root from a table and two steps of Newton
 *   y = n gamma + beta                 requantised
 *
 * |c| is at most 255 H, below 2^23; the sum of squares below 2^61. */
#include "fixed.h"
#include "kernels_s8.h"
#include "mve.h"

/* The sum of c^2 over numbers `from` on. */
static int64_t squares_plain(const uvlm_layer_norm *r, const int8_t *x, int32_t from, int32_t sum) {
    int64_t squares = 0;
    for (int32_t i = from; i < r->hidden; i++) {
        int64_t c = r->hidden * x[i] - sum;
        squares += c * c;
    }
    return squares;
}

/* The results `from` on; m and s are those of 1 / sqrt. */
static void scaled_plain(const uvlm_layer_norm *r, const int8_t *x, int8_t *y, int32_t from, int32_t sum, int32_t m,
                         int32_t s) {
    for (int32_t i = from; i < r->hidden; i++) {
        int32_t n = uvlm_to_s16(uvlm_requantise(r->hidden * x[i] - sum, m, s - 15));
        int32_t scaled = uvlm_requantise(uvlm_lift(uvlm_sum(n * r->gamma[i], r->beta[i]), r->lift), r->m, r->s);
        y[i] = uvlm_narrow(scaled, r->zero_y);
    }
}

#ifdef UVLM_HELIUM
/* Four at a time; what is left over goes the plain way. VMLALDAVA adds four products to a sum of 64 bits. */
static int64_t squares_mve(const uvlm_layer_norm *r, const int8_t *x, int32_t sum) {
    int64_t squares = 0;
    int32_t i = 0;
    for (; i + 4 <= r->hidden; i += 4) {
        int32x4_t c = vsubq_n_s32(vmulq_n_s32(vldrbq_s32(x + i), r->hidden), sum);
        squares = vmlaldavaq_s32(squares, c, c);
    }
    return squares + squares_plain(r, x, i, sum);
}

static void scaled_mve(const uvlm_layer_norm *r, const int8_t *x, int8_t *y, int32_t sum, int32_t m, int32_t s) {
    uvlm_scale_mve root = uvlm_scale_of(m, s - 15), last = uvlm_scale_of(r->m, r->s);
    const int16_t *gamma = r->gamma;
    const int32_t *beta = r->beta;
    int32_t i = 0, hidden = r->hidden, lift = r->lift, zero_y = r->zero_y;
    for (; i + 4 <= hidden; i += 4) {
        int32x4_t c = vsubq_n_s32(vmulq_n_s32(vldrbq_s32(x + i), hidden), sum);
        int32x4_t n = uvlm_to_s16_mve(uvlm_rescale_mve(c, root));
        int32x4_t t = vaddq_s32(vmulq_s32(n, vldrhq_s32(gamma + i)), vldrwq_s32(beta + i));
        vstrbq_s32(y + i, uvlm_narrow_mve(uvlm_rescale_mve(vshlq_r_s32(t, lift), last), zero_y));
    }
    scaled_plain(r, x, y, i, sum, m, s);
}
#endif

int uvlm_layer_norm_s8_as(int form, const uvlm_layer_norm *r, const int8_t *x, int8_t *y) {
    if (!r || !x || !y || !r->gamma || !r->beta || !r->roots) return UVLM_NULL;
    if (r->hidden < 1 || r->hidden > 32768) return UVLM_SIZE;
    if (r->epsilon < 1 || r->lift < 0 || r->lift > 30 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (!uvlm_has(form)) return UVLM_FORM;
    int32_t sum = 0, m, s;
    for (int32_t i = 0; i < r->hidden; i++) sum += x[i];
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE) {
        uvlm_inverse_root(r->epsilon + squares_mve(r, x, sum), r->roots, &m, &s);
        scaled_mve(r, x, y, sum, m, s);
        return UVLM_OK;
    }
#endif
    uvlm_inverse_root(r->epsilon + squares_plain(r, x, 0, sum), r->roots, &m, &s);
    scaled_plain(r, x, y, 0, sum, m, s);
    return UVLM_OK;
}

int uvlm_layer_norm_s8(const uvlm_layer_norm *r, const int8_t *x, int8_t *y) {
    return uvlm_layer_norm_s8_as(uvlm_form(), r, x, y);
}
