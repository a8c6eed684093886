// Activation memories X (layer-norm output), A (patches, queries, context, hidden) and S (scores); mirrors rtl/banks.py.
#ifndef SIEVIT_BANKS_HPP
#define SIEVIT_BANKS_HPP

#include "types.hpp"

namespace sievit {

// What a slot reads: from each bank one column at most, or the compiler would not have put its blocks together.
template <class P> struct BankPlan {
    bool used[P::BANKS];
    int row[P::BANKS];

    void clear() {
#pragma HLS INLINE
    clear_banks:
        for (int bank = 0; bank < P::BANKS; ++bank) {
#pragma HLS UNROLL
            used[bank] = false;
        }
    }
    void want(int column) {
#pragma HLS INLINE
        used[column % P::BANKS] = true;
        row[column % P::BANKS] = column / P::BANKS;
    }
};

// One word of every bank.
template <class P> struct BankWords {
    Int<8> lane[P::BANKS][BLOCK];
};

// Words of 16 codes. Column c is row c div banks of bank c mod banks.
template <class P, int COLUMNS> struct Banks {
    Int<8> word[P::BANKS][COLUMNS / P::BANKS][P::MAX_TOKENS][BLOCK];

    // All banks at once; clusters choose among them.
    void read(const BankPlan<P> &plan, int token, BankWords<P> &words) const {
#pragma HLS INLINE
    read_banks:
        for (int bank = 0; bank < P::BANKS; ++bank) {
#pragma HLS UNROLL
            if (!plan.used[bank]) continue;
        read_lanes:
            for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
                words.lane[bank][lane] = word[bank][plan.row[bank]][token][lane];
            }
        }
    }

    void write(int column, int token, const Int<8> codes[BLOCK]) {
#pragma HLS INLINE
    write_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            word[column % P::BANKS][column / P::BANKS][token][lane] = codes[lane];
        }
    }
};

}  // namespace sievit

#endif
