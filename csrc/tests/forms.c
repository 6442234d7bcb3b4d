/* Every form of every kernel against the plain one, byte for byte, on numbers from a fixed generator. The same file
 * runs on a laptop, where it sees the x86 forms, on the emulated Cortex-M55, where it sees Helium, and as WebAssembly.
 *
 *   forms [cases]
 *
 * One line a kernel and form; the exit code is the number of these that differ. Content is of two kinds by turns: as a
 * compiled network has it, and with weights, biases, multipliers and shifts that are anything at all, but for what the
 * comments below say, and for a multiplier of -2^31 (see mve.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels_s8.h"
#include "mve.h"

enum { ROOM = 60000, MORE = 4096, MADE = 13000, GUARD = 0x5A }; /* MADE: results of a case, and guards behind them */

static uint32_t seed = 1;

static uint32_t any(void) {
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static int32_t from_to(int32_t low, int32_t high) { return low + (int32_t)(any() % (uint32_t)(high - low + 1)); }

static int32_t word(void) { return (int32_t)(any() << 16 ^ any()); }

static int8_t a8[ROOM], b8[ROOM], c8[ROOM], d8[ROOM], made8[2][MADE], shifts[MORE], more_shifts[MORE], table8[256];
static int16_t a16[ROOM], b16[MORE], made16[2][1600], sigmoid[513], hyperbolic[513], mantissa[256];
static int32_t bias[MORE], more_bias[MORE], m[MORE], more_m[MORE], made32[2][64], powers[257], roots[96];
static int32_t scratch[MORE];

static void bytes(int8_t *x, int32_t n) {
    int flat = any() % 8 == 0; /* sometimes the largest number everywhere: the longest sums */
    int8_t what = (int8_t)(any() % 2 ? -128 : 127);
    for (int32_t i = 0; i < n; i++) x[i] = flat ? what : (int8_t)any();
}

static void words(int32_t *x, int32_t n, int bits) {
    for (int32_t i = 0; i < n; i++) x[i] = word() >> (32 - bits);
}

static void halves(int16_t *x, int32_t n) {
    for (int32_t i = 0; i < n; i++) x[i] = (int16_t)any();
}

static int32_t multiplier(int wild) {
    if (wild && any() % 4 == 0) return any() % 2 ? INT32_MAX : -INT32_MAX;
    int32_t x = wild ? word() : (int32_t)(0x40000000u | (uint32_t)word() >> 2);
    return x == INT32_MIN ? INT32_MAX : x;
}

static void scales(int32_t *to, int8_t *s, int32_t n, int wild) {
    for (int32_t i = 0; i < n; i++) {
        to[i] = multiplier(wild);
        s[i] = (int8_t)(wild ? (int32_t)any() : from_to(2, 14));
    }
}

static void tables(void) {
    for (int i = 0; i < 257; i++) powers[i] = (int32_t)floor(pow(2, 30 - i / 256.0) + 0.5);
    for (int i = 0; i < 96; i++) roots[i] = (int32_t)floor(1073741824.0 / sqrt((32.5 + i) / 128) + 0.5);
    for (int i = 0; i < 513; i++) {
        double x = (i - 256) / 32.0;
        sigmoid[i] = (int16_t)(32767 / (1 + exp(-x)));
        hyperbolic[i] = (int16_t)(32767 * tanh(x));
    }
}

/* What a case leaves: `made8`, `made16` and `made32` of side 0 are the plain form's, of side 1 the other's. */
typedef int one_case(int form, int wild);

static void clear(void) { /* a case starts with the same content on both sides, guards behind the results */
    memset(made8, GUARD, sizeof made8);
    memset(made32, GUARD, sizeof made32);
    memset(made16, GUARD, sizeof made16);
}

static int gemm(int form, int wild) {
    uvlm_gemm r = {a8, bias, m, shifts, from_to(1, 40), from_to(1, any() % 4 ? 64 : 1400), 0, from_to(-128, 127)};
    r.lift = from_to(0, wild ? 30 : 6);
    bytes(a8, r.rows * r.columns);
    bytes(b8, r.columns);
    words(bias, r.rows, wild ? 32 : 16);
    scales(m, shifts, r.rows, wild);
    return uvlm_gemm_s8_as(UVLM_PLAIN, &r, b8, made8[0]) | uvlm_gemm_s8_as(form, &r, b8, made8[1]) |
           uvlm_logits_s8_as(UVLM_PLAIN, &r, b8, made32[0]) | uvlm_logits_s8_as(form, &r, b8, made32[1]);
}

static int conv(int form, int wild) {
    int deep = any() % 2;
    uvlm_conv r = {.weight = a8, .bias = bias, .m = m, .s = shifts};
    r.height = from_to(1, 7), r.width = from_to(1, 7), r.channels = from_to(1, 40);
    r.outputs = deep ? r.channels : from_to(1, 20), r.group = deep ? r.channels : 1;
    r.kernel_h = from_to(1, 4), r.kernel_w = from_to(1, 4), r.stride_y = from_to(1, 3), r.stride_x = from_to(1, 3);
    r.top = from_to(0, 5), r.left = from_to(0, 5), r.bottom = from_to(0, 5), r.right = from_to(0, 5);
    r.lift = from_to(0, wild ? 30 : 6), r.zero_x = from_to(-128, 127), r.zero_y = from_to(-128, 127);
    if (any() % 4 == 0) { /* pointwise, to one channel as often as to several */
        r.kernel_h = r.kernel_w = r.stride_y = r.stride_x = 1, r.top = r.left = r.bottom = r.right = 0;
        if (!deep && any() % 2) r.outputs = 1;
    }
    if (r.height + r.top + r.bottom < r.kernel_h) r.kernel_h = 1;
    if (r.width + r.left + r.right < r.kernel_w) r.kernel_w = 1;
    bytes(a8, r.kernel_h * r.kernel_w * r.channels * (deep ? 1 : r.outputs));
    bytes(b8, r.height * r.width * r.channels);
    words(bias, r.outputs, wild ? 32 : 16);
    scales(m, shifts, r.outputs, wild);
    return uvlm_conv_s8_as(UVLM_PLAIN, &r, b8, made8[0]) | uvlm_conv_s8_as(form, &r, b8, made8[1]);
}

static int add(int form, int wild) {
    uvlm_add r = {.positions = from_to(1, 9), .channels = from_to(1, 70)};
    r.x_position = any() % 4 ? r.channels : 0, r.x_channel = any() % 4 != 0;
    r.other_position = any() % 2 ? r.channels : 0, r.other_channel = any() % 4 != 0;
    r.zero_x = from_to(-128, 127), r.zero_other = from_to(-128, 127), r.zero_y = from_to(-128, 127);
    r.factor_x = word() >> (wild ? 0 : 10), r.factor_other = word() >> (wild ? 0 : 10);
    r.s = from_to(wild ? 0 : 16, wild ? 31 : 22);
    if (any() % 2) r.s = 22; /* what the tables have, with sums that mostly fit, or just not */
    if (any() % 4 == 0) { /* more channels than are weighed at once */
        r.positions = from_to(1, 3), r.channels = from_to(500, 1100);
        r.x_position = any() % 2 ? r.channels : 0, r.other_position = any() % 2 ? r.channels : 0;
    }
    bytes(a8, r.channels * r.positions);
    bytes(b8, r.channels * r.positions);
    return uvlm_add_s8_as(UVLM_PLAIN, &r, a8, b8, made8[0]) | uvlm_add_s8_as(form, &r, a8, b8, made8[1]);
}

static int mul(int form, int wild) {
    uvlm_mul r = {.positions = from_to(1, 9), .channels = from_to(1, 70), .m = multiplier(wild)};
    r.x_position = any() % 4 ? r.channels : 0, r.x_channel = any() % 4 != 0;
    r.other_position = any() % 2 ? r.channels : 0, r.other_channel = any() % 4 != 0;
    r.zero_x = from_to(-128, 127), r.zero_other = from_to(-128, 127), r.zero_y = from_to(-128, 127);
    r.s = from_to(wild ? -40 : 10, wild ? 40 : 20), r.lift = from_to(0, wild ? 30 : 10);
    bytes(a8, 700);
    bytes(b8, 700);
    return uvlm_mul_s8_as(UVLM_PLAIN, &r, a8, b8, made8[0]) | uvlm_mul_s8_as(form, &r, a8, b8, made8[1]);
}

/* Means, maxima and tables of the same map, one behind the other. */
static int look(int form, int wild) {
    uvlm_mean r = {.positions = from_to(1, any() % 8 ? 60 : 580), .channels = from_to(1, 100), .m = multiplier(wild)};
    uvlm_look_up t = {table8, r.positions * r.channels};
    int8_t *plain = made8[0], *other = made8[1];
    r.zero_x = from_to(-128, 127), r.zero_y = from_to(-128, 127);
    r.s = from_to(wild ? -40 : 8, wild ? 40 : 18), r.lift = from_to(0, wild ? 30 : 10);
    bytes(b8, t.count);
    if (t.count > MADE - 1000) t.count = MADE - 1000;
    for (int32_t i = 0; i < 256; i++) table8[i] = (int8_t)any();
    return uvlm_mean_s8_as(UVLM_PLAIN, &r, b8, plain) | uvlm_mean_s8_as(form, &r, b8, other) |
           uvlm_most_s8_as(UVLM_PLAIN, &r, b8, plain + 200) | uvlm_most_s8_as(form, &r, b8, other + 200) |
           uvlm_look_up_s8_as(UVLM_PLAIN, &t, b8, plain + 400) | uvlm_look_up_s8_as(form, &t, b8, other + 400);
}

static int grn(int form, int wild) {
    uvlm_grn r = {.gamma = b16, .beta = bias, .roots = roots, .positions = from_to(1, 30), .channels = from_to(1, 70)};
    r.zero_x = from_to(-128, 127), r.zero_y = from_to(-128, 127);
    r.places = from_to(0, 16), r.gamma_shift = from_to(0, wild ? 31 : 15), r.least = from_to(1, 1000);
    r.m = multiplier(wild), r.shift = from_to(wild ? -40 : 0, wild ? 40 : 15), r.one = word() >> (wild ? 0 : 16);
    r.s = from_to(wild ? 0 : 12, wild ? 31 : 20);
    halves(b16, r.channels);
    words(bias, r.channels, wild ? 32 : 20);
    bytes(b8, r.positions * r.channels);
    return uvlm_grn_s8_as(UVLM_PLAIN, &r, b8, made8[0], scratch) | uvlm_grn_s8_as(form, &r, b8, made8[1], scratch);
}

static int layer_norm(int form, int wild) {
    uvlm_layer_norm r = {.gamma = b16, .beta = bias, .roots = roots, .hidden = from_to(1, 600), .m = multiplier(wild)};
    r.zero_y = from_to(-128, 127), r.epsilon = from_to(1, 1 << 20);
    r.s = from_to(wild ? -40 : 12, wild ? 40 : 22), r.lift = from_to(0, wild ? 30 : 2);
    halves(b16, r.hidden);
    words(bias, r.hidden, wild ? 32 : 24);
    bytes(b8, r.hidden);
    return uvlm_layer_norm_s8_as(UVLM_PLAIN, &r, b8, made8[0]) | uvlm_layer_norm_s8_as(form, &r, b8, made8[1]);
}

static int scan(int form, int wild) {
    uvlm_scan r = {.mantissa = mantissa, .shift = table8, .A = a16, .A_shift = shifts};
    r.write_m = m, r.write_s = more_shifts, r.read_m = more_m, r.read_s = d8, r.D = b16;
    r.states = any() % 2 ? 16 : from_to(1, 40), r.channels = from_to(1, r.states == 16 ? 100 : 24);
    r.zero_u = from_to(-128, 127), r.zero_b = from_to(-128, 127), r.zero_c = from_to(-128, 127);
    r.zero_y = from_to(-128, 127), r.places = from_to(0, wild ? 31 : 8);
    r.direct_m = multiplier(wild), r.direct_s = from_to(wild ? -40 : 2, wild ? 40 : 12);
    int32_t all = r.channels * r.states;
    halves(a16, all);
    for (int32_t i = 0; i < all && !wild; i++) a16[i] = (int16_t)(a16[i] | -32768); /* A is negative */
    for (int32_t i = 0; i < 256; i++) mantissa[i] = (int16_t)from_to(wild ? -32768 : 1 << 14, 32767);
    for (int32_t i = 0; i < 256; i++) table8[i] = (int8_t)(wild ? (int32_t)any() : from_to(10, 18));
    scales(m, more_shifts, r.channels, wild);
    scales(more_m, d8, r.channels, wild);
    int32_t least = any() % 4 ? -1 : -6; /* of -6 come exponents that Helium's vectors do not take */
    for (int32_t i = 0; i < r.channels; i++) shifts[i] = (int8_t)(wild ? (int32_t)any() : from_to(least, 12));
    for (int32_t i = 0; i < r.channels && !wild; i++) more_shifts[i] = (int8_t)from_to(-8, 4);
    halves(b16, r.channels);
    bytes(b8, 2 * r.channels + 2 * r.states);
    halves(made16[0], all);
    memcpy(made16[1], made16[0], sizeof *made16[0] * (size_t)all);
    const int8_t *u = b8 + r.channels, *b = u + r.channels, *c = b + r.states;
    return uvlm_scan_s16_as(UVLM_PLAIN, &r, b8, u, b, c, made16[0], made8[0]) |
           uvlm_scan_s16_as(form, &r, b8, u, b, c, made16[1], made8[1]);
}

static int attend(int form, int wild) {
    uvlm_attend r = {.positions = from_to(1, 256), .channels = from_to(1, 100), .m = multiplier(wild)};
    r.zero_x = from_to(-128, 127), r.zero_y = from_to(-128, 127);
    r.s = from_to(wild ? -40 : 8, wild ? 40 : 16), r.lift = from_to(0, wild ? 30 : 2);
    halves(b16, r.positions);
    for (int32_t l = 0; l < r.positions && !wild; l++) b16[l] = (int16_t)((b16[l] & 0x7FFF) / r.positions);
    bytes(b8, r.positions * r.channels);
    return uvlm_attend_s8_as(UVLM_PLAIN, &r, b16, b8, made8[0]) | uvlm_attend_s8_as(form, &r, b16, b8, made8[1]);
}

static int lstm(int form, int wild) {
    uvlm_lstm r = {.weight = a8, .bias = bias, .m = m, .s = shifts, .weight_h = c8, .bias_h = more_bias, .m_h = more_m};
    r.s_h = more_shifts, r.sigmoid = sigmoid, r.tanh = hyperbolic;
    r.hidden = from_to(1, 40), r.columns = from_to(1, 90);
    r.write_m = multiplier(wild), r.write_s = from_to(wild ? -40 : 12, wild ? 40 : 20);
    r.c_m = multiplier(wild), r.c_s = from_to(wild ? -40 : 0, wild ? 40 : 5);
    if (wild) {
        halves(a16, 2 * 513);
        r.sigmoid = a16, r.tanh = a16 + 513;
    }
    int32_t rows = 4 * r.hidden;
    bytes(a8, rows * r.columns);
    bytes(c8, rows * r.hidden);
    bytes(b8, r.columns + r.hidden);
    words(bias, rows, wild ? 32 : 16);
    words(more_bias, rows, wild ? 32 : 16);
    scales(m, shifts, rows, wild);
    scales(more_m, more_shifts, rows, wild);
    halves(made16[0], r.hidden);
    memcpy(made16[1], made16[0], sizeof *made16[0] * (size_t)r.hidden);
    for (int side = 0; side < 2; side++) memcpy(made8[side], b8 + r.columns, (size_t)r.hidden);
    return uvlm_lstm_s8_as(UVLM_PLAIN, &r, b8, made8[0], made16[0], scratch) |
           uvlm_lstm_s8_as(form, &r, b8, made8[1], made16[1], scratch);
}

#ifdef UVLM_HELIUM
/* The inner loop in intrinsics and in assembly, and both as a plain sum says. */
static int dot4(int form, int wild) {
    int32_t n = from_to(1, 400), pitch = from_to(n, n + 40);
    (void)form, (void)wild;
    bytes(a8, 4 * pitch);
    bytes(b8, n);
    for (int32_t k = 0; k < 4; k++) {
        made32[0][k] = made32[0][4 + k] = 0;
        for (int32_t i = 0; i < n; i++) made32[0][k] += a8[k * pitch + i] * b8[i];
        made32[0][4 + k] = made32[0][k];
    }
    vstrwq_s32(made32[1], uvlm_dot4_mve(a8, pitch, b8, n));
    vstrwq_s32(made32[1] + 4, uvlm_dot4_asm(a8, pitch, b8, n));
    return UVLM_OK;
}
#endif

static const struct {
    const char *name;
    one_case *run;
} kernels[] = {
    {"gemm_s8, logits_s8", gemm}, {"conv_s8", conv}, {"add_s8", add}, {"mul_s8", mul}, {"grn_s8", grn},
    {"mean_s8, most_s8, look_up_s8", look}, {"layer_norm_s8", layer_norm}, {"scan_s16", scan},
    {"attend_s8", attend}, {"lstm_s8", lstm},
#ifdef UVLM_HELIUM
    {"dot4 in assembly", dot4},
#endif
};

int main(int argc, char **argv) {
    static const char *const names[] = {"plain", "AVX2", "AVX-512", "Helium", "SIMD128"};
    int cases = argc > 1 ? atoi(argv[1]) : 200, wrong = 0;
    tables();
    printf("forms:");
    for (int form = 0; form <= UVLM_SIMD128; form++) {
        if (uvlm_has(form)) printf(" %s", names[form]);
    }
    printf("\n");
    for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++) {
        for (int form = 1; form <= UVLM_SIMD128; form++) {
            if (!uvlm_has(form)) continue;
            int other = 0, first = -1, status = 0;
            for (int number = 0; number < cases; number++) {
                clear();
                status |= kernels[k].run(form, number % 2);
                int same = !memcmp(made8[0], made8[1], MADE) && !memcmp(made32[0], made32[1], sizeof made32[0]) &&
                           !memcmp(made16[0], made16[1], sizeof made16[0]);
                if (!same && first < 0) first = number;
                other += !same;
            }
            printf("%s, %s: %d cases, %d differ", kernels[k].name, names[form], cases, other);
            if (first >= 0) printf(", the first is %d", first);
            if (status) printf(", status %d", status);
            printf("\n");
            wrong += other || status;
        }
    }
    return wrong;
}
