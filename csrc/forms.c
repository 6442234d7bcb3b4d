/* Which form runs on this processor. */
#include "forms.h"

int uvlm_has(int form) {
    switch (form) {
    case UVLM_PLAIN:
        return 1;
#ifdef UVLM_X86
    case UVLM_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case UVLM_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
#endif
#ifdef UVLM_HELIUM
    case UVLM_MVE:
        return 1;
#endif
    default:
        return 0;
    }
}

int uvlm_form(void) {
    static const int best[] = {UVLM_MVE, UVLM_AVX512, UVLM_AVX2};
    for (size_t i = 0; i < sizeof best / sizeof best[0]; i++) {
        if (uvlm_has(best[i])) return best[i];
    }
    return UVLM_PLAIN;
}
