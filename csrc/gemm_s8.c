/* int8 matrix times int8 vector, one multiplier and shift a row: where nearly all bytes of a decoder step are read.
 * The products have forms for each processor (dot_s8.h); what follows is one multiplication a row. With Helium four
 * rows share x and are requantised together; the last four rows may be some that were done before. */
#include "dot_s8.h"
#include "fixed.h"
#include "kernels_s8.h"
#include "mve.h"

static int wrong(const uvlm_gemm *r, const void *x, const void *y) {
    if (!r || !x || !y || !r->weight || !r->bias || !r->m || !r->s) return UVLM_NULL;
    if (r->rows < 1 || r->columns < 1 || r->rows > UVLM_MOST || r->columns > UVLM_MOST) return UVLM_SIZE;
    if (r->lift < 0 || r->lift > 30 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    return UVLM_OK;
}

#ifdef UVLM_HELIUM
/* Four times `fours` rows, from row `first` on. */
static void fours(const uvlm_gemm *r, const int8_t *x, int8_t *y, int32_t first, int32_t fours) {
    const int8_t *w = r->weight + (size_t)first * (size_t)r->columns, *s = r->s + first;
    const int32_t *bias = r->bias + first, *m = r->m + first;
    int32_t columns = r->columns, lift = r->lift, zero_y = r->zero_y;
    for (y += first; fours > 0; fours--) {
        vstrbq_s32(y, uvlm_narrow_mve(uvlm_rows_mve(w, columns, x, bias, m, s, lift), zero_y));
        w += 4 * columns, bias += 4, m += 4, s += 4, y += 4;
    }
}

static void fours_of_logits(const uvlm_gemm *r, const int8_t *x, int32_t *y, int32_t first,
                            int32_t fours) {
    const int8_t *w = r->weight + (size_t)first * (size_t)r->columns, *s = r->s + first;
    const int32_t *bias = r->bias + first, *m = r->m + first;
    int32_t columns = r->columns;
    for (y += first; fours > 0; fours--) {
        vstrwq_s32(y, uvlm_rows_mve(w, columns, x, bias, m, s, 0));
        w += 4 * columns, bias += 4, m += 4, s += 4, y += 4;
    }
}
#endif

int uvlm_gemm_s8_as(int form, const uvlm_gemm *r, const int8_t *x, int8_t *y) {
    int status = wrong(r, x, y);
    if (status) return status;
    if (!uvlm_has(form)) return UVLM_FORM;
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE && r->rows >= 4) {
        fours(r, x, y, 0, r->rows / 4);
        if (r->rows % 4) fours(r, x, y, r->rows - 4, 1);
        return UVLM_OK;
    }
#endif
    uvlm_dots *of = uvlm_dots_of(form);
    int32_t sums[UVLM_ROWS];
    for (int32_t i = 0; i < r->rows; i++) {
        int32_t k = i % UVLM_ROWS, left = r->rows - i;
        if (!k) of(r->weight + (size_t)i * (size_t)r->columns, x, left < UVLM_ROWS ? left : UVLM_ROWS, r->columns, sums);
        int32_t sum = uvlm_lift(uvlm_sum(sums[k], r->bias[i]), r->lift);
        y[i] = uvlm_narrow(uvlm_requantise(sum, r->m[i], r->s[i]), r->zero_y);
    }
    return UVLM_OK;
}

int uvlm_gemm_s8(const uvlm_gemm *r, const int8_t *x, int8_t *y) { return uvlm_gemm_s8_as(uvlm_form(), r, x, y); }

int uvlm_logits_s8_as(int form, const uvlm_gemm *r, const int8_t *x, int32_t *y) {
    int status = wrong(r, x, y);
    if (status) return status;
    if (!uvlm_has(form)) return UVLM_FORM;
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE && r->rows >= 4) {
        fours_of_logits(r, x, y, 0, r->rows / 4);
        if (r->rows % 4) fours_of_logits(r, x, y, r->rows - 4, 1);
        return UVLM_OK;
    }
#endif
    uvlm_dots *of = uvlm_dots_of(form);
    for (int32_t i = 0; i < r->rows; i += UVLM_ROWS) {
        int32_t left = r->rows - i, count = left < UVLM_ROWS ? left : UVLM_ROWS;
        of(r->weight + (size_t)i * (size_t)r->columns, x, count, r->columns, y + i);
        for (int32_t k = i; k < i + count; k++) y[k] = uvlm_requantise(uvlm_sum(y[k], r->bias[k]), r->m[k], r->s[k]);
    }
    return UVLM_OK;
}

int uvlm_logits_s8(const uvlm_gemm *r, const int8_t *x, int32_t *y) { return uvlm_logits_s8_as(uvlm_form(), r, x, y); }
