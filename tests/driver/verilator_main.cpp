// The C driver on the Verilator model of the generated top: serves its registers and its memory, and plays the user.
//
// usage: model program.bin other.bin codes.bin pixels.bin LATENCY STALL_PERCENT
// codes.bin holds patch codes of two images, pixels.bin the pixels of one. Every line of the output is a fact that the
// test compares: "<name> <status> <numbers>".
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "Vvit_accel.h"
#include "verilated.h"
#include "vit_accel.h"
#include "vit_accel_network.h"

extern "C" uint32_t vit_read32(void *registers, uint32_t offset);
extern "C" void vit_write32(void *registers, uint32_t offset, uint32_t value);
extern "C" int classify(vit_accel *accel, const void *program, size_t bytes, const uint8_t *pixels, uint32_t *best);

namespace {

constexpr uint64_t kBase = 0x900000800;  // not the start of a page: the driver has to align
constexpr size_t kBytes = 1 << 20;
constexpr unsigned kBeatBytes = BUS_BITS / 8;

struct Burst {
    uint64_t address;
    unsigned beats;
    unsigned id;
    uint64_t ready;  // cycle of the first beat
};

// The accelerator with its memory. All ports change between two rising edges.
class System {
  public:
    explicit System(unsigned latency, unsigned stall) : latency_(latency), stall_(stall), memory_(kBytes, 0xA5) {
        top_.aresetn = 0;
        for (int cycle = 0; cycle < 8; cycle++)
            tick();
        top_.aresetn = 1;
        tick();
    }

    ~System() { top_.final(); }

    void tick() {
        drive_memory();
        top_.aclk = 0;
        top_.eval();
        sample_memory();
        top_.aclk = 1;
        top_.eval();
        cycle_++;
    }

    uint32_t read(uint32_t offset) {
        top_.s_axi_control_araddr = offset;
        top_.s_axi_control_arvalid = 1;
        top_.s_axi_control_rready = 1;
        bool taken = false;
        for (;;) {
            settle();
            const bool address = top_.s_axi_control_arvalid && top_.s_axi_control_arready;
            const bool data = top_.s_axi_control_rvalid;
            const uint32_t value = top_.s_axi_control_rdata;
            tick();
            if (address) {
                top_.s_axi_control_arvalid = 0;
                taken = true;
            }
            if (data && taken)
                return value;
        }
    }

    void write(uint32_t offset, uint32_t value) {
        top_.s_axi_control_awaddr = offset;
        top_.s_axi_control_wdata = value;
        top_.s_axi_control_wstrb = 15;
        top_.s_axi_control_awvalid = top_.s_axi_control_wvalid = top_.s_axi_control_bready = 1;
        for (bool done = false; !done;) {
            settle();
            const bool address = top_.s_axi_control_awvalid && top_.s_axi_control_awready;
            const bool data = top_.s_axi_control_wvalid && top_.s_axi_control_wready;
            done = top_.s_axi_control_bvalid;
            tick();
            if (address)
                top_.s_axi_control_awvalid = 0;
            if (data)
                top_.s_axi_control_wvalid = 0;
        }
    }

    unsigned char *memory() { return memory_.data(); }
    // Verilator renames the port, as some compilers have a keyword of that name.
    bool interrupt() const { return top_.__SYM__interrupt; }

    bool dead = false;                      // reads are taken and not answered
    uint64_t bad_first = 0, bad_end = 0;  // addresses that answer with an error

  private:
    bool pause() { return random_() % 100 < stall_; }

    bool fails(uint64_t address) const {
        return address < kBase || address + kBeatBytes > kBase + kBytes || (address >= bad_first && address < bad_end);
    }

    void settle() {
        top_.aclk = 0;
        top_.eval();
    }

    // Registered outputs of the memory. A beat that is offered stays until it is taken.
    void drive_memory() {
        top_.m_axi_gmem_arready = reads_.size() < 8 && !pause();
        top_.m_axi_gmem_awready = !writing_ && !response_ && !pause();
        top_.m_axi_gmem_wready = writing_ && !pause();
        if (!offered_ && !reads_.empty() && !dead && cycle_ >= reads_.front().ready && !pause()) {
            const Burst &burst = reads_.front();
            const bool bad = fails(burst.address);
            if (!bad)
                std::memcpy(&top_.m_axi_gmem_rdata, &memory_[burst.address - kBase], kBeatBytes);
            top_.m_axi_gmem_rid = burst.id;
            top_.m_axi_gmem_rresp = bad ? 2 : 0;
            top_.m_axi_gmem_rlast = burst.beats == 1;
            offered_ = true;
        }
        top_.m_axi_gmem_rvalid = offered_;
        top_.m_axi_gmem_bvalid = response_;
        top_.m_axi_gmem_bid = write_id_;
        top_.m_axi_gmem_bresp = write_failed_ ? 2 : 0;
    }

    // What is transferred at the coming edge. The ports stay as they are until it has passed.
    void sample_memory() {
        if (offered_ && top_.m_axi_gmem_rready) {
            offered_ = false;
            reads_.front().address += kBeatBytes;
            if (--reads_.front().beats == 0)
                reads_.pop_front();
        }
        if (top_.m_axi_gmem_arvalid && top_.m_axi_gmem_arready)
            reads_.push_back({top_.m_axi_gmem_araddr, top_.m_axi_gmem_arlen + 1u, top_.m_axi_gmem_arid,
                              cycle_ + latency_});
        if (response_ && top_.m_axi_gmem_bready)
            response_ = false;
        if (top_.m_axi_gmem_wvalid && top_.m_axi_gmem_wready)
            store();
        if (top_.m_axi_gmem_awvalid && top_.m_axi_gmem_awready) {
            writing_ = true;
            write_at_ = top_.m_axi_gmem_awaddr;
            write_id_ = top_.m_axi_gmem_awid;
            write_failed_ = false;
        }
    }

    void store() {
        const auto *data = reinterpret_cast<const unsigned char *>(&top_.m_axi_gmem_wdata);
        if (fails(write_at_))
            write_failed_ = true;
        else
            for (unsigned byte = 0; byte < kBeatBytes; byte++)
                if (static_cast<uint64_t>(top_.m_axi_gmem_wstrb) >> byte & 1)
                    memory_[write_at_ - kBase + byte] = data[byte];
        write_at_ += kBeatBytes;
        if (top_.m_axi_gmem_wlast) {
            writing_ = false;
            response_ = true;
        }
    }

    Vvit_accel top_;
    unsigned latency_, stall_;
    std::vector<unsigned char> memory_;
    std::mt19937 random_{1};
    std::deque<Burst> reads_;
    bool offered_ = false, writing_ = false, response_ = false, write_failed_ = false;
    unsigned write_id_ = 0;
    uint64_t write_at_ = 0, cycle_ = 0;
};

std::vector<unsigned char> file(const char *path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

void show(const char *name, const vit_accel &accel, int status, uint32_t images) {
    std::printf("%s %d", name, status);
    if (status == VIT_OK)
        for (uint32_t image = 0; image < images; image++)
            for (uint32_t at = 0; at < VIT_CLASSES; at++)
                std::printf(" %d", vit_logits(&accel, image)[at]);
    std::printf("\n");
}

void show_text(const char *name, int status) { std::printf("%s %d %s\n", name, status, vit_text(status)); }

void play(System &system, const std::vector<unsigned char> &program, std::vector<unsigned char> other,
          const std::vector<unsigned char> &codes, const std::vector<unsigned char> &pixels) {
    static const int8_t table[3][256] = VIT_CODE_TABLE;
    const vit_network network = {VIT_TOKENS, VIT_PATCH_INPUTS, VIT_CLASSES, VIT_IMAGE_SIZE, VIT_PATCH, table};
    const auto *image = reinterpret_cast<const int8_t *>(codes.data());
    const size_t image_codes = static_cast<size_t>(VIT_TOKENS) * VIT_PATCH_INPUTS;
    vit_accel accel;
    uint32_t best = 0;

    // Results of the run before must not pass for those of this one.
    const auto run = [&](uint32_t images) {
        if (accel.program_bytes != 0)
            std::memset(accel.memory + accel.outputs_at, 0x5A, vit_capacity(&accel) * accel.output_stride);
        return vit_run(&accel, images);
    };

    show_text("init", vit_init(&accel, &system, system.memory(), kBase, kBytes));
    accel.timeout = 20000;
    show_text("no_program", run(1));
    int status = classify(&accel, program.data(), program.size(), pixels.data(), &best);
    show("picture", accel, status, 1);
    std::printf("best 0 %" PRIu32 " %" PRIu64 " %" PRIu32 " %" PRIu32 " %" PRIu32 "\n", best, vit_cycles(&accel),
                vit_tokens_kept(&accel, 0), vit_tokens_kept(&accel, 1), vit_tokens_kept(&accel, 2));
    vit_put_codes(&accel, 0, image);
    show("first", accel, run(1), 1);
    vit_put_codes(&accel, 0, image + image_codes);
    show("second", accel, run(1), 1);
    vit_put_codes(&accel, 0, image);
    vit_put_codes(&accel, 1, image + image_codes);
    show("batch", accel, run(2), 2);
    show_text("too_many", run(vit_capacity(&accel) + 1));

    // With the interrupt instead of polling.
    std::memset(accel.memory + accel.outputs_at, 0x5A, accel.output_stride);
    status = vit_start(&accel, 1, 1);
    unsigned waited = 0;
    while (!system.interrupt() && waited++ < 100000)
        system.tick();
    accel.timeout = 0;
    show("interrupt", accel, status == VIT_OK ? vit_finish(&accel) : status, 1);
    std::printf("pin %d\n", system.interrupt());
    accel.timeout = 20000;

    // Memory that answers with errors: reads of the image, then writes of the output.
    system.bad_first = accel.address + accel.images_at;
    system.bad_end = system.bad_first + VIT_PAGE_BYTES;
    show_text("read_error", run(1));
    system.bad_first = accel.address + accel.outputs_at;
    system.bad_end = system.bad_first + VIT_PAGE_BYTES;
    show_text("write_error", run(1));
    system.bad_first = system.bad_end = 0;
    show("after_errors", accel, run(1), 1);

    // Memory that does not answer at all: the hardware's watchdog, then the driver's time-out.
    system.dead = true;
    accel.watchdog = 600;
    show_text("watchdog", run(1));
    accel.watchdog = 0;
    accel.timeout = 300;
    show_text("timeout", run(1));
    show_text("busy", run(1));
    show_text("recover", vit_recover(&accel));
    system.dead = false;
    accel.timeout = 20000;
    show("after_timeout", accel, run(1), 1);

    // Programs that are refused: for other hardware, cut off, damaged where only the hardware can see it.
    show_text("other", vit_load(&accel, &network, other.data(), other.size()));
    show_text("cut", vit_load(&accel, &network, program.data(), program.size() / 2));
    show_text("small", vit_load(&accel, &network, program.data(), 8));
    show("still_loaded", accel, run(1), 1);
    show("still_the_second", accel, run(2), 2);
    std::memcpy(system.memory() + (accel.address - kBase), other.data(), other.size());
    show_text("config_mismatch", run(1));
    show_text("reload", vit_load(&accel, &network, program.data(), program.size()));
    vit_put_codes(&accel, 0, image + image_codes);
    show("last", accel, run(1), 1);
    vit_accel none;
    show_text("no_memory", vit_init(&none, &system, system.memory(), kBase, 100));
}

}  // namespace

extern "C" uint32_t vit_read32(void *registers, uint32_t offset) {
    return static_cast<System *>(registers)->read(offset);
}

extern "C" void vit_write32(void *registers, uint32_t offset, uint32_t value) {
    static_cast<System *>(registers)->write(offset, value);
}

int main(int count, char **arguments) {
    if (count != 7)
        return 2;
    System system(std::atoi(arguments[5]), std::atoi(arguments[6]));
    play(system, file(arguments[1]), file(arguments[2]), file(arguments[3]), file(arguments[4]));
    return 0;
}
