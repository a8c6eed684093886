// Integers of any width, and the few sizes that every unit knows.
//
// Int<W> and Uint<W> are ap_int<W> and ap_uint<W> for Vitis HLS. A native build takes the machine's own integers, which
// are many times faster; that gives the same results as long as no value leaves its width, which a build with
// SIEVIT_CHECKED verifies at every assignment.
#ifndef SIEVIT_TYPES_HPP
#define SIEVIT_TYPES_HPP

#include <cstdint>

#if defined(__SYNTHESIS__) || defined(__VITIS_HLS__)
#define SIEVIT_AP_INT
#endif

#ifdef SIEVIT_AP_INT
#include <ap_int.h>
#else
#include <cstdio>
#include <cstdlib>
#include <type_traits>
#endif

namespace sievit {

constexpr int BLOCK = 16;  // edge of a weight block, lanes of every datapath

#ifdef SIEVIT_AP_INT

template <int W> using Int = ap_int<W>;
template <int W> using Uint = ap_uint<W>;
template <int W> using Reg = ap_int<W>;

#else

// Smallest machine integer of at least W bits.
template <int W, bool SMALL = (W <= 8), bool HALF = (W <= 16), bool WORD = (W <= 32)> struct Machine {
    static_assert(W <= 63, "no machine integer is as wide");
    typedef int64_t Signed;
    typedef uint64_t Unsigned;
};
template <int W> struct Machine<W, true, true, true> {
    typedef int8_t Signed;
    typedef uint8_t Unsigned;
};
template <int W> struct Machine<W, false, true, true> {
    typedef int16_t Signed;
    typedef uint16_t Unsigned;
};
template <int W> struct Machine<W, false, false, true> {
    typedef int32_t Signed;
    typedef uint32_t Unsigned;
};

#ifdef SIEVIT_CHECKED

// An integer that ends the program when a value does not fit W bits: ap_int would go on with other bits.
template <int W, bool SIGNED> class Checked {
  public:
    Checked() : value_(0) {}
    Checked(int64_t value) : value_(value) {
        const int64_t low = SIGNED ? -(int64_t(1) << (W - 1)) : 0;
        const int64_t high = (int64_t(1) << (SIGNED ? W - 1 : W)) - 1;
        if (value < low || value > high) {
            std::fprintf(stderr, "%lld does not fit %d %s bits\n", static_cast<long long>(value), W,
                         SIGNED ? "signed" : "unsigned");
            std::abort();
        }
    }
    template <int V, bool S> Checked(const Checked<V, S> &other) : Checked(int64_t(other)) {}
    operator int64_t() const { return value_; }
    Checked &operator+=(int64_t other) { return *this = Checked(value_ + other); }

  private:
    // Only as wide as needed, so that arrays of codes are bytes as in the other builds.
    typename std::conditional<SIGNED, typename Machine<W>::Signed, typename Machine<W>::Unsigned>::type value_;
};
template <int W> using Int = Checked<W, true>;
template <int W> using Uint = Checked<W, false>;
template <int W> using Reg = Checked<W, true>;

#else

template <int W> using Int = typename Machine<W>::Signed;
template <int W> using Uint = typename Machine<W>::Unsigned;
// A register of the datapath, not below 16 bits: a register is converted more often than it is stored.
template <int W> using Reg = typename Machine<(W < 16 ? 16 : W)>::Signed;

#endif
#endif

// Copies of a table that so many read in one cycle: a memory has two ports, of which one writes; a cache has no limit.
#ifdef SIEVIT_AP_INT
constexpr int table_copies(int readers) { return readers; }
#else
constexpr int table_copies(int) { return 1; }
#endif

constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

// Words of the program and image streams, and of the output: 64 bits a part, the first lowest.
template <int BITS> struct Word {
    uint64_t part[BITS / 64];

    int8_t byte(int index) const {
#pragma HLS INLINE
        return static_cast<int8_t>(static_cast<uint8_t>(part[index / 8] >> (8 * (index % 8))));
    }
    int16_t half(int index) const {
#pragma HLS INLINE
        return static_cast<int16_t>(static_cast<uint16_t>(part[index / 4] >> (16 * (index % 4))));
    }
    int32_t single(int index) const {
#pragma HLS INLINE
        return static_cast<int32_t>(static_cast<uint32_t>(part[index / 2] >> (32 * (index % 2))));
    }
};

// A field of a packet header.
struct Field {
    int offset;
    int width;
};

// `field`, `shift` bits further up, of a header in parts of 64 bits.
inline uint32_t get(const uint64_t *parts, Field field, int shift = 0) {
#pragma HLS INLINE
    const int offset = field.offset + shift, low = offset % 64;
    uint64_t bits = parts[offset / 64] >> low;
    if (low + field.width > 64) bits |= parts[offset / 64 + 1] << (64 - low);
    return static_cast<uint32_t>(bits & ((uint64_t(1) << field.width) - 1));
}

}  // namespace sievit

#endif
