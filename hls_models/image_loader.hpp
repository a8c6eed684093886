// Image loader: patch codes from the stream into the activation memory, a few columns at a time; mirrors
// rtl/image_loader.py.
#ifndef SIEVIT_IMAGE_LOADER_HPP
#define SIEVIT_IMAGE_LOADER_HPP

#include <hls_stream.h>

#include "operands.hpp"

namespace sievit {

template <class P> struct ImageLoader {
    typedef Word<P::STREAM_BITS> StreamWord;
    int tokens, parts, part;

    void begin(int image_tokens, int words_per_token) {
        tokens = image_tokens;
        parts = words_per_token;
        part = 0;
    }
    bool busy() const { return part < parts; }
    int columns() const { return part * P::ROWS_PER_WORD; }

    // One word: ROWS_PER_WORD columns of a token. Columns of padding do not fit the memory and are left out.
    void row(int token, hls::stream<StreamWord> &image, Operands<P> &operands) const {
#pragma HLS INLINE
        const StreamWord word = image.read();
    columns:
        for (int turn = 0; turn < P::ROWS_PER_WORD; ++turn) {
#pragma HLS UNROLL
            const int column = part * P::ROWS_PER_WORD + turn;
            if (column >= P::ACT_COLUMNS) continue;
            Int<8> codes[BLOCK];
#pragma HLS ARRAY_PARTITION variable=codes complete
        lanes:
            for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
                codes[lane] = word.byte(turn * BLOCK + lane);
            }
            operands.a.write(column, token, codes);
        }
    }
};

}  // namespace sievit

#endif
