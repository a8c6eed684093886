// Token drop: select by the CLS row's attention, fuse the rest (docs/numerics.md section 5); mirrors
// sim/golden/token_drop.py and rtl/token_drop.py. After EViT (Liang et al. 2022, section 3.2).
#ifndef SIEVIT_TOKEN_DROP_HPP
#define SIEVIT_TOKEN_DROP_HPP

#include "fixed_point.hpp"
#include "format.hpp"
#include "softmax.hpp"

namespace sievit {

constexpr int SCORE_BITS = 21;
constexpr int FUSE_BITS = 42;
constexpr int FUSE_SHIFT = 16;

// Where a token goes, or the weight with which it enters the fused token.
struct TokenPlace {
    bool keep;
    Uint<9> index;
    Uint<16> weight;
};

// Attention probability of the CLS row with 16 fraction bits, of one head.
inline Uint<SCORE_BITS> attention(Uint<8> exponential, Reciprocal recip) {
#pragma HLS INLINE
    return Uint<SCORE_BITS>((uint32_t(exponential) * uint32_t(recip.mant)) >> (15 + int(recip.exp)));
}

// Mean over heads as 16-bit weight; `inverse_heads` is 65536 / heads.
inline Uint<16> fuse_weight(Uint<SCORE_BITS> score, uint32_t inverse_heads) {
#pragma HLS INLINE
    const uint64_t weight = (uint64_t(score) * inverse_heads + (1 << 15)) >> 16;
    return weight > 65535 ? uint32_t(65535) : uint32_t(weight);
}

// Scores the tokens of an image and makes a map with an entry per token.
template <class P> struct Select {
    Uint<8> exponential[MAX_HEADS][P::MAX_TOKENS];  // of the CLS row
    Reciprocal recip[MAX_HEADS];
    Uint<SCORE_BITS> score[P::MAX_TOKENS];
    TokenPlace place[P::MAX_TOKENS];
    int new_tokens;
    bool dropping;  // a token is dropped

    void sum_heads(int tokens, int heads) {
    score_tokens:
        for (int token = 1; token < tokens; ++token) {
            Uint<SCORE_BITS> total = 0;
        score_heads:
            for (int head = 0; head < heads; ++head) {
#pragma HLS PIPELINE II=1
                total += attention(exponential[head][token], recip[head]);
            }
            score[token] = total;
        }
    }

    // Tokens whose score is at least `least`.
    int count(int tokens, uint32_t least) const {
        int reached = 0;
    count_tokens:
        for (int token = 1; token < tokens; ++token) {
#pragma HLS PIPELINE II=1
#pragma HLS UNROLL factor=16
            reached += uint32_t(score[token]) >= least;
        }
        return reached;
    }

    // The `keep`-th largest score, bit by bit from the top: no sorter.
    uint32_t kth_largest(int tokens, int keep) const {
        uint32_t pivot = 0;
    bits:
        for (int bit = SCORE_BITS - 1; bit >= 0; --bit) {
            const uint32_t candidate = pivot | (uint32_t(1) << bit);
            if (count(tokens, candidate) >= keep) pivot = candidate;
        }
        return pivot;
    }

    // Keep scores above `pivot`, and the first `quota` of those equal to it.
    void map(int tokens, uint32_t pivot, int quota, uint32_t inverse_heads) {
        place[0].keep = true;
        place[0].index = 0;
        place[0].weight = 0;
        int kept = 1, ties = 0;
    map_tokens:
        for (int token = 1; token < tokens; ++token) {
#pragma HLS PIPELINE II=1
            const uint32_t value = uint32_t(score[token]);
            const bool tie = value == pivot;
            const bool keep = value > pivot || (tie && ties < quota);
            ties += tie;
            place[token].keep = keep;
            place[token].index = kept;
            place[token].weight = fuse_weight(score[token], inverse_heads);
            kept += keep;
        }
        dropping = kept < tokens;
        new_tokens = dropping ? kept + 1 : tokens;
    }

    // Everything; `mode` is a Drop.
    void run(int tokens, int mode, int keep, uint32_t threshold, int heads, uint32_t inverse_heads) {
        sum_heads(tokens, heads);
        if (mode == DROP_TOPK) {
            const uint32_t pivot = kth_largest(tokens, keep);
            map(tokens, pivot, keep - count(tokens, pivot + 1), inverse_heads);
        } else {
            map(tokens, threshold, tokens, inverse_heads);
        }
    }
};

// Weighted sum of the dropped tokens, of one column.
struct Fuse {
    Int<FUSE_BITS> total[BLOCK];

    void clear() {
#pragma HLS INLINE
    clear_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            total[lane] = 0;
        }
    }
    void add(const Int<16> x[BLOCK], Uint<16> weight) {
#pragma HLS INLINE
    add_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            total[lane] += Int<FUSE_BITS>(x[lane]) * Int<FUSE_BITS>(weight);
        }
    }
    void result(Int<16> x[BLOCK]) const {
#pragma HLS INLINE
    result_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            x[lane] = saturate<16, FUSE_BITS>(rounded_shift<FUSE_BITS>(total[lane], FUSE_SHIFT));
        }
    }
};

}  // namespace sievit

#endif
