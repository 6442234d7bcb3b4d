/* Executed instructions, exactly, under QEMU's -icount.
 *
 * With `-icount shift=8` every instruction takes 2^8 ns of the emulated clock, whatever it does. The board has a 32-bit
 * counter at 20 MHz (FPGAIO, COUNTER), so that an instruction is 5.12 ticks. Two readings that are n instructions apart
 * differ by 5.12 n, less than one tick more or less: n is the only whole number that fits, up to 800 million. The
 * second reading is one of these n.
 *
 * What it is not: cycles. An instruction of Helium, a load that misses a cache, a branch that is predicted wrong, all
 * count one. The end of a low-overhead loop (LE, LETP) counts one each time round, which the chip mostly hides. */
#ifndef UVLM_COUNTER_H
#define UVLM_COUNTER_H

#include <stdint.h>

#define UVLM_COUNTER ((const volatile uint32_t *)0x49302018u)

/* Instructions for a difference of ticks, to the nearest: times 25 / 128 = 1 / 5.12. */
static inline uint32_t uvlm_instructions(uint32_t ticks) { return (uint32_t)(((uint64_t)ticks * 25 + 64) >> 7); }

/* Count what stands behind the comma, with the arguments of a call and the way there and back:
 * UVLM_COUNT(n, f(x)). The address is kept in a register, so that a reading is one instruction. */
#define UVLM_COUNT(counted, ...)                                                                  \
    do {                                                                                          \
        const volatile uint32_t *uvlm_at = UVLM_COUNTER;                                          \
        uint32_t uvlm_from, uvlm_to;                                                              \
        __asm volatile("ldr %0, [%1]" : "=&r"(uvlm_from), "+r"(uvlm_at) : : "memory");            \
        __VA_ARGS__;                                                                              \
        __asm volatile("ldr %0, [%1]" : "=&r"(uvlm_to), "+r"(uvlm_at) : : "memory");              \
        (counted) = uvlm_instructions(uvlm_to - uvlm_from) - 1;                                   \
    } while (0)

#endif
