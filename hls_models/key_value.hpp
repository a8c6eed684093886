// Keys and values as stationary blocks; mirrors rtl/key_value.py.
#ifndef SIEVIT_KEY_VALUE_HPP
#define SIEVIT_KEY_VALUE_HPP

#include "types.hpp"

namespace sievit {

template <class P> struct KeyValue {
    Int<8> word[P::KV_COLUMNS][P::MAX_TOKENS][BLOCK];

    void write(int column, int token, const Int<8> codes[BLOCK]) {
#pragma HLS INLINE
    write_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            word[column][token][lane] = codes[lane];
        }
    }

    // Rows of the tile of 16 tokens that go into the clusters in one cycle: as many as a stream word has.
    void read(int column, int key_block, int part, Int<8> rows[P::ROWS_PER_WORD][BLOCK]) const {
#pragma HLS INLINE
    tile_rows:
        for (int row = 0; row < P::ROWS_PER_WORD; ++row) {
#pragma HLS UNROLL
        lanes:
            for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
                rows[row][lane] = word[column][key_block * BLOCK + part * P::ROWS_PER_WORD + row][lane];
            }
        }
    }
};

}  // namespace sievit

#endif
