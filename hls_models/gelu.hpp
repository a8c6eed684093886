// GELU as a table (docs/numerics.md section 6); mirrors sim/golden/gelu.py and rtl/gelu.py.
#ifndef SIEVIT_GELU_HPP
#define SIEVIT_GELU_HPP

#include "types.hpp"

namespace sievit {

// 256 bytes that `READERS` read in the same cycle.
template <int READERS> struct ByteTable {
    static constexpr int COPIES = table_copies(READERS);
    Uint<8> entry[COPIES][256];

    void write(int address, Uint<8> value) {
#pragma HLS INLINE
    copies:
        for (int copy = 0; copy < COPIES; ++copy) {
#pragma HLS UNROLL
            entry[copy][address] = value;
        }
    }
    Uint<8> read(int reader, int address) const {
#pragma HLS INLINE
        return entry[reader % COPIES][address];
    }
};

// table[code + 128].
template <int READERS> inline Uint<8> gelu(const ByteTable<READERS> &table, int reader, Int<8> code) {
#pragma HLS INLINE
    return table.read(reader, int(code) + 128);
}

}  // namespace sievit

#endif
