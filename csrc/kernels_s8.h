/* Integer kernels: each record of uvlm_mini/quantize/integer_ops.py as a struct of the same numbers under the same
 * names, and the function that runs it, to the bit what the Python function of that name gives.
 *
 * A product of two vectors is exact in int32 as long as it has at most 65,536 terms: each is at most 2^14, the sum at
 * most 2^30. That is UVLM_MOST, and the limit of every size here unless something smaller is said. */
#ifndef UVLM_KERNELS_S8_H
#define UVLM_KERNELS_S8_H

#include "status.h"

/* declarations */
enum { UVLM_MOST = 65536 };

/* Any function of one int8 number: y = table[x + 128], `count` times. x and y may be the same. */
typedef struct {
    const int8_t *table; /* (256) */
    int32_t count;
} uvlm_look_up;
int uvlm_look_up_s8(const uvlm_look_up *r, const int8_t *x, int8_t *y);
int uvlm_look_up_s8_as(int form, const uvlm_look_up *r, const int8_t *x, int8_t *y);

/* y = W x + bias, requantised row by row. */
typedef struct {
    const int8_t *weight; /* (rows, columns) */
    const int32_t *bias;  /* (rows) */
    const int32_t *m;     /* (rows) */
    const int8_t *s;      /* (rows) */
    int32_t rows, columns, lift, zero_y;
} uvlm_gemm;
int uvlm_gemm_s8(const uvlm_gemm *r, const int8_t *x, int8_t *y);
int uvlm_gemm_s8_as(int form, const uvlm_gemm *r, const int8_t *x, int8_t *y);
/* The same to int32, without lift and zero point. */
int uvlm_logits_s8(const uvlm_gemm *r, const int8_t *x, int32_t *y);
int uvlm_logits_s8_as(int form, const uvlm_gemm *r, const int8_t *x, int32_t *y);

/* A row of the embedding, brought to the scale of its reader. number from 0 to words - 1. */
typedef struct {
    const int8_t *weight;  /* (words, hidden) */
    const int32_t *factor; /* (words) */
    int32_t words, hidden, s, zero_y;
} uvlm_word;
int uvlm_word_s8(const uvlm_word *r, int32_t number, int8_t *y);

/* Convolution, dense (group 1) or depthwise (group = channels = outputs). Outside the map stands zero_x. */
typedef struct {
    const int8_t *weight; /* dense (outputs, kernel_h, kernel_w, channels), depthwise (kernel_h, kernel_w, channels) */
    const int32_t *bias;  /* (outputs) */
    const int32_t *m;     /* (outputs) */
    const int8_t *s;      /* (outputs) */
    int32_t height, width, channels, outputs, kernel_h, kernel_w, stride_y, stride_x;
    int32_t top, left, bottom, right, group, lift, zero_x, zero_y;
} uvlm_conv;
int uvlm_conv_s8(const uvlm_conv *r, const int8_t *x, int8_t *y); /* (height, width, channels) */
int uvlm_conv_s8_as(int form, const uvlm_conv *r, const int8_t *x, int8_t *y);

/* Sum or product of two values over (positions, channels). Each is read at position * stride + channel * stride, so
 * that a stride of 0 repeats it; `constant`, if there is one, takes the place of the second. y is dense. */
typedef struct {
    const int8_t *constant; /* or NULL */
    int32_t positions, channels, x_position, x_channel, other_position, other_channel;
    int32_t zero_x, zero_other, zero_y, factor_x, factor_other, s;
} uvlm_add;
int uvlm_add_s8(const uvlm_add *r, const int8_t *x, const int8_t *other, int8_t *y);
int uvlm_add_s8_as(int form, const uvlm_add *r, const int8_t *x, const int8_t *other, int8_t *y);

typedef struct {
    const int8_t *constant; /* or NULL */
    int32_t positions, channels, x_position, x_channel, other_position, other_channel;
    int32_t zero_x, zero_other, zero_y, m, s, lift;
} uvlm_mul;
int uvlm_mul_s8(const uvlm_mul *r, const int8_t *x, const int8_t *other, int8_t *y);
int uvlm_mul_s8_as(int form, const uvlm_mul *r, const int8_t *x, const int8_t *other, int8_t *y);

/* Mean and maximum of every channel: (positions, channels) -> (channels). */
typedef struct {
    int32_t positions, channels, zero_x, zero_y, m, s, lift;
} uvlm_mean;
int uvlm_mean_s8(const uvlm_mean *r, const int8_t *x, int8_t *y);
int uvlm_mean_s8_as(int form, const uvlm_mean *r, const int8_t *x, int8_t *y);
int uvlm_most_s8(const uvlm_mean *r, const int8_t *x, int8_t *y);
int uvlm_most_s8_as(int form, const uvlm_mean *r, const int8_t *x, int8_t *y);

/* Means over squares of `side` that do not overlap; and the opposite, every number a square. */
typedef struct {
    int32_t height, width, channels, side, zero_x, zero_y, m, s, lift;
} uvlm_pool;
int uvlm_pool_s8(const uvlm_pool *r, const int8_t *x, int8_t *y);
int uvlm_enlarge_s8(const uvlm_pool *r, const int8_t *x, int8_t *y);

/* Up to four parts one behind the other, at every position; and apart again. */
typedef struct {
    int32_t positions, parts, sizes[4];
} uvlm_parts;
int uvlm_concat_s8(const uvlm_parts *r, const int8_t *const *x, int8_t *y);
int uvlm_split_s8(const uvlm_parts *r, const int8_t *x, int8_t *const *y);

/* Global Response Normalization. scratch: `channels` int32. positions up to 33,025, so that the squares fit;
 * channels 2^places up to 2^32, so that the division does. */
typedef struct {
    const int16_t *gamma; /* (channels) */
    const int32_t *beta;  /* (channels) */
    const int32_t *roots; /* (96) */
    int32_t positions, channels, zero_x, zero_y, places, gamma_shift, least, m, shift, one, s;
} uvlm_grn;
int uvlm_grn_s8(const uvlm_grn *r, const int8_t *x, int8_t *y, int32_t *scratch);
int uvlm_grn_s8_as(int form, const uvlm_grn *r, const int8_t *x, int8_t *y, int32_t *scratch);

/* LayerNorm of one vector. hidden up to 32,768. */
typedef struct {
    const int16_t *gamma; /* (hidden) */
    const int32_t *beta;  /* (hidden) */
    const int32_t *roots; /* (96) */
    int32_t hidden, zero_y, epsilon, m, s, lift;
} uvlm_layer_norm;
int uvlm_layer_norm_s8(const uvlm_layer_norm *r, const int8_t *x, int8_t *y);
int uvlm_layer_norm_s8_as(int form, const uvlm_layer_norm *r, const int8_t *x, int8_t *y);

/* One step of the selective SSM: dt, u and y (channels), b and c (states), h (channels, states), which it changes.
 * states up to 256. */
typedef struct {
    const int16_t *mantissa; /* (256) softplus of dt, with */
    const int8_t *shift;     /* (256) */
    const int16_t *A;        /* (channels, states), below 0 */
    const int8_t *A_shift;   /* (channels) */
    const int32_t *write_m;  /* (channels) */
    const int8_t *write_s;   /* (channels) */
    const int32_t *read_m;   /* (channels) */
    const int8_t *read_s;    /* (channels) */
    const int16_t *D;        /* (channels) */
    int32_t channels, states, zero_u, zero_b, zero_c, zero_y, places, direct_m, direct_s;
} uvlm_scan;
int uvlm_scan_s16(const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c, int16_t *h,
                  int8_t *y);
int uvlm_scan_s16_as(int form, const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c,
                     int16_t *h, int8_t *y);

/* Bahdanau attention: a score for each position, (positions, channels) -> (positions) int32. */
typedef struct {
    const int8_t *weight; /* (channels) */
    const int32_t *bias;  /* (1) */
    const int32_t *m;     /* (1) */
    const int8_t *s;      /* (1) */
    int32_t positions, channels;
} uvlm_scores;
int uvlm_scores_s8(const uvlm_scores *r, const int8_t *x, int32_t *y);

/* Shares in Q15 of scores, (positions). scratch: `positions` int32. positions up to 32,768. */
typedef struct {
    const int32_t *powers; /* (257) */
    int32_t positions;
} uvlm_softmax;
int uvlm_softmax_s32(const uvlm_softmax *r, const int32_t *x, int16_t *y, int32_t *scratch);

/* Positions of a map, weighed and added: (positions) and (positions, channels) -> (channels). positions to 256. */
typedef struct {
    int32_t positions, channels, zero_x, zero_y, m, s, lift;
} uvlm_attend;
int uvlm_attend_s8(const uvlm_attend *r, const int16_t *share, const int8_t *x, int8_t *y);
int uvlm_attend_s8_as(int form, const uvlm_attend *r, const int16_t *share, const int8_t *x, int8_t *y);

/* What an LSTM starts with: (columns) -> h (hidden) int8 and c (hidden) int16. */
typedef struct {
    const int8_t *weight; /* (2 hidden, columns) */
    const int32_t *bias;  /* (2 hidden) */
    const int32_t *m;     /* (2 hidden) */
    const int8_t *s;      /* (2 hidden) */
    const int16_t *tanh;  /* (513) */
    int32_t hidden, columns, c_m, c_s;
} uvlm_first;
int uvlm_first_s8(const uvlm_first *r, const int8_t *x, int8_t *h, int16_t *c);

/* One step of an LSTM: x (columns); h (hidden) int8 and c (hidden) int16, which it changes. scratch: 4 hidden int32. */
typedef struct {
    const int8_t *weight;          /* (4 hidden, columns) */
    const int32_t *bias, *m;       /* (4 hidden) */
    const int8_t *s;               /* (4 hidden) */
    const int8_t *weight_h;        /* (4 hidden, hidden) */
    const int32_t *bias_h, *m_h;   /* (4 hidden) */
    const int8_t *s_h;             /* (4 hidden) */
    const int16_t *sigmoid, *tanh; /* (513) */
    int32_t hidden, columns, write_m, write_s, c_m, c_s;
} uvlm_lstm;
int uvlm_lstm_s8(const uvlm_lstm *r, const int8_t *x, int8_t *h, int16_t *c, int32_t *scratch);
int uvlm_lstm_s8_as(int form, const uvlm_lstm *r, const int8_t *x, int8_t *h, int16_t *c, int32_t *scratch);
/* end of declarations */

#endif
