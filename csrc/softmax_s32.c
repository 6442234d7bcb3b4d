/* Softmax of scores that are logarithms to base 2 in Q16: powers from a table, and one division a position. */
#include "fixed.h"
#include "kernels_s8.h"

int uvlm_softmax_s32(const uvlm_softmax *r, const int32_t *x, int16_t *y, int32_t *scratch) {
    if (!r || !x || !y || !scratch || !r->powers) return UVLM_NULL;
    if (r->positions < 1 || r->positions > 32768) return UVLM_SIZE;
    int32_t largest = x[0], *parts = scratch;
    int64_t whole = 0; /* at least 2^30, the largest's own part; at most 2^45 */
    for (int32_t l = 1; l < r->positions; l++) largest = x[l] > largest ? x[l] : largest;
    for (int32_t l = 0; l < r->positions; l++) {
        int64_t below = (int64_t)largest - x[l];
        parts[l] = uvlm_power(below > (31 << 16) ? 31 << 16 : (int32_t)below, r->powers);
        whole += parts[l];
    }
    if (whole < 1) whole = 1; /* with a table that is none: what comes out is wrong then, and nothing is divided by 0 */
    for (int32_t l = 0; l < r->positions; l++) {
        int64_t share = uvlm_divide((int64_t)parts[l] * 32768, whole);
        y[l] = (int16_t)(share < 32767 ? share : 32767);
    }
    return UVLM_OK;
}
