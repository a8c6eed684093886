// Decoder: the program stream's packets, and a slot that is loaded while the one before runs; mirrors rtl/decoder.py.
#ifndef SIEVIT_DECODER_HPP
#define SIEVIT_DECODER_HPP

#include <hls_stream.h>

#include "cluster.hpp"
#include "key_value.hpp"
#include "packets.hpp"
#include "requant.hpp"

namespace sievit {

// A slot with everything it needs to run.
template <class P> struct SlotJob {
    Step step;
    Slot<P> slot;
    ColumnParameters parameters;
    bool first;   // of its step
    bool drains;  // finishes a column: slot.drain, unless its key block does not exist
    // What is loaded, in the order of the words: blocks of these clusters, then column parameters.
    int load_cluster[P::CLUSTERS];
    int blocks, words;
};

// Takes words off the program stream and counts them.
template <class P> struct Decoder {
    typedef Word<P::STREAM_BITS> StreamWord;
    uint32_t left;  // words of the stream that have not been taken

    StreamWord take(hls::stream<StreamWord> &program) {
#pragma HLS INLINE
        left -= 1;
        return program.read();
    }

    // Words behind END, or behind a packet that is wrong.
    void skip(hls::stream<StreamWord> &program) {
    padding:
        while (left != 0) {
#pragma HLS PIPELINE II=1
            take(program);
        }
    }

    // A slot's header of SLOT_WORDS words; false when its fields do not fit this hardware.
    bool slot(const StreamWord &first_word, const Step &step, int tokens, hls::stream<StreamWord> &program,
              SlotJob<P> &job) {
        uint64_t header[P::SLOT_WORDS * P::STREAM_BITS / 64];
#pragma HLS ARRAY_PARTITION variable=header complete
    header_words:
        for (int word = 0; word < P::SLOT_WORDS; ++word) {
#pragma HLS PIPELINE II=1
            const StreamWord next = word == 0 ? first_word : take(program);
        header_parts:
            for (int part = 0; part < P::STREAM_BITS / 64; ++part) {
#pragma HLS UNROLL
                header[word * (P::STREAM_BITS / 64) + part] = next.part[part];
            }
        }
        job.step = step;
        job.slot = parse_slot<P>(header);
        if (!fits(job)) return false;
        plan(tokens, job);
        return left >= uint32_t(step.tile == TILE_STREAM ? job.words : job.words - job.blocks * P::BLOCK_WORDS);
    }

    // Word `index` of what a slot loads: into the shadow weights, or into its column parameters.
    void load(int index, SlotJob<P> &job, hls::stream<StreamWord> &program, const KeyValue<P> &key_value,
              Cluster<P> cluster[P::CLUSTERS]) {
#pragma HLS INLINE
        const int block = index / P::BLOCK_WORDS, part = index % P::BLOCK_WORDS;
        if (block >= job.blocks) {
            load_parameters(index - job.blocks * P::BLOCK_WORDS, take(program), job.parameters);
            return;
        }
        const int number = job.load_cluster[block];
        const bool transposed = job.step.tile == TILE_VALUE;
        Int<8> rows[P::ROWS_PER_WORD][BLOCK];
#pragma HLS ARRAY_PARTITION variable=rows complete dim=0
        if (job.step.tile == TILE_STREAM) {
            unpack(take(program), rows);
        } else {
            const ClusterEntry &entry = job.slot.cluster[number];
            key_value.read(entry.tile_column, entry.key_block, part, rows);
        }
    load_rows:
        for (int row = 0; row < P::ROWS_PER_WORD; ++row) {
#pragma HLS UNROLL
            cluster[number].load(part * P::ROWS_PER_WORD + row, rows[row], transposed);
        }
    }

  private:
    // Key blocks beyond the last token do not exist: nothing is loaded for them, and nothing is done.
    static void plan(int tokens, SlotJob<P> &job) {
        const int key_blocks = ceil_div(tokens, BLOCK);
        const bool tiles = job.step.tile != TILE_STREAM;
        job.blocks = 0;
    plan_clusters:
        for (int number = 0; number < P::CLUSTERS; ++number) {
#pragma HLS UNROLL
            ClusterEntry &entry = job.slot.cluster[number];
            if (tiles && entry.key_block >= key_blocks) entry.valid = false;
            if (entry.valid) job.load_cluster[job.blocks++] = number;
        }
        job.drains = job.slot.drain && job.slot.cluster[job.slot.drain_cluster].valid;
        job.words = job.blocks * P::BLOCK_WORDS + (job.slot.drain ? P::PARAMETER_WORDS : 0);
    }

    // Every column lies within its memory.
    static bool fits(const SlotJob<P> &job) {
        const Slot<P> &slot = job.slot;
        const int source_columns = job.step.source == SOURCE_X   ? P::X_COLUMNS
                                   : job.step.source == SOURCE_A ? P::ACT_COLUMNS
                                                                 : P::SCORE_COLUMNS;
        const int dest_columns = slot.dest == DEST_A    ? P::ACT_COLUMNS
                                 : slot.dest == DEST_KV ? P::KV_COLUMNS
                                 : slot.dest == DEST_S  ? P::SCORE_COLUMNS
                                 : slot.dest == DEST_R  ? P::RESIDUAL_COLUMNS
                                                        : P::CLASS_COLUMNS;
        bool good = slot.drain_cluster < P::CLUSTERS && slot.merge_cluster < P::CLUSTERS &&
                    slot.local_head < P::SCORE_HEADS;
        if (slot.drain) {
            good = good && slot.dest_column < dest_columns && slot.dest == dest_of(job.step.post, slot.dest);
        }
    fit_clusters:
        for (int number = 0; number < P::CLUSTERS; ++number) {
#pragma HLS UNROLL
            const ClusterEntry &entry = slot.cluster[number];
            good = good && (!entry.valid || (entry.source_column < source_columns &&
                                             entry.tile_column < P::KV_COLUMNS &&
                                             entry.key_block < P::TOKEN_BLOCKS && entry.local_head < P::SCORE_HEADS));
        }
        return good;
    }

    // Memory that a post-processing writes; codes go to A or to the keys and values.
    static int dest_of(int post, int dest) {
        if (post == POST_RESIDUAL) return DEST_R;
        if (post == POST_SCORE) return DEST_S;
        if (post == POST_LOGIT) return DEST_L;
        return dest == DEST_KV ? DEST_KV : DEST_A;
    }

    static void unpack(const StreamWord &word, Int<8> rows[P::ROWS_PER_WORD][BLOCK]) {
#pragma HLS INLINE
    unpack_rows:
        for (int row = 0; row < P::ROWS_PER_WORD; ++row) {
#pragma HLS UNROLL
        unpack_lanes:
            for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
                rows[row][lane] = word.byte(row * BLOCK + lane);
            }
        }
    }

    // Bytes 0..63 are 16 biases, bytes 64..95 16 multipliers.
    static void load_parameters(int part, const StreamWord &word, ColumnParameters &parameters) {
#pragma HLS INLINE
    parameter_lanes:
        for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
            const int bias = 4 * lane - part * P::STREAM_BYTES, mult = 64 + 2 * lane - part * P::STREAM_BYTES;
            if (bias >= 0 && bias < P::STREAM_BYTES) parameters.bias[lane] = word.single(bias / 4);
            if (mult >= 0 && mult < P::STREAM_BYTES) {
                parameters.mult[lane] = static_cast<uint16_t>(word.half(mult / 2));
            }
        }
    }
};

}  // namespace sievit

#endif
