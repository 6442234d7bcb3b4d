/* Global Response Normalization: GRN of uvlm_mini/encoder.py, channels last.
 *
 *     strength[c] = sqrt(sum over positions of x[p, c]^2)
 *     y[p, c] = x[p, c] (gamma[c] strength[c] / (mean of strength + 10^-6) + 1) + beta[c]
 *
 * The map is read twice from front to back, never a channel alone: neighbours in memory are neighbours in the loop. */
#include "kernels_f32.h"
#include <math.h>

int uvlm_grn_f32(const uvlm_float_grn *r, const float *x, float *y, double *scratch) {
    if (!r || !x || !y || !scratch || !r->gamma || !r->beta) return UVLM_NULL;
    if (r->positions < 1 || r->positions > UVLM_MOST_F32) return UVLM_SIZE;
    if (r->channels < 1 || r->channels > UVLM_MOST_F32) return UVLM_SIZE;
    const size_t positions = (size_t)r->positions, channels = (size_t)r->channels;
    double sum = 0.0;
    for (size_t c = 0; c < channels; c++) scratch[c] = 0.0;
    for (size_t p = 0; p < positions; p++) {
        for (size_t c = 0; c < channels; c++) scratch[c] += (double)x[p * channels + c] * (double)x[p * channels + c];
    }
    for (size_t c = 0; c < channels; c++) sum += scratch[c] = sqrt(scratch[c]);
    double mean = sum / (double)channels + 1e-6;
    for (size_t c = 0; c < channels; c++) scratch[c] = (double)r->gamma[c] * scratch[c] / mean + 1.0;
    for (size_t p = 0; p < positions; p++) {
        for (size_t c = 0; c < channels; c++) {
            y[p * channels + c] = x[p * channels + c] * (float)scratch[c] + r->beta[c];
        }
    }
    return UVLM_OK;
}
