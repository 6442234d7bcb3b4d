/* A start for the link test of stm32n657.ld: it never runs. What would, on the board, is ST's startup file. */
#include "app.h"
#include "layers.h"
#include "project.h"

void Reset_Handler(void);
extern uint32_t _estack;

__attribute__((section(".isr_vector"), used)) static const struct {
    uint32_t *stack;
    void (*reset)(void);
} vectors = {&_estack, Reset_Handler};

static uvlm m;

void uvlm_board_print(const char *text) { (void)text; }
uint32_t uvlm_board_cycles(void) { return 0; }

void Reset_Handler(void) {
    static const uint8_t pixels[3 * 64 * 64];
    uvlm_layers_use(&m);
    uvlm_app_open((const void *)UVLM_BLOB_AT, UVLM_BLOB_BYTES, 3);
    uvlm_app_compare(pixels);
    uvlm_app_caption(pixels, 0);
    for (;;) continue;
}
