/* One step of the selective SSM in integers: the recurrence h = decay h + write with an int16 state.
 *
 *   delta  softplus(dt), from two tables: mantissa 2^-k
 *   decay  exp(-delta |A|) as a power of 2 in Q15, from a table of 257 and a straight line
 *   write  delta u b, requantised to the channel's unit of h
 *   y      sum of h c, plus D u
 *
 * Sizes: delta |A| has 30 bits, delta u b has 30 bits, and h c added up over 256 states is 255 * 2^23, below 2^31. */
#include "fixed_x86.h"
#include "kernels_s8.h"
#include "mve.h"
#include "simd128.h"

static int wrong(const uvlm_scan *r, const void *dt, const void *u, const void *b, const void *c, const void *h,
                 const void *y) {
    if (!r || !dt || !u || !b || !c || !h || !y) return UVLM_NULL;
    if (!r->mantissa || !r->shift || !r->A || !r->A_shift || !r->powers || !r->write_m || !r->write_s) return UVLM_NULL;
    if (!r->read_m || !r->read_s || !r->D) return UVLM_NULL;
    if (r->channels < 1 || r->channels > UVLM_MOST || r->states < 1 || r->states > 256) return UVLM_SIZE;
    if (r->zero_u < -128 || r->zero_u > 127 || r->zero_b < -128 || r->zero_b > 127) return UVLM_RANGE;
    if (r->zero_c < -128 || r->zero_c > 127 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (r->places < 0 || r->places > 31) return UVLM_RANGE;
    return UVLM_OK;
}

/* What is the same for all states of a channel. */
typedef struct {
    int32_t mantissa; /* of delta */
    int32_t t_shift;  /* of delta |A| */
    int32_t given;    /* delta u */
    int32_t m, s;     /* of what is written */
    int32_t zero_b, zero_c;
    const int32_t *powers;
} channel;

static channel channel_of(const uvlm_scan *r, int32_t i, int8_t dt, int8_t u) {
    int32_t mantissa = r->mantissa[dt + 128], k = r->shift[dt + 128];
    channel made = {mantissa,      k + r->A_shift[i], uvlm_shift_half_up(mantissa * (u - r->zero_u), 1),
                    r->write_m[i], r->write_s[i] + k, r->zero_b,
                    r->zero_c,     r->powers};
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
        int32_t t = uvlm_shift_half_up(r->mantissa * A[n], r->t_shift);
        int32_t decay = uvlm_shift_half_up(uvlm_power(t, r->powers), 15);
        if (decay < 0) decay = 0; /* only with a table that is none, and then forms differ */
        if (decay > 32767) decay = 32767;
        int32_t write = uvlm_requantise(r->given * (b[n] - r->zero_b), r->m, r->s);
        if (write < -65536) write = -65536; /* further than any int16 from any other: the sum cannot overflow */
        if (write > 65536) write = 65536;
        h[n] = uvlm_to_s16(uvlm_shift_half_up(decay * h[n], 15) + write);
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
/* The same 8 states at a time; what is left over goes the plain way. */
UVLM_FOR_AVX2 static int32_t states_avx2(const channel *r, int32_t count, const int16_t *A, const int8_t *b,
                                         const int8_t *c, int16_t *h) {
    __m256i one = _mm256_set1_epi32(1), low_byte = _mm256_set1_epi32(255), read = _mm256_setzero_si256();
    int32_t n = 0;
    for (; n + 8 <= count; n += 8) {
        __m256i a = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(A + n)));
        __m256i t = uvlm_shift_half_up_avx2(_mm256_mullo_epi32(_mm256_set1_epi32(r->mantissa), a), r->t_shift);
        __m256i whole = _mm256_max_epi32(_mm256_srai_epi32(t, 16), _mm256_setzero_si256());
        __m256i i = _mm256_and_si256(_mm256_srli_epi32(t, 8), low_byte), rest = _mm256_and_si256(t, low_byte);
        __m256i low = _mm256_i32gather_epi32(r->powers, i, 4), high = _mm256_i32gather_epi32(r->powers + 1, i, 4);
        __m256i fall = _mm256_mullo_epi32(_mm256_sub_epi32(low, high), rest);
        __m256i y = _mm256_sub_epi32(low, _mm256_srai_epi32(_mm256_add_epi32(fall, _mm256_set1_epi32(128)), 8));
        __m256i below = _mm256_and_si256(_mm256_srav_epi32(y, _mm256_sub_epi32(whole, one)), one);
        y = _mm256_add_epi32(_mm256_srav_epi32(y, whole), below);
        y = _mm256_andnot_si256(_mm256_cmpgt_epi32(whole, _mm256_set1_epi32(30)), y);
        __m256i decay = _mm256_min_epi32(uvlm_shift_half_up_avx2(y, 15), _mm256_set1_epi32(32767));
        __m256i at = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(b + n)));
        at = _mm256_sub_epi32(at, _mm256_set1_epi32(r->zero_b));
        __m256i write = uvlm_requantise_avx2(_mm256_mullo_epi32(_mm256_set1_epi32(r->given), at), r->m, r->s);
        write = _mm256_min_epi32(_mm256_max_epi32(write, _mm256_set1_epi32(-65536)), _mm256_set1_epi32(65536));
        __m256i old = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(h + n)));
        __m256i next = _mm256_add_epi32(uvlm_shift_half_up_avx2(_mm256_mullo_epi32(decay, old), 15), write);
        __m128i kept = _mm_packs_epi32(_mm256_castsi256_si128(next), _mm256_extracti128_si256(next, 1)); /* saturates */
        _mm_storeu_si128((__m128i *)(void *)(h + n), kept);
        __m256i by = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(c + n)));
        by = _mm256_sub_epi32(by, _mm256_set1_epi32(r->zero_c));
        read = _mm256_add_epi32(read, _mm256_mullo_epi32(_mm256_cvtepi16_epi32(kept), by));
    }
    int32_t sum = uvlm_total_avx2(read);
    return n < count ? sum + states_plain(r, count - n, A + n, b + n, c + n, h + n) : sum;
}

/* The same 16 states at a time, and what is a channel's own for 16 channels at a time. What the plain form does in 32
 * bits and can be done in less:
 *
 *   delta |A|   both have 15 bits and lie in the lower halves of the lanes: vpmaddwd multiplies them in one step
 *   table       an entry and its neighbour are one read of 64 bits: half as many as one by one
 *   decay h     vpmulhrsw is (a b + 2^14) >> 15, in 16 bits
 *   h c         vpmaddwd again
 *
 * Roundings are half a unit more and then a shift: no number here is near enough to 2^31 to overflow by that. */
typedef struct {
    int32_t b[256]; /* less their zero points, 0 behind the last state */
    int16_t c[256];
} shared;

/* What is the same for all states of a channel, for 16 channels: from here it is read into all lanes at once. */
typedef struct {
    int32_t mantissa[16], t_shift[16], t_half[16], given[16], m[16], s[16], half[16];
    int32_t in[16]; /* u less its zero point */
} sixteen;

/* False if a shift is out of what the vectors do. */
UVLM_FOR_AVX512 static int sixteen_of(const uvlm_scan *r, int32_t i, const int8_t *dt, const int8_t *u, sixteen *made) {
    uint32_t largest = 0;
    for (int32_t k = 0; k < 16; k++) {
        channel one = channel_of(r, i + k, dt[i + k], u[i + k]);
        uint32_t t = (uint32_t)one.t_shift, s = (uint32_t)one.s, last = (uint32_t)r->read_s[i + k];
        largest |= t | s | last;
        made->mantissa[k] = one.mantissa, made->t_shift[k] = one.t_shift, made->given[k] = one.given;
        made->m[k] = one.m, made->s[k] = one.s, made->in[k] = u[i + k] - r->zero_u;
        made->t_half[k] = (int32_t)((1u << (t & 31)) >> 1), made->half[k] = (int32_t)((1u << (s & 31)) >> 1);
    }
    return largest < 32;
}

/* Some states of channel k of them: changes h, gives h c in eight parts. */
UVLM_IN_AVX512 __m256i states_avx512(const sixteen *of, int32_t k, const int32_t *powers, __mmask16 some,
                                     const int16_t *A, const int32_t *b, const int16_t *c, int16_t *h) {
    const __m512i one = _mm512_set1_epi32(1), low_byte = _mm512_set1_epi32(255), half = _mm512_set1_epi64(1 << 30);
    const __m512i even_lanes = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd_lanes = _mm512_add_epi32(even_lanes, one), m = _mm512_set1_epi32(of->m[k]);
    __m512i a = _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(some, A));
    __m512i t =
        _mm512_add_epi32(_mm512_madd_epi16(a, _mm512_set1_epi32(of->mantissa[k])), _mm512_set1_epi32(of->t_half[k]));
    t = _mm512_srav_epi32(t, _mm512_set1_epi32(of->t_shift[k]));
    __m512i whole = _mm512_srli_epi32(t, 16), i = _mm512_and_si512(_mm512_srli_epi32(t, 8), low_byte);
    __m512i first = _mm512_i32gather_epi64(_mm512_castsi512_si256(i), powers, 4);
    __m512i second = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(i, 1), powers, 4);
    __m512i low = _mm512_permutex2var_epi32(first, even_lanes, second);
    __m512i high = _mm512_permutex2var_epi32(first, odd_lanes, second);
    __m512i fall = _mm512_mullo_epi32(_mm512_sub_epi32(low, high), _mm512_and_si512(t, low_byte));
    __m512i y = _mm512_sub_epi32(low, _mm512_srai_epi32(_mm512_add_epi32(fall, _mm512_set1_epi32(128)), 8));
    y = _mm512_add_epi32(y, _mm512_srli_epi32(_mm512_sllv_epi32(one, whole), 1));
    y = _mm512_maskz_srav_epi32(_mm512_cmple_epu32_mask(whole, _mm512_set1_epi32(30)), y, whole);
    y = _mm512_srai_epi32(_mm512_add_epi32(y, _mm512_set1_epi32(1 << 14)), 15);
    __m256i decay = _mm512_cvtsepi32_epi16(y); /* 32,768 becomes 32,767 */
    __m512i at = _mm512_mullo_epi32(_mm512_loadu_si512(b), _mm512_set1_epi32(of->given[k]));
    __m512i even = _mm512_add_epi64(_mm512_mul_epi32(at, m), half);
    __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(at, 32), m), half);
    __m512i write = _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 31), 0xAAAA, _mm512_slli_epi64(odd, 1));
    write = _mm512_srav_epi32(_mm512_add_epi32(write, _mm512_set1_epi32(of->half[k])), _mm512_set1_epi32(of->s[k]));
    __m256i old = _mm256_mulhrs_epi16(decay, _mm256_maskz_loadu_epi16(some, h));
    __m256i kept = _mm512_cvtsepi32_epi16(_mm512_add_epi32(_mm512_cvtepi16_epi32(old), write)); /* saturates */
    _mm256_mask_storeu_epi16(h, some, kept);
    return _mm256_madd_epi16(kept, _mm256_loadu_si256((const __m256i *)(const void *)c));
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
                                            const int8_t *c, int16_t *h, int8_t *y, uvlm_ahead *next) {
    shared of_all = {{0}, {0}};
    for (int32_t n = 0; n < r->states; n++) {
        of_all.b[n] = b[n] - r->zero_b;
        of_all.c[n] = (int16_t)(c[n] - r->zero_c);
    }
    int32_t i = 0;
    for (; i + 16 <= r->channels; i += 16) {
        sixteen of;
        __m256i parts[16];
        if (!sixteen_of(r, i, dt, u, &of)) {
            channels_of(states_plain, r, i, i + 16, dt, u, b, c, h, y);
            continue;
        }
        for (int32_t k = 0; k < 16; k++) {
            size_t at = (size_t)(i + k) * (size_t)r->states;
            parts[k] = _mm256_setzero_si256();
            if (next) uvlm_ask(next, 32 * (int64_t)r->states); /* about what arrives while they are computed */
            for (int32_t n = 0; n < r->states; n += 16) {
                int32_t left = r->states - n;
                __mmask16 some = left >= 16 ? 0xFFFF : (__mmask16)((1 << left) - 1);
                size_t from = at + (size_t)n;
                parts[k] = _mm256_add_epi32(parts[k], states_avx512(&of, k, r->powers, some, r->A + from, of_all.b + n,
                                                                    of_all.c + n, h + from));
            }
        }
        __m128i made = outputs_avx512(r, i, totals_avx512(parts), _mm512_loadu_si512(of.in));
        _mm_storeu_si128((__m128i *)(void *)(y + i), made);
    }
    channels_of(states_plain, r, i, r->channels, dt, u, b, c, h, y);
}
#endif

#ifdef UVLM_HELIUM
/* Eight states at a time, the even ones and the odd ones apart wherever a number needs 32 bits: VMULLB and VMULLT take
 * them from eight int16 and multiply, VQMOVNB and VQMOVNT put them together again, and saturate. What is a channel's own
 * is made for four channels at a time. An argument of 2^-t above 31 counts as 31 and something: that gives at most 1 in
 * Q30, and 0 in Q15. */
typedef struct { /* of eight states, less their zero points */
    int32_t b_even[4], b_odd[4];
    int16_t c[8];
} eight;

typedef struct {
    int32_t mantissa[4], t_right[4], given[4], m[4], left[4], right[4];
    int32_t in[4], read[4];
} four;

/* 2^-t in Q15 for all states of channel k of the four: four at a time. In one loop with what follows there would be more
 * vectors than there are registers. */
static inline void decays_mve(const four *of, int32_t k, int32_t fours, const int32_t *powers, const int16_t *A,
                              int16_t *decay) {
    const int32x4_t low_byte = vdupq_n_s32(255), far = vdupq_n_s32((32 << 16) - 1);
    const int32_t mantissa = of->mantissa[k], t_right = of->t_right[k], *next_power = powers + 1;
    for (int32_t n = fours; n > 0; n--, A += 4, decay += 4) {
        int32x4_t t = vminq_s32(vrshlq_n_s32(vmulq_n_s32(vldrhq_s32(A), mantissa), t_right), far);
        uint32x4_t i = vreinterpretq_u32_s32(vandq_s32(vshrq_n_s32(t, 8), low_byte));
        int32x4_t low = vldrwq_gather_shifted_offset_s32(powers, i);
        int32x4_t fall = vsubq_s32(low, vldrwq_gather_shifted_offset_s32(next_power, i));
        int32x4_t y = vsubq_s32(low, vrshrq_n_s32(vmulq_s32(fall, vandq_s32(t, low_byte)), 8));
        y = vrshlq_s32(y, vnegq_s32(vshrq_n_s32(t, 16)));
        vstrhq_s32(decay, vreinterpretq_s32_s16(vqrshrnbq_n_s32(vuninitializedq_s16(), y, 15)));
    }
}

/* `eights` times eight states of channel k: changes h, gives the sum of h c. VQRDMULH of 16 bits is
 * (a b + 2^14) >> 15. */
static inline int32_t states_mve(const four *of, int32_t k, int32_t eights, const int16_t *decay, const eight *all,
                                 int16_t *h) {
    const uvlm_scale_mve by = {of->left[k], of->m[k], of->right[k]};
    const int32_t given = of->given[k];
    int32_t read = 0;
    for (int32_t n = eights; n > 0; n--, decay += 8, all++, h += 8) {
        int16x8_t old = vqrdmulhq_s16(vldrhq_s16(decay), vldrhq_s16(h));
        int32x4_t even = uvlm_rescale_mve(vmulq_n_s32(vldrwq_s32(all->b_even), given), by);
        int32x4_t odd = uvlm_rescale_mve(vmulq_n_s32(vldrwq_s32(all->b_odd), given), by);
        int16x8_t next = vqmovnbq_s32(vuninitializedq_s16(), vqaddq_s32(even, vmovlbq_s16(old)));
        next = vqmovntq_s32(next, vqaddq_s32(odd, vmovltq_s16(old)));
        vstrhq_s16(h, next);
        read = vmladavaq_s16(read, next, vldrhq_s16(all->c));
    }
    return read;
}

/* `channel_of` for four channels from i on; u less its zero point, too. */
static void four_of(const uvlm_scan *r, int32_t i, const int8_t *dt, const int8_t *u, four *made) {
    const int32x4_t none = vdupq_n_s32(0), far = vdupq_n_s32(32), most = vdupq_n_s32(31);
    uint32x4_t at = vreinterpretq_u32_s32(vaddq_n_s32(vldrbq_s32(dt + i), 128));
    int32x4_t mantissa = vldrhq_gather_shifted_offset_s32(r->mantissa, at), k = vldrbq_gather_offset_s32(r->shift, at);
    int32x4_t in = vsubq_n_s32(vldrbq_s32(u + i), r->zero_u);
    int32x4_t t = vaddq_s32(k, vldrbq_s32(r->A_shift + i)), s = vaddq_s32(k, vldrbq_s32(r->write_s + i));
    vstrwq_s32(made->mantissa, mantissa);
    vstrwq_s32(made->t_right, vnegq_s32(vmaxq_s32(vminq_s32(t, far), none)));
    vstrwq_s32(made->given, vrshrq_n_s32(vmulq_s32(mantissa, in), 1));
    vstrwq_s32(made->m, vldrwq_s32(r->write_m + i));
    vstrwq_s32(made->left, vmaxq_s32(vminq_s32(vnegq_s32(s), most), none));
    vstrwq_s32(made->right, vnegq_s32(vmaxq_s32(vminq_s32(s, far), none)));
    vstrwq_s32(made->in, in);
}

/* `output` of four channels. The sum has 33 bits: VHADD halves it on the way, which changes no rounding at 2^2 and above
 * (there is a half less to be added), and VRHADD rounds it at 2. */
static void outputs_mve(const uvlm_scan *r, int32_t i, const four *of, int8_t *y) {
    const uvlm_scale_mve by = uvlm_scale_of(r->direct_m, r->direct_s);
    int32x4_t a = uvlm_requantise_mve(vldrwq_s32(of->read), vldrwq_s32(r->read_m + i), vldrbq_s32(r->read_s + i));
    int32x4_t b = uvlm_rescale_mve(vmulq_s32(vldrhq_s32(r->D + i), vldrwq_s32(of->in)), by);
    int32x4_t sum;
    if (r->places > 1) sum = vrshlq_n_s32(vhaddq_s32(a, b), 1 - r->places);
    else sum = r->places ? vrhaddq_s32(a, b) : vqaddq_s32(a, b);
    vstrbq_s32(y + i, uvlm_narrow_mve(sum, r->zero_y));
}

/* All channels; the last ones, and the last states of each, that are not fours and eights go the plain way. */
static void channels_mve(const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c,
                         int16_t *h, int8_t *y) {
    eight all[32];
    four of;
    int16_t decay[256];
    int32_t states = r->states, eights = states & ~7, i = 0;
    for (int32_t n = 0; n < eights; n += 8) {
        int16x8_t less = vsubq_n_s16(vldrbq_s16(b + n), (int16_t)r->zero_b);
        vstrwq_s32(all[n >> 3].b_even, vmovlbq_s16(less));
        vstrwq_s32(all[n >> 3].b_odd, vmovltq_s16(less));
        vstrhq_s16(all[n >> 3].c, vsubq_n_s16(vldrbq_s16(c + n), (int16_t)r->zero_c));
    }
    const int16_t *A = r->A;
    int16_t *state = h;
    for (; i + 4 <= r->channels; i += 4) {
        four_of(r, i, dt, u, &of);
        for (int32_t k = 0; k < 4; k++, A += states, state += states) {
            decays_mve(&of, k, eights >> 2, r->powers, A, decay);
            of.read[k] = states_mve(&of, k, eights >> 3, decay, all, state);
            if (eights == states) continue;
            channel one = channel_of(r, i + k, dt[i + k], u[i + k]);
            of.read[k] += states_plain(&one, states - eights, A + eights, b + eights, c + eights, state + eights);
        }
        outputs_mve(r, i, &of, y);
    }
    channels_of(states_plain, r, i, r->channels, dt, u, b, c, h, y);
}
#endif

#ifdef UVLM_WASM
/* x * 2^-whole, halves up, for x from 0 on and whole from 0 to 31. No instruction shifts each number by its own count: so
 * 2^(31 - whole) is made as a float, of its exponent alone, and multiplied by. */
static v128_t halved_simd128(v128_t x, v128_t whole) {
    v128_t half = wasm_i64x2_const_splat(1 << 30);
    v128_t exponent = wasm_i32x4_shl(wasm_i32x4_sub(wasm_i32x4_const_splat(127 + 31), whole), 23);
    v128_t by = wasm_u32x4_trunc_sat_f32x4(exponent);
    v128_t low = wasm_u64x2_shr(wasm_i64x2_add(wasm_u64x2_extmul_low_u32x4(x, by), half), 31);
    v128_t high = wasm_u64x2_shr(wasm_i64x2_add(wasm_u64x2_extmul_high_u32x4(x, by), half), 31);
    return wasm_i32x4_shuffle(low, high, 0, 2, 4, 6);
}

/* Four states at a time; b and c less their zero points. An entry of the table and its neighbour are one read of 64
 * bits. An argument of 2^-t above 31 counts as 31 and something: that gives at most 1 in Q30, and 0 in Q15. */
static int32_t states_simd128(const channel *r, int32_t count, const int16_t *A, const int16_t *b, const int16_t *c,
                              int16_t *h) {
    const v128_t low_byte = wasm_i32x4_const_splat(255), none = wasm_i32x4_const_splat(0);
    const v128_t far = wasm_i32x4_const_splat((32 << 16) - 1), half = wasm_i32x4_const_splat(1 << 14);
    const v128_t most = wasm_i32x4_const_splat(32767), least = wasm_i32x4_const_splat(-32768);
    const v128_t further = wasm_i32x4_const_splat(65536);
    v128_t read = none;
    for (int32_t n = 0; n < count; n += 4) {
        v128_t t = wasm_i32x4_mul(wasm_i32x4_load16x4(A + n), wasm_i32x4_splat(r->mantissa));
        t = wasm_i32x4_max(wasm_i32x4_min(uvlm_shift_half_up_simd128(t, r->t_shift), far), none);
        v128_t i = wasm_v128_and(wasm_i32x4_shr(t, 8), low_byte);
        v128_t first = wasm_v128_load64_zero(r->powers + wasm_i32x4_extract_lane(i, 0));
        v128_t second = wasm_v128_load64_zero(r->powers + wasm_i32x4_extract_lane(i, 2));
        first = wasm_v128_load64_lane(r->powers + wasm_i32x4_extract_lane(i, 1), first, 1);
        second = wasm_v128_load64_lane(r->powers + wasm_i32x4_extract_lane(i, 3), second, 1);
        v128_t low = wasm_i32x4_shuffle(first, second, 0, 2, 4, 6);
        v128_t fall = wasm_i32x4_sub(low, wasm_i32x4_shuffle(first, second, 1, 3, 5, 7));
        fall = wasm_i32x4_mul(fall, wasm_v128_and(t, low_byte));
        v128_t y = wasm_i32x4_sub(low, wasm_i32x4_shr(wasm_i32x4_add(fall, wasm_i32x4_const_splat(128)), 8));
        y = wasm_i32x4_shr(wasm_i32x4_add(halved_simd128(y, wasm_i32x4_shr(t, 16)), half), 15);
        v128_t decay = wasm_i32x4_max(wasm_i32x4_min(y, most), none);
        v128_t write = wasm_i32x4_mul(wasm_i32x4_load16x4(b + n), wasm_i32x4_splat(r->given));
        write = uvlm_requantise_simd128(write, r->m, r->s);
        write = wasm_i32x4_max(wasm_i32x4_min(write, further), wasm_i32x4_neg(further));
        v128_t next = wasm_i32x4_mul(decay, wasm_i32x4_load16x4(h + n));
        next = wasm_i32x4_add(wasm_i32x4_shr(wasm_i32x4_add(next, half), 15), write);
        next = wasm_i32x4_max(wasm_i32x4_min(next, most), least);
        wasm_v128_store64_lane(h + n, wasm_i16x8_narrow_i32x4(next, next), 0);
        read = wasm_i32x4_add(read, wasm_i32x4_mul(next, wasm_i32x4_load16x4(c + n)));
    }
    read = wasm_i32x4_add(read, wasm_i32x4_shuffle(read, read, 2, 3, 0, 1));
    return uvlm_sum(wasm_i32x4_extract_lane(read, 0), wasm_i32x4_extract_lane(read, 1));
}

/* All channels; the last states of each, if their number is not one of fours, go the plain way. */
static void channels_simd128(const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c,
                             int16_t *h, int8_t *y) {
    int16_t of_all_b[256], of_all_c[256]; /* less their zero points */
    int32_t states = r->states, fours = states & ~3;
    for (int32_t n = 0; n < fours; n++) {
        of_all_b[n] = (int16_t)(b[n] - r->zero_b);
        of_all_c[n] = (int16_t)(c[n] - r->zero_c);
    }
    const int16_t *A = r->A;
    for (int32_t i = 0; i < r->channels; i++, A += states, h += states) {
        channel one = channel_of(r, i, dt[i], u[i]);
        int32_t whole = one.s < 0 ? 0 : fours; /* a shift to the left is not for the vectors */
        int32_t read = states_simd128(&one, whole, A, of_all_b, of_all_c, h);
        read = uvlm_sum(read, states_plain(&one, states - whole, A + whole, b + whole, c + whole, h + whole));
        y[i] = output(r, i, read, u[i] - r->zero_u);
    }
}
#endif

int uvlm_scan_s16_ahead(int form, const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b,
                        const int8_t *c, int16_t *h, int8_t *y, uvlm_ahead *next) {
    (void)next;
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
        channels_avx512(r, dt, u, b, c, h, y, next);
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

int uvlm_scan_s16_as(int form, const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c,
                     int16_t *h, int8_t *y) {
    return uvlm_scan_s16_ahead(form, r, dt, u, b, c, h, y, NULL);
}

int uvlm_scan_s16(const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c, int16_t *h,
                  int8_t *y) {
    return uvlm_scan_s16_as(uvlm_form(), r, dt, u, b, c, h, y);
}
