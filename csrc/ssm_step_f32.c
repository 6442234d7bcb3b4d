/* One step of the selective SSM, as it stands in the paper: the plain form that the others are compared with. */
#include "ssm_step_f32.h"
#include <math.h>

int uvlm_ssm_check_f32(const uvlm_float_ssm *r) {
    int status = uvlm_ssm_sizes_f32(r);
    if (status) return status;
    size_t count = (size_t)r->channels * (size_t)r->states;
    for (size_t i = 0; i < count; i++) {
        if (!(r->A[i] <= 0.0f)) return UVLM_RANGE;
    }
    return UVLM_OK;
}

int uvlm_ssm_step_f32(const uvlm_float_ssm *r, const float *delta, const float *u, const float *b, const float *c,
                      float *h, float *y) {
    int status = uvlm_ssm_wrong_f32(r, 1, delta, u, b, c, h, y);
    if (status) return status;
    for (int32_t i = 0; i < r->channels; i++) {
        const float *A = r->A + (size_t)i * (size_t)r->states;
        float sum = 0.0f;
        for (int32_t n = 0; n < r->states; n++, h++) {
            *h = expf(delta[i] * A[n]) * *h + delta[i] * u[i] * b[n];
            sum += *h * c[n];
        }
        y[i] = sum + r->D[i] * u[i];
    }
    return UVLM_OK;
}
