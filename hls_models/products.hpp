// The multipliers of a cluster: a 16x16 weight block times sixteen codes.
#ifndef SIEVIT_PRODUCTS_HPP
#define SIEVIT_PRODUCTS_HPP

#include "types.hpp"

// A native compiler does not find the processor's instruction for sums of two products by itself.
#if defined(__AVX2__) && !defined(SIEVIT_AP_INT) && !defined(SIEVIT_CHECKED)
#define SIEVIT_AVX2
#include <immintrin.h>
#endif

namespace sievit {

// One token on its way into a cluster: int8 or uint8 codes.
struct alignas(32) Codes {
    Reg<9> lane[BLOCK];
};

#ifdef SIEVIT_AVX2

// As below, for processors with AVX2. tests/hls compares the two.
class Weights {
  public:
    void set(int input, int output, Int<8> code) { pair_[input / 2][output][input % 2] = code; }

    void multiply(const Codes &codes, Int<32> total[BLOCK]) const {
        __m256i low = _mm256_setzero_si256(), high = low;
        for (int pair = 0; pair < BLOCK / 2; ++pair) {
            int32_t two;
            __builtin_memcpy(&two, codes.lane + 2 * pair, sizeof two);
            const __m256i moving = _mm256_set1_epi32(two);
            const __m256i *stationary = reinterpret_cast<const __m256i *>(pair_[pair]);
            low = _mm256_add_epi32(low, _mm256_madd_epi16(moving, _mm256_load_si256(stationary)));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(moving, _mm256_load_si256(stationary + 1)));
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(total), low);
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(total + BLOCK / 2), high);
    }

  private:
    alignas(32) int16_t pair_[BLOCK / 2][BLOCK][2];
};

#else

class Weights {
  public:
    void set(int input, int output, Int<8> code) {
#pragma HLS INLINE
        weight_[input][output] = code;
    }

    // total[output] = sum over inputs of codes[input] * weight[input][output].
    void multiply(const Codes &codes, Int<32> total[BLOCK]) const {
#pragma HLS INLINE
    clear:
        for (int output = 0; output < BLOCK; ++output) {
#pragma HLS UNROLL
            total[output] = 0;
        }
    // Unrolled like this, a native compiler keeps the sums in a vector register.
    inputs:
#pragma GCC unroll 16
        for (int input = 0; input < BLOCK; ++input) {
#pragma HLS UNROLL
        outputs:
#pragma GCC unroll 1
            for (int output = 0; output < BLOCK; ++output) {
#pragma HLS UNROLL
                total[output] += codes.lane[input] * weight_[input][output];
            }
        }
    }

  private:
    Reg<8> weight_[BLOCK][BLOCK];
};

#endif

}  // namespace sievit

#endif
