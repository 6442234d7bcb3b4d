/* One step of the selective SSM in integers: the recurrence h = decay h + write with an int16 state.
 *
 *   delta  softplus(dt), from two tables: mantissa 2^-k
 *   decay  exp(-delta |A|) as a power of 2 in Q15, from a table of 257 and a straight line
 *   write  delta u b, requantised to the channel's unit of h
 *   y      sum of h c, plus D u
 *
 * Sizes: delta |A| has 30 bits, delta u b has 30 bits, and h c added up over 256 states is 255 * 2^23, below 2^31. */
#include "fixed.h"
#include "kernels_s8.h"

int uvlm_scan_s16(const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c, int16_t *h,
                  int8_t *y) {
    return uvlm_scan_s16_as(UVLM_PLAIN, r, dt, u, b, c, h, y);
}

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

/* The states of one channel: changes h, gives the sum of h c. */
static int32_t states_plain(const uvlm_scan *r, int32_t i, int32_t mantissa, int32_t k, int32_t given, const int8_t *b,
                            const int8_t *c, int16_t *h) {
    const int16_t *A = r->A + (size_t)i * (size_t)r->states;
    int32_t read = 0;
    for (int32_t n = 0; n < r->states; n++) {
        int32_t t = uvlm_shift_half_up(mantissa * A[n], k + r->A_shift[i]);
        int32_t decay = uvlm_shift_half_up(uvlm_power(t, r->powers), 15);
        if (decay > 32767) decay = 32767;
        int32_t write = uvlm_requantise(given * (b[n] - r->zero_b), r->write_m[i], r->write_s[i] + k);
        if (write < -65536) write = -65536; /* further than any int16 from any other: the sum cannot overflow */
        if (write > 65536) write = 65536;
        h[n] = uvlm_to_s16(uvlm_shift_half_up(decay * h[n], 15) + write);
        read += h[n] * (c[n] - r->zero_c);
    }
    return read;
}

int uvlm_scan_s16_as(int form, const uvlm_scan *r, const int8_t *dt, const int8_t *u, const int8_t *b, const int8_t *c,
                     int16_t *h, int8_t *y) {
    int status = wrong(r, dt, u, b, c, h, y);
    if (status) return status;
    if (!uvlm_has(form)) return UVLM_FORM;
    for (int32_t i = 0; i < r->channels; i++) {
        int32_t mantissa = r->mantissa[dt[i] + 128], k = r->shift[dt[i] + 128], in = u[i] - r->zero_u;
        int32_t given = uvlm_shift_half_up(mantissa * in, 1);
        int32_t read = states_plain(r, i, mantissa, k, given, b, c, h + (size_t)i * (size_t)r->states);
        int64_t sum = (int64_t)uvlm_requantise(read, r->read_m[i], r->read_s[i]) +
                      uvlm_requantise(r->D[i] * in, r->direct_m, r->direct_s);
        y[i] = uvlm_narrow(uvlm_to_s32(uvlm_shift_half_up_64(sum, r->places)), r->zero_y);
    }
    return UVLM_OK;
}
