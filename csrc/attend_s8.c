/* Bahdanau attention: the positions of a map, weighed with their shares and added up.
 *
 * 256 positions of 15 and 7 bits fit in 31, whatever the shares are; those of a softmax add up to little more than 1. */
#include "fixed.h"
#include "kernels_s8.h"
#include "mve.h"

enum { BLOCK = 64 }; /* channels summed at once, so that the map is read in the order in which it lies */

/* Channels `from` on. */
static void channels_plain(const uvlm_attend *r, const int16_t *share, int32_t whole, const int8_t *x, int32_t from,
                           int8_t *y) {
    for (int32_t start = from; start < r->channels; start += BLOCK) {
        int32_t count = r->channels - start < BLOCK ? r->channels - start : BLOCK, sum[BLOCK] = {0};
        for (int32_t l = 0; l < r->positions; l++) {
            const int8_t *a = x + (size_t)l * (size_t)r->channels + (size_t)start;
            for (int32_t c = 0; c < count; c++) sum[c] += share[l] * a[c];
        }
        for (int32_t c = 0; c < count; c++) {
            int32_t acc = uvlm_lift(uvlm_sum(sum[c], -uvlm_times(r->zero_x, whole)), r->lift);
            y[start + c] = uvlm_narrow(uvlm_requantise(acc, r->m, r->s), r->zero_y);
        }
    }
}

#ifdef UVLM_HELIUM
/* 16 channels in four registers: a share is read once for them, and multiplied as a scalar. */
static void channels_mve(const uvlm_attend *r, const int16_t *share, int32_t whole, const int8_t *x, int8_t *y) {
    uvlm_scale_mve by = uvlm_scale_of(r->m, r->s);
    int32_t c = 0, channels = r->channels, lift = r->lift, first = -uvlm_times(r->zero_x, whole);
    for (; c + 16 <= channels; c += 16) {
        const int8_t *at = x + c;
        int32x4_t s0 = vdupq_n_s32(first), s1 = s0, s2 = s0, s3 = s0;
        for (int32_t l = 0; l < r->positions; l++, at += channels) {
            s0 = vmlaq_n_s32(s0, vldrbq_s32(at), share[l]);
            s1 = vmlaq_n_s32(s1, vldrbq_s32(at + 4), share[l]);
            s2 = vmlaq_n_s32(s2, vldrbq_s32(at + 8), share[l]);
            s3 = vmlaq_n_s32(s3, vldrbq_s32(at + 12), share[l]);
        }
        vstrbq_s32(y + c, uvlm_narrow_mve(uvlm_rescale_mve(vshlq_r_s32(s0, lift), by), r->zero_y));
        vstrbq_s32(y + c + 4, uvlm_narrow_mve(uvlm_rescale_mve(vshlq_r_s32(s1, lift), by), r->zero_y));
        vstrbq_s32(y + c + 8, uvlm_narrow_mve(uvlm_rescale_mve(vshlq_r_s32(s2, lift), by), r->zero_y));
        vstrbq_s32(y + c + 12, uvlm_narrow_mve(uvlm_rescale_mve(vshlq_r_s32(s3, lift), by), r->zero_y));
    }
    channels_plain(r, share, whole, x, c, y);
}
#endif

int uvlm_attend_s8_as(int form, const uvlm_attend *r, const int16_t *share, const int8_t *x, int8_t *y) {
    if (!r || !share || !x || !y) return UVLM_NULL;
    if (r->positions < 1 || r->positions > 256 || r->channels < 1 || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->lift < 0 || r->lift > 30 || r->zero_x < -128 || r->zero_x > 127) return UVLM_RANGE;
    if (r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (!uvlm_has(form)) return UVLM_FORM;
    int32_t whole = 0;
    for (int32_t l = 0; l < r->positions; l++) whole += share[l];
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE) {
        channels_mve(r, share, whole, x, y);
        return UVLM_OK;
    }
#endif
    channels_plain(r, share, whole, x, 0, y);
    return UVLM_OK;
}

int uvlm_attend_s8(const uvlm_attend *r, const int16_t *share, const int8_t *x, int8_t *y) {
    return uvlm_attend_s8_as(uvlm_form(), r, share, x, y);
}
