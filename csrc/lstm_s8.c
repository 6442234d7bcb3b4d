/* One step of an LSTM: what AttSSM's step is measured against.
 *
 *   gates  both matrices' sums in Q12, added: input, forget, cell, output; bent by tables of sigmoid and tanh
 *   c      forget c + input cell, int16
 *   h      output tanh(c), int8
 */
#include "curve.h"
#include "dot_s8.h"
#include "fixed_x86.h"
#include "kernels_s8.h"
#include "mve.h"

/* The sums of up to UVLM_ROWS gates, from gate `first` on. */
static void gates_plain(const uvlm_lstm *r, size_t first, int32_t count, const int32_t *heard, const int32_t *kept,
                        int32_t *z) {
    for (int32_t k = 0; k < count; k++) {
        size_t i = first + (size_t)k;
        int64_t sum = (int64_t)uvlm_requantise(uvlm_sum(heard[k], r->bias[i]), r->m[i], r->s[i]) +
                      uvlm_requantise(uvlm_sum(kept[k], r->bias_h[i]), r->m_h[i], r->s_h[i]);
        z[i] = uvlm_to_s16(uvlm_to_s32(sum));
    }
}

/* c and h from the gates, cells `from` on. */
static void cells_plain(const uvlm_lstm *r, const int32_t *z, size_t from, int8_t *h, int16_t *c) {
    size_t hidden = (size_t)r->hidden;
    for (size_t i = from; i < hidden; i++) {
        int32_t in = uvlm_curve((int16_t)z[i], r->sigmoid);
        int32_t forget = uvlm_curve((int16_t)z[hidden + i], r->sigmoid);
        int32_t cell = uvlm_curve((int16_t)z[2 * hidden + i], r->tanh);
        int32_t out = uvlm_curve((int16_t)z[3 * hidden + i], r->sigmoid);
        int64_t sum = (int64_t)uvlm_shift_half_up(forget * c[i], 15) +
                      uvlm_requantise(in * cell, r->write_m, r->write_s);
        c[i] = uvlm_to_s16(uvlm_to_s32(sum));
        int32_t bent = uvlm_curve(uvlm_to_s16(uvlm_requantise(c[i], r->c_m, r->c_s)), r->tanh);
        h[i] = uvlm_to_s8(uvlm_shift_half_up(out * bent, 23));
    }
}

#ifdef UVLM_X86
UVLM_IN_AVX512 __m512i half_avx512(__mmask16 some, const int32_t *sums, const int32_t *bias, const int32_t *m,
                                   const int8_t *s) {
    __m512i sum = _mm512_add_epi32(uvlm_fours_avx512(sums), _mm512_maskz_loadu_epi32(some, bias));
    __m512i by = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, s));
    return uvlm_requantise_all_avx512(sum, _mm512_maskz_loadu_epi32(some, m), by);
}

UVLM_FOR_AVX512 static void gates_avx512(const uvlm_lstm *r, size_t first, int32_t count, const int32_t *heard,
                                         const int32_t *kept, int32_t *z) {
    __mmask16 some = (__mmask16)((1 << count) - 1);
    __m512i a = half_avx512(some, heard, r->bias + first, r->m + first, r->s + first);
    __m512i b = half_avx512(some, kept, r->bias_h + first, r->m_h + first, r->s_h + first);
    __m256i gates = _mm512_cvtsepi32_epi16(uvlm_adds_avx512(a, b)); /* saturates */
    _mm512_mask_storeu_epi32(z + first, some, _mm512_cvtepi16_epi32(gates));
}

/* An entry and the next one are gathered together: the first is in the lower half. */
UVLM_IN_AVX512 __m512i curve_avx512(__m512i x, const int16_t *table) {
    __m512i i = _mm512_add_epi32(_mm512_srai_epi32(x, 7), _mm512_set1_epi32(256));
    __m512i both = _mm512_i32gather_epi32(i, (const void *)table, 2);
    __m512i rest = _mm512_and_si512(x, _mm512_set1_epi32(127));
    __m512i low = _mm512_srai_epi32(_mm512_slli_epi32(both, 16), 16), high = _mm512_srai_epi32(both, 16);
    __m512i part = _mm512_mullo_epi32(_mm512_sub_epi32(high, low), rest);
    return _mm512_add_epi32(low, uvlm_shift_half_up_avx512(part, 7));
}

UVLM_FOR_AVX512 static void cells_avx512(const uvlm_lstm *r, const int32_t *z, int8_t *h, int16_t *c) {
    size_t i = 0, hidden = (size_t)r->hidden;
    for (; i + 16 <= hidden; i += 16) {
        __m512i in = curve_avx512(_mm512_loadu_si512(z + i), r->sigmoid);
        __m512i forget = curve_avx512(_mm512_loadu_si512(z + hidden + i), r->sigmoid);
        __m512i cell = curve_avx512(_mm512_loadu_si512(z + 2 * hidden + i), r->tanh);
        __m512i out = curve_avx512(_mm512_loadu_si512(z + 3 * hidden + i), r->sigmoid);
        __m512i old = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(c + i)));
        old = uvlm_shift_half_up_avx512(_mm512_mullo_epi32(forget, old), 15);
        __m512i write = uvlm_requantise_avx512(_mm512_mullo_epi32(in, cell), r->write_m, r->write_s);
        __m256i next = _mm512_cvtsepi32_epi16(uvlm_adds_avx512(old, write)); /* saturates, as what follows */
        _mm256_storeu_si256((__m256i *)(void *)(c + i), next);
        __m512i bent = uvlm_requantise_avx512(_mm512_cvtepi16_epi32(next), r->c_m, r->c_s);
        bent = curve_avx512(_mm512_cvtepi16_epi32(_mm512_cvtsepi32_epi16(bent)), r->tanh);
        __m512i y = uvlm_shift_half_up_avx512(_mm512_mullo_epi32(out, bent), 23);
        _mm_storeu_si128((__m128i *)(void *)(h + i), _mm512_cvtsepi32_epi8(y));
    }
    cells_plain(r, z, i, h, c);
}
#endif

static void gates(int form, const uvlm_lstm *r, size_t first, int32_t count, const int32_t *heard, const int32_t *kept,
                  int32_t *z) {
#ifdef UVLM_X86
    if (form == UVLM_AVX512) {
        gates_avx512(r, first, count, heard, kept, z);
        return;
    }
#endif
    (void)form;
    gates_plain(r, first, count, heard, kept, z);
}

#ifdef UVLM_HELIUM
static int32x4_t curve_mve(int32x4_t x, const int16_t *table) {
    uint32x4_t i = vreinterpretq_u32_s32(vaddq_n_s32(vshrq_n_s32(x, 7), 256));
    int32x4_t low = vldrhq_gather_shifted_offset_s32(table, i), rest = vandq_s32(x, vdupq_n_s32(127));
    int32x4_t rise = vsubq_s32(vldrhq_gather_shifted_offset_s32(table + 1, i), low);
    return vaddq_s32(low, vrshrq_n_s32(vmulq_s32(rise, rest), 7));
}

/* Four at a time; there are 4 hidden gates, so that none is left over. */
static void gates_mve(const uvlm_lstm *r, const int8_t *x, const int8_t *h, int32_t *z) {
    int32_t hidden = r->hidden, columns = r->columns;
    const int8_t *w = r->weight, *w_h = r->weight_h;
    for (size_t i = 0; i < 4 * (size_t)hidden; i += 4, w += 4 * columns, w_h += 4 * hidden) {
        int32x4_t heard = uvlm_rows_mve(w, columns, x, r->bias + i, r->m + i, r->s + i, 0);
        int32x4_t kept = uvlm_rows_mve(w_h, hidden, h, r->bias_h + i, r->m_h + i, r->s_h + i, 0);
        vstrwq_s32(z + i, uvlm_to_s16_mve(vqaddq_s32(heard, kept)));
    }
}

/* The last cells, fewer than four, go the plain way. */
static void cells_mve(const uvlm_lstm *r, const int32_t *z, int8_t *h, int16_t *c) {
    uvlm_scale_mve write = uvlm_scale_of(r->write_m, r->write_s), read = uvlm_scale_of(r->c_m, r->c_s);
    size_t i = 0, side = (size_t)r->hidden;
    for (; i + 4 <= side; i += 4) {
        int32x4_t in = curve_mve(vldrwq_s32(z + i), r->sigmoid);
        int32x4_t forget = curve_mve(vldrwq_s32(z + side + i), r->sigmoid);
        int32x4_t cell = curve_mve(vldrwq_s32(z + 2 * side + i), r->tanh);
        int32x4_t out = curve_mve(vldrwq_s32(z + 3 * side + i), r->sigmoid);
        int32x4_t old = vrshrq_n_s32(vmulq_s32(forget, vldrhq_s32(c + i)), 15);
        int32x4_t next = uvlm_to_s16_mve(vqaddq_s32(old, uvlm_rescale_mve(vmulq_s32(in, cell), write)));
        vstrhq_s32(c + i, next);
        int32x4_t bent = curve_mve(uvlm_to_s16_mve(uvlm_rescale_mve(next, read)), r->tanh);
        vstrbq_s32(h + i, uvlm_narrow_mve(vrshrq_n_s32(vmulq_s32(out, bent), 23), 0));
    }
    cells_plain(r, z, i, h, c);
}
#endif

int uvlm_lstm_s8_as(int form, const uvlm_lstm *r, const int8_t *x, int8_t *h, int16_t *c, int32_t *scratch) {
    if (!r || !x || !h || !c || !scratch) return UVLM_NULL;
    if (!r->weight || !r->bias || !r->m || !r->s || !r->weight_h || !r->bias_h || !r->m_h || !r->s_h) return UVLM_NULL;
    if (!r->sigmoid || !r->tanh) return UVLM_NULL;
    if (r->hidden < 1 || r->hidden > UVLM_MOST || r->columns < 1 || r->columns > UVLM_MOST) return UVLM_SIZE;
    if (!uvlm_has(form)) return UVLM_FORM;
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE) {
        gates_mve(r, x, h, scratch);
        cells_mve(r, scratch, h, c);
        return UVLM_OK;
    }
#endif
    uvlm_dots *of = uvlm_dots_of(form);
    int32_t heard[UVLM_ROWS] = {0}, kept[UVLM_ROWS] = {0};
    size_t hidden = (size_t)r->hidden, columns = (size_t)r->columns;
    for (size_t i = 0; i < 4 * hidden; i += UVLM_ROWS) { /* all gates first: every one of them reads all of h */
        int32_t count = 4 * hidden - i < UVLM_ROWS ? (int32_t)(4 * hidden - i) : UVLM_ROWS;
        of(r->weight + i * columns, x, count, r->columns, heard);
        of(r->weight_h + i * hidden, h, count, r->hidden, kept);
        gates(form, r, i, count, heard, kept, scratch);
    }
#ifdef UVLM_X86
    if (form == UVLM_AVX512) {
        cells_avx512(r, scratch, h, c);
        return UVLM_OK;
    }
#endif
    cells_plain(r, scratch, 0, h, c);
    return UVLM_OK;
}

int uvlm_lstm_s8(const uvlm_lstm *r, const int8_t *x, int8_t *h, int16_t *c, int32_t *scratch) {
    return uvlm_lstm_s8_as(uvlm_form(), r, x, h, c, scratch);
}
