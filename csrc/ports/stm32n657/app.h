/* The captioner on the STM32N657: the NPU looks at the picture, the Cortex-M55 says the words.
 *
 *     uvlm_app_open((const void *)UVLM_BLOB_AT, UVLM_BLOB_BYTES, 3);
 *     uvlm_app_compare(pixels);          once: does the NPU see what the reference sees?
 *     uvlm_app_caption(pixels);          the caption, over uvlm_board_print
 *
 * All functions return a status of status.h, or one of those below. */
#ifndef UVLM_APP_H
#define UVLM_APP_H

#include "uvlm.h"

enum {
    UVLM_NPU_INPUT = 16,  /* status: the network does not take side * side * 3 int8 numbers */
    UVLM_NPU_OUTPUT = 17, /* status: the network gives no int8 numbers, or not those that a context needs */
    UVLM_CLOSED = 18      /* status: uvlm_app_open comes first */
};

/* What a context looks like among the network's outputs: project.h lists them. Their names are not kept by the compiler
 * for the NPU, but their sizes and scales are. */
typedef struct {
    int32_t bytes;
    float scale;
} uvlm_seen;

int uvlm_app_open(const void *blob, int64_t bytes, int32_t beam);

/* What the NPU sees, handed to the decoder: (side, side, 3) bytes of sRGB. */
int uvlm_app_look(const uint8_t *pixels);

/* Look, search, print. The words stay in `found`, if it is not NULL. */
int uvlm_app_caption(const uint8_t *pixels, uvlm_found *found);

/* Look with the NPU and with the C encoder, and print how far apart they are: of each context how many numbers differ,
 * and by how much at most. */
int uvlm_app_compare(const uint8_t *pixels);

/* The board's part: a text to the UART; cycles of the processor, DWT->CYCCNT say. */
void uvlm_board_print(const char *text);
uint32_t uvlm_board_cycles(void);

#endif
