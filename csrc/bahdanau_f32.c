/* Additive attention: Attention of uvlm_mini/baselines/bahdanau.py, for one picture.
 *
 *     share = softmax(score . tanh(keys + weight query)),  y = sum over positions of share x
 *
 * softmax does not change if all its arguments are moved, so the largest is moved to 0: then no exp can overflow. */
#include "dot_f32.h"
#include "kernels_f32.h"
#include <math.h>

static int is_size(int32_t size) { return size >= 1 && size <= UVLM_MOST_F32; }

int uvlm_bahdanau_f32(const uvlm_float_attention *r, const float *x, const float *keys, const float *query, float *y,
                      float *share, float *scratch) {
    if (!r || !x || !keys || !query || !y || !share || !scratch || !r->weight || !r->score) return UVLM_NULL;
    if (!is_size(r->positions) || !is_size(r->channels) || !is_size(r->asking) || !is_size(r->wide)) return UVLM_SIZE;
    for (int32_t a = 0; a < r->wide; a++) {
        scratch[a] = uvlm_dot_f32(r->weight + (size_t)a * (size_t)r->asking, query, r->asking);
    }
    float most = -INFINITY, sum = 0.0f;
    for (int32_t l = 0; l < r->positions; l++, keys += r->wide) {
        share[l] = 0.0f;
        for (int32_t a = 0; a < r->wide; a++) share[l] += r->score[a] * tanhf(keys[a] + scratch[a]);
        if (share[l] > most) most = share[l];
    }
    for (int32_t l = 0; l < r->positions; l++) sum += share[l] = expf(share[l] - most);
    for (int32_t i = 0; i < r->channels; i++) y[i] = 0.0f;
    for (int32_t l = 0; l < r->positions; l++, x += r->channels) {
        share[l] /= sum;
        for (int32_t i = 0; i < r->channels; i++) y[i] += share[l] * x[i];
    }
    return UVLM_OK;
}
