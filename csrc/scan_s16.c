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

/* The states of one channel: changes h, gives the sum of h c. */
typedef int32_t states(const channel *r, int32_t count, const int16_t *A, const int8_t *b, const int8_t *c, int16_t *h);

static int32_t states_plain(const channel *r, int32_t count, const int16_t *A, const int8_t *b, const int8_t *c,
                            int16_t *h) {
    int32_t read = 0;
    for (int32_t n = 0; n < count; n++) {
        int32_t t = uvlm_shift_half_up(r->mantissa * A[n], r->t_shift);
        int32_t decay = uvlm_shift_half_up(uvlm_power(t, r->powers), 15);
        if (decay > 32767) decay = 32767;
        int32_t write = uvlm_requantise(r->given * (b[n] - r->zero_b), r->m, r->s);
        if (write < -65536) write = -65536; /* further than any int16 from any other: the sum cannot overflow */
        if (write > 65536) write = 65536;
        h[n] = uvlm_to_s16(uvlm_shift_half_up(decay * h[n], 15) + write);
        read += h[n] * (c[n] - r->zero_c);
    }
    return read;
}

#ifdef UVLM_X86
/* The same 16 states at a time; the table is read by a gather. */
UVLM_FOR_AVX512 static int32_t states_avx512(const channel *r, int32_t count, const int16_t *A, const int8_t *b,
                                             const int8_t *c, int16_t *h) {
    __m512i one = _mm512_set1_epi32(1), far = _mm512_set1_epi32(65536), low_byte = _mm512_set1_epi32(255);
    __m512i read = _mm512_setzero_si512();
    for (int32_t n = 0; n < count; n += 16) {
        __mmask16 some = count - n >= 16 ? 0xFFFF : (__mmask16)((1 << (count - n)) - 1);
        __m512i a = _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(some, A + n));
        __m512i t = uvlm_shift_half_up_avx512(_mm512_mullo_epi32(_mm512_set1_epi32(r->mantissa), a), r->t_shift);
        __m512i whole = _mm512_max_epi32(_mm512_srai_epi32(t, 16), _mm512_setzero_si512());
        __m512i i = _mm512_and_si512(_mm512_srli_epi32(t, 8), low_byte), rest = _mm512_and_si512(t, low_byte);
        __m512i low = _mm512_i32gather_epi32(i, r->powers, 4), high = _mm512_i32gather_epi32(i, r->powers + 1, 4);
        __m512i fall = _mm512_mullo_epi32(_mm512_sub_epi32(low, high), rest);
        __m512i y = _mm512_sub_epi32(low, _mm512_srai_epi32(_mm512_add_epi32(fall, _mm512_set1_epi32(128)), 8));
        __m512i below = _mm512_and_si512(_mm512_srav_epi32(y, _mm512_sub_epi32(whole, one)), one);
        y = _mm512_add_epi32(_mm512_srav_epi32(y, whole), below);
        y = _mm512_maskz_mov_epi32(_mm512_cmple_epi32_mask(whole, _mm512_set1_epi32(30)), y);
        __m512i decay = _mm512_min_epi32(uvlm_shift_half_up_avx512(y, 15), _mm512_set1_epi32(32767));
        __m512i at = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, b + n));
        at = _mm512_sub_epi32(at, _mm512_set1_epi32(r->zero_b));
        __m512i write = uvlm_requantise_avx512(_mm512_mullo_epi32(_mm512_set1_epi32(r->given), at), r->m, r->s);
        write = _mm512_max_epi32(_mm512_min_epi32(write, far), _mm512_sub_epi32(_mm512_setzero_si512(), far));
        __m512i old = _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(some, h + n));
        __m512i next = _mm512_add_epi32(uvlm_shift_half_up_avx512(_mm512_mullo_epi32(decay, old), 15), write);
        __m256i kept = _mm512_cvtsepi32_epi16(next); /* saturates */
        _mm256_mask_storeu_epi16(h + n, some, kept);
        __m512i by = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, c + n));
        by = _mm512_sub_epi32(by, _mm512_set1_epi32(r->zero_c));
        read = _mm512_mask_add_epi32(read, some, read, _mm512_mullo_epi32(_mm512_cvtepi16_epi32(kept), by));
    }
    return _mm512_reduce_add_epi32(read);
}

/* And 8 at a time; what is left over goes the plain way. */
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
#endif

#ifdef UVLM_HELIUM
/* And 4 at a time. The shifts of a channel are one number each, made before the loop. */
static int32_t states_mve(const channel *r, int32_t count, const int16_t *A, const int8_t *b, const int8_t *c,
                          int16_t *h) {
    uvlm_scale_mve by = uvlm_scale_of(r->m, r->s);
    int32_t t_right = uvlm_scale_of(0, r->t_shift).right, n = 0, read = 0;
    for (; n + 4 <= count; n += 4) {
        int32x4_t t = vrshlq_n_s32(vmulq_n_s32(vldrhq_s32(A + n), r->mantissa), t_right);
        int32x4_t whole = vmaxq_s32(vminq_s32(vshrq_n_s32(t, 16), vdupq_n_s32(32)), vdupq_n_s32(0));
        uint32x4_t i = vandq_u32(vreinterpretq_u32_s32(vshrq_n_s32(t, 8)), vdupq_n_u32(255));
        int32x4_t rest = vandq_s32(t, vdupq_n_s32(255)), low = vldrwq_gather_shifted_offset_s32(r->powers, i);
        int32x4_t fall = vsubq_s32(low, vldrwq_gather_shifted_offset_s32(r->powers + 1, i));
        int32x4_t y = vsubq_s32(low, vshrq_n_s32(vaddq_n_s32(vmulq_s32(fall, rest), 128), 8));
        y = vrshlq_s32(y, vnegq_s32(whole)); /* from 31 on this is 0 or 1, and 0 after the next line */
        int32x4_t decay = vminq_s32(vrshrq_n_s32(y, 15), vdupq_n_s32(32767));
        int32x4_t at = vsubq_n_s32(vldrbq_s32(b + n), r->zero_b);
        int32x4_t write = uvlm_rescale_mve(vmulq_n_s32(at, r->given), by);
        write = vmaxq_s32(vminq_s32(write, vdupq_n_s32(65536)), vdupq_n_s32(-65536));
        int32x4_t next = vaddq_s32(vrshrq_n_s32(vmulq_s32(decay, vldrhq_s32(h + n)), 15), write);
        next = vmaxq_s32(vminq_s32(next, vdupq_n_s32(32767)), vdupq_n_s32(-32768));
        vstrhq_s32(h + n, next);
        read = vmladavaq_s32(read, next, vsubq_n_s32(vldrbq_s32(c + n), r->zero_c));
    }
    return n < count ? read + states_plain(r, count - n, A + n, b + n, c + n, h + n) : read;
}
#endif

static states *states_of(int form) {
    switch (form) {
#ifdef UVLM_X86
    case UVLM_AVX2:
        return states_avx2;
    case UVLM_AVX512:
        return states_avx512;
#endif
#ifdef UVLM_HELIUM
    case UVLM_MVE:
        return states_mve;
#endif
    default:
        return states_plain;
    }
}

int uvlm_scan_s16_as(int form, const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c,
                     int16_t *h, int8_t *y) {
    int status = wrong(r, dt, u, b, c, h, y);
    if (status) return status;
    if (!uvlm_has(form)) return UVLM_FORM;
    states *of = states_of(form);
    for (int32_t i = 0; i < r->channels; i++) {
        int32_t mantissa = r->mantissa[dt[i] + 128], k = r->shift[dt[i] + 128], in = u[i] - r->zero_u;
        size_t at = (size_t)i * (size_t)r->states;
        channel one = {mantissa, k + r->A_shift[i], uvlm_shift_half_up(mantissa * in, 1), r->write_m[i],
                       r->write_s[i] + k, r->zero_b, r->zero_c, r->powers};
        int32_t read = of(&one, r->states, r->A + at, b, c, h + at);
        int64_t sum = (int64_t)uvlm_requantise(read, r->read_m[i], r->read_s[i]) +
                      uvlm_requantise(r->D[i] * in, r->direct_m, r->direct_s);
        y[i] = uvlm_narrow(uvlm_to_s32(uvlm_shift_half_up_64(sum, r->places)), r->zero_y);
    }
    return UVLM_OK;
}

int uvlm_scan_s16(const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c, int16_t *h,
                  int8_t *y) {
    return uvlm_scan_s16_as(uvlm_form(), r, dt, u, b, c, h, y);
}
