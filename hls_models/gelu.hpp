// GELU as a table (docs/numerics.md section 6); mirrors sim/golden/gelu.py and rtl/gelu.py.
#ifndef SIEVIT_GELU_HPP
#define SIEVIT_GELU_HPP

#include "types.hpp"

namespace sievit {

// 256 bytes that all lanes read in the same cycle.
struct ByteTable {
    Uint<8> entry[TABLE_COPIES][256];

    void write(int address, Uint<8> value) {
#pragma HLS INLINE
    copies:
        for (int copy = 0; copy < TABLE_COPIES; ++copy) {
#pragma HLS UNROLL
            entry[copy][address] = value;
        }
    }
    Uint<8> read(int lane, int address) const {
#pragma HLS INLINE
        return entry[lane % TABLE_COPIES][address];
    }
};

// table[code + 128].
inline Uint<8> gelu(const ByteTable &table, int lane, Int<8> code) {
#pragma HLS INLINE
    return table.read(lane, int(code) + 128);
}

}  // namespace sievit

#endif
