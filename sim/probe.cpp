// Record writer of probe.sv. All probe points of a simulation share one buffered file, in order of time.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "svdpi.h"

namespace {

// The layout that sim/probes.py reads.
struct Record {
    uint32_t unit, step, column, token;
    uint64_t cycle;
    uint8_t reserved[8];
    uint8_t data[32];
};
static_assert(sizeof(Record) == 64, "probe records are 64 bytes");

constexpr size_t kBuffer = size_t{1} << 20;
std::FILE* file = nullptr;

void fail(const char* what) {
    std::fprintf(stderr, "%%Error: probe: cannot %s the record file\n", what);
    std::exit(1);
}

}  // namespace

extern "C" void sievit_probe_open(const char* name) {
    if (file != nullptr) return;
    file = std::fopen(name, "wb");
    if (file == nullptr) fail("open");
    std::setvbuf(file, nullptr, _IOFBF, kBuffer);
}

extern "C" void sievit_probe_record(int unit, int step, int column, int token, int64_t cycle, const svBitVecVal* data) {
    Record record{uint32_t(unit), uint32_t(step), uint32_t(column), uint32_t(token), uint64_t(cycle), {}, {}};
    std::memcpy(record.data, data, sizeof record.data);
    if (std::fwrite(&record, sizeof record, 1, file) != 1) fail("write");
}

extern "C" void sievit_probe_close() {
    if (file == nullptr) return;
    const bool failed = std::fclose(file) != 0;
    file = nullptr;
    if (failed) fail("close");
}
