/* Bahdanau attention: one score a position, the weight times the bent sum of key and query. */
#include "dot_s8.h"
#include "fixed.h"
#include "kernels_s8.h"

int uvlm_scores_s8(const uvlm_scores *r, const int8_t *x, int32_t *y) {
    if (!r || !x || !y || !r->weight || !r->bias || !r->m || !r->s) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    uvlm_dot *of = uvlm_dot_of(uvlm_form());
    for (int32_t l = 0; l < r->positions; l++) {
        int32_t sum = uvlm_sum(of(r->weight, x + (size_t)l * (size_t)r->channels, r->channels), r->bias[0]);
        y[l] = uvlm_requantise(sum, r->m[0], r->s[0]);
    }
    return UVLM_OK;
}
