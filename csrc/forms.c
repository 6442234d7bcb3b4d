/* Which form runs on this processor. What the whole file was built for anyway need not be asked: so it is with zig,
 * whose library does not answer __builtin_cpu_supports, and which builds for the processor that it runs on. */
#include "forms.h"

int uvlm_has(int form) {
    switch (form) {
    case UVLM_PLAIN:
        return 1;
#ifdef UVLM_X86
    case UVLM_AVX2:
#if defined(__AVX2__) && defined(__FMA__)
        return 1;
#else
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    case UVLM_AVX512:
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && \
    defined(__AVX512VBMI__) && defined(__AVX512VNNI__) && defined(__FMA__)
        return 1;
#else
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
#endif
#endif
#ifdef UVLM_HELIUM
    case UVLM_MVE:
        return 1;
#endif
#ifdef UVLM_WASM
    case UVLM_SIMD128:
        return 1;
#endif
    default:
        return 0;
    }
}

int uvlm_form(void) {
    static const int best[] = {UVLM_SIMD128, UVLM_MVE, UVLM_AVX512, UVLM_AVX2};
    for (size_t i = 0; i < sizeof best / sizeof best[0]; i++) {
        if (uvlm_has(best[i])) return best[i];
    }
    return UVLM_PLAIN;
}
