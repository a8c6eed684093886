// Drain: what happens to a finished column on its way to memory; mirrors rtl/drain.py.
//
// Sum of two halves, softmax division, requantization, then GELU, score masking, or the residual add.
#ifndef SIEVIT_DRAIN_HPP
#define SIEVIT_DRAIN_HPP

#include "cluster.hpp"
#include "gelu.hpp"
#include "key_value.hpp"
#include "logits.hpp"
#include "operands.hpp"
#include "packets.hpp"
#include "requant.hpp"
#include "residual.hpp"

namespace sievit {

constexpr int SCORE_MASKED = -128;

template <class P> struct Drain {
    ByteTable<P::GROUPS * BLOCK> gelu_table;

    // One row of the draining column.
    void row(const Step &step, const Slot<P> &slot, const ColumnParameters &parameters, int token, int tokens,
             bool first_column, const Cluster<P> cluster[P::CLUSTERS], Operands<P> &operands, KeyValue<P> &key_value,
             Residual<P> &residual, Logits<P> &logits, Select<P> &select) const {
#pragma HLS INLINE
        Int<32> acc[BLOCK];
        Int<16> y[BLOCK];
#pragma HLS ARRAY_PARTITION variable=acc complete
#pragma HLS ARRAY_PARTITION variable=y complete
        sums(slot, token, cluster, acc);
        if (step.post == POST_CONTEXT) divide(slot, token, cluster, acc, select);
        requant(acc, parameters, step.shift, step.post == POST_RESIDUAL || step.post == POST_LOGIT, y);
        if (step.post == POST_RESIDUAL) {
            const TokenPlace stays = {true, Uint<9>(token), Uint<16>(0)};
            const bool moves = step.drop != DROP_NONE && select.dropping;
            residual.add(slot.dest_column, token, y, moves ? select.place[token] : stays, first_column,
                         slot.stats_last, step.width, step.index);
        } else if (step.post == POST_LOGIT) {
            if (token == 0) logits.write(slot.dest_column, y);
            probe(PROBE_L, step.index, slot.dest_column, token, y);
        } else {
            codes(step, slot, token, tokens, y, operands, key_value);
        }
    }

  private:
    // The draining cluster's sums, with those of the cluster that has the column's other half.
    static void sums(const Slot<P> &slot, int token, const Cluster<P> cluster[P::CLUSTERS], Int<32> acc[BLOCK]) {
#pragma HLS INLINE
    sum_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            acc[lane] = cluster[slot.drain_cluster].acc[token][lane];
        }
        if (!slot.merge) return;
    merge_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            acc[lane] += cluster[slot.merge_cluster].acc[token][lane];
        }
    }

    // Softmax division of a context row by the sum of its exponentials.
    static void divide(const Slot<P> &slot, int token, const Cluster<P> cluster[P::CLUSTERS], Int<32> acc[BLOCK],
                       Select<P> &select) {
#pragma HLS INLINE
        uint32_t total = uint32_t(cluster[slot.drain_cluster].row_sum[token]);
        if (slot.merge) total += uint32_t(cluster[slot.merge_cluster].row_sum[token]);
        const Reciprocal recip = reciprocal(total);
        if (token == 0 && slot.capture) select.recip[slot.head] = recip;
    divide_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            acc[lane] = normalise(acc[lane], recip);
        }
    }

    // Columns of int8 or uint8 codes.
    void codes(const Step &step, const Slot<P> &slot, int token, int tokens, const Int<16> y[BLOCK],
               Operands<P> &operands, KeyValue<P> &key_value) const {
#pragma HLS INLINE
        Int<8> word[BLOCK];
#pragma HLS ARRAY_PARTITION variable=word complete
        const int keys = tokens - slot.key_block * BLOCK;
    code_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            int value = int(y[lane]);
            if (step.post == POST_GELU) {
                value = to_signed(gelu(gelu_table, token % P::GROUPS * BLOCK + lane, Int<8>(value)));
            } else if (step.post == POST_SCORE && lane >= keys) {
                value = SCORE_MASKED;
            }
            word[lane] = value;
        }
        if (step.post == POST_SCORE) {
            operands.s.write(slot.dest_column, token, word);
            operands.row_max.update(slot.local_head, token, !operands.row_max.seen[slot.local_head], word);
            probe(PROBE_S, step.index, slot.dest_column, token, word);
        } else if (slot.dest == DEST_KV) {
            key_value.write(slot.dest_column, token, word);
            probe(PROBE_KV, step.index, slot.dest_column, token, word);
        } else {
            operands.a.write(slot.dest_column, token, word);
            probe(PROBE_A, step.index, slot.dest_column, token, word);
        }
    }

    // The bits of an unsigned byte.
    static int to_signed(Uint<8> value) {
#pragma HLS INLINE
        const int bits = int(value);
        return bits < 128 ? bits : bits - 256;
    }
};

}  // namespace sievit

#endif
