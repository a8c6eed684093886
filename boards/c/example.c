/* Classify one picture.
 *
 * Linux:       example program.bin picture.rgb REGISTERS MEMORY BYTES
 *              picture.rgb holds image_size * image_size * 3 bytes, red, green, blue; the addresses are physical ones:
 *              of s_axi_control, and of memory that nothing else uses (reserved-memory in the device tree).
 * Bare metal:  link program.bin and the picture into the image and call classify() with pointers to them.
 */
#if defined(__linux__) && !defined(VIT_NO_MAIN)
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#endif

#include "vit_accel.h"
#include "vit_accel_network.h"

#ifdef __cplusplus
extern "C"
#endif
int classify(struct vit_accel *accel, const void *program, size_t bytes, const uint8_t *pixels, uint32_t *best);

/* Load the program, run the picture, and find its class. */
int classify(struct vit_accel *accel, const void *program, size_t bytes, const uint8_t *pixels, uint32_t *best)
{
    static const int8_t codes[3][256] = VIT_CODE_TABLE;
    static const struct vit_network network = {
        VIT_TOKENS, VIT_PATCH_INPUTS, VIT_CLASSES, VIT_IMAGE_SIZE, VIT_PATCH, codes,
    };
    int status = vit_load(accel, &network, program, bytes);

    if (status != VIT_OK)
        return status;
    vit_put_pixels(accel, 0, pixels);
    status = vit_run(accel, 1);
    if (status == VIT_TIMEOUT)
        (void)vit_recover(accel); /* so that the next picture can be tried */
    if (status == VIT_OK)
        *best = vit_best(accel, 0);
    return status;
}

#if defined(__linux__) && !defined(VIT_NO_MAIN)

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static uint32_t milliseconds(void *context)
{
    struct timespec now;

    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u);
}

static size_t read_file(const char *path, unsigned char *buffer, size_t bytes)
{
    FILE *file = fopen(path, "rb");
    size_t got = 0;

    if (file != NULL) {
        got = fread(buffer, 1, bytes, file);
        fclose(file);
    }
    if (got != bytes)
        fprintf(stderr, "%s: %lu bytes expected\n", path, (unsigned long)bytes);
    return got;
}

int main(int count, char **arguments)
{
    static const char *const names[] = VIT_CLASS_NAMES;
    static unsigned char program[VIT_PROGRAM_BYTES];
    static uint8_t pixels[VIT_IMAGE_SIZE * VIT_IMAGE_SIZE * 3u];
    struct vit_accel accel;
    void *registers, *memory;
    uint64_t address;
    uint32_t best = 0, drop;
    size_t bytes;
    int device, status;

    if (count != 6) {
        fprintf(stderr, "usage: %s program.bin picture.rgb REGISTERS MEMORY BYTES\n", arguments[0]);
        return 2;
    }
    if (read_file(arguments[1], program, sizeof program) != sizeof program ||
        read_file(arguments[2], pixels, sizeof pixels) != sizeof pixels)
        return 1;
    address = strtoull(arguments[4], NULL, 0);
    bytes = (size_t)strtoull(arguments[5], NULL, 0);
    device = open("/dev/mem", O_RDWR | O_SYNC); /* O_SYNC: not cached, so nothing has to be flushed */
    registers = mmap(NULL, VIT_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, device,
                     (off_t)strtoull(arguments[3], NULL, 0));
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)address);
    if (device < 0 || registers == MAP_FAILED || memory == MAP_FAILED) {
        perror("/dev/mem");
        return 1;
    }
    status = vit_init(&accel, registers, memory, address, bytes);
    accel.clock = milliseconds;
    accel.timeout = 1000;
    if (status == VIT_OK)
        status = classify(&accel, program, sizeof program, pixels, &best);
    if (status != VIT_OK) {
        fprintf(stderr, "%s\n", vit_text(status));
        return 1;
    }
    printf("class %lu", (unsigned long)best);
    if (best < sizeof names / sizeof names[0] && names[best] != NULL)
        printf(" (%s)", names[best]);
    printf(", logit %d, %lu cycles\n", vit_logits(&accel, 0)[best], (unsigned long)vit_cycles(&accel));
    for (drop = 0; vit_tokens_kept(&accel, drop) != 0u; drop++)
        printf("after token drop %lu: %lu tokens\n", (unsigned long)drop, (unsigned long)vit_tokens_kept(&accel, drop));
    close(device);
    return 0;
}

#endif
