/* Global Response Normalization from int8 to int8: a channel that is strong among the channels is made stronger.
 *
 *   strength = sqrt(sum over the map of (x - zero_x)^2)   in Q12, below 2^28
 *   share    = strength / mean strength                   in Q(places), one 64-bit division a channel
 *   factor   = gamma share + 1
 *   y        = factor x + beta                            shifted
 */
#include "fixed.h"
#include "kernels_s8.h"

enum { STRENGTH_PLACES = 12 };

int uvlm_grn_s8(const uvlm_grn *r, const int8_t *x, int8_t *y, int32_t *scratch) {
    if (!r || !x || !y || !scratch || !r->gamma || !r->beta || !r->roots) return UVLM_NULL;
    if (r->positions < 1 || r->positions > 33025 || r->channels < 1 || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->zero_x < -128 || r->zero_x > 127 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (r->places < 0 || r->places > 22 || r->gamma_shift < 0 || r->gamma_shift > 31) return UVLM_RANGE;
    if ((int64_t)r->channels << r->places > (int64_t)1 << 32) return UVLM_RANGE; /* times a strength: under 2^61 */
    if (r->least < 1 || r->s < 0 || r->s > 31) return UVLM_RANGE;
    int32_t *strength = scratch, *factor = scratch;
    int64_t whole = r->least;
    for (int32_t c = 0; c < r->channels; c++) strength[c] = 0;
    for (int32_t l = 0; l < r->positions; l++) {
        const int8_t *a = x + (size_t)l * (size_t)r->channels;
        for (int32_t c = 0; c < r->channels; c++) strength[c] += (a[c] - r->zero_x) * (a[c] - r->zero_x);
    }
    for (int32_t c = 0; c < r->channels; c++) {
        int32_t squares = strength[c], m, s;
        uvlm_inverse_root(squares > 1 ? squares : 1, r->roots, &m, &s);
        strength[c] = (int32_t)uvlm_shift_half_up_64((int64_t)squares * m, 31 + s - STRENGTH_PLACES);
        whole += strength[c];
    }
    for (int32_t c = 0; c < r->channels; c++) {
        int64_t share = uvlm_divide(strength[c] * ((int64_t)r->channels << r->places), whole);
        int64_t scaled = uvlm_shift_half_up_64(r->gamma[c] * share, r->gamma_shift);
        factor[c] = uvlm_sum(uvlm_requantise(uvlm_to_s32(scaled), r->m, r->shift), r->one);
    }
    for (int32_t l = 0; l < r->positions; l++) {
        const int8_t *a = x + (size_t)l * (size_t)r->channels;
        for (int32_t c = 0; c < r->channels; c++) {
            int32_t sum = uvlm_sum(uvlm_times(a[c] - r->zero_x, factor[c]), r->beta[c]);
            *y++ = uvlm_narrow(uvlm_shift_half_up(sum, r->s), r->zero_y);
        }
    }
    return UVLM_OK;
}
