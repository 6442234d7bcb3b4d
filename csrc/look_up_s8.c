/* Any function of one int8 number, read from a table of 256: H-Swish, sigmoid, a change of scale. */
#include "kernels_s8.h"

int uvlm_look_up_s8(const uvlm_look_up *r, const int8_t *x, int8_t *y) {
    if (!r || !x || !y || !r->table) return UVLM_NULL;
    if (r->count < 1) return UVLM_SIZE;
    for (int32_t i = 0; i < r->count; i++) y[i] = r->table[x[i] + 128];
    return UVLM_OK;
}
