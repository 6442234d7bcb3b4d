/* LayerNorm of one vector, as PyTorch's: mean and variance over its numbers, the variance without Bessel's correction.
 * The sums are double, so that their rounding does not grow with the length of the vector. */
#include "kernels_f32.h"
#include <math.h>

int uvlm_layer_norm_f32(const uvlm_float_layer_norm *r, const float *x, float *y) {
    if (!r || !x || !y || !r->gamma || !r->beta) return UVLM_NULL;
    if (r->hidden < 1 || r->hidden > UVLM_MOST_F32) return UVLM_SIZE;
    if (!(r->epsilon > 0.0f)) return UVLM_RANGE;
    double sum = 0.0, squares = 0.0;
    for (int32_t i = 0; i < r->hidden; i++) sum += (double)x[i];
    double mean = sum / r->hidden;
    for (int32_t i = 0; i < r->hidden; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    double scale = 1.0 / sqrt(squares / r->hidden + (double)r->epsilon);
    for (int32_t i = 0; i < r->hidden; i++) y[i] = (float)(((double)x[i] - mean) * scale) * r->gamma[i] + r->beta[i];
    return UVLM_OK;
}
