/* Holds every kernel against the vectors of golden_vectors.h, in every form that runs here. Prints a line a kernel and
 * returns 0 if all are equal. Needs neither files nor arguments: it runs on a bare microcontroller as it does here.
 *
 * Between the values of a vector, and behind the last, lie bytes that must stay as they are. */
#include <stdio.h>
#include <string.h>

#include "../program.h"

typedef struct {
    const char *kernel;
    uvlm_record record;
    int32_t bytes[6];      /* of each value, 0 behind the last */
    const void *before[6]; /* what a value holds before the record runs; NULL: nothing */
    const void *after[6];  /* and after; NULL: scratch memory */
} golden_vector;

#include "golden_vectors.h"

enum { UNTOUCHED = 0x5A };

static int32_t arena[GOLDEN_ARENA / 4];

/* What is wrong after a run: NULL if nothing is. */
static const char *fault(const golden_vector *v) {
    const unsigned char *memory = (const unsigned char *)arena;
    size_t end = 0;
    for (int k = 0; k < 6 && v->bytes[k]; k++) {
        size_t at = (size_t)v->record.at[k], bytes = (size_t)v->bytes[k];
        for (; end < at; end++) {
            if (memory[end] != UNTOUCHED) return "wrote outside of its values";
        }
        if (v->after[k] && memcmp(memory + at, v->after[k], bytes)) return v->before[k] ? "changed an input" : "differs";
        end = at + bytes;
    }
    for (; end < GOLDEN_ARENA; end++) {
        if (memory[end] != UNTOUCHED) return "wrote outside of its values";
    }
    return NULL;
}

static const char *run(const golden_vector *v, int form) {
    uvlm_program program = {&v->record, 1};
    memset(arena, UNTOUCHED, GOLDEN_ARENA);
    for (int k = 0; k < 6 && v->bytes[k]; k++) {
        if (v->before[k]) memcpy((char *)arena + v->record.at[k], v->before[k], (size_t)v->bytes[k]);
    }
    if (uvlm_program_run_as(form, &program, arena, GOLDEN_ARENA)) return "was refused";
    return fault(v);
}

int main(void) {
    static const char *const names[] = {"plain", "AVX2", "AVX-512", "Helium", "SIMD128"};
    int faults = 0;
    for (int i = 0; i < GOLDEN_VECTORS;) {
        const char *kernel = golden_vectors[i].kernel;
        int first = i, wrong = 0;
        for (; i < GOLDEN_VECTORS && !strcmp(golden_vectors[i].kernel, kernel); i++) {
            for (int form = UVLM_PLAIN; form <= UVLM_SIMD128; form++) {
                if (!uvlm_has(form)) continue;
                const char *what = run(golden_vectors + i, form);
                if (what) printf("%s, vector %d, %s: %s\n", kernel, i - first, names[form], what);
                wrong += what != NULL;
            }
        }
        printf("%-10s %2d vectors, %d wrong\n", kernel, i - first, wrong);
        faults += wrong;
    }
    printf("forms:");
    for (int form = UVLM_PLAIN; form <= UVLM_SIMD128; form++) {
        if (uvlm_has(form)) printf(" %s", names[form]);
    }
    printf("\n%s\n", faults ? "WRONG" : "all equal");
    return faults != 0;
}
