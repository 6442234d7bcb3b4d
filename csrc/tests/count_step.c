/* Instructions of a whole network and of each of its records, on the emulated Cortex-M55.
 *
 * The network comes as benchmarks/m55.py lays it out: records, structs and arrays as they are in the chip's memory, all
 * pointers filled in, and the arena with its inputs in place. It is read where it lies, at the start of the flash:
 * -DUVLM_IMAGE="its path" -DUVLM_ARENA= bytes of the arena.
 *
 *     looked N          uvlm_program_arena() on the whole network, which uvlm_program_run() begins with
 *     record N          each record in its order, without that
 *     whole N           uvlm_program_run() on the whole network
 *     sum X             checksum of the arena afterwards */
#include <stdio.h>
#include <string.h>

#include "counter.h"
#include "uvlm.h"

__asm(".section .weights, \"a\"\n"
      ".balign 16\n"
      "uvlm_image:\n"
      ".incbin \"" UVLM_IMAGE "\"\n"
      ".balign 4\n"
      ".previous\n");

extern const struct {
    const void *here; /* where the image must lie */
    const int8_t *arena;
    uvlm_program program;
} uvlm_image;

static int8_t arena[UVLM_ARENA] __attribute__((section(".arena"), aligned(16)));

int main(void) {
    const uvlm_program *p = &uvlm_image.program;
    uint32_t counted, looked;
    int64_t bytes;
    int status;
    if (uvlm_image.here != &uvlm_image) return 1;
    UVLM_COUNT(looked, status = uvlm_program_arena(p, &bytes));
    if (status || bytes > UVLM_ARENA) return 2;
    printf("looked %lu\n", (unsigned long)looked);
    memcpy(arena, uvlm_image.arena, sizeof arena);
    for (int32_t i = 0; i < p->count; i++) {
        const uvlm_program one = {p->records + i, 1};
        UVLM_COUNT(looked, status = uvlm_program_arena(&one, &bytes));
        UVLM_COUNT(counted, status |= uvlm_program_run(&one, arena, sizeof arena));
        if (status) return 3;
        printf("record %lu\n", (unsigned long)(counted - looked));
    }
    memcpy(arena, uvlm_image.arena, sizeof arena);
    UVLM_COUNT(counted, status = uvlm_program_run(p, arena, sizeof arena));
    if (status) return 4;
    printf("whole %lu\nsum %08lx\n", (unsigned long)counted, (unsigned long)uvlm_checksum(arena, sizeof arena));
    return 0;
}
