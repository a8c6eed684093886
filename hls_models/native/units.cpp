// Single units for ctypes: each function runs a unit over arrays, so that tests can compare it with sim/golden.
#include <cstdint>

#include "../cluster.hpp"
#include "../gelu.hpp"
#include "../layer_norm.hpp"
#include "../requant.hpp"
#include "../residual.hpp"
#include "../row_max.hpp"
#include "../softmax.hpp"
#include "../token_drop.hpp"
#include "params.hpp"

using namespace sievit;

namespace {

ByteTable<BLOCK> table_of(const uint8_t *entries) {
    ByteTable<BLOCK> table;
    for (int index = 0; index < 256; ++index) table.write(index, entries[index]);
    return table;
}

}  // namespace

extern "C" {

// Columns of 16 channels: acc (rows, 16), bias and mult (rows, 16), shift (rows).
void unit_requant(int rows, const int32_t *acc, const int32_t *bias, const uint16_t *mult, const int32_t *shift,
                  int wide, int16_t *out) {
    for (int row = 0; row < rows; ++row) {
        ColumnParameters parameters;
        Int<32> sums[BLOCK];
        Int<16> y[BLOCK];
        for (int lane = 0; lane < BLOCK; ++lane) {
            sums[lane] = acc[row * BLOCK + lane];
            parameters.bias[lane] = bias[row * BLOCK + lane];
            parameters.mult[lane] = mult[row * BLOCK + lane];
        }
        requant(sums, parameters, shift[row], wide != 0, y);
        for (int lane = 0; lane < BLOCK; ++lane) out[row * BLOCK + lane] = y[lane];
    }
}

void unit_gelu(int count, const int8_t *codes, const uint8_t *entries, uint8_t *out) {
    const ByteTable<BLOCK> table = table_of(entries);
    for (int index = 0; index < count; ++index) out[index] = gelu(table, index % BLOCK, codes[index]);
}

void unit_exponential(int count, const int8_t *row_max, const int8_t *score, const uint8_t *entries, uint8_t *out) {
    const ByteTable<BLOCK> table = table_of(entries);
    for (int index = 0; index < count; ++index) {
        out[index] = exponential(table, index % BLOCK, row_max[index], score[index]);
    }
}

void unit_reciprocal(int count, const int32_t *total, int32_t *mant, int32_t *exp) {
    for (int index = 0; index < count; ++index) {
        const Reciprocal recip = reciprocal(total[index]);
        mant[index] = recip.mant;
        exp[index] = recip.exp;
    }
}

void unit_normalise(int count, const int32_t *acc, const int32_t *mant, const int32_t *exp, int32_t *out) {
    for (int index = 0; index < count; ++index) {
        Reciprocal recip;
        recip.mant = mant[index];
        recip.exp = exp[index];
        out[index] = normalise(acc[index], recip);
    }
}

void unit_rsqrt(int count, const int64_t *s1, const int64_t *s2, int width, int32_t *mant, int32_t *exp) {
    for (int index = 0; index < count; ++index) {
        Statistics sums;
        sums.s1 = s1[index];
        sums.s2 = s2[index];
        const Scale scale = rsqrt(sums, width);
        mant[index] = scale.mant;
        exp[index] = scale.exp;
    }
}

void unit_normalize(int count, const int16_t *x, const int64_t *s1, const int32_t *mant, const int32_t *exp, int width,
                    const int16_t *gamma, const int32_t *beta, int shift, int8_t *out) {
    for (int index = 0; index < count; ++index) {
        Scale scale;
        scale.s1 = s1[index];
        scale.mant = mant[index];
        scale.exp = exp[index];
        out[index] = int(normalize(x[index], scale, width, gamma[index], beta[index], shift));
    }
}

// A residual memory of `tokens` tokens and `columns` columns, filled with x and added to y, both (columns, tokens, 16);
// the sum, and each token's scale.
void unit_residual(int tokens, int columns, const int16_t *x, const int16_t *y, int16_t *out, int64_t *s1,
                   int32_t *mant, int32_t *exp) {
    static Residual<Params> residual;
    for (int column = 0; column < columns; ++column) {
        for (int token = 0; token < tokens; ++token) {
            const int row = (column * tokens + token) * BLOCK;
            Int<16> added[BLOCK];
            for (int lane = 0; lane < BLOCK; ++lane) {
                residual.word[column][token][lane] = x[row + lane];
                added[lane] = y[row + lane];
            }
            const TokenPlace stays = {true, Uint<9>(token), Uint<16>(0)};
            residual.add(column, token, added, stays, column == 0, column == columns - 1, columns * BLOCK, 0);
            for (int lane = 0; lane < BLOCK; ++lane) out[row + lane] = residual.word[column][token][lane];
        }
    }
    for (int token = 0; token < tokens; ++token) {
        s1[token] = residual.scale[token].s1;
        mant[token] = residual.scale[token].mant;
        exp[token] = residual.scale[token].exp;
    }
}

// Blocks of 16x16 weights (blocks, outputs, inputs) times codes (blocks, tokens, 16), summed; with `transposed` a
// block's rows are inputs. With `sums` also those of the codes, as of exponentials.
void unit_cluster(int blocks, int tokens, const int16_t *codes, const int8_t *weight, int transposed, int sums,
                  int32_t *acc, int32_t *row_sum) {
    static Cluster<Params> cluster;
    for (int block = 0; block < blocks; ++block) {
        for (int row = 0; row < BLOCK; ++row) {
            Int<8> lanes[BLOCK];
            for (int lane = 0; lane < BLOCK; ++lane) lanes[lane] = weight[(block * BLOCK + row) * BLOCK + lane];
            cluster.load(row, lanes, transposed != 0);
        }
        cluster.activate();
        for (int token = 0; token < tokens; ++token) {
            Codes moving;
            for (int lane = 0; lane < BLOCK; ++lane) moving.lane[lane] = codes[(block * tokens + token) * BLOCK + lane];
            cluster.multiply(moving, token, block == 0);
            if (sums != 0) cluster.sum(moving, token, block == 0);
        }
    }
    for (int token = 0; token < tokens; ++token) {
        for (int lane = 0; lane < BLOCK; ++lane) acc[token * BLOCK + lane] = cluster.acc[token][lane];
        if (sums != 0) row_sum[token] = cluster.row_sum[token];
    }
}

// The largest of scores (columns, tokens, 16) of each token.
void unit_row_max(int columns, int tokens, const int8_t *score, int8_t *out) {
    static RowMax<Params> row_max;
    for (int column = 0; column < columns; ++column) {
        for (int token = 0; token < tokens; ++token) {
            Int<8> lanes[BLOCK];
            for (int lane = 0; lane < BLOCK; ++lane) lanes[lane] = score[(column * tokens + token) * BLOCK + lane];
            row_max.update(0, token, column == 0, lanes);
        }
    }
    for (int token = 0; token < tokens; ++token) out[token] = int(row_max.largest[0][token]);
}

// Selection from exponentials of the CLS row (heads, tokens) and the reciprocals of its sums; returns the new number
// of tokens.
int unit_select(int tokens, int heads, const uint8_t *exponentials, const int32_t *mant, const int32_t *exp, int mode,
                int keep, uint32_t threshold, uint32_t inverse_heads, int32_t *score, uint8_t *kept, int32_t *index,
                int32_t *weight) {
    static Select<Params> select;
    for (int head = 0; head < heads; ++head) {
        for (int token = 0; token < tokens; ++token) {
            select.exponential[head][token] = exponentials[head * tokens + token];
        }
        select.recip[head].mant = mant[head];
        select.recip[head].exp = exp[head];
    }
    select.run(tokens, mode, keep, threshold, heads, inverse_heads);
    for (int token = 0; token < tokens; ++token) {
        score[token] = token == 0 ? 0 : int32_t(select.score[token]);
        kept[token] = select.place[token].keep;
        index[token] = select.place[token].index;
        weight[token] = select.place[token].weight;
    }
    return select.new_tokens;
}

// Weighted sum of rows (rows, 16).
void unit_fuse(int rows, const int16_t *x, const uint16_t *weight, int16_t *out) {
    Fuse fuse;
    Int<16> lanes[BLOCK];
    fuse.clear();
    for (int row = 0; row < rows; ++row) {
        for (int lane = 0; lane < BLOCK; ++lane) lanes[lane] = x[row * BLOCK + lane];
        fuse.add(lanes, weight[row]);
    }
    fuse.result(lanes);
    for (int lane = 0; lane < BLOCK; ++lane) out[lane] = lanes[lane];
}
}
