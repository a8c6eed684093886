// Behaviour of the AXI4 slave memory of memory.sv; its header lists the options.
//
// Reads and writes are served in order. A channel's pause never withdraws a valid that is already up. Requests that
// break the AXI rules end the simulation with a message: a design must not pass by the grace of a lenient memory.

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "svdpi.h"

namespace {

constexpr int kOkay = 0, kSlaveError = 2, kDecodeError = 3, kIncrement = 1;
constexpr uint64_t kDefaultSize = 16u << 20, kPage = 4096;

struct Request {
    int id = 0;
    uint64_t address = 0;
    int length = 0, size = 0, burst = 0;

    bool operator==(const Request& other) const {
        return id == other.id && address == other.address && length == other.length && size == other.size &&
               burst == other.burst;
    }
};

struct Burst : Request {
    uint64_t ready_cycle = 0;
    int beat = 0;
    int response = kOkay;

    uint64_t beat_address() const {
        const uint64_t bytes = uint64_t{1} << size;
        return beat == 0 ? address : (address & ~(bytes - 1)) + uint64_t(beat) * bytes;
    }
    bool last() const { return beat == length; }
};

struct Response {
    int id = 0, response = kOkay;
    uint64_t ready_cycle = 0;
};

class Memory {
public:
    int bus_bytes = 32;
    std::vector<uint8_t> bytes;
    std::string out_file;
    int latency = 1, latency_random = 0, stall = 0;
    double bandwidth = 0;
    size_t outstanding = 16;
    uint64_t error_at = ~uint64_t{0};
    bool dead = false;
    std::mt19937_64 random;

    // Registered outputs.
    bool awready = false, wready = false, bvalid = false, arready = false, rvalid = false, rlast = false;
    Response b;
    int rid = 0, rresp = kOkay;
    uint8_t rdata[64] = {};

    void reset() {
        awready = wready = bvalid = arready = rvalid = rlast = false;
        reads_.clear();
        writes_.clear();
        responses_.clear();
        waiting_read_ = waiting_write_ = waiting_data_ = false;
    }

    // One clock edge; false after a protocol violation.
    bool step(const Request& aw, bool awvalid, const uint8_t* wdata, uint64_t wstrb, bool wlast, bool wvalid,
              bool bready, const Request& ar, bool arvalid, bool rready) {
        ++cycle_;
        credit_ = std::min(credit_ + bandwidth, bandwidth + bus_bytes);
        const bool legal = steady("AR", waiting_read_, held_read_, ar, arvalid, arready) &&
                           steady("AW", waiting_write_, held_write_, aw, awvalid, awready) &&
                           steady_data(wdata, wstrb, wlast, wvalid) &&
                           take_address("AR", ar, arvalid && arready, reads_) &&
                           take_address("AW", aw, awvalid && awready, writes_) &&
                           (!(wvalid && wready) || take_data(wdata, wstrb, wlast));
        if (!legal) return false;
        answer_read(rready);
        answer_write(bready);
        arready = reads_.size() < outstanding && !pause();
        awready = writes_.size() < outstanding && !pause();
        // The beat of this very edge may have been the last one of the only burst.
        wready = !writes_.empty() && !pause() && afford();
        return true;
    }

private:
    std::deque<Burst> reads_, writes_;
    std::deque<Response> responses_;
    uint64_t cycle_ = 0, last_ready_ = 0;
    double credit_ = 0;
    bool waiting_read_ = false, waiting_write_ = false, waiting_data_ = false;
    Request held_read_, held_write_;
    uint8_t held_data_[64] = {};
    uint64_t held_strobe_ = 0;
    bool held_last_ = false;

    bool pause() { return stall > 0 && int(random() % 100) < stall; }
    bool afford() const { return bandwidth <= 0 || credit_ >= bus_bytes; }
    void spend() { if (bandwidth > 0) credit_ -= bus_bytes; }

    uint64_t delay() { return uint64_t(latency + (latency_random > 0 ? int(random() % (latency_random + 1)) : 0)); }

    static bool violation(const char* channel, const char* what, uint64_t address) {
        std::fprintf(stderr, "%%Error: memory: %s %s (address 0x%" PRIx64 ")\n", channel, what, address);
        return false;
    }

    // AXI A3.2.1: a request that is not accepted stays as it is.
    static bool steady(const char* channel, bool& waiting, Request& held, const Request& now, bool valid, bool ready) {
        if (waiting && !valid) return violation(channel, "valid was withdrawn before ready", held.address);
        if (waiting && !(held == now)) return violation(channel, "request changed before ready", now.address);
        waiting = valid && !ready;
        held = now;
        return true;
    }

    bool steady_data(const uint8_t* data, uint64_t strobe, bool last, bool valid) {
        if (waiting_data_ && !valid) return violation("W", "valid was withdrawn before ready", 0);
        if (waiting_data_ && (strobe != held_strobe_ || last != held_last_ || std::memcmp(data, held_data_, bus_bytes)))
            return violation("W", "data changed before ready", 0);
        waiting_data_ = valid && !wready;
        held_strobe_ = strobe;
        held_last_ = last;
        if (waiting_data_) std::memcpy(held_data_, data, bus_bytes);
        return true;
    }

    bool take_address(const char* channel, const Request& request, bool handshake, std::deque<Burst>& queue) {
        if (!handshake) return true;
        if (request.burst != kIncrement) return violation(channel, "burst type is not INCR", request.address);
        const uint64_t beat = uint64_t{1} << request.size;
        if (beat > uint64_t(bus_bytes)) return violation(channel, "beat is wider than the bus", request.address);
        const uint64_t end = (request.address & ~(beat - 1)) + (uint64_t(request.length) + 1) * beat - 1;
        if (request.address / kPage != end / kPage)
            return violation(channel, "burst crosses a 4 KiB boundary", request.address);
        Burst burst;
        static_cast<Request&>(burst) = request;
        // A later read never overtakes an earlier one.
        last_ready_ = std::max(last_ready_, cycle_ + delay() - 1);
        burst.ready_cycle = last_ready_;
        queue.push_back(burst);
        return true;
    }

    int status(uint64_t address, int size) const {
        const uint64_t beat = uint64_t{1} << size, start = address & ~(beat - 1);
        if (error_at >= start && error_at < start + beat) return kSlaveError;
        return start + beat > bytes.size() ? kDecodeError : kOkay;
    }

    bool take_data(const uint8_t* data, uint64_t strobe, bool last) {
        Burst& burst = writes_.front();
        const uint64_t address = burst.beat_address(), base = address & ~uint64_t(bus_bytes - 1);
        if (last != burst.last()) return violation("W", "WLAST is not on the last beat", address);
        const int result = status(address, burst.size);
        spend();
        burst.response = std::max(burst.response, result);
        if (result == kOkay)
            for (int lane = 0; lane < bus_bytes; ++lane)
                if (strobe >> lane & 1 && base + lane < bytes.size()) bytes[base + lane] = data[lane];
        if (burst.last()) {
            responses_.push_back({burst.id, burst.response, cycle_ + delay() - 1});
            writes_.pop_front();
        } else {
            ++burst.beat;
        }
        return true;
    }

    void answer_read(bool rready) {
        if (rvalid && !rready) return;
        rvalid = rlast = false;
        if (dead || reads_.empty() || reads_.front().ready_cycle > cycle_ || !afford() || pause()) return;
        Burst& burst = reads_.front();
        const uint64_t address = burst.beat_address(), base = address & ~uint64_t(bus_bytes - 1);
        spend();
        rvalid = true;
        rlast = burst.last();
        rid = burst.id;
        rresp = status(address, burst.size);
        std::memset(rdata, 0, sizeof rdata);
        // What a failed beat carries must not look like data.
        if (rresp != kOkay) std::memset(rdata, 0xA5, sizeof rdata);
        else std::memcpy(rdata, &bytes[base], std::min<uint64_t>(bus_bytes, bytes.size() - base));
        if (burst.last()) reads_.pop_front();
        else ++burst.beat;
    }

    void answer_write(bool bready) {
        if (bvalid && !bready) return;
        bvalid = false;
        if (dead || responses_.empty() || responses_.front().ready_cycle > cycle_ || pause()) return;
        bvalid = true;
        b = responses_.front();
        responses_.pop_front();
    }
};

bool load(const char* file, std::vector<uint8_t>& bytes) {
    std::FILE* handle = std::fopen(file, "rb");
    if (handle == nullptr) return false;
    std::fseek(handle, 0, SEEK_END);
    bytes.resize(size_t(std::ftell(handle)));
    std::rewind(handle);
    const bool whole = std::fread(bytes.data(), 1, bytes.size(), handle) == bytes.size();
    std::fclose(handle);
    return whole;
}

}  // namespace

extern "C" void* sievit_memory_open(int bus_bytes, const char* file, int64_t size, const char* out_file, int latency,
                                    int latency_random, double bandwidth, int stall, int outstanding, int seed,
                                    int64_t error_at, int dead) {
    auto* memory = new Memory;
    memory->bus_bytes = bus_bytes;
    if (file[0] != '\0' && !load(file, memory->bytes)) {
        delete memory;
        return nullptr;
    }
    const uint64_t wanted = size > 0 ? uint64_t(size) : (file[0] == '\0' ? kDefaultSize : 0);
    if (memory->bytes.size() < wanted) memory->bytes.resize(wanted);
    memory->out_file = out_file;
    memory->latency = std::max(1, latency);
    memory->latency_random = std::max(0, latency_random);
    memory->bandwidth = bandwidth;
    memory->stall = stall;
    memory->outstanding = size_t(std::max(1, outstanding));
    memory->error_at = uint64_t(error_at);
    memory->dead = dead != 0;
    memory->random.seed(uint64_t(seed));
    return memory;
}

extern "C" int sievit_memory_step(void* handle, svBit aresetn, int awid, int64_t awaddr, int awlen, int awsize,
                                  int awburst, svBit awvalid, const svBitVecVal* wdata, int64_t wstrb, svBit wlast,
                                  svBit wvalid, svBit bready, int arid, int64_t araddr, int arlen, int arsize,
                                  int arburst, svBit arvalid, svBit rready, svBit* awready, svBit* wready, int* bid,
                                  int* bresp, svBit* bvalid, svBit* arready, int* rid, svBitVecVal* rdata, int* rresp,
                                  svBit* rlast, svBit* rvalid) {
    auto& memory = *static_cast<Memory*>(handle);
    bool legal = true;
    if (!aresetn) {
        memory.reset();
    } else {
        legal = memory.step({awid, uint64_t(awaddr), awlen, awsize, awburst}, awvalid,
                            reinterpret_cast<const uint8_t*>(wdata), uint64_t(wstrb), wlast, wvalid, bready,
                            {arid, uint64_t(araddr), arlen, arsize, arburst}, arvalid, rready);
    }
    *awready = memory.awready;
    *wready = memory.wready;
    *bid = memory.b.id;
    *bresp = memory.b.response;
    *bvalid = memory.bvalid;
    *arready = memory.arready;
    *rid = memory.rid;
    std::memcpy(rdata, memory.rdata, sizeof memory.rdata);
    *rresp = memory.rresp;
    *rlast = memory.rlast;
    *rvalid = memory.rvalid;
    return legal ? 0 : 1;
}

extern "C" void sievit_memory_close(void* handle) {
    auto* memory = static_cast<Memory*>(handle);
    if (memory == nullptr) return;
    if (!memory->out_file.empty()) {
        // Written beside and renamed: a reader never sees half a file.
        const std::string part = memory->out_file + ".tmp";
        std::FILE* out = std::fopen(part.c_str(), "wb");
        const bool whole = out != nullptr &&
                           std::fwrite(memory->bytes.data(), 1, memory->bytes.size(), out) == memory->bytes.size();
        if (out != nullptr) std::fclose(out);
        if (!whole || std::rename(part.c_str(), memory->out_file.c_str()) != 0)
            std::fprintf(stderr, "%%Error: memory: cannot write %s\n", memory->out_file.c_str());
    }
    delete memory;
}
