/* Any function of one int8 number, read from a table of 256: H-Swish, sigmoid, a change of scale.
 *
 * AVX-512 holds the table in four registers and reads 64 numbers at once: vpermi2b picks from two of them by the lower
 * seven bits of each byte, the sign picks the half. */
#include "forms.h"
#include "kernels_s8.h"
#include "mve.h"

#ifdef UVLM_X86
UVLM_FOR_AVX512 static void look_up_avx512(const int8_t *table, int32_t count, const int8_t *x, int8_t *y) {
    __m512i a = _mm512_loadu_si512(table), b = _mm512_loadu_si512(table + 64); /* of -128 to -1 */
    __m512i c = _mm512_loadu_si512(table + 128), d = _mm512_loadu_si512(table + 192);
    for (int32_t i = 0; i < count; i += 64) {
        __mmask64 some = count - i >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (count - i)) - 1;
        __m512i at = _mm512_maskz_loadu_epi8(some, x + i);
        __m512i below = _mm512_permutex2var_epi8(a, at, b), above = _mm512_permutex2var_epi8(c, at, d);
        _mm512_mask_storeu_epi8(y + i, some, _mm512_mask_mov_epi8(above, _mm512_movepi8_mask(at), below));
    }
}
#endif

#ifdef UVLM_HELIUM
/* 16 at a time, by a gather; how many were done. */
static int32_t look_up_mve(const int8_t *table, int32_t count, const int8_t *x, int8_t *y) {
    int32_t i = 0;
    for (; i + 16 <= count; i += 16) {
        uint8x16_t at = veorq_u8(vreinterpretq_u8_s8(vldrbq_s8(x + i)), vdupq_n_u8(128));
        vstrbq_s8(y + i, vldrbq_gather_offset_s8(table, at));
    }
    return i;
}
#endif

int uvlm_look_up_s8_as(int form, const uvlm_look_up *r, const int8_t *x, int8_t *y) {
    if (!r || !x || !y || !r->table) return UVLM_NULL;
    if (r->count < 1) return UVLM_SIZE;
    if (!uvlm_has(form)) return UVLM_FORM;
#ifdef UVLM_X86
    if (form == UVLM_AVX512) {
        look_up_avx512(r->table, r->count, x, y);
        return UVLM_OK;
    }
#endif
    int32_t i = 0;
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE) i = look_up_mve(r->table, r->count, x, y);
#endif
    for (; i < r->count; i++) y[i] = r->table[x[i] + 128];
    return UVLM_OK;
}

int uvlm_look_up_s8(const uvlm_look_up *r, const int8_t *x, int8_t *y) {
    return uvlm_look_up_s8_as(uvlm_form(), r, x, y);
}
