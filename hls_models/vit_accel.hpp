// Top function of the accelerator.
#ifndef SIEVIT_VIT_ACCEL_HPP
#define SIEVIT_VIT_ACCEL_HPP

#include "core.hpp"
#include "params.hpp"

namespace sievit {

typedef Word<Params::STREAM_BITS> StreamWord;

// What the array `status` of the top function holds: tokens alive after each drop, and then (registers.py):
enum StatusWord {
    STATUS_TOKENS_KEPT = 0,
    STATUS_ERROR = TOKENS_KEPT_ENTRIES,
    STATUS_STEP,
    STATUS_SLOTS,
    STATUS_TOKENS,
    STATUS_IMAGES_DONE,
    STATUS_CONFIG_HASH,
    STATUS_WORDS,
};

}  // namespace sievit

// Run `images` images through a program.
//
// program        stream of a compiled program, `program_words` words
// image          image buffers, `image_stride` bytes apart (a multiple of a stream word)
// output         output buffers, `output_stride` bytes apart (a multiple of 32)
// images         0 and 1 both mean one
// status         see StatusWord: error code, step and slots of the last image, its token counts, complete outputs
extern "C" void vit_accel(const sievit::StreamWord *program, const sievit::StreamWord *image,
                          sievit::LogitWord *output, uint32_t program_words, uint32_t images, uint32_t image_stride,
                          uint32_t output_stride, uint32_t status[sievit::STATUS_WORDS]);

#endif
