/* The product of two vectors, one term after the other. */
#ifndef UVLM_DOT_F32_H
#define UVLM_DOT_F32_H

#include <stddef.h>
#include <stdint.h>

static inline float uvlm_dot_f32(const float *w, const float *x, int32_t n) {
    float sum = 0.0f;
    for (int32_t i = 0; i < n; i++) sum += w[i] * x[i];
    return sum;
}

#endif
