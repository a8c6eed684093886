/* Driver of the accelerator in C99: bare metal or Linux, no heap, no library.
 *
 * Registers are reached through VIT_READ32 and VIT_WRITE32, and memory through one window that both the processor and
 * the accelerator see. The generated headers vit_accel_registers.h and vit_accel_network.h say what the rest is.
 */
#ifndef VIT_ACCEL_H
#define VIT_ACCEL_H

#include <stddef.h>
#include <stdint.h>

#include "vit_accel_registers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Results of the functions: 0, an error code of the hardware (VIT_ERROR_..., positive), or one of these. */
enum {
    VIT_OK = 0,
    VIT_NO_ACCELERATOR = -1,
    VIT_WRONG_VERSION = -2,
    VIT_WRONG_CONFIG = -3,
    VIT_BAD_PROGRAM = -4,
    VIT_NO_MEMORY = -5,
    VIT_NO_PROGRAM = -6,
    VIT_BUSY = -7,
    VIT_TIMEOUT = -8,
    VIT_STUCK = -9
};

/* What a program computes; the values are in vit_accel_network.h. */
struct vit_network {
    uint32_t tokens;       /* before any drop, CLS included */
    uint32_t patch_inputs; /* patch * patch * 3 */
    uint32_t classes;
    uint32_t image_size; /* pixels */
    uint32_t patch;      /* pixels */
    const int8_t (*code_table)[256]; /* code of a pixel's value by colour channel: VIT_CODE_TABLE */
};

/* Ticks of any clock that counts up; the difference of two may wrap around. */
typedef uint32_t (*vit_clock)(void *context);

struct vit_accel {
    void *registers; /* passed to VIT_READ32 and VIT_WRITE32 */
    vit_clock clock; /* NULL: polls of CTRL are the ticks */
    void *clock_context;
    uint32_t timeout;  /* ticks that a run may take */
    uint32_t watchdog; /* cycles without progress before the hardware gives up; 0 for its default */
    /* private */
    unsigned char *memory;
    uint64_t address;
    size_t bytes;
    struct vit_network network;
    size_t program_bytes; /* 0: no program */
    size_t images_at, image_stride, outputs_at, output_stride;
    uint32_t capacity, image_words;
};

/* Compare ID, VERSION and CONFIG_HASH, and remember the memory: `bytes` at `memory` for the processor, at `address` for
 * the accelerator. Sets a time-out of 100 million polls. */
int vit_init(struct vit_accel *accel, void *registers, void *memory, uint64_t address, size_t bytes);

/* Check a program (program.bin) and copy it to memory; what is left of the memory is for images and results. */
int vit_load(struct vit_accel *accel, const struct vit_network *network, const void *program, size_t bytes);

/* Images that fit the memory beside the program. */
uint32_t vit_capacity(const struct vit_accel *accel);

/* Image `index`: patch codes [tokens][patch_inputs], row 0 (the CLS token) zero; or pixels [size][size][3], red, green,
 * blue, already resized and cropped. */
void vit_put_codes(struct vit_accel *accel, uint32_t index, const int8_t *codes);
void vit_put_pixels(struct vit_accel *accel, uint32_t index, const uint8_t *pixels);

/* Run images 0 .. images-1. After VIT_TIMEOUT vit_recover() has to follow; after other errors the next run may. */
int vit_run(struct vit_accel *accel, uint32_t images);

/* The two halves of vit_run, for a processor with other work or with an interrupt: vit_start with enable_interrupt set
 * raises the interrupt at the end, vit_finish() then returns at once. */
int vit_start(struct vit_accel *accel, uint32_t images, int enable_interrupt);
int vit_finish(struct vit_accel *accel);

/* End a run that is still under way by its watchdog, and make sure that the accelerator can be used. */
int vit_recover(struct vit_accel *accel);

/* Results of image `index` of the last run, [classes], and the index of the largest. */
const int16_t *vit_logits(const struct vit_accel *accel, uint32_t index);
uint32_t vit_best(const struct vit_accel *accel, uint32_t index);

/* Of the last run: clock cycles, and the tokens alive after token drop `drop` of its last image (0: there was none). */
uint64_t vit_cycles(const struct vit_accel *accel);
uint32_t vit_tokens_kept(const struct vit_accel *accel, uint32_t drop);

/* One line for a result of any function. */
const char *vit_text(int status);

#ifdef __cplusplus
}
#endif

#endif
