/* Float kernels: what uvlm_mini/ssm.py, encoder.py and baselines/ compute in PyTorch, and the same with tables in place
 * of exp. A file of csrc/ named *_f32*.c holds the function of its name, in all its forms.
 *
 * Each size is at most UVLM_MOST_F32, states at most UVLM_MOST_STATES, count at most UVLM_MOST_COUNT. Arrays that a
 * kernel writes do not overlap with others unless it is said. Any float may stand in an array: what is not finite goes
 * through as arithmetic has it, or is refused where that is said. */
#ifndef UVLM_KERNELS_F32_H
#define UVLM_KERNELS_F32_H

#include "status.h"

/* declarations */
enum { UVLM_MOST_F32 = 65536, UVLM_MOST_STATES = 256, UVLM_MOST_COUNT = 16777216 };

/* The constants of the tables: 2^(i/16) for i from 0 to 15, log(1 + i/16) and 16 / (16 + i) for i from 0 to 16. */
int uvlm_tables_f32(float *powers, float *logs, float *inverses);

/* exp, x at most 0 (UVLM_RANGE otherwise, NaN included): by table and by polynomial. Below -126 log 2 = -87.34 they
 * stay at 2^-126. Bounds in exp_f32.h. x and y may be the same. */
int uvlm_exp_f32_lut(const float *x, float *y, int32_t count);
int uvlm_exp_f32_lut_as(int form, const float *x, float *y, int32_t count);
int uvlm_exp_f32_poly(const float *x, float *y, int32_t count);
int uvlm_exp_f32_poly_as(int form, const float *x, float *y, int32_t count);

/* 1 / (1 + exp(-x)) and log(1 + exp(x)) by table, any x but NaN (UVLM_RANGE). x and y may be the same. */
int uvlm_sigmoid_f32_lut(const float *x, float *y, int32_t count);
int uvlm_softplus_f32_lut(const float *x, float *y, int32_t count);

/* One step of the selective SSM between its projections:
 *
 *     h = exp(delta A) h + delta b u,    y = h c + D u
 *
 * delta, u and y (channels); b and c (states); h (channels, states), which it changes. delta is what softplus has made,
 * 0 or more (UVLM_RANGE otherwise, NaN included). A is at most 0: uvlm_ssm_check_f32 looks at it, once, and the steps
 * do not look again; with another A some numbers come out. */
typedef struct {
    const float *A; /* (channels, states), -exp(A_log) */
    const float *D; /* (channels) */
    int32_t channels, states;
} uvlm_float_ssm;
int uvlm_ssm_check_f32(const uvlm_float_ssm *r);
int uvlm_ssm_step_f32(const uvlm_float_ssm *r, const float *delta, const float *u, const float *b, const float *c,
                      float *h, float *y);
int uvlm_ssm_step_f32_lut(const uvlm_float_ssm *r, const float *delta, const float *u, const float *b, const float *c,
                          float *h, float *y);
int uvlm_ssm_step_f32_lut_as(int form, const uvlm_float_ssm *r, const float *delta, const float *u, const float *b,
                             const float *c, float *h, float *y);
int uvlm_ssm_step_f32_poly(const uvlm_float_ssm *r, const float *delta, const float *u, const float *b, const float *c,
                           float *h, float *y);
int uvlm_ssm_step_f32_poly_as(int form, const uvlm_float_ssm *r, const float *delta, const float *u, const float *b,
                              const float *c, float *h, float *y);

/* `steps` of them: delta, u and y (steps, channels), b and c (steps, states). */
int uvlm_ssm_scan_f32(const uvlm_float_ssm *r, int32_t steps, const float *delta, const float *u, const float *b,
                      const float *c, float *h, float *y);
int uvlm_ssm_scan_f32_lut(const uvlm_float_ssm *r, int32_t steps, const float *delta, const float *u, const float *b,
                          const float *c, float *h, float *y);
int uvlm_ssm_scan_f32_lut_as(int form, const uvlm_float_ssm *r, int32_t steps, const float *delta, const float *u,
                             const float *b, const float *c, float *h, float *y);
int uvlm_ssm_scan_f32_poly(const uvlm_float_ssm *r, int32_t steps, const float *delta, const float *u, const float *b,
                           const float *c, float *h, float *y);
int uvlm_ssm_scan_f32_poly_as(int form, const uvlm_float_ssm *r, int32_t steps, const float *delta, const float *u,
                              const float *b, const float *c, float *h, float *y);

/* LayerNorm of one vector: (x - mean) / sqrt(variance + epsilon) * gamma + beta. x and y may be the same. */
typedef struct {
    const float *gamma, *beta; /* (hidden) */
    int32_t hidden;
    float epsilon; /* above 0 (UVLM_RANGE) */
} uvlm_float_layer_norm;
int uvlm_layer_norm_f32(const uvlm_float_layer_norm *r, const float *x, float *y);

/* Global Response Normalization over (positions, channels). scratch: `channels` double. x and y may be the same. */
typedef struct {
    const float *gamma, *beta; /* (channels) */
    int32_t positions, channels;
} uvlm_float_grn;
int uvlm_grn_f32(const uvlm_float_grn *r, const float *x, float *y, double *scratch);

/* One step of an LSTM, gates in PyTorch's order: input, forget, cell, output. x (columns); h and c (hidden), which it
 * changes. scratch: 4 hidden float. */
typedef struct {
    const float *weight, *bias;     /* (4 hidden, columns), (4 hidden) */
    const float *weight_h, *bias_h; /* (4 hidden, hidden), (4 hidden) */
    int32_t hidden, columns;
} uvlm_float_lstm;
int uvlm_lstm_step_f32(const uvlm_float_lstm *r, const float *x, float *h, float *c, float *scratch);

/* Additive attention: share = softmax(score . tanh(keys + weight query)), y = share x. x (positions, channels), keys
 * (positions, wide), made once a picture; query (asking); y (channels), share (positions). scratch: `wide` float. */
typedef struct {
    const float *weight; /* (wide, asking) */
    const float *score;  /* (wide) */
    int32_t positions, channels, asking, wide;
} uvlm_float_attention;
int uvlm_bahdanau_f32(const uvlm_float_attention *r, const float *x, const float *keys, const float *query, float *y,
                      float *share, float *scratch);
/* end of declarations */

#endif
