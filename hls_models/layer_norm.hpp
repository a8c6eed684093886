// Layer norm with one inverse square root per token (docs/numerics.md section 3); mirrors sim/golden/layer_norm.py and
// rtl/layer_norm.py.
#ifndef SIEVIT_LAYER_NORM_HPP
#define SIEVIT_LAYER_NORM_HPP

#include "fixed_point.hpp"
#include "format.hpp"

namespace sievit {

constexpr int S1_BITS = 27;
constexpr int S2_BITS = 42;

// Sum and sum of squares of a token.
struct Statistics {
    Int<S1_BITS> s1;
    Uint<S2_BITS> s2;
};

// What the normalising pass has to know of a token: 1 / sqrt(v) is about mant * 2^-(23 + exp).
struct Scale {
    Int<S1_BITS> s1;
    Uint<16> mant;
    Int<6> exp;
};

// Norm parameters of a column.
struct NormParameters {
    Int<16> gamma[BLOCK];
    Int<32> beta[BLOCK];
};

// v = max(D * S2 - S1^2, 1).
inline Uint<52> variance(Statistics sums, int width) {
#pragma HLS INLINE
    const Int<54> square = Int<54>(sums.s1) * Int<54>(sums.s1);
    const Int<54> v = Int<54>(width) * Int<54>(sums.s2) - square;
    return v < 1 ? Uint<52>(1) : Uint<52>(v);
}

// Seed from the table, then one Newton step.
inline Scale rsqrt(Statistics sums, int width) {
#pragma HLS INLINE
    const uint64_t v = uint64_t(variance(sums, width));
    const int exp = (bit_length(v) - 15) >> 1;
    const uint32_t vm = uint32_t(exp >= 0 ? v >> (2 * exp) : v << (-2 * exp));
    const uint32_t seed = RSQRT[(vm >> 8) - RSQRT_INDEX_MIN];
    const uint32_t t = (vm * seed) >> 15;
    const uint32_t u = uint32_t((uint64_t(t) * seed) >> 15);
    const uint64_t root = (uint64_t(seed) * (3 * 65536 - u)) >> 17;
    Scale result;
    result.s1 = sums.s1;
    result.mant = root > 65535 ? uint32_t(65535) : uint32_t(root);
    result.exp = exp;
    return result;
}

// z = sat18(rnd((D*x - S1) * r, 11 + e)), y = sat8(rnd(z * gamma + beta, shift)), of one channel.
inline Int<8> normalize(Int<16> x, Scale scale, int width, Int<16> gamma, Int<32> beta, int shift) {
#pragma HLS INLINE
    const Int<28> centred = Int<28>(width) * Int<28>(x) - Int<28>(scale.s1);
    const Int<46> product = Int<46>(centred) * Int<46>(scale.mant);
    const Int<18> z = saturate<18, 46>(rounded_shift<46>(product, 11 + int(scale.exp)));
    const Int<36> y = Int<36>(z) * Int<36>(gamma) + Int<36>(beta);
    return saturate<8, 36>(rounded_shift<36>(y, shift));
}

}  // namespace sievit

#endif
