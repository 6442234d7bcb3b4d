/* From reset to main() on a Cortex-M55: vector table, floating point and Helium on, .data copied, .bss cleared; and
 * what happens when the program ends or faults. QEMU's machine mps3-an547; m55.ld says where things lie.
 *
 * Exceptions other than these are not used: nothing here enables an interrupt. */
#include <stdint.h>
#include <stdlib.h>

#include "semihost.h"

extern uint32_t uvlm_data_load[], uvlm_data_start[], uvlm_data_end[], uvlm_bss_start[], uvlm_bss_end[];
extern uint32_t uvlm_stack_limit[], uvlm_stack_top[];

int main(int argc, char **argv);
void uvlm_reset(void);

#define CFSR ((volatile uint32_t *)0xE000ED28u)  /* why it faulted */
#define BFAR ((volatile uint32_t *)0xE000ED38u)  /* and at which address, if it was a bus fault */

static void hex(uint32_t x) {
    char text[11] = "0x";
    for (int k = 0; k < 8; k++) text[2 + k] = "0123456789abcdef"[(x >> (28 - 4 * k)) & 15];
    text[10] = 0;
    uvlm_host_print(text);
}

/* A fault is told and ends the program: the frame on the stack has the place at its seventh word. */
__attribute__((used)) static void fault(const uint32_t *frame) {
    uvlm_host_print("fault at ");
    hex(frame[6]);
    uvlm_host_print(", status ");
    hex(*CFSR);
    uvlm_host_print(", address ");
    hex(*BFAR);
    uvlm_host_print("\n");
    uvlm_host_exit(UVLM_FAULT);
}

__attribute__((naked)) static void on_fault(void) { __asm volatile("mrs r0, msp\n b fault\n"); }

/* What the processor reads at address 0: its first stack, and where to go. Reset is 1, faults are 2 to 7. */
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*exception[15])(void);
} vectors = {uvlm_stack_top,
             {uvlm_reset, on_fault, on_fault, on_fault, on_fault, on_fault, on_fault, 0, 0, 0, on_fault, on_fault, 0,
              on_fault, on_fault}};

static char *arguments[UVLM_ARGUMENTS + 1];

__attribute__((used, noreturn)) static void begin(void) {
    for (uint32_t *to = uvlm_data_start, *from = uvlm_data_load; to < uvlm_data_end;) *to++ = *from++;
    for (uint32_t *to = uvlm_bss_start; to < uvlm_bss_end;) *to++ = 0;
    exit(main(uvlm_host_arguments(arguments), arguments));
}

/* No instruction may touch a floating-point register before CPACR allows it; a compiler with Helium may use them for
 * copying. So the first lines are assembly. The stack's limit makes an overflow a fault instead of a wrong result. */
__attribute__((naked)) void uvlm_reset(void) {
    __asm volatile(
        "ldr r0, =0xE000ED88\n"
        "ldr r1, [r0]\n"
        "orr r1, r1, #0xF00000\n"
        "str r1, [r0]\n"
        "dsb\n"
        "isb\n"
        "ldr r0, =uvlm_stack_limit\n"
        "msr msplim, r0\n"
        "b begin\n");
}
