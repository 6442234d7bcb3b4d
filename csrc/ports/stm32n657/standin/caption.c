/* app.c in QEMU, with the stand-in in the place of the NPU: captions a picture that the host hands over.
 *
 *     caption PICTURE scales|order     whether the outputs are told apart by scale or by order */
#include <stdio.h>
#include <string.h>

#include "app.h"
#include "embedded.h"
#include "npu.h"
#include "project.h"
#include "semihost.h"

static uint8_t pixels[3 * 64 * 64];
static uvlm_found found;

void uvlm_board_print(const char *text) { uvlm_host_print(text); }

uint32_t uvlm_board_cycles(void) {
    static uint32_t calls;
    return calls++;
}

static void need(int ok, const char *what) {
    if (ok) return;
    printf("%s\n", what);
    uvlm_host_exit(1);
}

int main(int arguments, char **argument) {
    static const uvlm_seen seen[] = UVLM_SEEN;
    float scale[sizeof seen / sizeof seen[0]];
    int64_t bytes = uvlm_blob_end - uvlm_blob;
    need(arguments > 2, "Give a picture and how outputs are told apart.");
    need(uvlm_app_look(pixels) == UVLM_CLOSED, "The application looked before it was open.");
    need(bytes == UVLM_BLOB_BYTES, "project.h tells another size of the blob.");
    for (size_t n = 0; n < sizeof seen / sizeof seen[0]; n++) scale[n] = seen[n].scale;
    need(!uvlm_npu_open(uvlm_blob, bytes, strcmp(argument[2], "order") ? scale : NULL), "The stand-in refused the blob.");
    need(!uvlm_app_open(uvlm_blob, bytes, 3), "The application refused the blob.");
    FILE *file = fopen(argument[1], "rb");
    need(file != NULL && fread(pixels, 1, sizeof pixels, file) == sizeof pixels, "The picture could not be read.");
    fclose(file);
    need(!uvlm_app_compare(pixels) && !uvlm_app_caption(pixels, &found), "The application refused the picture.");
    printf("score %ld ended %ld\nwords", (long)found.score, (long)found.ended);
    for (int32_t i = 0; i < found.count; i++) printf(" %ld", (long)found.words[i]);
    printf("\nruns %ld addresses %ld stale %ld refused %ld\n", (long)uvlm_npu.runs, (long)uvlm_npu.addresses,
           (long)uvlm_npu.stale, (long)uvlm_npu.refused);
    uvlm_npu_output(0)->type = DataType_FLOAT;
    need(uvlm_app_look(pixels) == UVLM_NPU_OUTPUT, "An output in float was taken.");
    return 0;
}
