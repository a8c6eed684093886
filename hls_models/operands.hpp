// Words of the running slot become 9-bit codes at the clusters; scores become exponentials on the way; mirrors
// rtl/operands.py.
#ifndef SIEVIT_OPERANDS_HPP
#define SIEVIT_OPERANDS_HPP

#include "banks.hpp"
#include "cluster.hpp"
#include "packets.hpp"
#include "row_max.hpp"
#include "softmax.hpp"
#include "token_drop.hpp"

namespace sievit {

template <class P> struct Operands {
    Banks<P, P::X_COLUMNS> x;
    Banks<P, P::ACT_COLUMNS> a;
    Banks<P, P::SCORE_COLUMNS> s;
    RowMax<P> row_max;
    ByteTable<P::GROUPS * P::CLUSTERS * BLOCK> exponentials;

    // Words of a token in the banks that the step streams from.
    void read(const Step &step, const BankPlan<P> &plan, int token, BankWords<P> &words) const {
#pragma HLS INLINE
        if (step.source == SOURCE_S) {
            s.read(plan, token, words);
        } else if (step.source == SOURCE_X) {
            x.read(plan, token, words);
        } else {
            a.read(plan, token, words);
        }
    }

    // Codes of a token for cluster `number`.
    void fetch(const Step &step, const ClusterEntry &entry, int number, int token, int tokens,
               const BankWords<P> &words, Codes &codes) const {
#pragma HLS INLINE
        const Int<8> *word = words.lane[entry.source_column % P::BANKS];
        if (step.source == SOURCE_S) {
            fetch_scores(entry, (token % P::GROUPS * P::CLUSTERS + number) * BLOCK, token, tokens, word, codes);
        } else {
            convert(word, step.codes_unsigned, codes);
        }
    }

    // Exponentials of the CLS row of a head are kept for token drop.
    static void capture(const ClusterEntry &entry, const Codes &codes, Select<P> &select) {
#pragma HLS INLINE
    capture_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            select.exponential[entry.head][entry.key_block * BLOCK + lane] = int(codes.lane[lane]);
        }
    }

  private:
    static void convert(const Int<8> word[BLOCK], bool codes_unsigned, Codes &codes) {
#pragma HLS INLINE
        if (codes_unsigned) {
        convert_unsigned:
            for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
                codes.lane[lane] = static_cast<uint8_t>(int(word[lane]));
            }
        } else {
        convert_signed:
            for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
                codes.lane[lane] = word[lane];
            }
        }
    }

    // Keys beyond the last token are 0.
    void fetch_scores(const ClusterEntry &entry, int reader, int token, int tokens, const Int<8> score[BLOCK],
                      Codes &codes) const {
#pragma HLS INLINE
        const Int<8> largest = row_max.largest[entry.local_head][token];
        const int keys = tokens - entry.key_block * BLOCK;
    score_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            const Uint<8> value = exponential(exponentials, reader + lane, largest, score[lane]);
            codes.lane[lane] = lane < keys ? int(value) : 0;
        }
    }
};

}  // namespace sievit

#endif
