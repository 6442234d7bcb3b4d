/* One step of an LSTM, torch.nn.LSTMCell: what the recurrence of the SSM is measured against.
 *
 * All gates are made before h is changed, since each of them needs all of h. */
#include "dot_f32.h"
#include "kernels_f32.h"
#include <math.h>

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

int uvlm_lstm_step_f32(const uvlm_float_lstm *r, const float *x, float *h, float *c, float *scratch) {
    if (!r || !x || !h || !c || !scratch) return UVLM_NULL;
    if (!r->weight || !r->bias || !r->weight_h || !r->bias_h) return UVLM_NULL;
    if (r->hidden < 1 || r->hidden > UVLM_MOST_F32) return UVLM_SIZE;
    if (r->columns < 1 || r->columns > UVLM_MOST_F32) return UVLM_SIZE;
    const int32_t hidden = r->hidden;
    for (int32_t i = 0; i < 4 * hidden; i++) {
        float from_x = uvlm_dot_f32(r->weight + (size_t)i * (size_t)r->columns, x, r->columns);
        float from_h = uvlm_dot_f32(r->weight_h + (size_t)i * (size_t)hidden, h, hidden);
        scratch[i] = (from_x + r->bias[i]) + (from_h + r->bias_h[i]);
    }
    for (int32_t i = 0; i < hidden; i++) {
        float write = sigmoid(scratch[i]), keep = sigmoid(scratch[hidden + i]);
        float cell = tanhf(scratch[2 * hidden + i]), show = sigmoid(scratch[3 * hidden + i]);
        c[i] = keep * c[i] + write * cell;
        h[i] = show * tanhf(c[i]);
    }
    return UVLM_OK;
}
