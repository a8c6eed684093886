// The accelerator as one function: programs and images come from memory, logits go there.
//
// Four processes run at the same time, with streams between them: program and image are read ahead while the core works,
// and the output of one image is written during the next one.
#include "vit_accel.hpp"

#include "program_store.hpp"

namespace sievit {
namespace {

void fetch_program(const StreamWord *memory, uint32_t words, bool resident, uint32_t images,
                   hls::stream<StreamWord> &program) {
    static ProgramStore<Params> store;
    store.send(memory, words, resident, images, program);
}

void fetch_images(const StreamWord *memory, uint32_t words, uint32_t stride, uint32_t images,
                  hls::stream<StreamWord> &image) {
fetch_each:
    for (uint32_t number = 0; number < images; ++number) {
    image_words:
        for (uint32_t index = 0; index < words; ++index) {
#pragma HLS PIPELINE II=1
            image.write(memory[number * (stride / Params::STREAM_BYTES) + index]);
        }
    }
}

void report(const Status &status, uint32_t images_done, uint32_t words[STATUS_WORDS]) {
    words[STATUS_ERROR] = status.error;
    words[STATUS_STEP] = status.step;
    words[STATUS_SLOTS] = status.slots;
    words[STATUS_TOKENS] = status.tokens;
    words[STATUS_IMAGES_DONE] = images_done;
    words[STATUS_CONFIG_HASH] = Params::CONFIG_HASH;
report_kept:
    for (int entry = 0; entry < TOKENS_KEPT_ENTRIES; ++entry) {
        words[STATUS_TOKENS_KEPT + entry] = status.tokens_kept[entry];
    }
}

void execute(const Hello &hello, uint32_t images, hls::stream<StreamWord> &program, hls::stream<StreamWord> &image,
             hls::stream<LogitWord> &logits, uint32_t status[STATUS_WORDS]) {
    static Core<Params> core;
#pragma HLS ARRAY_PARTITION variable=core.cluster complete
#pragma HLS ARRAY_PARTITION variable=core.cluster.shadow.weight_ complete dim=0
#pragma HLS ARRAY_PARTITION variable=core.cluster.weight.weight_ complete dim=0
#pragma HLS ARRAY_RESHAPE variable=core.cluster.acc complete dim=2
#pragma HLS ARRAY_PARTITION variable=core.cluster.acc cyclic factor=Params::GROUPS dim=1
#pragma HLS ARRAY_PARTITION variable=core.cluster.row_sum cyclic factor=Params::GROUPS dim=1
#pragma HLS ARRAY_RESHAPE variable=core.operands.x.word complete dim=4
#pragma HLS ARRAY_PARTITION variable=core.operands.x.word complete dim=1
#pragma HLS ARRAY_PARTITION variable=core.operands.x.word cyclic factor=Params::GROUPS dim=3
#pragma HLS ARRAY_RESHAPE variable=core.operands.a.word complete dim=4
#pragma HLS ARRAY_PARTITION variable=core.operands.a.word complete dim=1
#pragma HLS ARRAY_PARTITION variable=core.operands.a.word cyclic factor=Params::GROUPS dim=3
#pragma HLS ARRAY_RESHAPE variable=core.operands.s.word complete dim=4
#pragma HLS ARRAY_PARTITION variable=core.operands.s.word complete dim=1
#pragma HLS ARRAY_PARTITION variable=core.operands.s.word cyclic factor=Params::GROUPS dim=3
#pragma HLS ARRAY_PARTITION variable=core.operands.row_max.largest cyclic factor=Params::GROUPS dim=2
#pragma HLS ARRAY_PARTITION variable=core.operands.exponentials.entry complete dim=1
#pragma HLS ARRAY_PARTITION variable=core.drain.gelu_table.entry complete dim=1
#pragma HLS ARRAY_RESHAPE variable=core.key_value.word complete dim=3
#pragma HLS ARRAY_PARTITION variable=core.key_value.word cyclic factor=Params::TOKEN_BANKS dim=2
#pragma HLS ARRAY_RESHAPE variable=core.residual.word complete dim=3
#pragma HLS ARRAY_PARTITION variable=core.residual.word cyclic factor=Params::GROUPS dim=2
#pragma HLS ARRAY_PARTITION variable=core.residual.sums cyclic factor=Params::GROUPS
#pragma HLS ARRAY_PARTITION variable=core.residual.scale cyclic factor=Params::GROUPS
#pragma HLS ARRAY_PARTITION variable=core.residual.fuse.total complete
#pragma HLS ARRAY_RESHAPE variable=core.norm_pass.parameters.gamma complete dim=2
#pragma HLS ARRAY_RESHAPE variable=core.norm_pass.parameters.beta complete dim=2
#pragma HLS ARRAY_PARTITION variable=core.select.exponential cyclic factor=16 dim=2
#pragma HLS ARRAY_PARTITION variable=core.select.score cyclic factor=16
#pragma HLS ARRAY_PARTITION variable=core.select.place cyclic factor=Params::GROUPS
#pragma HLS ARRAY_RESHAPE variable=core.logits.word complete dim=2
    uint32_t done = 0;
    bool going = true;
execute_images:
    for (uint32_t number = 0; number < images; ++number) {
        if (going) {
            core.run(hello, program, image);
            core.logits.send(logits);
            going = core.status.error == ERROR_NONE;
            done += going;
        } else {
            core.discard(hello, program, image);
            core.logits.send(logits);
        }
    }
    report(core.status, done, status);
}

void store_logits(hls::stream<LogitWord> &logits, uint32_t stride, uint32_t images, LogitWord *memory) {
store_each:
    for (uint32_t number = 0; number < images; ++number) {
        const uint32_t words = static_cast<uint32_t>(logits.read().part[0]);
    logit_words:
        for (uint32_t index = 0; index < words; ++index) {
#pragma HLS PIPELINE II=1
            memory[number * (stride / sizeof(LogitWord)) + index] = logits.read();
        }
    }
}

void run_images(const StreamWord *program_memory, const StreamWord *image_memory, LogitWord *output,
                const Hello &hello, uint32_t images, uint32_t image_stride, uint32_t output_stride,
                uint32_t status[STATUS_WORDS]) {
#pragma HLS DATAFLOW
    hls::stream<StreamWord> program("program");
    hls::stream<StreamWord> image("image");
    hls::stream<LogitWord> logits("logits");
#pragma HLS STREAM variable=program depth=Params::FIFO_WORDS
#pragma HLS STREAM variable=image depth=Params::IMAGE_FIFO_WORDS
#pragma HLS STREAM variable=logits depth=Params::LOGIT_FIFO_WORDS
    fetch_program(program_memory, hello.words, hello.resident, images, program);
    fetch_images(image_memory, uint32_t(hello.image_tokens) * uint32_t(hello.image_words), image_stride, images,
                 image);
    execute(hello, images, program, image, logits, status);
    store_logits(logits, output_stride, images, output);
}

// The checks that the hardware makes before it runs a program.
int check(const Hello &hello, uint32_t program_words) {
    if (hello.kind != KIND_HELLO || hello.magic != MAGIC) return ERROR_BAD_MAGIC;
    if (hello.version != VERSION) return ERROR_BAD_VERSION;
    if (hello.config_hash != Params::CONFIG_HASH) return ERROR_CONFIG_MISMATCH;
    if (hello.image_tokens > Params::MAX_TOKENS) return ERROR_TOO_MANY_TOKENS;
    // The end of the program would never come.
    if (hello.words > program_words) return ERROR_WATCHDOG;
    if (hello.resident && hello.words > uint32_t(Params::RESIDENT_WORDS)) return ERROR_BAD_PACKET;
    return ERROR_NONE;
}

}  // namespace
}  // namespace sievit

extern "C" void vit_accel(const sievit::StreamWord *program, const sievit::StreamWord *image,
                          sievit::LogitWord *output, uint32_t program_words, uint32_t images, uint32_t image_stride,
                          uint32_t output_stride, uint32_t status[sievit::STATUS_WORDS]) {
#pragma HLS INTERFACE m_axi port=program bundle=gmem0 offset=slave depth=sievit::Params::PROGRAM_DEPTH max_read_burst_length=64
#pragma HLS INTERFACE m_axi port=image bundle=gmem1 offset=slave depth=sievit::Params::IMAGE_DEPTH max_read_burst_length=64
#pragma HLS INTERFACE m_axi port=output bundle=gmem1 offset=slave depth=sievit::Params::OUTPUT_DEPTH max_write_burst_length=64
#ifdef SIEVIT_OFFSETS  // the IP flow; in the kernel flow the tool insists on its own (registers.py)
#pragma HLS INTERFACE s_axilite port=program offset=0x10
#pragma HLS INTERFACE s_axilite port=image offset=0x1c
#pragma HLS INTERFACE s_axilite port=output offset=0x28
#pragma HLS INTERFACE s_axilite port=program_words offset=0x34
#pragma HLS INTERFACE s_axilite port=images offset=0x80
#pragma HLS INTERFACE s_axilite port=image_stride offset=0x90
#pragma HLS INTERFACE s_axilite port=output_stride offset=0x98
#pragma HLS INTERFACE s_axilite port=status offset=0x100
#else
#pragma HLS INTERFACE s_axilite port=program
#pragma HLS INTERFACE s_axilite port=image
#pragma HLS INTERFACE s_axilite port=output
#pragma HLS INTERFACE s_axilite port=program_words
#pragma HLS INTERFACE s_axilite port=images
#pragma HLS INTERFACE s_axilite port=image_stride
#pragma HLS INTERFACE s_axilite port=output_stride
#pragma HLS INTERFACE s_axilite port=status
#endif
#pragma HLS INTERFACE s_axilite port=return
    using namespace sievit;
    const StreamWord first = program[0];
    const Hello hello = parse_hello(first.part);
    const int error = check(hello, program_words);
    if (error != ERROR_NONE) {
        Status failed = {};
        failed.error = error;
        report(failed, 0, status);
        return;
    }
    run_images(program, image, output, hello, images == 0 ? 1 : images, image_stride, output_stride, status);
}
