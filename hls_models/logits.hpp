// Logit buffer: holds the head's output until the program has ended; mirrors rtl/logits.py and sim/golden/head.py.
#ifndef SIEVIT_LOGITS_HPP
#define SIEVIT_LOGITS_HPP

#include <hls_stream.h>

#include "types.hpp"

namespace sievit {

typedef Word<16 * BLOCK> LogitWord;

template <class P> struct Logits {
    Int<16> word[P::CLASS_COLUMNS][BLOCK];
    int words;  // the highest column written, and one

    void write(int column, const Int<16> y[BLOCK]) {
#pragma HLS INLINE
    lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            word[column][lane] = y[lane];
        }
        if (column >= words) words = column + 1;
    }

    // Hand over all words, their number first.
    void send(hls::stream<LogitWord> &out) const {
        LogitWord count = {{uint64_t(words), 0, 0, 0}};
        out.write(count);
    send_words:
        for (int column = 0; column < words; ++column) {
#pragma HLS PIPELINE II=1
            LogitWord packed = {{0, 0, 0, 0}};
        pack:
            for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
                const uint64_t bits = static_cast<uint16_t>(int(word[column][lane]));
                packed.part[lane / 4] |= bits << (16 * (lane % 4));
            }
            out.write(packed);
        }
    }
};

}  // namespace sievit

#endif
