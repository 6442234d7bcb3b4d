/* One entry a kernel that takes sizes. To add one, two lines:
 *
 *     TARGET(name without uvlm_, its struct, the struct's first int32 member, forms, memory, arguments)
 *
 * forms    NO_FORMS, or, where there is a twin name_as, SAME (every form gives the same bits) or LOOSE
 * memory   FIELD(member, count)         an array that the struct points to; OPTIONAL: may be NULL
 *          IN, OUT, WORK(type, name, count)  an argument: only read, written, scratch
 *          NUMBER(name)                 an argument that is a number
 *          POSITIVE, NEGATIVE(name)     an argument of floats that are mostly so, and finite
 *          LONG(amount)                 how many steps it takes, where that is not about the size of its buffers
 *          with N(member) for a size that must be from 1 to UVLM_MOST, and V(member) for one that need not
 * arguments  of the call, &r for the struct
 */
#include "../kernels_s8.h"

#define ROWS FIELD(bias, N(rows)) FIELD(m, N(rows)) FIELD(s, N(rows))
#define GEMM FIELD(weight, N(rows) * N(columns)) ROWS IN(int8_t, x, N(columns))
TARGET(gemm_s8, uvlm_gemm, rows, SAME, GEMM OUT(int8_t, y, N(rows)), &r, x, y)
TARGET(logits_s8, uvlm_gemm, rows, SAME, GEMM OUT(int32_t, y, N(rows)), &r, x, y)

TARGET(look_up_s8, uvlm_look_up, count, SAME,
       FIELD(table, 256) IN(int8_t, x, V(count)) OUT(int8_t, y, V(count)), &r, x, y)
TARGET(word_s8, uvlm_word, words, NO_FORMS,
       FIELD(weight, V(words) * N(hidden)) FIELD(factor, V(words)) OUT(int8_t, y, N(hidden)) NUMBER(number),
       &r, number, y)

/* Padding, kernel and stride may be such that no window fits: then there is no output. */
#define WINDOWS(size, before, behind, kernel, stride) \
    (V(stride) < 1 || V(size) + V(before) + V(behind) < V(kernel) \
         ? 0 : (double)(int64_t)((V(size) + V(before) + V(behind) - V(kernel)) / V(stride)) + 1)
#define TAPS (N(kernel_h) * N(kernel_w) * (r.group == 1 ? V(channels) : 1) * N(outputs))
#define PLACES (WINDOWS(height, top, bottom, kernel_h, stride_y) * WINDOWS(width, left, right, kernel_w, stride_x))
TARGET(conv_s8, uvlm_conv, height, SAME,
       if (fuzz_byte() & 1) r.group = 1; else if (fuzz_byte() & 7) r.group = r.outputs = r.channels;
       FIELD(weight, TAPS) FIELD(bias, N(outputs)) FIELD(m, N(outputs)) FIELD(s, N(outputs))
       IN(int8_t, x, N(height) * N(width) * N(channels)) OUT(int8_t, y, PLACES * N(outputs)) LONG(TAPS * PLACES),
       &r, x, y)

/* The last number that is read, and one more. */
#define REACH(which) ((N(positions) - 1) * V(which##_position) + (N(channels) - 1) * V(which##_channel) + 1)
#define TWO                                                                                         \
    OPTIONAL(constant, REACH(other)) IN(int8_t, x, REACH(x))                                        \
    const int8_t *other = r.constant ? NULL : fuzz_buffer(REACH(other), 1, READ);                   \
    OUT(int8_t, y, N(positions) * N(channels))
TARGET(add_s8, uvlm_add, positions, SAME, TWO, &r, x, other, y)
TARGET(mul_s8, uvlm_mul, positions, SAME, TWO, &r, x, other, y)

#define CHANNELS IN(int8_t, x, N(positions) * N(channels)) OUT(int8_t, y, N(channels))
TARGET(mean_s8, uvlm_mean, positions, SAME, CHANNELS, &r, x, y)
TARGET(most_s8, uvlm_mean, positions, SAME, CHANNELS, &r, x, y)

#define MAP (N(height) * N(width) * N(channels))
#define SQUARE (r.side < 1 ? 1 : V(side) * V(side))
TARGET(pool_s8, uvlm_pool, height, NO_FORMS,
       if (r.side > 0 && r.side < 32 && fuzz_byte() & 3) {
           r.height = r.side * (r.height & 15);
           r.width = r.side * (r.width & 15);
       }
       IN(int8_t, x, MAP) OUT(int8_t, y, MAP / SQUARE), &r, x, y)
TARGET(enlarge_s8, uvlm_pool, height, NO_FORMS, IN(int8_t, x, MAP) OUT(int8_t, y, MAP * N(side) * N(side)), &r, x, y)

TARGET(grn_s8, uvlm_grn, positions, SAME,
       FIELD(gamma, N(channels)) FIELD(beta, N(channels)) FIELD(roots, 96) IN(int8_t, x, N(positions) * N(channels))
       OUT(int8_t, y, N(positions) * N(channels)) WORK(int32_t, scratch, N(channels)), &r, x, y, scratch)
TARGET(layer_norm_s8, uvlm_layer_norm, hidden, SAME,
       FIELD(gamma, N(hidden)) FIELD(beta, N(hidden)) FIELD(roots, 96)
       IN(int8_t, x, N(hidden)) OUT(int8_t, y, N(hidden)),
       &r, x, y)

TARGET(scan_s16, uvlm_scan, channels, SAME,
       FIELD(mantissa, 256) FIELD(shift, 256) FIELD(A, N(channels) * N(states)) FIELD(A_shift, N(channels))
       FIELD(write_m, N(channels)) FIELD(write_s, N(channels)) FIELD(read_m, N(channels))
       FIELD(read_s, N(channels)) FIELD(D, N(channels)) IN(int8_t, dt, N(channels)) IN(int8_t, u, N(channels))
       IN(int8_t, b, N(states)) IN(int8_t, c, N(states)) OUT(int16_t, h, N(channels) * N(states))
       OUT(int8_t, y, N(channels)), &r, dt, u, b, c, h, y)

TARGET(scores_s8, uvlm_scores, positions, NO_FORMS,
       FIELD(weight, N(channels)) FIELD(bias, 1) FIELD(m, 1) FIELD(s, 1) IN(int8_t, x, N(positions) * N(channels))
       OUT(int32_t, y, N(positions)), &r, x, y)
TARGET(softmax_s32, uvlm_softmax, positions, NO_FORMS,
       FIELD(powers, 257) IN(int32_t, x, N(positions)) OUT(int16_t, y, N(positions))
       WORK(int32_t, scratch, N(positions)),
       &r, x, y, scratch)
TARGET(attend_s8, uvlm_attend, positions, SAME,
       IN(int16_t, share, N(positions)) IN(int8_t, x, N(positions) * N(channels)) OUT(int8_t, y, N(channels)),
       &r, share, x, y)

TARGET(first_s8, uvlm_first, hidden, NO_FORMS,
       FIELD(weight, 2 * N(hidden) * N(columns)) FIELD(bias, 2 * N(hidden)) FIELD(m, 2 * N(hidden))
       FIELD(s, 2 * N(hidden)) FIELD(tanh, 513) IN(int8_t, x, N(columns)) OUT(int8_t, h, N(hidden))
       OUT(int16_t, c, N(hidden)), &r, x, h, c)
#define GATES(count) (4 * N(hidden) * (count))
TARGET(lstm_s8, uvlm_lstm, hidden, SAME,
       FIELD(weight, GATES(N(columns))) FIELD(bias, GATES(1)) FIELD(m, GATES(1)) FIELD(s, GATES(1))
       FIELD(weight_h, GATES(N(hidden))) FIELD(bias_h, GATES(1)) FIELD(m_h, GATES(1)) FIELD(s_h, GATES(1))
       FIELD(sigmoid, 513) FIELD(tanh, 513) IN(int8_t, x, N(columns)) OUT(int8_t, h, N(hidden))
       OUT(int16_t, c, N(hidden)) WORK(int32_t, scratch, GATES(1)), &r, x, h, c, scratch)

/* Up to four parts: an array of pointers, as long as there are parts. */
#define PART(p) (parts > p ? fuzz_size(r.sizes[p]) * N(positions) : 0)
#define SUM (PART(0) + PART(1) + PART(2) + PART(3))
TARGET(concat_s8, uvlm_parts, positions, NO_FORMS,
       int32_t parts = fuzz_few(r.parts, 4); const int8_t **x = fuzz_pointers(parts);
       for (int32_t p = 0; p < parts; p++) x[p] = fuzz_buffer(fuzz_size(r.sizes[p]) * N(positions), 1, READ);
       OUT(int8_t, y, SUM), &r, x, y)
TARGET(split_s8, uvlm_parts, positions, NO_FORMS,
       int32_t parts = fuzz_few(r.parts, 4); int8_t **y = fuzz_pointers(parts);
       for (int32_t p = 0; p < parts; p++) y[p] = fuzz_buffer(fuzz_size(r.sizes[p]) * N(positions), 1, WRITTEN);
       IN(int8_t, x, SUM), &r, x, y)
