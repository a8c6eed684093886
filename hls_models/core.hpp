// Core: runs a program; mirrors rtl/core.py and rtl/sequencer.py.
//
// One rule: all clusters change block together, once a slot. A slot is one pipelined loop in which, in every cycle, a
// token of each group goes through all clusters and the draining column's row on to memory, a word of the next slot is
// loaded, and the norm pass (or the image loader) makes a row of the next column.
#ifndef SIEVIT_CORE_HPP
#define SIEVIT_CORE_HPP

#include <hls_stream.h>

#include "cluster.hpp"
#include "decoder.hpp"
#include "drain.hpp"
#include "image_loader.hpp"
#include "key_value.hpp"
#include "logits.hpp"
#include "norm_pass.hpp"
#include "operands.hpp"
#include "packets.hpp"
#include "residual.hpp"
#include "token_drop.hpp"

namespace sievit {

// What a run tells software; the names are those of the registers.
struct Status {
    int error, step, slots, tokens;
    int drops;  // token drops of the image so far
    int tokens_kept[TOKENS_KEPT_ENTRIES];
};

template <class P> class Core {
  public:
    typedef Word<P::STREAM_BITS> StreamWord;

    Cluster<P> cluster[P::CLUSTERS];
    Operands<P> operands;
    KeyValue<P> key_value;
    Residual<P> residual;
    Drain<P> drain;
    NormPass<P> norm_pass;
    ImageLoader<P> image_loader;
    Logits<P> logits;
    Select<P> select;
    Decoder<P> decoder;
    Status status;

    // One image: the program from HELLO, which the caller has checked, to the end of its padding.
    void run(const Hello &hello, hls::stream<StreamWord> &program, hls::stream<StreamWord> &image) {
        begin(hello);
        decoder.take(program);
        bool going = true;
    packets:
        while (going) {
            going = decoder.left != 0 ? packet(program, image) : fail(ERROR_BAD_PACKET);
        }
        if (status.error == ERROR_NONE) {
            run_pending(false, program, image);
            finish_step(image);
        } else {
            logits.words = 0;
        }
        decoder.skip(program);
        drop_image(image);
    }

    // An image behind one that ended with an error: take its words, and do nothing.
    void discard(const Hello &hello, hls::stream<StreamWord> &program, hls::stream<StreamWord> &image) {
        decoder.left = hello.words;
        image_loader.begin(hello.image_tokens, hello.image_words);
        logits.words = 0;
        decoder.skip(program);
        drop_image(image);
    }

  private:
    SlotJob<P> pending_;  // loaded, runs while the next one is loaded
    SlotJob<P> next_;
    bool has_pending_;
    BankPlan<P> plan_;  // of the running slot
    Step step_;        // of the packets that are being read
    bool first_slot_;  // no slot of that step has been read
    Step running_;     // of the slots that run
    bool in_step_;
    int columns_;           // of the running step's norm pass that have been made
    bool fresh_[P::CLUSTERS];  // the next block is the first of a column
    bool column_drained_;   // a column of this step has drained
    int tokens_;

    void begin(const Hello &hello) {
        decoder.left = hello.words;
        image_loader.begin(hello.image_tokens, hello.image_words);
        logits.words = 0;
        has_pending_ = false;
        in_step_ = false;
        first_slot_ = true;
        tokens_ = hello.image_tokens;
        select.dropping = false;
        status.error = ERROR_NONE;
        status.step = 0;
        status.slots = 0;
        status.drops = 0;
    clear_kept:
        for (int entry = 0; entry < TOKENS_KEPT_ENTRIES; ++entry) status.tokens_kept[entry] = 0;
    clear_fresh:
        for (int number = 0; number < P::CLUSTERS; ++number) {
#pragma HLS UNROLL
            fresh_[number] = true;
        }
    }

    bool fail(int error) {
        status.error = error;
        return false;
    }

    // Read one packet; false at the end of the program.
    bool packet(hls::stream<StreamWord> &program, hls::stream<StreamWord> &image) {
        const StreamWord word = decoder.take(program);
        switch (get(word.part, slot_fields::kind)) {
        case KIND_STEP:
            return step_packet(word, program, image);
        case KIND_SLOT:
            return slot_packet(word, program, image);
        case KIND_WRITE:
            return write_packet(parse_write(word.part), program);
        case KIND_END:
            return false;
        default:
            return fail(ERROR_BAD_PACKET);
        }
    }

    bool step_packet(const StreamWord &word, hls::stream<StreamWord> &program, hls::stream<StreamWord> &image) {
        step_ = parse_step(word.part);
        first_slot_ = true;
        if (step_.tokens > P::MAX_TOKENS) return fail(ERROR_TOO_MANY_TOKENS);
        const bool good = step_.shift >= 1 && step_.shift <= 47 && step_.norm_columns <= P::RESIDUAL_COLUMNS &&
                          step_.heads <= MAX_HEADS && step_.source <= SOURCE_S && step_.tile <= TILE_VALUE &&
                          step_.post <= POST_LOGIT && step_.drop <= DROP_THRESHOLD &&
                          (!step_.norm || step_.norm_shift >= 1);
        if (!good) return fail(ERROR_BAD_PACKET);
        // Key tiles are what the step before has written, and another number of tokens moves rows: their slots are
        // loaded only when that step is over.
        if (step_.tile == TILE_KEY || step_.tokens != 0) {
            run_pending(false, program, image);
            finish_step(image);
        }
        return true;
    }

    bool slot_packet(const StreamWord &word, hls::stream<StreamWord> &program, hls::stream<StreamWord> &image) {
        if (!decoder.slot(word, step_, tokens_, program, next_)) return fail(ERROR_BAD_PACKET);
        if (next_.blocks == 0) {
            skip_parameters(program);
            return true;
        }
        next_.first = first_slot_;
        first_slot_ = false;
        run_pending(true, program, image);
        pending_ = next_;
        has_pending_ = true;
        return true;
    }

    // Column parameters of a slot in which no cluster has work.
    void skip_parameters(hls::stream<StreamWord> &program) {
    unused_words:
        for (int word = 0; word < next_.words; ++word) {
#pragma HLS PIPELINE II=1
            decoder.take(program);
        }
    }

    bool write_packet(const Write &write, hls::stream<StreamWord> &program) {
        if (!write_fits(write)) return fail(ERROR_BAD_PACKET);
        if (write.target == TARGET_NORM) {
            write_norm(write.address, program);
        } else if (write.target == TARGET_RESIDUAL) {
            write_residual(write, program);
        } else {
            write_table(write, program);
        }
        return true;
    }

    bool write_fits(const Write &write) const {
        if (uint32_t(write.words) > decoder.left) return false;
        if (write.target == TARGET_NORM) {
            return write.words == P::PARAMETER_WORDS && write.address < 2 * P::RESIDUAL_COLUMNS;
        }
        if (write.target == TARGET_RESIDUAL) return write.address / P::MAX_TOKENS < P::RESIDUAL_COLUMNS;
        return write.address + write.words * P::STREAM_BYTES <= 256;
    }

    // Bytes of EXP or GELU.
    void write_table(const Write &write, hls::stream<StreamWord> &program) {
    table_words:
        for (int index = 0; index < write.words; ++index) {
            const StreamWord word = decoder.take(program);
        table_bytes:
            for (int entry = 0; entry < P::STREAM_BYTES; ++entry) {
#pragma HLS PIPELINE II=1
                const int address = write.address + index * P::STREAM_BYTES + entry;
                const Uint<8> value = static_cast<uint8_t>(word.byte(entry));
                if (write.target == TARGET_EXP) {
                    operands.exponentials.write(address, value);
                } else {
                    drain.gelu_table.write(address, value);
                }
            }
        }
    }

    // One column: bytes 0..63 are 16 betas, bytes 64..95 16 gammas.
    void write_norm(int column, hls::stream<StreamWord> &program) {
        NormParameters &parameters = norm_pass.parameters[column];
    norm_words:
        for (int part = 0; part < P::PARAMETER_WORDS; ++part) {
#pragma HLS PIPELINE II=1
            const StreamWord word = decoder.take(program);
        norm_lanes:
            for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
                const int beta = 4 * lane - part * P::STREAM_BYTES, gamma = 64 + 2 * lane - part * P::STREAM_BYTES;
                if (beta >= 0 && beta < P::STREAM_BYTES) parameters.beta[lane] = word.single(beta / 4);
                if (gamma >= 0 && gamma < P::STREAM_BYTES) parameters.gamma[lane] = word.half(gamma / 2);
            }
        }
    }

    // Rows of one column; the last word may hold a token that does not exist.
    void write_residual(const Write &write, hls::stream<StreamWord> &program) {
        const int column = write.address / P::MAX_TOKENS, first = write.address % P::MAX_TOKENS;
    residual_words:
        for (int index = 0; index < write.words; ++index) {
#pragma HLS PIPELINE II=1
            const StreamWord word = decoder.take(program);
        residual_tokens:
            for (int turn = 0; turn < P::TOKENS_PER_WORD; ++turn) {
#pragma HLS UNROLL
                const int token = first + index * P::TOKENS_PER_WORD + turn;
            residual_lanes:
                for (int lane = 0; lane < BLOCK; ++lane) {
#pragma HLS UNROLL
                    if (token < P::MAX_TOKENS) {
                        residual.word[column][token][lane] = word.half(turn * BLOCK + lane);
                    }
                }
            }
        }
    }

    // Run the slot that is loaded, and with `loading` load the next one meanwhile.
    void run_pending(bool loading, hls::stream<StreamWord> &program, hls::stream<StreamWord> &image) {
        if (has_pending_) {
            if (pending_.first) {
                finish_step(image);
                start_step();
            }
            await_columns(image);
            activate();
            run_slot(loading, program, image);
            end_slot();
            has_pending_ = false;
        } else if (loading) {
        load_first:
            for (int index = 0; index < next_.words; ++index) {
#pragma HLS PIPELINE II=1
                decoder.load(index, next_, program, key_value, cluster);
            }
        }
    }

    void start_step() {
        running_ = pending_.step;
        in_step_ = true;
        columns_ = 0;
        column_drained_ = false;
        if (running_.tokens != 0) tokens_ = running_.tokens;
        status.step = running_.index;
        operands.row_max.clear();
        probe_start(running_.index);
        if (running_.drop != DROP_NONE) {
            select.run(tokens_, running_.drop, running_.keep, running_.threshold, running_.heads,
                       running_.inverse_heads);
        }
    }

    // A step can need fewer slots than it has columns to normalise or to load.
    void finish_step(hls::stream<StreamWord> &image) {
        if (!in_step_) return;
    rest:
        while (has_column()) {
            make_column(image);
        }
        in_step_ = false;
    }

    // Columns that the step reads and that are still to be made.
    bool has_column() const {
        return running_.norm ? columns_ < running_.norm_columns : running_.image && image_loader.busy();
    }
    int column_rows() const { return running_.norm ? tokens_ : image_loader.tokens; }
    int columns_made() const { return running_.norm ? columns_ : image_loader.columns(); }

    // One row of the next column.
    void column_row(int token, hls::stream<StreamWord> &image) {
#pragma HLS INLINE
        if (running_.norm) {
            norm_pass.row(running_, columns_, token, residual, operands);
        } else {
            image_loader.row(token, image, operands);
        }
    }
    void column_end() {
        if (running_.norm) {
            ++columns_;
        } else {
            ++image_loader.part;
        }
    }

    void make_column(hls::stream<StreamWord> &image) {
    column_rows:
        for (int token = 0; token < column_rows(); ++token) {
#pragma HLS PIPELINE II=1
            column_row(token, image);
        }
        column_end();
    }

    void await_columns(hls::stream<StreamWord> &image) {
    await:
        while (columns_made() < pending_.slot.need_columns && has_column()) {
            make_column(image);
        }
    }

    void activate() {
        plan_.clear();
    activate_clusters:
        for (int number = 0; number < P::CLUSTERS; ++number) {
#pragma HLS UNROLL
            const ClusterEntry &entry = pending_.slot.cluster[number];
            if (entry.valid) {
                cluster[number].activate();
                plan_.want(entry.source_column);
            }
        }
    }

    void run_slot(bool loading, hls::stream<StreamWord> &program, hls::stream<StreamWord> &image) {
        const int rows = ceil_div(tokens_, P::GROUPS);
        const int words = loading ? next_.words : 0;
        const bool ahead = has_column();
        const int ahead_rows = ahead ? column_rows() : 0;
        const int longest = words > rows ? words : rows;
        const int cycles = ahead_rows > longest ? ahead_rows : longest;
        if (pending_.drains) residual.fuse.clear();
    cycles:
        for (int cycle = 0; cycle < cycles; ++cycle) {
#pragma HLS PIPELINE II=1
#pragma HLS DEPENDENCE variable=operands inter false
#pragma HLS DEPENDENCE variable=residual.word inter false
#pragma HLS DEPENDENCE variable=cluster inter false
        groups:
            for (int group = 0; group < P::GROUPS; ++group) {
#pragma HLS UNROLL
                const int token = cycle * P::GROUPS + group;
                if (cycle < rows && token < tokens_) row(token);
            }
            if (cycle < words) decoder.load(cycle, next_, program, key_value, cluster);
            if (cycle < ahead_rows) column_row(cycle, image);
        }
        if (ahead) column_end();
        if (pending_.drains && running_.drop != DROP_NONE && select.dropping) {
            residual.add_fused(pending_.slot.dest_column, select.new_tokens - 1, !column_drained_,
                               pending_.slot.stats_last, running_.width, running_.index);
        }
    }

    // One token through all clusters, and through the drain if the slot finishes a column.
    void row(int token) {
#pragma HLS INLINE
        BankWords<P> words;
#pragma HLS ARRAY_PARTITION variable=words.lane complete dim=0
        operands.read(running_, plan_, token, words);
    row_clusters:
        for (int number = 0; number < P::CLUSTERS; ++number) {
#pragma HLS UNROLL
            const ClusterEntry &entry = pending_.slot.cluster[number];
            if (entry.valid) {
                Codes codes;
#pragma HLS ARRAY_PARTITION variable=codes.lane complete
                operands.fetch(running_, entry, number, token, tokens_, words, codes);
                if (token == 0 && entry.capture) Operands<P>::capture(entry, codes, select);
                cluster[number].multiply(codes, token, fresh_[number]);
                if (running_.source == SOURCE_S) cluster[number].sum(codes, token, fresh_[number]);
            }
        }
        if (pending_.drains) {
            drain.row(running_, pending_.slot, pending_.parameters, token, tokens_, !column_drained_, cluster,
                      operands, key_value, residual, logits, select);
        }
    }

    void end_slot() {
        const Slot<P> &slot = pending_.slot;
        ++status.slots;
    end_clusters:
        for (int number = 0; number < P::CLUSTERS; ++number) {
#pragma HLS UNROLL
            if (slot.cluster[number].valid) fresh_[number] = false;
        }
        if (!pending_.drains) return;
        fresh_[slot.drain_cluster] = true;
        if (slot.merge) fresh_[slot.merge_cluster] = true;
        column_drained_ = true;
        if (running_.post == POST_SCORE) operands.row_max.seen[slot.local_head] = true;
        if (running_.drop != DROP_NONE && slot.stats_last) end_drop();
    }

    void end_drop() {
        tokens_ = select.new_tokens;
        select.dropping = false;
        if (status.drops < TOKENS_KEPT_ENTRIES) status.tokens_kept[status.drops] = tokens_;
        ++status.drops;
        status.tokens = tokens_;
    }

    // What an error leaves of the image.
    void drop_image(hls::stream<StreamWord> &image) {
    image_parts:
        for (; image_loader.part < image_loader.parts; ++image_loader.part) {
        image_words:
            for (int token = 0; token < image_loader.tokens; ++token) {
#pragma HLS PIPELINE II=1
                image.read();
            }
        }
    }
};

}  // namespace sievit

#endif
