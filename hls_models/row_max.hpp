// Running maximum of every attention row; mirrors rtl/row_max.py.
#ifndef SIEVIT_ROW_MAX_HPP
#define SIEVIT_ROW_MAX_HPP

#include "types.hpp"

namespace sievit {

template <class P> struct RowMax {
    Int<8> largest[P::SCORE_HEADS][P::MAX_TOKENS];
    bool seen[P::SCORE_HEADS];  // heads of which a column has drained in this step

    void clear() {
    heads:
        for (int head = 0; head < P::SCORE_HEADS; ++head) {
#pragma HLS UNROLL
            seen[head] = false;
        }
    }

    // Sixteen scores of a token; the first ones of a step overwrite.
    void update(int head, int token, bool first, const Int<8> score[BLOCK]) {
#pragma HLS INLINE
        Int<8> best = first ? score[0] : largest[head][token];
    lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            if (score[lane] > best) best = score[lane];
        }
        largest[head][token] = best;
    }
};

}  // namespace sievit

#endif
