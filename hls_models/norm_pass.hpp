// Normalising pass: the residual stream into X, a column of 16 channels after the other, just ahead of the slots that
// read it; mirrors rtl/norm_pass.py.
#ifndef SIEVIT_NORM_PASS_HPP
#define SIEVIT_NORM_PASS_HPP

#include "layer_norm.hpp"
#include "operands.hpp"
#include "packets.hpp"
#include "residual.hpp"

namespace sievit {

template <class P> struct NormPass {
    NormParameters parameters[2 * P::RESIDUAL_COLUMNS];

    // One row of a column.
    void row(const Step &step, int column, int token, const Residual<P> &residual, Operands<P> &operands) const {
#pragma HLS INLINE
        const NormParameters &channel = parameters[step.norm_half * P::RESIDUAL_COLUMNS + column];
        const Scale scale = residual.scale[token];
        Int<8> y[BLOCK];
#pragma HLS ARRAY_PARTITION variable=y complete
    norm_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            y[lane] = normalize(residual.word[column][token][lane], scale, step.width, channel.gamma[lane],
                                channel.beta[lane], step.norm_shift);
        }
        operands.x.write(column, token, y);
        probe(PROBE_X, step.index, column, token, y);
    }
};

}  // namespace sievit

#endif
