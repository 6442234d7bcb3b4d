/* A row of the embedding, brought to the scale of its reader by the row's own integer factor. */
#include "fixed.h"
#include "kernels_s8.h"

int uvlm_word_s8(const uvlm_word *r, int32_t number, int8_t *y) {
    if (!r || !y || !r->weight || !r->factor) return UVLM_NULL;
    if (r->words < 1 || r->hidden < 1 || r->hidden > UVLM_MOST) return UVLM_SIZE;
    if (number < 0 || number >= r->words || r->s < 0 || r->s > 31) return UVLM_RANGE;
    if (r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    const int8_t *row = r->weight + (size_t)number * (size_t)r->hidden;
    for (int32_t i = 0; i < r->hidden; i++) {
        y[i] = uvlm_narrow(uvlm_shift_half_up(uvlm_times(row[i], r->factor[number]), r->s), r->zero_y);
    }
    return UVLM_OK;
}
