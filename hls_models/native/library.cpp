// The accelerator for ctypes: one run, and the records of its probes.
#include <cstdint>
#include <vector>

#include "vit_accel.hpp"

namespace {

std::vector<sievit::Record> records;

}  // namespace

extern "C" {

uint32_t sievit_config_hash() { return sievit::Params::CONFIG_HASH; }
int sievit_status_words() { return sievit::STATUS_WORDS; }
int sievit_record_bytes() { return static_cast<int>(sizeof(sievit::Record)); }

// Run images; with `record` every word that is written to a memory is kept. Returns the error code.
int sievit_run(const uint8_t *program, uint32_t program_words, const uint8_t *image, uint8_t *output, uint32_t images,
               uint32_t image_stride, uint32_t output_stride, uint32_t *status, int record) {
    records.clear();
    sievit::probe_sink() = record != 0 ? &records : nullptr;
    vit_accel(reinterpret_cast<const sievit::StreamWord *>(program),
              reinterpret_cast<const sievit::StreamWord *>(image), reinterpret_cast<sievit::LogitWord *>(output),
              program_words, images, image_stride, output_stride, status);
    sievit::probe_sink() = nullptr;
    return static_cast<int>(status[sievit::STATUS_ERROR]);
}

// Records of the last run; they stay until the next one.
uint64_t sievit_record_count() { return records.size(); }
const sievit::Record *sievit_records() { return records.data(); }
}
