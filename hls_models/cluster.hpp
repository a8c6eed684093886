// MAC cluster: a stationary 16x16 weight block, one token per cycle streamed through it; mirrors sim/golden/cluster.py
// and rtl/cluster.py.
#ifndef SIEVIT_CLUSTER_HPP
#define SIEVIT_CLUSTER_HPP

#include "softmax.hpp"

namespace sievit {

// One token on its way into a cluster: int8 or uint8 codes.
struct Codes {
    Reg<9> lane[BLOCK];
};

// 256 MACs with accumulators for every token. A 17th lane sums the streamed codes: for exponentials it is the row sum
// of the softmax. The shadow weights are loaded while the weights are in use.
template <class P> struct Cluster {
    Reg<8> shadow[BLOCK][BLOCK];  // input, output
    Reg<8> weight[BLOCK][BLOCK];
    Int<32> acc[P::MAX_TOKENS][BLOCK];
    Uint<ROW_SUM_BITS> row_sum[P::MAX_TOKENS];

    // Row `row` of a block: the weights of an output channel, or with `transposed` (values) of an input channel.
    void load(int row, const Int<8> codes[BLOCK], bool transposed) {
#pragma HLS INLINE
    load_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            if (transposed) {
                shadow[row][lane] = codes[lane];
            } else {
                shadow[lane][row] = codes[lane];
            }
        }
    }

    // The loaded block becomes the one in use.
    void activate() {
#pragma HLS INLINE
    inputs:
        for (int input = 0; input < BLOCK; ++input) {
#pragma HLS UNROLL
        outputs:
            for (int output = 0; output < BLOCK; ++output) {
#pragma HLS UNROLL
                weight[input][output] = shadow[input][output];
            }
        }
    }

    // One token: 256 products; `fresh` overwrites the sums.
    void multiply(const Codes &codes, int token, bool fresh) {
#pragma HLS INLINE
        Int<32> total[BLOCK];
#pragma HLS ARRAY_PARTITION variable=total complete
        int32_t sum = fresh ? int32_t(0) : int32_t(row_sum[token]);
    begin:
        for (int output = 0; output < BLOCK; ++output) {
#pragma HLS UNROLL
            total[output] = fresh ? Int<32>(0) : acc[token][output];
        }
    // A native compiler keeps the sums in a vector register: the inner loop becomes one instruction.
    products:
#pragma GCC unroll 16
        for (int input = 0; input < BLOCK; ++input) {
#pragma HLS UNROLL
        sums:
#pragma GCC unroll 1
            for (int output = 0; output < BLOCK; ++output) {
#pragma HLS UNROLL
                total[output] += codes.lane[input] * weight[input][output];
            }
        }
    end:
        for (int output = 0; output < BLOCK; ++output) {
#pragma HLS UNROLL
            acc[token][output] = total[output];
        }
    row:
        for (int input = 0; input < BLOCK; ++input) {
#pragma HLS UNROLL
            sum += codes.lane[input];
        }
        // Sums of other codes than exponentials do not fit, and are not used.
        row_sum[token] = sum & ((1 << ROW_SUM_BITS) - 1);
    }
};

}  // namespace sievit

#endif
