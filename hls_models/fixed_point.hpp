// Rounding, saturation and normalisation that units share; mirrors rtl/fixed_point.py.
#ifndef SIEVIT_FIXED_POINT_HPP
#define SIEVIT_FIXED_POINT_HPP

#include "types.hpp"

namespace sievit {

// (x + 2^(shift-1)) >> shift, shift at least 1, in W bits.
template <int W> inline Int<W> rounded_shift(Int<W> x, int shift) {
#pragma HLS INLINE
    const Int<W> half = Int<W>(1) << (shift - 1);
    return Int<W>(x + half) >> shift;
}

// Clamp to BITS bits of two's complement; 8 bits are symmetric, -127..127.
template <int BITS, int W> inline Int<BITS> saturate(Int<W> x) {
#pragma HLS INLINE
    const Int<W> high = (int32_t(1) << (BITS - 1)) - 1;
    const Int<W> low = BITS == 8 ? -127 : -(int32_t(1) << (BITS - 1));
    Int<W> y = x;
    if (y > high) y = high;
    if (y < low) y = low;
    return Int<BITS>(y);
}

// Bits of a positive integer.
inline int bit_length(uint64_t x) {
#pragma HLS INLINE
    return 64 - __builtin_clzll(x);
}

}  // namespace sievit

#endif
