// Residual stream: saturating add, compaction when tokens are dropped, sums for layer norm; mirrors
// sim/golden/residual.py and rtl/residual.py.
#ifndef SIEVIT_RESIDUAL_HPP
#define SIEVIT_RESIDUAL_HPP

#include "layer_norm.hpp"
#include "probes.hpp"
#include "token_drop.hpp"

namespace sievit {

// sat16(x + y).
inline Int<16> residual_add(Int<16> x, Int<16> y) {
#pragma HLS INLINE
    return saturate<16, 18>(Int<18>(x) + Int<18>(y));
}

template <class P> struct Residual {
    Int<16> word[P::RESIDUAL_COLUMNS][P::MAX_TOKENS][BLOCK];
    Statistics sums[P::MAX_TOKENS];
    Scale scale[P::MAX_TOKENS];
    Fuse fuse;

    // Add a finished row of 16 channels. With `place` not to be kept, the row goes into the fused token instead.
    void add(int column, int token, const Int<16> y[BLOCK], TokenPlace place, bool first, bool last, int width,
             int step) {
#pragma HLS INLINE
        Int<16> x[BLOCK];
#pragma HLS ARRAY_PARTITION variable=x complete
    add_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            x[lane] = residual_add(word[column][token][lane], y[lane]);
        }
        if (place.keep) {
            store(column, int(place.index), x, first, last, width, step);
        } else {
            fuse.add(x, place.weight);
        }
    }

    // The row of the fused token, after all others.
    void add_fused(int column, int token, bool first, bool last, int width, int step) {
#pragma HLS INLINE
        Int<16> x[BLOCK];
#pragma HLS ARRAY_PARTITION variable=x complete
        fuse.result(x);
        store(column, token, x, first, last, width, step);
    }

  private:
    void store(int column, int token, const Int<16> x[BLOCK], bool first, bool last, int width, int step) {
#pragma HLS INLINE
        Int<S1_BITS> s1 = first ? Int<S1_BITS>(0) : sums[token].s1;
        Uint<S2_BITS> s2 = first ? Uint<S2_BITS>(0) : sums[token].s2;
    store_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            word[column][token][lane] = x[lane];
            s1 += x[lane];
            s2 += Uint<S2_BITS>(int32_t(x[lane]) * int32_t(x[lane]));
        }
        sums[token].s1 = s1;
        sums[token].s2 = s2;
        if (last) scale[token] = rsqrt(sums[token], width);
        probe(PROBE_R, step, column, token, x);
    }
};

}  // namespace sievit

#endif
