/* The blob as part of a program, in the linker script's section of weights: -DUVLM_BLOB="its path". For one file alone. */
#ifndef UVLM_EMBEDDED_H
#define UVLM_EMBEDDED_H

#include <stdint.h>

__asm(".section .weights, \"a\"\n"
      ".balign 16\n"
      "uvlm_blob:\n"
      ".incbin \"" UVLM_BLOB "\"\n"
      "uvlm_blob_end:\n"
      ".balign 4\n"
      ".previous\n");
extern const int8_t uvlm_blob[], uvlm_blob_end[];

#endif
