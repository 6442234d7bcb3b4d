/* What every kernel returns, and the forms in which it can run.
 *
 * Conventions of all files here: C99; memory belongs to the caller, nothing is allocated and no global is written; a
 * kernel looks at its pointers and sizes first and then cannot fail; nothing is written when it refuses. Maps lie with
 * their channels last, (H, W, C). Names of arguments are those of uvlm_mini/quantize/integer_ops.py.
 */
#ifndef UVLM_STATUS_H
#define UVLM_STATUS_H

#include <stddef.h>
#include <stdint.h>

/* What stands between two such lines in a header is what Python is told of it: plain C without the preprocessor. */
/* declarations */
enum {
    UVLM_OK = 0,
    UVLM_NULL = 1,  /* a pointer is NULL */
    UVLM_SIZE = 2,  /* a size is zero, negative or above the limit that the header tells */
    UVLM_RANGE = 3, /* a number is out of the range that the header tells */
    UVLM_FORM = 4   /* this form was not built, or this processor cannot run it */
};

/* Kernels with more than one form have a twin NAME_as(form, ...); NAME(...) takes the best that there is. */
enum {
    UVLM_PLAIN = 0,  /* portable C, the definition */
    UVLM_AVX2 = 1,   /* x86 */
    UVLM_AVX512 = 2, /* x86 with AVX-512 F, BW, VL, DQ, VBMI and VNNI */
    UVLM_MVE = 3,    /* Armv8.1-M with Helium */
    UVLM_SIMD128 = 4 /* WebAssembly with its 128-bit vectors */
};

/* The best form on this processor: one of the five above. */
int uvlm_form(void);

/* Whether a form was built and can run here: 1 or 0. */
int uvlm_has(int form);
/* end of declarations */

#endif
