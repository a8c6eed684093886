// What a native run shows of its inside: every word written to a memory, in the form of the RTL simulation's records.
// Nothing of this is synthesized.
#ifndef SIEVIT_PROBES_HPP
#define SIEVIT_PROBES_HPP

#include "format.hpp"
#include "types.hpp"

#ifndef __SYNTHESIS__
#include <cstring>
#include <vector>
#endif

namespace sievit {

#ifdef __SYNTHESIS__

template <class LANE> inline void probe(int, int, int, int, const LANE *) {}
inline void probe_start(int) {}

#else

// A probe record; `data` holds 16 lanes of 8 or 16 bits, lane 0 first. `cycle` counts records, not clock cycles.
struct Record {
    uint32_t unit, step, column, token;
    uint64_t cycle;
    uint64_t reserved;
    uint8_t data[32];
};

// Where records go; a null pointer records nothing.
inline std::vector<Record> *&probe_sink() {
    static std::vector<Record> *sink = nullptr;
    return sink;
}

inline Record &new_record(int unit, int step, int column, int token) {
    std::vector<Record> &sink = *probe_sink();
    Record record;
    std::memset(&record, 0, sizeof record);
    record.unit = static_cast<uint32_t>(unit);
    record.step = static_cast<uint32_t>(step);
    record.column = static_cast<uint32_t>(column);
    record.token = static_cast<uint32_t>(token);
    record.cycle = sink.size();
    sink.push_back(record);
    return sink.back();
}

inline void set_lane(Record &record, int lane, Int<8> value) { record.data[lane] = static_cast<uint8_t>(int(value)); }
inline void set_lane(Record &record, int lane, Int<16> value) {
    record.data[2 * lane] = static_cast<uint8_t>(int(value) & 255);
    record.data[2 * lane + 1] = static_cast<uint8_t>((int(value) >> 8) & 255);
}

// A word of 16 lanes was written.
template <class LANE> inline void probe(int unit, int step, int column, int token, const LANE *lanes) {
    if (probe_sink() == nullptr) return;
    Record &record = new_record(unit, step, column, token);
    for (int lane = 0; lane < BLOCK; ++lane) set_lane(record, lane, lanes[lane]);
}

// A step starts.
inline void probe_start(int step) {
    if (probe_sink() != nullptr) new_record(PROBE_START, step, 0, 0);
}

#endif

}  // namespace sievit

#endif
