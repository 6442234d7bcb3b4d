/* Which forms of a kernel the compiler can build. Each x86 form is a function with its own target attribute, so that
 * one file holds all of them and is built without flags for a processor; uvlm_form() looks which of them may run. */
#ifndef UVLM_FORMS_H
#define UVLM_FORMS_H

#include "status.h"

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__)) && !defined(UVLM_ONLY_PLAIN)
#define UVLM_X86 1
#include <immintrin.h>
#define UVLM_FOR_AVX2 __attribute__((target("avx2,fma")))
#define UVLM_FOR_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni,avx2,fma")))

/* Asks the memory for what lies `bytes` behind x. A hint: nothing is read, and the address may be nobody's. */
static inline void uvlm_ask(const void *x, int32_t bytes) {
    _mm_prefetch((const char *)((uintptr_t)x + (uintptr_t)bytes), _MM_HINT_T0);
}
#endif

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1) && !defined(UVLM_ONLY_PLAIN)
#define UVLM_HELIUM 1
#include <arm_mve.h>
#endif

#if defined(__wasm_simd128__) && !defined(UVLM_ONLY_PLAIN)
#define UVLM_WASM 1
#include <wasm_simd128.h>
#endif

#endif
