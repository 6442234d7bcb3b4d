/* One step of an LSTM: what AttSSM's step is measured against.
 *
 *   gates  both matrices' sums in Q12, added: input, forget, cell, output; bent by tables of sigmoid and tanh
 *   c      forget c + input cell, int16
 *   h      output tanh(c), int8
 */
#include "curve.h"
#include "dot_s8.h"
#include "fixed.h"
#include "kernels_s8.h"

int uvlm_lstm_s8_as(int form, const uvlm_lstm *r, const int8_t *x, int8_t *h, int16_t *c, int32_t *scratch) {
    if (!r || !x || !h || !c || !scratch) return UVLM_NULL;
    if (!r->weight || !r->bias || !r->m || !r->s || !r->weight_h || !r->bias_h || !r->m_h || !r->s_h) return UVLM_NULL;
    if (!r->sigmoid || !r->tanh) return UVLM_NULL;
    if (r->hidden < 1 || r->hidden > UVLM_MOST || r->columns < 1 || r->columns > UVLM_MOST) return UVLM_SIZE;
    if (!uvlm_has(form)) return UVLM_FORM;
    uvlm_dots *of = uvlm_dots_of(form);
    int32_t heard[UVLM_ROWS], kept[UVLM_ROWS];
    size_t hidden = (size_t)r->hidden, columns = (size_t)r->columns;
    for (size_t i = 0; i < 4 * hidden; i++) { /* all gates first: every one of them reads all of h */
        size_t k = i % UVLM_ROWS, left = 4 * hidden - i;
        if (!k) {
            int32_t rows = left < UVLM_ROWS ? (int32_t)left : UVLM_ROWS;
            of(r->weight + i * columns, x, rows, r->columns, heard);
            of(r->weight_h + i * hidden, h, rows, r->hidden, kept);
        }
        int64_t z = (int64_t)uvlm_requantise(uvlm_sum(heard[k], r->bias[i]), r->m[i], r->s[i]) +
                    uvlm_requantise(uvlm_sum(kept[k], r->bias_h[i]), r->m_h[i], r->s_h[i]);
        scratch[i] = uvlm_to_s16(uvlm_to_s32(z));
    }
    for (size_t i = 0; i < hidden; i++) {
        int32_t in = uvlm_curve((int16_t)scratch[i], r->sigmoid);
        int32_t forget = uvlm_curve((int16_t)scratch[hidden + i], r->sigmoid);
        int32_t cell = uvlm_curve((int16_t)scratch[2 * hidden + i], r->tanh);
        int32_t out = uvlm_curve((int16_t)scratch[3 * hidden + i], r->sigmoid);
        int64_t sum = (int64_t)uvlm_shift_half_up(forget * c[i], 15) +
                      uvlm_requantise(in * cell, r->write_m, r->write_s);
        c[i] = uvlm_to_s16(uvlm_to_s32(sum));
        int32_t bent = uvlm_curve(uvlm_to_s16(uvlm_requantise(c[i], r->c_m, r->c_s)), r->tanh);
        h[i] = uvlm_to_s8(uvlm_shift_half_up(out * bent, 23));
    }
    return UVLM_OK;
}

int uvlm_lstm_s8(const uvlm_lstm *r, const int8_t *x, int8_t *h, int16_t *c, int32_t *scratch) {
    return uvlm_lstm_s8_as(uvlm_form(), r, x, h, c, scratch);
}
