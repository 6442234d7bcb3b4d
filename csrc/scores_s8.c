/* Bahdanau attention: one score a position, the weight times the bent sum of key and query. */
#include "dot_s8.h"
#include "fixed.h"
#include "kernels_s8.h"

int uvlm_scores_s8(const uvlm_scores *r, const int8_t *x, int32_t *y) {
    if (!r || !x || !y || !r->weight || !r->bias || !r->m || !r->s) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    uvlm_dots *of = uvlm_dots_of(uvlm_form());
    for (int32_t l = 0; l < r->positions; l += UVLM_ROWS) { /* here the map is the matrix, and the weight the vector */
        int32_t left = r->positions - l;
        of(x + (size_t)l * (size_t)r->channels, r->weight, left < UVLM_ROWS ? left : UVLM_ROWS, r->channels, y + l);
    }
    for (int32_t l = 0; l < r->positions; l++) y[l] = uvlm_requantise(uvlm_sum(y[l], r->bias[0]), r->m[0], r->s[0]);
    return UVLM_OK;
}
