/* See vit_accel.h. */
#include "vit_accel.h"

/* Access to registers: memory-mapped by default; with VIT_MMIO_FUNCTIONS the program defines two functions. */
#if defined(VIT_MMIO_FUNCTIONS)
#ifdef __cplusplus
extern "C" {
#endif
uint32_t vit_read32(void *registers, uint32_t offset);
void vit_write32(void *registers, uint32_t offset, uint32_t value);
#ifdef __cplusplus
}
#endif
#define VIT_READ32(registers, offset) vit_read32(registers, offset)
#define VIT_WRITE32(registers, offset, value) vit_write32(registers, offset, value)
#elif !defined(VIT_READ32)
#define VIT_READ32(registers, offset) (*(volatile uint32_t *)((unsigned char *)(registers) + (offset)))
#define VIT_WRITE32(registers, offset, value) \
    (*(volatile uint32_t *)((unsigned char *)(registers) + (offset)) = (value))
#endif

/* Where the processor caches the memory and the bus is not coherent, define these, for example as
 * Xil_DCacheFlushRange and Xil_DCacheInvalidateRange. */
#ifndef VIT_FLUSH
#define VIT_FLUSH(pointer, bytes) ((void)(pointer), (void)(bytes))
#endif
#ifndef VIT_INVALIDATE
#define VIT_INVALIDATE(pointer, bytes) ((void)(pointer), (void)(bytes))
#endif

/* Memory must be written before the start, and the end be seen before results are read. */
#ifndef VIT_BARRIER
#define VIT_BARRIER() __sync_synchronize()
#endif

#define DEFAULT_TIMEOUT 100000000u
#define REST_POLLS 1000000u
#define LOGITS_PER_WORD 16u

static size_t pages(size_t bytes)
{
    return (bytes + VIT_PAGE_BYTES - 1u) / VIT_PAGE_BYTES * VIT_PAGE_BYTES;
}

static uint32_t get(const struct vit_accel *accel, uint32_t offset)
{
    return VIT_READ32(accel->registers, offset);
}

static void put(const struct vit_accel *accel, uint32_t offset, uint32_t value)
{
    VIT_WRITE32(accel->registers, offset, value);
}

static void put_address(const struct vit_accel *accel, uint32_t low, uint32_t high, size_t at)
{
    const uint64_t address = accel->address + at;

    put(accel, low, (uint32_t)address);
    put(accel, high, (uint32_t)(address >> 32));
}

/* ISR bits are toggled: what is written again would be set. */
static void clear_interrupts(const struct vit_accel *accel)
{
    const uint32_t causes = get(accel, VIT_REG_ISR);

    if (causes != 0u)
        put(accel, VIT_REG_ISR, causes);
}

static int identity(const struct vit_accel *accel)
{
    if (get(accel, VIT_REG_ID) != VIT_ID)
        return VIT_NO_ACCELERATOR;
    if (get(accel, VIT_REG_VERSION) != VIT_VERSION)
        return VIT_WRONG_VERSION;
    if (get(accel, VIT_REG_CONFIG_HASH) != VIT_CONFIG_HASH)
        return VIT_WRONG_CONFIG;
    return VIT_OK;
}

int vit_init(struct vit_accel *accel, void *registers, void *memory, uint64_t address, size_t bytes)
{
    const size_t skip = (size_t)((VIT_PAGE_BYTES - address % VIT_PAGE_BYTES) % VIT_PAGE_BYTES);

    accel->registers = registers;
    accel->clock = NULL;
    accel->clock_context = NULL;
    accel->timeout = DEFAULT_TIMEOUT;
    accel->watchdog = 0;
    accel->program_bytes = 0;
    accel->capacity = 0;
    if (bytes < skip)
        return VIT_NO_MEMORY;
    accel->memory = (unsigned char *)memory + skip;
    accel->address = address + skip;
    accel->bytes = bytes - skip;
    return identity(accel);
}

static uint32_t word_of(const unsigned char *program, uint32_t word)
{
    const unsigned char *at = program + 4u * word;

    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

#define HELLO(program, field) \
    (word_of(program, VIT_HELLO_##field##_WORD) >> VIT_HELLO_##field##_SHIFT & VIT_HELLO_##field##_MASK)

static int check_program(const struct vit_network *network, const unsigned char *program, size_t bytes)
{
    if (bytes < VIT_STREAM_BYTES || HELLO(program, MAGIC) != VIT_PROGRAM_MAGIC)
        return VIT_BAD_PROGRAM;
    if (HELLO(program, VERSION) != VIT_PROGRAM_VERSION)
        return VIT_WRONG_VERSION;
    if (HELLO(program, CONFIG_HASH) != VIT_CONFIG_HASH)
        return VIT_WRONG_CONFIG;
    if (HELLO(program, WORDS) != bytes / VIT_STREAM_BYTES || HELLO(program, IMAGE_TOKENS) != network->tokens ||
        HELLO(program, IMAGE_WORDS) * VIT_STREAM_BYTES < network->patch_inputs)
        return VIT_BAD_PROGRAM;
    return VIT_OK;
}

int vit_load(struct vit_accel *accel, const struct vit_network *network, const void *program, size_t bytes)
{
    const unsigned char *from = (const unsigned char *)program;
    const int status = check_program(network, from, bytes);
    size_t at, left;

    if (status != VIT_OK)
        return status;
    if (accel->bytes < pages(bytes))
        return VIT_NO_MEMORY;
    accel->network = *network;
    accel->image_words = HELLO(from, IMAGE_WORDS);
    accel->image_stride = pages((size_t)network->tokens * accel->image_words * VIT_STREAM_BYTES);
    accel->output_stride = pages((network->classes + LOGITS_PER_WORD - 1u) / LOGITS_PER_WORD * LOGITS_PER_WORD * 2u);
    left = accel->bytes - pages(bytes);
    accel->capacity = (uint32_t)(left / (accel->image_stride + accel->output_stride));
    if (accel->capacity == 0u)
        return VIT_NO_MEMORY;
    accel->images_at = pages(bytes);
    accel->outputs_at = accel->images_at + accel->capacity * accel->image_stride;
    for (at = 0; at < bytes; at++)
        accel->memory[at] = from[at];
    VIT_FLUSH(accel->memory, bytes);
    accel->program_bytes = bytes;
    return VIT_OK;
}

uint32_t vit_capacity(const struct vit_accel *accel)
{
    return accel->capacity;
}

/* Word `part * tokens + token` of an image holds part `part` of a token's patch. */
static size_t place(const struct vit_accel *accel, uint32_t token, uint32_t input)
{
    return ((size_t)(input / VIT_STREAM_BYTES) * accel->network.tokens + token) * VIT_STREAM_BYTES +
           input % VIT_STREAM_BYTES;
}

static unsigned char *cleared_image(struct vit_accel *accel, uint32_t index)
{
    unsigned char *image = accel->memory + accel->images_at + index * accel->image_stride;
    size_t at;

    for (at = 0; at < accel->image_stride; at++)
        image[at] = 0;
    return image;
}

void vit_put_codes(struct vit_accel *accel, uint32_t index, const int8_t *codes)
{
    const struct vit_network *network = &accel->network;
    unsigned char *image = cleared_image(accel, index);
    uint32_t token, input;

    for (token = 0; token < network->tokens; token++)
        for (input = 0; input < network->patch_inputs; input++)
            image[place(accel, token, input)] = (unsigned char)codes[(size_t)token * network->patch_inputs + input];
    VIT_FLUSH(image, accel->image_stride);
}

void vit_put_pixels(struct vit_accel *accel, uint32_t index, const uint8_t *pixels)
{
    const struct vit_network *network = &accel->network;
    const uint32_t patch = network->patch, grid = network->image_size / patch;
    unsigned char *image = cleared_image(accel, index);
    uint32_t x, y, channel;

    for (y = 0; y < grid * patch; y++)
        for (x = 0; x < grid * patch; x++)
            for (channel = 0; channel < 3u; channel++) {
                const uint8_t value = pixels[((size_t)y * network->image_size + x) * 3u + channel];
                const uint32_t token = 1u + y / patch * grid + x / patch;
                const uint32_t input = (channel * patch + y % patch) * patch + x % patch;

                image[place(accel, token, input)] = (unsigned char)network->code_table[channel][value];
            }
    VIT_FLUSH(image, accel->image_stride);
}

int vit_start(struct vit_accel *accel, uint32_t images, int enable_interrupt)
{
    if (accel->program_bytes == 0u)
        return VIT_NO_PROGRAM;
    if (images == 0u || images > accel->capacity)
        return VIT_NO_MEMORY;
    /* Reading CTRL also clears the done flag of the run before. */
    if ((get(accel, VIT_REG_CTRL) & VIT_CTRL_AP_IDLE) == 0u)
        return VIT_BUSY;
    put_address(accel, VIT_REG_PROGRAM_LO, VIT_REG_PROGRAM_HI, 0);
    put_address(accel, VIT_REG_IMAGE_LO, VIT_REG_IMAGE_HI, accel->images_at);
    put_address(accel, VIT_REG_OUTPUT_LO, VIT_REG_OUTPUT_HI, accel->outputs_at);
    put(accel, VIT_REG_PROGRAM_WORDS, (uint32_t)(accel->program_bytes / VIT_STREAM_BYTES));
    put(accel, VIT_REG_WATCHDOG, accel->watchdog);
    put(accel, VIT_REG_IMAGES, images);
    put(accel, VIT_REG_IMAGE_STRIDE, (uint32_t)accel->image_stride);
    put(accel, VIT_REG_OUTPUT_STRIDE, (uint32_t)accel->output_stride);
    clear_interrupts(accel);
    put(accel, VIT_REG_GIER, enable_interrupt ? VIT_GIER_ENABLE : 0u);
    put(accel, VIT_REG_IER, enable_interrupt ? VIT_IER_DONE : 0u);
    VIT_BARRIER();
    put(accel, VIT_REG_CTRL, VIT_CTRL_AP_START);
    return VIT_OK;
}

static int wait_for(struct vit_accel *accel, uint32_t flag, vit_clock clock, uint32_t timeout)
{
    const uint32_t begin = clock != NULL ? clock(accel->clock_context) : 0u;
    uint32_t polls = 0;

    while ((get(accel, VIT_REG_CTRL) & flag) == 0u) {
        const uint32_t passed = clock != NULL ? clock(accel->clock_context) - begin : polls++;

        if (passed >= timeout)
            return VIT_TIMEOUT;
    }
    return VIT_OK;
}

int vit_finish(struct vit_accel *accel)
{
    if (wait_for(accel, VIT_CTRL_AP_DONE, accel->clock, accel->timeout) != VIT_OK)
        return VIT_TIMEOUT;
    clear_interrupts(accel);
    VIT_BARRIER();
    VIT_INVALIDATE(accel->memory + accel->outputs_at, accel->capacity * accel->output_stride);
    return (int)get(accel, VIT_REG_ERROR);
}

int vit_run(struct vit_accel *accel, uint32_t images)
{
    const int status = vit_start(accel, images, 0);

    return status != VIT_OK ? status : vit_finish(accel);
}

int vit_recover(struct vit_accel *accel)
{
    if ((get(accel, VIT_REG_CTRL) & VIT_CTRL_AP_IDLE) == 0u) {
        put(accel, VIT_REG_WATCHDOG, 1u);
        if (wait_for(accel, VIT_CTRL_AP_IDLE, NULL, REST_POLLS) != VIT_OK)
            return VIT_STUCK;
        put(accel, VIT_REG_WATCHDOG, accel->watchdog);
    }
    clear_interrupts(accel);
    return identity(accel);
}

const int16_t *vit_logits(const struct vit_accel *accel, uint32_t index)
{
    return (const int16_t *)(const void *)(accel->memory + accel->outputs_at + index * accel->output_stride);
}

uint32_t vit_best(const struct vit_accel *accel, uint32_t index)
{
    const int16_t *logits = vit_logits(accel, index);
    uint32_t at, best = 0;

    for (at = 1; at < accel->network.classes; at++)
        if (logits[at] > logits[best])
            best = at;
    return best;
}

uint64_t vit_cycles(const struct vit_accel *accel)
{
    const uint32_t low = get(accel, VIT_REG_CYCLES_LO); /* holds the high half for the next read */

    return (uint64_t)get(accel, VIT_REG_CYCLES_HI) << 32 | low;
}

uint32_t vit_tokens_kept(const struct vit_accel *accel, uint32_t drop)
{
    return drop < VIT_TOKENS_KEPT_COUNT ? get(accel, VIT_REG_TOKENS_KEPT + 4u * drop) : 0u;
}

const char *vit_text(int status)
{
    static const char *const hardware[VIT_ERRORS] = VIT_ERROR_TEXTS;
    static const char *const driver[] = {
        "no accelerator at this address, or no bitstream is loaded",
        "bitstream, program and driver have different versions; generate them together",
        "bitstream, program and driver are for different hardware configurations; generate them together",
        "not a program, or it is incomplete or for another network; copy program.bin again",
        "the memory is too small for the program and its images; make the window larger",
        "no program is loaded; call vit_load first",
        "a run is still under way; call vit_recover",
        "the run did not end in time; call vit_recover, or allow more time",
        "the accelerator does not come to rest; load the bitstream again",
    };

    if (status >= 0)
        return status < VIT_ERRORS ? hardware[status] : "unknown hardware error";
    return status >= VIT_STUCK ? driver[-status - 1] : "unknown result";
}
