/* Global Response Normalization from int8 to int8: a channel that is strong among the channels is made stronger.
 *
 *   strength = sqrt(sum over the map of (x - zero_x)^2)   in Q12, below 2^28
 *   share    = strength / mean strength                   in Q(places), one 64-bit division a channel
 *   factor   = gamma share + 1
 *   y        = factor x + beta                            shifted
 */
#include "fixed.h"
#include "kernels_s8.h"
#include "mve.h"

enum { STRENGTH_PLACES = 12 };

/* The sum of (x - zero_x)^2 over the map, of channels `from` on. */
static void squares_plain(const uvlm_grn *r, const int8_t *x, int32_t from, int32_t *sum) {
    for (int32_t c = from; c < r->channels; c++) sum[c] = 0;
    for (int32_t l = 0; l < r->positions; l++) {
        const int8_t *a = x + (size_t)l * (size_t)r->channels;
        for (int32_t c = from; c < r->channels; c++) sum[c] += (a[c] - r->zero_x) * (a[c] - r->zero_x);
    }
}

/* From these sums the factor of every channel, in their place. */
static void factors(const uvlm_grn *r, int32_t *scratch) {
    int32_t *strength = scratch, *factor = scratch;
    int64_t whole = r->least;
    for (int32_t c = 0; c < r->channels; c++) {
        int32_t squares = scratch[c], m, s;
        uvlm_inverse_root(squares > 1 ? squares : 1, r->roots, &m, &s);
        strength[c] = (int32_t)uvlm_shift_half_up_64((int64_t)squares * m, 31 + s - STRENGTH_PLACES);
        whole += strength[c];
    }
    for (int32_t c = 0; c < r->channels; c++) {
        int64_t share = uvlm_divide(strength[c] * ((int64_t)r->channels << r->places), whole);
        int64_t scaled = uvlm_shift_half_up_64(r->gamma[c] * share, r->gamma_shift);
        factor[c] = uvlm_sum(uvlm_requantise(uvlm_to_s32(scaled), r->m, r->shift), r->one);
    }
}

/* One position, channels `from` on. */
static void weighed_plain(const uvlm_grn *r, const int8_t *x, const int32_t *factor, int32_t from, int8_t *y) {
    for (int32_t c = from; c < r->channels; c++) {
        int32_t sum = uvlm_sum(uvlm_times(x[c] - r->zero_x, factor[c]), r->beta[c]);
        y[c] = uvlm_narrow(uvlm_shift_half_up(sum, r->s), r->zero_y);
    }
}

#ifdef UVLM_HELIUM
/* Four channels at a time; what is left over goes the plain way. */
static void squares_mve(const uvlm_grn *r, const int8_t *x, int32_t *sum) {
    int32_t c = 0, channels = r->channels, zero_x = r->zero_x;
    for (; c + 4 <= channels; c += 4) {
        const int8_t *at = x + c;
        int32x4_t squares = vdupq_n_s32(0);
        for (int32_t l = r->positions; l > 0; l--, at += channels) {
            int32x4_t a = vsubq_n_s32(vldrbq_s32(at), zero_x);
            squares = vaddq_s32(squares, vmulq_s32(a, a));
        }
        vstrwq_s32(sum + c, squares);
    }
    if (c < channels) squares_plain(r, x, c, sum);
}

static void weighed_mve(const uvlm_grn *r, const int8_t *x, const int32_t *factor, int8_t *y) {
    int32_t c = 0, channels = r->channels, zero_x = r->zero_x, zero_y = r->zero_y, right = -r->s;
    for (; c + 4 <= channels; c += 4) {
        int32x4_t a = vsubq_n_s32(vldrbq_s32(x + c), zero_x);
        int32x4_t sum = vaddq_s32(vmulq_s32(a, vldrwq_s32(factor + c)), vldrwq_s32(r->beta + c));
        vstrbq_s32(y + c, uvlm_narrow_mve(vrshlq_n_s32(sum, right), zero_y));
    }
    weighed_plain(r, x, factor, c, y);
}
#endif

int uvlm_grn_s8_as(int form, const uvlm_grn *r, const int8_t *x, int8_t *y, int32_t *scratch) {
    if (!r || !x || !y || !scratch || !r->gamma || !r->beta || !r->roots) return UVLM_NULL;
    if (r->positions < 1 || r->positions > 33025 || r->channels < 1 || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->zero_x < -128 || r->zero_x > 127 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (r->places < 0 || r->places > 22 || r->gamma_shift < 0 || r->gamma_shift > 31) return UVLM_RANGE;
    if ((int64_t)r->channels << r->places > (int64_t)1 << 32) return UVLM_RANGE; /* times a strength: under 2^61 */
    if (r->least < 1 || r->s < 0 || r->s > 31) return UVLM_RANGE;
    if (!uvlm_has(form)) return UVLM_FORM;
    size_t channels = (size_t)r->channels;
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE) {
        squares_mve(r, x, scratch);
        factors(r, scratch);
        for (int32_t l = 0; l < r->positions; l++, x += channels, y += channels) weighed_mve(r, x, scratch, y);
        return UVLM_OK;
    }
#endif
    squares_plain(r, x, 0, scratch);
    factors(r, scratch);
    for (int32_t l = 0; l < r->positions; l++, x += channels, y += channels) weighed_plain(r, x, scratch, 0, y);
    return UVLM_OK;
}

int uvlm_grn_s8(const uvlm_grn *r, const int8_t *x, int8_t *y, int32_t *scratch) {
    return uvlm_grn_s8_as(uvlm_form(), r, x, y, scratch);
}
