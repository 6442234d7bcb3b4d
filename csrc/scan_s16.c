/* One step of the selective SSM in integers: the recurrence h = decay h + write with an int16 state.
 *
 *   delta  softplus(dt), from two tables: mantissa 2^-k
 *   decay  exp(-delta |A|) as a power of 2 in Q15, by a polynomial: uvlm_power_q15
 *   write  g b, with g = delta u requantised to the channel's unit of h
 *   y      sum of h c, plus D u
 *
 * What is done for every state is done in 16 bits, so that a vector takes twice as many states as in 32: the upper half
 * of a product, a product in Q15, a shift by a number's own count, and sums that saturate.
 *
 * Sizes: b less its zero point is below 2^8, and 2^15 when lifted by 7; h c added up over 256 states is 255 * 2^23, below
 * 2^31. */
#include "fixed_x86.h"
#include "kernels_s8.h"
#include "mve.h"
#include "simd128.h"

static int wrong(const uvlm_scan *r, const void *dt, const void *u, const void *b, const void *c, const void *h,
                 const void *y) {
    if (!r || !dt || !u || !b || !c || !h || !y) return UVLM_NULL;
    if (!r->mantissa || !r->shift || !r->A || !r->A_shift || !r->write_m || !r->write_s) return UVLM_NULL;
    if (!r->read_m || !r->read_s || !r->D) return UVLM_NULL;
    if (r->channels < 1 || r->channels > UVLM_MOST || r->states < 1 || r->states > 256) return UVLM_SIZE;
    if (r->zero_u < -128 || r->zero_u > 127 || r->zero_b < -128 || r->zero_b > 127) return UVLM_RANGE;
    if (r->zero_c < -128 || r->zero_c > 127 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (r->places < 0 || r->places > 31) return UVLM_RANGE;
    return UVLM_OK;
}

/* What is the same for all states of a channel. */
typedef struct {
    int32_t mantissa; /* of delta, 1 to 32,767 */
    int32_t places;   /* of delta A, 1 to 15: see uvlm_power_q15 */
    int32_t g;        /* what a b of 256 writes, in int16 */
    int32_t zero_b, zero_c;
} channel;

static channel channel_of(const uvlm_scan *r, int32_t i, int8_t dt, int8_t u) {
    int32_t mantissa = r->mantissa[dt + 128], k = r->shift[dt + 128], places = k + r->A_shift[i];
    int32_t g = uvlm_requantise(mantissa * (u - r->zero_u), r->write_m[i], r->write_s[i] + k);
    if (places < 1) places = 1;
    if (places > 15) { /* more would be lost in Q15 */
        mantissa = uvlm_shift_half_up(mantissa, places - 15);
        places = 15;
    }
    channel made = {mantissa < 1 ? 1 : mantissa, places, uvlm_to_s16(g), r->zero_b, r->zero_c};
    return made;
}

static int8_t output(const uvlm_scan *r, int32_t i, int32_t read, int32_t u) {
    int64_t sum = (int64_t)uvlm_requantise(read, r->read_m[i], r->read_s[i]) +
                  uvlm_requantise(r->D[i] * u, r->direct_m, r->direct_s);
    return uvlm_narrow(uvlm_to_s32(uvlm_shift_half_up_64(sum, r->places)), r->zero_y);
}

/* The states of one channel: changes h, gives the sum of h c. */
typedef int32_t states(const channel *r, int32_t count, const int16_t *A, const int8_t *b, const int8_t *c, int16_t *h);

static int32_t states_plain(const channel *r, int32_t count, const int16_t *A, const int8_t *b, const int8_t *c,
                            int16_t *h) {
    int32_t read = 0;
    for (int32_t n = 0; n < count; n++) {
        int32_t decay = uvlm_power_q15(uvlm_rounded(r->mantissa, A[n]), r->places);
        int32_t write = uvlm_rounded(r->g, (b[n] - r->zero_b) * 128);
        h[n] = uvlm_to_s16(uvlm_rounded(decay, h[n]) + write);
        read += h[n] * (c[n] - r->zero_c);
    }
    return read;
}

/* The channels from `i` to `end`, one after the other. */
static void channels_of(states *of, const uvlm_scan *r, int32_t i, int32_t end, const int8_t *dt, const int8_t *u,
                        const int8_t *b, const int8_t *c, int16_t *h, int8_t *y) {
    for (; i < end; i++) {
        size_t at = (size_t)i * (size_t)r->states;
        channel one = channel_of(r, i, dt[i], u[i]);
        int32_t read = of(&one, r->states, r->A + at, b, c, h + at);
        y[i] = output(r, i, read, u[i] - r->zero_u);
    }
}

#ifdef UVLM_X86
/* The instructions of both forms: VPMULHRSW is uvlm_rounded, and the mean of x and 0, rounded up, is a shift by 1, half
 * up. So a shift of P by `less` is one of 2 P, which 16 bits hold, and then the mean. */
UVLM_IN_AVX2 __m256i twice_power_avx2(__m256i g) {
    __m256i power = _mm256_mulhrs_epi16(_mm256_set1_epi16(UVLM_EXP2_4), g);
    power = _mm256_mulhrs_epi16(_mm256_add_epi16(power, _mm256_set1_epi16(UVLM_EXP2_3)), g);
    power = _mm256_mulhrs_epi16(_mm256_add_epi16(power, _mm256_set1_epi16(UVLM_EXP2_2)), g);
    power = _mm256_mulhrs_epi16(_mm256_add_epi16(power, _mm256_set1_epi16(UVLM_EXP2_1)), g);
    power = _mm256_adds_epi16(power, _mm256_set1_epi16(UVLM_EXP2_0));
    return _mm256_add_epi16(power, power);
}

/* Where `less` is below 0, 32,767. */
UVLM_IN_AVX2 __m256i decay_avx2(__m256i shifted, __m256i less) {
    __m256i none = _mm256_setzero_si256(), one = _mm256_srli_epi16(_mm256_cmpgt_epi16(none, less), 1);
    return _mm256_or_si256(_mm256_avg_epu16(shifted, none), one);
}

/* The same 16 states at a time; what is left over goes the plain way. AVX2 shifts by a number's own count in 32 bits
 * alone. */
UVLM_FOR_AVX2 static int32_t states_avx2(const channel *r, int32_t count, const int16_t *A, const int8_t *b,
                                         const int8_t *c, int16_t *h) {
    const __m256i none = _mm256_setzero_si256(), m = _mm256_set1_epi16((int16_t)r->mantissa);
    const __m256i g = _mm256_set1_epi16((int16_t)r->g), zero_c = _mm256_set1_epi16((int16_t)r->zero_c);
    const __m256i zero_b = _mm256_set1_epi16((int16_t)r->zero_b), half = _mm256_set1_epi16((int16_t)(1 << (r->places - 1)));
    const __m256i back = _mm256_set1_epi16((int16_t)(1 << (15 - r->places)));
    const __m128i left = _mm_cvtsi32_si128(16 - r->places);
    __m256i read = none;
    int32_t n = 0;
    for (; n + 16 <= count; n += 16) {
        __m256i t = _mm256_mulhrs_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(A + n)), m);
        t = _mm256_adds_epi16(t, half);
        __m256i power = twice_power_avx2(_mm256_sll_epi16(t, left));
        __m256i less = _mm256_sub_epi16(none, _mm256_mulhrs_epi16(t, back));
        __m256i low = _mm256_srlv_epi32(_mm256_unpacklo_epi16(power, none), _mm256_unpacklo_epi16(less, none));
        __m256i high = _mm256_srlv_epi32(_mm256_unpackhi_epi16(power, none), _mm256_unpackhi_epi16(less, none));
        __m256i decay = decay_avx2(_mm256_packus_epi32(low, high), less);
        __m256i old = _mm256_mulhrs_epi16(decay, _mm256_loadu_si256((const __m256i *)(const void *)(h + n)));
        __m256i at = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(b + n)));
        at = _mm256_slli_epi16(_mm256_sub_epi16(at, zero_b), 7);
        __m256i next = _mm256_adds_epi16(old, _mm256_mulhrs_epi16(at, g));
        _mm256_storeu_si256((__m256i *)(void *)(h + n), next);
        __m256i by = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(c + n)));
        read = _mm256_add_epi32(read, _mm256_madd_epi16(next, _mm256_sub_epi16(by, zero_c)));
    }
    int32_t sum = uvlm_total_avx2(read);
    return n < count ? sum + states_plain(r, count - n, A + n, b + n, c + n, h + n) : sum;
}

/* The same 16 states of two channels at a time, and what is a channel's own for 16 channels at a time. */
typedef struct { /* less their zero points, b lifted by 7; 0 behind the last state */
    int16_t b[256], c[256];
} shared;

/* What is the same for all states of a channel, for 16 channels, in the lower halves but for `in`. */
typedef struct {
    __m512i mantissa, left, back, half, g; /* of the places: 16 less them, 2^(15 - p), 2^(p - 1) */
    __m512i in; /* u less its zero point, in 32 bits */
} sixteen;

enum { BLOCK = 64 };

/* False if a shift is out of what the vectors do. */
UVLM_FOR_AVX512 static int sixteen_of(const uvlm_scan *r, int32_t i, const int32_t *mantissas, const int32_t *shifts,
                                      const int8_t *u, sixteen *made) {
    const __m512i none = _mm512_setzero_si512(), one = _mm512_set1_epi32(1);
    __m512i most = _mm512_set1_epi32(15);
    __m512i m = _mm512_loadu_si512(mantissas), k = _mm512_loadu_si512(shifts);
    __m512i in = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(u + i)));
    in = _mm512_sub_epi32(in, _mm512_set1_epi32(r->zero_u));
    __m512i s = _mm512_add_epi32(k, _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(r->write_s + i))));
    __m512i last = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(r->read_s + i)));
    if (_mm512_cmplt_epi32_mask(_mm512_min_epi32(s, last), none)) return 0; /* a shift to the left */
    __m512i places = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(r->A_shift + i)));
    places = _mm512_max_epi32(_mm512_add_epi32(k, places), one);
    __m512i g = uvlm_requantise_each_avx512(_mm512_mullo_epi32(m, in), _mm512_loadu_si512(r->write_m + i), s);
    __m512i spare = _mm512_max_epi32(_mm512_sub_epi32(places, most), none), half = _mm512_srli_epi32(_mm512_sllv_epi32(one, spare), 1);
    m = _mm512_max_epi32(_mm512_srav_epi32(_mm512_add_epi32(m, half), spare), one);
    places = _mm512_min_epi32(places, most);
    half = _mm512_sllv_epi32(one, _mm512_sub_epi32(places, one));
    most = _mm512_sub_epi32(most, places);
    made->mantissa = _mm512_castsi256_si512(_mm512_cvtepi32_epi16(m));
    made->left = _mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_add_epi32(most, one)));
    made->back = _mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_sllv_epi32(one, most)));
    made->half = _mm512_castsi256_si512(_mm512_cvtepi32_epi16(half));
    made->g = _mm512_castsi256_si512(_mm512_cvtsepi32_epi16(g)); /* saturates */
    made->in = in;
    return 1;
}

/* As twice_power_avx2. */
UVLM_IN_AVX512 __m512i twice_power_avx512(__m512i g) {
    __m512i power = _mm512_mulhrs_epi16(_mm512_set1_epi16(UVLM_EXP2_4), g);
    power = _mm512_mulhrs_epi16(_mm512_add_epi16(power, _mm512_set1_epi16(UVLM_EXP2_3)), g);
    power = _mm512_mulhrs_epi16(_mm512_add_epi16(power, _mm512_set1_epi16(UVLM_EXP2_2)), g);
    power = _mm512_mulhrs_epi16(_mm512_add_epi16(power, _mm512_set1_epi16(UVLM_EXP2_1)), g);
    power = _mm512_adds_epi16(power, _mm512_set1_epi16(UVLM_EXP2_0));
    return _mm512_add_epi16(power, power);
}

/* 16 numbers of a channel, and of the next one behind them. */
UVLM_IN_AVX512 __m512i both_avx512(__mmask16 some, const int16_t *x, int32_t apart) {
    __m256i low = _mm256_maskz_loadu_epi16(some, x), high = _mm256_maskz_loadu_epi16(some, x + apart);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/* Some states of two of the channels, `which`: changes h, gives h c, eight parts of each. They are `apart`. */
UVLM_IN_AVX512 __m512i states_avx512(const sixteen *of, __m512i which, __mmask16 some, int32_t apart, const int16_t *A,
                                     const int16_t *b, const int16_t *c, int16_t *h) {
    const __m512i none = _mm512_setzero_si512();
    __m512i t = _mm512_mulhrs_epi16(both_avx512(some, A, apart), _mm512_permutexvar_epi16(which, of->mantissa));
    t = _mm512_adds_epi16(t, _mm512_permutexvar_epi16(which, of->half));
    __m512i power = twice_power_avx512(_mm512_sllv_epi16(t, _mm512_permutexvar_epi16(which, of->left)));
    __m512i less = _mm512_sub_epi16(none, _mm512_mulhrs_epi16(t, _mm512_permutexvar_epi16(which, of->back)));
    __m512i decay = _mm512_avg_epu16(_mm512_srlv_epi16(power, less), none);
    decay = _mm512_mask_mov_epi16(decay, _mm512_movepi16_mask(less), _mm512_set1_epi16(INT16_MAX)); /* as decay_avx2 */
    __m512i old = _mm512_mulhrs_epi16(decay, both_avx512(some, h, apart));
    __m512i all = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)b));
    __m512i next = _mm512_adds_epi16(old, _mm512_mulhrs_epi16(all, _mm512_permutexvar_epi16(which, of->g)));
    _mm256_mask_storeu_epi16(h, some, _mm512_castsi512_si256(next));
    _mm256_mask_storeu_epi16(h + apart, some, _mm512_extracti64x4_epi64(next, 1));
    return _mm512_madd_epi16(next, _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)c)));
}

/* Eight parts of 16 sums to the sums: by adding up while it turns them, as a tree. */
UVLM_IN_AVX512 __m512i totals_avx512(const __m256i *parts) {
    __m128i fours[4];
    for (int32_t k = 0; k < 4; k++, parts += 4) {
        __m256i two = _mm256_hadd_epi32(_mm256_hadd_epi32(parts[0], parts[1]), _mm256_hadd_epi32(parts[2], parts[3]));
        fours[k] = _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
    }
    __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(fours[0]), fours[1], 1);
    __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(fours[2]), fours[3], 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/* `output` of 16 channels. */
UVLM_IN_AVX512 __m128i outputs_avx512(const uvlm_scan *r, int32_t i, __m512i read, __m512i in) {
    __m512i s = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(r->read_s + i)));
    __m512i D = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(r->D + i)));
    read = uvlm_requantise_each_avx512(read, _mm512_loadu_si512(r->read_m + i), s);
    __m512i direct = uvlm_requantise_avx512(_mm512_mullo_epi32(D, in), r->direct_m, r->direct_s);
    __m256i halves[2];
    for (int32_t k = 0; k < 2; k++) { /* the sum has 33 bits */
        __m256i a = k ? _mm512_extracti64x4_epi64(read, 1) : _mm512_castsi512_si256(read);
        __m256i b = k ? _mm512_extracti64x4_epi64(direct, 1) : _mm512_castsi512_si256(direct);
        __m512i sum = _mm512_add_epi64(_mm512_cvtepi32_epi64(a), _mm512_cvtepi32_epi64(b));
        sum = _mm512_add_epi64(sum, _mm512_set1_epi64((1ll << r->places) >> 1));
        halves[k] = _mm512_cvtsepi64_epi32(_mm512_sra_epi64(sum, _mm_cvtsi32_si128(r->places)));
    }
    __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(halves[0]), halves[1], 1);
    return uvlm_narrow_avx512(both, r->zero_y);
}

UVLM_FOR_AVX512 static void channels_avx512(const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b,
                                            const int8_t *c, int16_t *h, int8_t *y) {
    const __m512i second = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(1), 1);
    shared of_all = {{0}, {0}};
    for (int32_t n = 0; n < r->states; n++) {
        of_all.b[n] = (int16_t)((b[n] - r->zero_b) * 128);
        of_all.c[n] = (int16_t)(c[n] - r->zero_c);
    }
    int32_t i = 0, count, mantissas[BLOCK], shifts[BLOCK];
    for (; i + 16 <= r->channels; i += count) { /* three loops, in each of which sixteens do not wait for each other */
        sixteen of[BLOCK / 16];
        __m256i parts[BLOCK];
        int known = 1;
        count = r->channels - i < BLOCK ? (r->channels - i) & ~15 : BLOCK;
        for (int32_t k = 0; k < count; k++) {
            mantissas[k] = r->mantissa[dt[i + k] + 128];
            shifts[k] = r->shift[dt[i + k] + 128];
        }
        for (int32_t k = 0; k < count; k += 16) {
            known &= sixteen_of(r, i + k, mantissas + k, shifts + k, u, of + k / 16);
        }
        if (!known) {
            channels_of(states_plain, r, i, i + count, dt, u, b, c, h, y);
            continue;
        }
        for (int32_t k = 0; k < count; k += 2) {
            size_t at = (size_t)(i + k) * (size_t)r->states;
            __m512i which = _mm512_add_epi16(second, _mm512_set1_epi16((int16_t)(k % 16)));
            __m512i two = _mm512_setzero_si512();
            for (int32_t n = 0; n < r->states; n += 16) {
                int32_t left = r->states - n;
                __mmask16 some = left >= 16 ? 0xFFFF : (__mmask16)((1 << left) - 1);
                size_t from = at + (size_t)n;
                uvlm_ask(r->A + at, 4 * n + 2048); /* 4 bytes a state of both */
                two = _mm512_add_epi32(two, states_avx512(of + k / 16, which, some, r->states, r->A + from,
                                                          of_all.b + n, of_all.c + n, h + from));
            }
            parts[k] = _mm512_castsi512_si256(two);
            parts[k + 1] = _mm512_extracti64x4_epi64(two, 1);
        }
        for (int32_t k = 0; k < count; k += 16) {
            __m128i made = outputs_avx512(r, i + k, totals_avx512(parts + k), of[k / 16].in);
            _mm_storeu_si128((__m128i *)(void *)(y + i + k), made);
        }
    }
    channels_of(states_plain, r, i, r->channels, dt, u, b, c, h, y);
}
#endif

#ifdef UVLM_HELIUM
/* Channels of 16 states, eight states at a time, and what is a channel's own for eight channels at a time.
 *
 * VQRDMULH of 16 bits is uvlm_rounded; VQRDMLAH adds it to a vector, with one factor for all lanes, and saturates the
 * sum alone; VQRDMLASH adds a number to it, a step of the polynomial in one instruction. VRSHL and VQRSHL with a negative
 * count shift right, half up, and VQRSHL with a positive one to the left, and saturates. Of a count they read the lowest
 * byte, which holds it from 9 places on. */
enum { TOGETHER = 64 }; /* channels, in eights, that each of the three loops below does before the next */
#define APART __attribute__((noinline)) /* their loops need nearly all registers */

/* What the states' loop needs of a channel, in the order of its registers, the lower half of each. `half` is
 * 2^(places - 1), `left` 2^(16 - places), `minus` the places below 0. */
typedef struct {
    int32_t mantissa_and_g; /* g in the upper half; afterwards the sum of h c */
    int32_t half, left, minus;
} prepared;

/* First loop: `channel_of` for channels i to i + count. False if a shift is out of what the vectors do: to the left, or
 * by few places, where exponents are large. All three loops are in assembly, for the compiler neither keeps their many
 * pointers in registers nor narrows a vector without a copy of it. Even and odd channels part where 32 bits are needed;
 * VRSHL reads the lowest byte of 32 bits, which is that of the even one.
 *
 *   q0, q3, q4  for a while       q5  ones
 *   q1  shift, then even          q6  15
 *   q2  mantissa, then odd        q7  where the eight channels lie, in bytes */
APART static int prepare_mve(const uvlm_scan *r, int32_t i, int32_t count, const int8_t *dt, const int8_t *u, prepared *made) {
    const int8_t *A_shift = r->A_shift + i, *write_s = r->write_s + i;
    const int32_t *write_m = r->write_m + i;
    const int16x8_t one = vdupq_n_s16(1), most = vdupq_n_s16(15);
    const uint16x8_t every = vmulq_n_u16(vidupq_n_u16(0, 1), sizeof *made);
    uint32_t few = (uint32_t)count >> 3, large = 0; /* the largest, as unsigned: what is below 0 is large */
    dt += i, u += i;
    __asm volatile(
        "dls lr, %[few]\n"
        "mov %[few], #0\n"
        "1:\n"
        "vldrb.s16 q0, [%[dt]], #8\n"
        "vadd.i16 q0, q0, %[middle]\n"
        "vldrb.s16 q1, [%[shifts], q0]\n"
        "vldrh.u16 q2, [%[mantissas], q0, uxtw #1]\n"
        "vldrb.s16 q3, [%[A_shift]], #8\n"
        "vadd.i16 q3, q3, q1\n" /* places */
        "vqsub.u16 q0, q3, %q[most]\n"
        "vmaxv.u16 %[large], q0\n"
        "vneg.s16 q0, q0\n"
        "vrshl.s16 q0, q2, q0\n"
        "vmax.s16 q0, q0, %q[one]\n"
        "vstrh.16 q0, [%[made], %q[every]]\n" /* mantissa */
        "vqsub.u16 q0, %q[most], q3\n" /* 15 - places, or 0 */
        "vmaxv.u16 %[few], q0\n"
        "vsub.i16 q3, q0, %q[most]\n"
        "add %[made], #12\n"
        "vstrh.16 q3, [%[made], %q[every]]\n" /* minus */
        "vmvn q3, q3\n" /* places - 1 */
        "vshl.s16 q3, %q[one], q3\n"
        "sub %[made], #8\n"
        "vstrh.16 q3, [%[made], %q[every]]\n" /* half */
        "vadd.i16 q0, q0, %q[one]\n"
        "vshl.s16 q0, %q[one], q0\n"
        "add %[made], #4\n"
        "vstrh.16 q0, [%[made], %q[every]]\n" /* left */
        "vldrb.s16 q0, [%[write_s]], #8\n"
        "vadd.i16 q0, q0, q1\n"
        "vmaxv.u16 %[large], q0\n"
        "vneg.s16 q0, q0\n"
        "vldrb.s16 q3, [%[u]], #8\n"
        "vsub.i16 q3, q3, %[zero_u]\n"
        "vmullb.s16 q1, q2, q3\n"
        "vmullt.s16 q2, q2, q3\n"
        "vld20.32 {q3, q4}, [%[write_m]]\n"
        "vld21.32 {q3, q4}, [%[write_m]]!\n"
        "vqrdmulh.s32 q1, q1, q3\n"
        "vqrdmulh.s32 q2, q2, q4\n"
        "vrshl.s32 q1, q1, q0\n"
        "vrev32.16 q3, q0\n"
        "vrshl.s32 q2, q2, q3\n"
        "vqmovnb.s32 q1, q1\n"
        "vqmovnt.s32 q1, q2\n"
        "sub %[made], #6\n"
        "vstrh.16 q1, [%[made], %q[every]]\n" /* g */
        "add %[made], #126\n"
        "le lr, 1b\n"
        : [few] "+r"(few), [large] "+r"(large), [dt] "+l"(dt), [u] "+l"(u), [A_shift] "+l"(A_shift),
          [write_s] "+l"(write_s), [write_m] "+r"(write_m), [made] "+r"(made)
        : [shifts] "r"(r->shift), [mantissas] "r"(r->mantissa), [middle] "r"(128), [zero_u] "r"(r->zero_u),
          [one] "t"(one), [most] "t"(most), [every] "t"(every)
        : "lr", "q0", "q1", "q2", "q3", "q4", "memory");
    return few <= 6 && large <= 127;
}

/* Second loop: the states. Changes h; b is lifted by 7. b and c of all 16 states stay in registers.
 *
 *   q0  t, then whole           q3      the mantissa
 *   q1  g, then h               q4, q5  b and c of the first eight states
 *   q2  the power, then h       q6, q7  of the last
 *   r2  mantissa and g, then the sum      r3  half      r4  left      r5  minus
 */
#define EIGHT_STATES(b, c, add)           \
    "vldrh.u16 q0, [%[A]], #16\n"         \
    "vqrdmlash.s16 q0, q3, r3\n"          \
    "vmul.i16 q1, q0, r4\n"               \
    "vmov.i16 q2, %[e4]\n"                \
    "vqrdmlash.s16 q2, q1, %[e3]\n"       \
    "vrshl.s16 q0, r5\n"                  \
    "vqrdmlash.s16 q2, q1, %[e2]\n"       \
    "vqrdmlash.s16 q2, q1, %[e1]\n"       \
    "vqrdmlash.s16 q2, q1, %[e0]\n"       \
    "vldrh.u16 q1, [%[h]]\n"              \
    "vqrshl.s16 q2, q2, q0\n"             \
    "vqrdmulh.s16 q2, q2, q1\n"           \
    "vqrdmlah.s16 q2, %q[" b "], %[g]\n"  \
    "vstrh.16 q2, [%[h]], #16\n"          \
    add " r2, q2, %q[" c "]\n"

APART static void states_mve(prepared *of, int32_t count, const int16_t *A, const int16_t *b, const int16_t *c, int16_t *h) {
    int16x8_t b0 = vldrhq_s16(b), b1 = vldrhq_s16(b + 8), c0 = vldrhq_s16(c), c1 = vldrhq_s16(c + 8);
    int32_t g;
    __asm volatile(
        "dls lr, %[n]\n"
        "1:\n"
        "ldm %[of]!, {r2, r3, r4, r5}\n"
        "vdup.16 q3, r2\n"
        "lsr %[g], r2, #16\n"
        EIGHT_STATES("b0", "c0", "vmladav.s16")
        EIGHT_STATES("b1", "c1", "vmladava.s16")
        "str r2, [%[of], #-16]\n"
        "le lr, 1b\n"
        : [of] "+r"(of), [A] "+r"(A), [h] "+r"(h), [g] "=&r"(g)
        : [n] "r"(count), [b0] "t"(b0), [c0] "t"(c0), [b1] "t"(b1), [c1] "t"(c1),
          [e0] "r"(UVLM_EXP2_0), [e1] "r"(UVLM_EXP2_1), [e2] "r"(UVLM_EXP2_2), [e3] "r"(UVLM_EXP2_3),
          [e4] "n"(UVLM_EXP2_4)
        : "lr", "r2", "r3", "r4", "r5", "q0", "q1", "q2", "q3", "memory");
}

/* Third loop: `output`. The sum has 33 bits: VHADD halves it on the way, which changes no rounding at 2^2 and above, where
 * a half is still to be added. */
APART static void outputs_mve(const uvlm_scan *r, int32_t i, int32_t count, const prepared *of, const int8_t *u, int8_t *y) {
    const int32_t *read_m = r->read_m + i;
    const int16_t *D = r->D + i;
    const int8_t *read_s = r->read_s + i;
    const uint32x4_t other = vmulq_n_u32(vidupq_n_u32(0, 2), sizeof *of);
    u += i, y += i;
    __asm volatile(
        "dls lr, %[n]\n"
        "1:\n"
        "vldrb.s16 q0, [%[read_s]], #8\n"
        "vneg.s16 q0, q0\n"
        "vldrw.u32 q1, [%[of], %q[other]]\n"
        "add %[of], #16\n"
        "vldrw.u32 q2, [%[of], %q[other]]\n"
        "add %[of], #112\n"
        "vld20.32 {q3, q4}, [%[read_m]]\n"
        "vld21.32 {q3, q4}, [%[read_m]]!\n"
        "vqrdmulh.s32 q1, q1, q3\n"
        "vqrdmulh.s32 q2, q2, q4\n"
        "vrshl.s32 q1, q1, q0\n"
        "vrev32.16 q3, q0\n"
        "vrshl.s32 q2, q2, q3\n"
        "vldrb.s16 q0, [%[u]], #8\n"
        "vsub.i16 q0, q0, %[zero_u]\n"
        "vldrh.u16 q3, [%[D]], #16\n"
        "vmullb.s16 q4, q3, q0\n"
        "vmullt.s16 q3, q3, q0\n"
        "vqrdmulh.s32 q4, q4, %[m]\n"
        "vqrdmulh.s32 q3, q3, %[m]\n"
        "vrshl.s32 q4, %[right]\n"
        "vrshl.s32 q3, %[right]\n"
        "vhadd.s32 q1, q1, q4\n"
        "vhadd.s32 q2, q2, q3\n"
        "vrshl.s32 q1, %[rest]\n"
        "vrshl.s32 q2, %[rest]\n"
        "vqmovnb.s32 q1, q1\n"
        "vqmovnt.s32 q1, q2\n"
        "vqadd.s16 q1, q1, %[zero_y]\n"
        "vqmovnb.s16 q1, q1\n"
        "vstrb.16 q1, [%[y]], #8\n"
        "le lr, 1b\n"
        : [of] "+r"(of), [read_m] "+r"(read_m), [read_s] "+l"(read_s), [D] "+r"(D), [u] "+l"(u), [y] "+l"(y)
        : [n] "r"(count >> 3), [m] "r"(r->direct_m), [right] "r"(-(r->direct_s > 32 ? 32 : r->direct_s)),
          [rest] "r"(1 - r->places), [zero_u] "r"(r->zero_u), [zero_y] "r"(r->zero_y), [other] "t"(other)
        : "lr", "q0", "q1", "q2", "q3", "q4", "memory");
}

/* False if a shift that no table of the model's makes wants the plain way: to the left, or none. */
static int shifts_mve(const uvlm_scan *r) {
    const int8_t *read_s = r->read_s;
    int8_t least = 0;
    for (int32_t left = r->channels; left > 0; left -= 16, read_s += 16) {
        mve_pred16_t p = vctp8q((uint32_t)left);
        least = vminvq_p_s8(least, vldrbq_z_s8(read_s, p), p);
    }
    return least >= 0 && r->direct_s >= 0 && r->places > 1;
}

/* All channels; the last ones that are not eights go the plain way, and so do all that have another number of states. */
static void channels_mve(const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c,
                         int16_t *h, int8_t *y) {
    int16_t of_all_b[16], of_all_c[16]; /* less their zero points, b lifted by 7 */
    prepared of[TOGETHER];
    int32_t whole = r->states == 16 && shifts_mve(r) ? r->channels & ~7 : 0;
    for (int32_t n = 0; n < 16 && whole; n += 8) {
        vstrhq_s16(of_all_b + n, vshlq_n_s16(vsubq_n_s16(vldrbq_s16(b + n), (int16_t)r->zero_b), 7));
        vstrhq_s16(of_all_c + n, vsubq_n_s16(vldrbq_s16(c + n), (int16_t)r->zero_c));
    }
    for (int32_t i = 0; i < whole; i += TOGETHER) {
        int32_t count = whole - i < TOGETHER ? whole - i : TOGETHER;
        size_t at = (size_t)i * 16;
        if (!prepare_mve(r, i, count, dt, u, of)) {
            channels_of(states_plain, r, i, i + count, dt, u, b, c, h, y);
            continue;
        }
        states_mve(of, count, r->A + at, of_all_b, of_all_c, h + at);
        outputs_mve(r, i, count, of, u, y);
    }
    channels_of(states_plain, r, whole, r->channels, dt, u, b, c, h, y);
}
#endif

#ifdef UVLM_WASM
/* P * 2^-less, cut off, for eight numbers of 16 bits and `less` up to 255. No instruction shifts each number by its own
 * count: so 2^(15 - less) is put together from two tables of bytes and multiplied by. A byte of which the number is not
 * in the table, 16 or more, is 0; a `less` below 0 gives something. */
static v128_t shifted_simd128(v128_t power, v128_t less) {
    const v128_t lower = wasm_i8x16_const(0, 0, 0, 0, 0, 0, 0, 0, -128, 64, 32, 16, 8, 4, 2, 1);
    const v128_t upper = wasm_i8x16_const(-128, 64, 32, 16, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    v128_t at = wasm_v128_or(less, wasm_i16x8_shl(less, 8)); /* the number of both bytes */
    v128_t by = wasm_v128_and(wasm_i8x16_swizzle(lower, at), wasm_i16x8_const_splat(255));
    by = wasm_v128_or(by, wasm_v128_and(wasm_i8x16_swizzle(upper, at), wasm_i16x8_const_splat(-256)));
    v128_t low = wasm_u32x4_shr(wasm_u32x4_extmul_low_u16x8(power, by), 15);
    v128_t high = wasm_u32x4_shr(wasm_u32x4_extmul_high_u16x8(power, by), 15);
    return wasm_i16x8_shuffle(low, high, 0, 2, 4, 6, 8, 10, 12, 14);
}

/* Eight states at a time; b and c less their zero points, b lifted by 7. */
static int32_t states_simd128(const channel *r, int32_t count, const int16_t *A, const int16_t *b, const int16_t *c,
                              int16_t *h) {
    const v128_t m = wasm_i16x8_splat((int16_t)r->mantissa), g = wasm_i16x8_splat((int16_t)r->g);
    const v128_t half = wasm_i16x8_splat((int16_t)(1 << (r->places - 1)));
    const v128_t back = wasm_i16x8_splat((int16_t)(1 << (15 - r->places))), none = wasm_i16x8_const_splat(0);
    v128_t read = none;
    for (int32_t n = 0; n < count; n += 8) {
        v128_t t = wasm_i16x8_add_sat(wasm_i16x8_q15mulr_sat(wasm_v128_load(A + n), m), half);
        v128_t by = wasm_i16x8_shl(t, 16 - (uint32_t)r->places);
        v128_t power = wasm_i16x8_q15mulr_sat(wasm_i16x8_const_splat(UVLM_EXP2_4), by);
        power = wasm_i16x8_q15mulr_sat(wasm_i16x8_add(power, wasm_i16x8_const_splat(UVLM_EXP2_3)), by);
        power = wasm_i16x8_q15mulr_sat(wasm_i16x8_add(power, wasm_i16x8_const_splat(UVLM_EXP2_2)), by);
        power = wasm_i16x8_q15mulr_sat(wasm_i16x8_add(power, wasm_i16x8_const_splat(UVLM_EXP2_1)), by);
        power = wasm_i16x8_add_sat(power, wasm_i16x8_const_splat(UVLM_EXP2_0));
        v128_t less = wasm_i16x8_sub(none, wasm_i16x8_q15mulr_sat(t, back));
        /* 2 P, which 16 bits hold, and then the mean with 0: halves go up */
        v128_t shifted = shifted_simd128(wasm_i16x8_add(power, power), wasm_i16x8_min(less, wasm_i16x8_const_splat(255)));
        v128_t one = wasm_u16x8_shr(wasm_i16x8_gt(none, less), 1); /* 32,767 where `less` is below 0 */
        v128_t decay = wasm_v128_or(wasm_u16x8_avgr(shifted, none), one);
        v128_t old = wasm_i16x8_q15mulr_sat(decay, wasm_v128_load(h + n));
        v128_t next = wasm_i16x8_add_sat(old, wasm_i16x8_q15mulr_sat(wasm_v128_load(b + n), g));
        wasm_v128_store(h + n, next);
        read = wasm_i32x4_add(read, wasm_i32x4_dot_i16x8(next, wasm_v128_load(c + n)));
    }
    read = wasm_i32x4_add(read, wasm_i32x4_shuffle(read, read, 2, 3, 0, 1));
    return uvlm_sum(wasm_i32x4_extract_lane(read, 0), wasm_i32x4_extract_lane(read, 1));
}

/* All channels; the last states of each, if their number is not one of eights, go the plain way. */
static void channels_simd128(const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c,
                             int16_t *h, int8_t *y) {
    int16_t of_all_b[256], of_all_c[256];
    int32_t states = r->states, eights = states & ~7;
    for (int32_t n = 0; n < eights; n++) {
        of_all_b[n] = (int16_t)((b[n] - r->zero_b) * 128);
        of_all_c[n] = (int16_t)(c[n] - r->zero_c);
    }
    const int16_t *A = r->A;
    for (int32_t i = 0; i < r->channels; i++, A += states, h += states) {
        channel one = channel_of(r, i, dt[i], u[i]);
        int32_t read = states_simd128(&one, eights, A, of_all_b, of_all_c, h);
        read = uvlm_sum(read, states_plain(&one, states - eights, A + eights, b + eights, c + eights, h + eights));
        y[i] = output(r, i, read, u[i] - r->zero_u);
    }
}
#endif

int uvlm_scan_s16_as(int form, const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c,
                     int16_t *h, int8_t *y) {
    int status = wrong(r, dt, u, b, c, h, y);
    if (status) return status;
    switch (uvlm_has(form) ? form : -1) {
    case UVLM_PLAIN:
        channels_of(states_plain, r, 0, r->channels, dt, u, b, c, h, y);
        return UVLM_OK;
#ifdef UVLM_X86
    case UVLM_AVX2:
        channels_of(states_avx2, r, 0, r->channels, dt, u, b, c, h, y);
        return UVLM_OK;
    case UVLM_AVX512:
        channels_avx512(r, dt, u, b, c, h, y);
        return UVLM_OK;
#endif
#ifdef UVLM_WASM
    case UVLM_SIMD128:
        channels_simd128(r, dt, u, b, c, h, y);
        return UVLM_OK;
#endif
#ifdef UVLM_HELIUM
    case UVLM_MVE:
        channels_mve(r, dt, u, b, c, h, y);
        return UVLM_OK;
#endif
    default:
        return UVLM_FORM;
    }
}

int uvlm_scan_s16(const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c, int16_t *h,
                  int8_t *y) {
    return uvlm_scan_s16_as(uvlm_form(), r, dt, u, b, c, h, y);
}
