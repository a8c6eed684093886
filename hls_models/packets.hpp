// Packets of the program stream as structures; mirrors rtl/packets.py. Their fields are in the generated format.hpp.
#ifndef SIEVIT_PACKETS_HPP
#define SIEVIT_PACKETS_HPP

#include "format.hpp"
#include "types.hpp"

namespace sievit {

// A STEP packet.
struct Step {
    int source, tile, post, shift, tokens, index, width;
    bool codes_unsigned, norm, image;
    int norm_half, norm_columns, norm_shift;
    int drop, keep, heads;
    uint32_t threshold, inverse_heads;
};

// What a cluster does in a slot.
struct ClusterEntry {
    bool valid, capture;
    int source_column, tile_column, key_block, local_head, head;
};

// A SLOT packet.
template <class P> struct Slot {
    bool drain, capture, stats_last, merge;
    int drain_cluster, merge_cluster, dest, dest_column, key_block, local_head, head, need_columns;
    ClusterEntry cluster[P::CLUSTERS];
};

// A WRITE packet.
struct Write {
    int target, address, words;
};

// A HELLO packet.
struct Hello {
    uint32_t magic, version, config_hash, words;
    int kind, image_tokens, image_words;
    bool resident;
};

inline Step parse_step(const uint64_t *header) {
#pragma HLS INLINE
    Step step;
    step.source = get(header, step_fields::source);
    step.tile = get(header, step_fields::tile);
    step.post = get(header, step_fields::post);
    step.codes_unsigned = get(header, step_fields::unsigned_) != 0;
    step.shift = get(header, step_fields::shift);
    step.tokens = get(header, step_fields::tokens);
    step.index = get(header, step_fields::index);
    step.width = get(header, step_fields::width);
    step.norm = get(header, step_fields::norm) != 0;
    step.norm_half = get(header, step_fields::norm_half);
    step.norm_columns = get(header, step_fields::norm_columns);
    step.norm_shift = get(header, step_fields::norm_shift);
    step.image = get(header, step_fields::image) != 0;
    step.drop = get(header, step_fields::drop);
    step.keep = get(header, step_fields::keep);
    step.threshold = get(header, step_fields::threshold);
    step.heads = get(header, step_fields::heads);
    step.inverse_heads = get(header, step_fields::inverse_heads);
    return step;
}

inline ClusterEntry parse_cluster(const uint64_t *header, int number) {
#pragma HLS INLINE
    const int shift = SLOT_BITS + CLUSTER_BITS * number;
    ClusterEntry entry;
    entry.valid = get(header, cluster_fields::valid, shift) != 0;
    entry.source_column = get(header, cluster_fields::source_column, shift);
    entry.tile_column = get(header, cluster_fields::tile_column, shift);
    entry.key_block = get(header, cluster_fields::key_block, shift);
    entry.local_head = get(header, cluster_fields::local_head, shift);
    entry.head = get(header, cluster_fields::head, shift);
    entry.capture = get(header, cluster_fields::capture, shift) != 0;
    return entry;
}

template <class P> inline Slot<P> parse_slot(const uint64_t *header) {
#pragma HLS INLINE
    Slot<P> slot;
    slot.drain = get(header, slot_fields::drain) != 0;
    slot.drain_cluster = get(header, slot_fields::drain_cluster);
    slot.dest = get(header, slot_fields::dest);
    slot.dest_column = get(header, slot_fields::dest_column);
    slot.key_block = get(header, slot_fields::key_block);
    slot.local_head = get(header, slot_fields::local_head);
    slot.head = get(header, slot_fields::head);
    slot.capture = get(header, slot_fields::capture) != 0;
    slot.stats_last = get(header, slot_fields::stats_last) != 0;
    slot.need_columns = get(header, slot_fields::need_columns);
    slot.merge = get(header, slot_fields::merge) != 0;
    slot.merge_cluster = get(header, slot_fields::merge_cluster);
entries:
    for (int number = 0; number < P::CLUSTERS; ++number) {
#pragma HLS UNROLL
        slot.cluster[number] = parse_cluster(header, number);
    }
    return slot;
}

inline Write parse_write(const uint64_t *header) {
#pragma HLS INLINE
    Write write;
    write.target = get(header, write_fields::target);
    write.address = get(header, write_fields::address);
    write.words = get(header, write_fields::words);
    return write;
}

inline Hello parse_hello(const uint64_t *header) {
#pragma HLS INLINE
    Hello hello;
    hello.kind = get(header, hello_fields::kind);
    hello.resident = get(header, hello_fields::resident) != 0;
    hello.magic = get(header, hello_fields::magic);
    hello.version = get(header, hello_fields::version);
    hello.config_hash = get(header, hello_fields::config_hash);
    hello.words = get(header, hello_fields::words);
    hello.image_tokens = get(header, hello_fields::image_tokens);
    hello.image_words = get(header, hello_fields::image_words);
    return hello;
}

}  // namespace sievit

#endif
