/* The maximum of every channel over a map; in AVX-512 64 channels at a time, in Helium 16. */
#include "forms.h"
#include "kernels_s8.h"

#ifdef UVLM_X86
UVLM_FOR_AVX512 static void most_avx512(const uvlm_mean *r, const int8_t *x, int8_t *y) {
    for (int32_t c = 0; c < r->channels; c += 64) {
        int32_t left = r->channels - c;
        __mmask64 some = left >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << left) - 1;
        __m512i most = _mm512_maskz_loadu_epi8(some, x + c);
        for (int32_t l = 1; l < r->positions; l++) {
            const int8_t *a = x + (size_t)l * (size_t)r->channels + c;
            most = _mm512_max_epi8(most, _mm512_maskz_loadu_epi8(some, a));
        }
        _mm512_mask_storeu_epi8(y + c, some, most);
    }
}
#endif

#ifdef UVLM_HELIUM
/* 64 channels at a time, then 16; how many were done. */
static int32_t most_mve(const uvlm_mean *r, const int8_t *x, int8_t *y) {
    const int32_t channels = r->channels;
    int32_t c = 0;
    for (; c + 64 <= channels; c += 64) {
        const int8_t *at = x + c;
        int8x16_t m0 = vldrbq_s8(at), m1 = vldrbq_s8(at + 16), m2 = vldrbq_s8(at + 32), m3 = vldrbq_s8(at + 48);
        for (int32_t l = r->positions - 1; l > 0; l--) {
            at += channels;
            m0 = vmaxq_s8(m0, vldrbq_s8(at));
            m1 = vmaxq_s8(m1, vldrbq_s8(at + 16));
            m2 = vmaxq_s8(m2, vldrbq_s8(at + 32));
            m3 = vmaxq_s8(m3, vldrbq_s8(at + 48));
        }
        vstrbq_s8(y + c, m0);
        vstrbq_s8(y + c + 16, m1);
        vstrbq_s8(y + c + 32, m2);
        vstrbq_s8(y + c + 48, m3);
    }
    for (; c + 16 <= channels; c += 16) {
        const int8_t *at = x + c;
        int8x16_t most = vldrbq_s8(at);
        for (int32_t l = r->positions - 1; l > 0; l--) {
            at += channels;
            most = vmaxq_s8(most, vldrbq_s8(at));
        }
        vstrbq_s8(y + c, most);
    }
    return c;
}
#endif

int uvlm_most_s8_as(int form, const uvlm_mean *r, const int8_t *x, int8_t *y) {
    if (!r || !x || !y) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (!uvlm_has(form)) return UVLM_FORM;
#ifdef UVLM_X86
    if (form == UVLM_AVX512) {
        most_avx512(r, x, y);
        return UVLM_OK;
    }
#endif
    int32_t first = 0;
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE) first = most_mve(r, x, y);
#endif
    for (int32_t c = first; c < r->channels; c++) y[c] = x[c];
    for (int32_t l = 1; l < r->positions && first < r->channels; l++) {
        const int8_t *a = x + (size_t)l * (size_t)r->channels;
        for (int32_t c = first; c < r->channels; c++) y[c] = y[c] > a[c] ? y[c] : a[c];
    }
    return UVLM_OK;
}

int uvlm_most_s8(const uvlm_mean *r, const int8_t *x, int8_t *y) { return uvlm_most_s8_as(uvlm_form(), r, x, y); }
