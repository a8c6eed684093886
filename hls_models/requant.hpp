// Requantizer (docs/numerics.md section 1); mirrors sim/golden/requant.py and rtl/requant.py.
#ifndef SIEVIT_REQUANT_HPP
#define SIEVIT_REQUANT_HPP

#include "fixed_point.hpp"

namespace sievit {

// Requantizer parameters of a column: 16 channels.
struct ColumnParameters {
    Int<32> bias[BLOCK];
    Uint<16> mult[BLOCK];
};

// rnd((acc + bias) * mult, shift), before saturation. |acc| and |bias| are below 2^30.
inline Int<49> scaled(Int<32> acc, Int<32> bias, Uint<16> mult, int shift) {
#pragma HLS INLINE
    const Int<32> sum = acc + bias;
    return rounded_shift<49>(Int<49>(sum) * Int<49>(mult), shift);
}

// Sixteen channels of a token, saturated to 16 bits (`wide`) or 8.
inline void requant(const Int<32> acc[BLOCK], const ColumnParameters &parameters, int shift, bool wide,
                    Int<16> out[BLOCK]) {
#pragma HLS INLINE
lanes:
    for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
        const Int<49> y = scaled(acc[lane], parameters.bias[lane], parameters.mult[lane], shift);
        const Int<16> narrow = saturate<8, 49>(y);
        const Int<16> full = saturate<16, 49>(y);
        out[lane] = wide ? full : narrow;
    }
}

}  // namespace sievit

#endif
