// MAC cluster: a stationary 16x16 weight block, one token per cycle streamed through it; mirrors sim/golden/cluster.py
// and rtl/cluster.py.
#ifndef SIEVIT_CLUSTER_HPP
#define SIEVIT_CLUSTER_HPP

#include "products.hpp"
#include "softmax.hpp"

namespace sievit {

// 256 MACs with accumulators for every token. A 17th lane sums the streamed codes: for exponentials it is the row sum
// of the softmax. The shadow weights are loaded while the weights are in use.
template <class P> struct Cluster {
    Weights shadow;
    Weights weight;
    Int<32> acc[P::MAX_TOKENS][BLOCK];
    Uint<ROW_SUM_BITS> row_sum[P::MAX_TOKENS];

    // Row `row` of a block: the weights of an output channel, or with `transposed` (values) of an input channel.
    void load(int row, const Int<8> codes[BLOCK], bool transposed) {
#pragma HLS INLINE
    load_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            if (transposed) {
                shadow.set(row, lane, codes[lane]);
            } else {
                shadow.set(lane, row, codes[lane]);
            }
        }
    }

    // The loaded block becomes the one in use.
    void activate() {
#pragma HLS INLINE
        weight = shadow;
    }

    // One token: 256 products; `fresh` overwrites the sums.
    void multiply(const Codes &codes, int token, bool fresh) {
#pragma HLS INLINE
        Int<32> total[BLOCK];
#pragma HLS ARRAY_PARTITION variable=total complete
        weight.multiply(codes, total);
    accumulate:
        for (int output = 0; output < BLOCK; ++output) {
#pragma HLS UNROLL
            const Int<32> before = fresh ? Int<32>(0) : acc[token][output];
            acc[token][output] = before + total[output];
        }
    }

    // The 17th lane, of exponentials.
    void sum(const Codes &codes, int token, bool fresh) {
#pragma HLS INLINE
        int32_t total = fresh ? 0 : int32_t(row_sum[token]);
    sum_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            total += int32_t(codes.lane[lane]);
        }
        row_sum[token] = total;
    }
};

}  // namespace sievit

#endif
