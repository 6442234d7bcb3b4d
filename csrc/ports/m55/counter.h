/* Executed instructions, exactly, under QEMU's -icount.
 *
 * With `-icount shift=8` every instruction takes 2^8 ns of the emulated clock, whatever it does. The board has a 32-bit
 * counter at 20 MHz (FPGAIO, COUNTER), so that an instruction is 5.12 ticks. Two readings that are n instructions apart
 * differ by 5.12 n, less than one tick more or less: n is the only whole number that fits, up to 800 million. The first
 * reading's own instructions are measured by two readings with nothing in between, and taken off.
 *
 * What it is not: cycles. An instruction of Helium, a load that misses a cache, a branch that is predicted wrong, all
 * count one. The end of a low-overhead loop (LE, LETP) counts one each time round, which the chip mostly hides. */
#ifndef UVLM_COUNTER_H
#define UVLM_COUNTER_H

#include <stdint.h>

#define UVLM_COUNTER (*(volatile const uint32_t *)0x49302018u)

/* Instructions for a difference of ticks, to the nearest: times 25 / 128 = 1 / 5.12. */
static inline uint32_t uvlm_instructions(uint32_t ticks) { return (uint32_t)(((uint64_t)ticks * 25 + 64) >> 7); }

/* instructions = uvlm_count({ what is counted }); as a macro, so that no call is counted with it. */
#define UVLM_COUNT(counted, ...)                                            \
    do {                                                                    \
        uint32_t uvlm_a = UVLM_COUNTER, uvlm_b = UVLM_COUNTER;              \
        uint32_t uvlm_c = UVLM_COUNTER;                                     \
        __asm volatile("" ::: "memory");                                    \
        __VA_ARGS__;                                                        \
        __asm volatile("" ::: "memory");                                    \
        uint32_t uvlm_d = UVLM_COUNTER;                                     \
        (counted) = uvlm_instructions(uvlm_d - uvlm_c) - uvlm_instructions(uvlm_b - uvlm_a); \
    } while (0)

#endif
