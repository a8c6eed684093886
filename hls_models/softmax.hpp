// Softmax without a division per element (docs/numerics.md section 4); mirrors sim/golden/softmax.py and rtl/softmax.py.
//
// The exponentials are multiplied with V first, and every row of the result is divided once (FlashAttention, Dao et al.
// 2022, section 3.1).
#ifndef SIEVIT_SOFTMAX_HPP
#define SIEVIT_SOFTMAX_HPP

#include "fixed_point.hpp"
#include "gelu.hpp"

namespace sievit {

constexpr int ROW_SUM_BITS = 17;
constexpr int RECIP_ONE = 31;
constexpr int CONTEXT_FRACTION = 8;

// 1 / R is about mant * 2^-(31 + exp).
struct Reciprocal {
    Uint<16> mant;
    Int<5> exp;
};

// table[row_max - score]; row_max is not below the score.
template <int READERS>
inline Uint<8> exponential(const ByteTable<READERS> &table, int reader, Int<8> row_max, Int<8> score) {
#pragma HLS INLINE
    return table.read(reader, (int(row_max) - int(score)) & 255);
}

// Mantissa and exponent of 1 / total, total 1 .. 2^17 - 1.
inline Reciprocal reciprocal(Uint<ROW_SUM_BITS> total) {
#pragma HLS INLINE
    // No row of a sound program has a sum of 0; a damaged one shall not divide by it.
    const uint32_t sum = total == 0 ? uint32_t(1) : uint32_t(total);
    const int exp = bit_length(sum) - 16;
    const uint32_t normalised = exp >= 0 ? sum >> exp : sum << -exp;
    const uint32_t quotient = (uint32_t(1) << RECIP_ONE) / normalised;
    Reciprocal result;
    result.mant = quotient > 65535 ? 65535 : quotient;
    result.exp = exp;
    return result;
}

// rnd(acc * mant, 23 + exp): context in value codes with 8 fraction bits.
inline Int<18> normalise(Int<32> acc, Reciprocal recip) {
#pragma HLS INLINE
    const Int<42> product = Int<42>(acc) * Int<42>(recip.mant);
    return Int<18>(rounded_shift<42>(product, RECIP_ONE - CONTEXT_FRACTION + int(recip.exp)));
}

}  // namespace sievit

#endif
