/* int8 matrix times int8 vector, one multiplier and shift a row: where nearly all bytes of a decoder step are read.
 *
 * x is widened again for every row: it stays in the first cache, while the weights come from far away. */
#include "dot_s8.h"
#include "fixed.h"
#include "kernels_s8.h"

static int wrong(const uvlm_gemm *r, const void *x, const void *y) {
    if (!r || !x || !y || !r->weight || !r->bias || !r->m || !r->s) return UVLM_NULL;
    if (r->rows < 1 || r->columns < 1 || r->rows > UVLM_MOST || r->columns > UVLM_MOST) return UVLM_SIZE;
    if (r->lift < 0 || r->lift > 30 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    return UVLM_OK;
}

int uvlm_gemm_s8_as(int form, const uvlm_gemm *r, const int8_t *x, int8_t *y) {
    int status = wrong(r, x, y);
    if (status) return status;
    if (!uvlm_has(form)) return UVLM_FORM;
    uvlm_dot *of = uvlm_dot_of(form);
    for (int32_t i = 0; i < r->rows; i++) {
        int32_t sum = uvlm_sum(of(r->weight + (size_t)i * (size_t)r->columns, x, r->columns), r->bias[i]);
        y[i] = uvlm_narrow(uvlm_requantise(uvlm_lift(sum, r->lift), r->m[i], r->s[i]), r->zero_y);
    }
    return UVLM_OK;
}

int uvlm_gemm_s8(const uvlm_gemm *r, const int8_t *x, int8_t *y) { return uvlm_gemm_s8_as(uvlm_form(), r, x, y); }

int uvlm_logits_s8_as(int form, const uvlm_gemm *r, const int8_t *x, int32_t *y) {
    int status = wrong(r, x, y);
    if (status) return status;
    if (!uvlm_has(form)) return UVLM_FORM;
    uvlm_dot *of = uvlm_dot_of(form);
    for (int32_t i = 0; i < r->rows; i++) {
        int32_t sum = uvlm_sum(of(r->weight + (size_t)i * (size_t)r->columns, x, r->columns), r->bias[i]);
        y[i] = uvlm_requantise(sum, r->m[i], r->s[i]);
    }
    return UVLM_OK;
}

int uvlm_logits_s8(const uvlm_gemm *r, const int8_t *x, int32_t *y) { return uvlm_logits_s8_as(uvlm_form(), r, x, y); }
