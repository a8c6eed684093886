// Test bench: runs the job folder that is its argument, and compares every word that was written to a memory and every
// logit with what the folder says. Exit status 0 when all are equal.
//
// The folder's memory.bin and job.json are those of the RTL's test bench (sim/cocotb_accelerator.py); flows/hls_vectors.py
// describes records.bin. Compiles with g++ and as the test bench of Vitis HLS.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "vit_accel.hpp"

namespace {

using sievit::Record;

[[noreturn]] void fail(const std::string &text) {
    std::fprintf(stderr, "%s\n", text.c_str());
    std::exit(2);
}

std::vector<char> read_file(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail("cannot read " + path);
    return std::vector<char>(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

// Numbers of job.json: objects of numbers and lists of numbers need no more than finding a name.
class Json {
  public:
    explicit Json(const std::string &text) : text_(text) {}

    // The number, or the numbers of the list, behind the `turn`-th occurrence of "name".
    std::vector<uint64_t> numbers(const std::string &name, std::size_t turn) const {
        std::size_t place = 0;
        const std::string key = "\"" + name + "\":";
        for (std::size_t count = 0; count <= turn; ++count) {
            place = text_.find(key, place);
            if (place == std::string::npos) fail("job.json has no " + name);
            place += key.size();
        }
        const std::size_t value = text_.find_first_not_of(" \n", place);
        const bool list = text_[value] == '[';
        const std::size_t end = text_.find_first_of(list ? "]" : ",}", value);
        std::vector<uint64_t> found;
        for (std::size_t at = value; at < end;) {
            if (std::isdigit(static_cast<unsigned char>(text_[at])) == 0) {
                ++at;
                continue;
            }
            char *after = nullptr;
            found.push_back(std::strtoull(text_.c_str() + at, &after, 10));
            at = static_cast<std::size_t>(after - text_.c_str());
        }
        return found;
    }
    uint64_t number(const std::string &name, std::size_t turn) const { return numbers(name, turn).at(0); }
    std::size_t count(const std::string &name) const {
        std::size_t found = 0;
        for (std::size_t at = text_.find("\"" + name + "\":"); at != std::string::npos;
             at = text_.find("\"" + name + "\":", at + 1)) {
            ++found;
        }
        return found;
    }

  private:
    std::string text_;
};

const char *const UNIT_NAMES[] = {"X", "A", "KV", "S", "R", "L"};

bool earlier(const Record &a, const Record &b) {
    if (a.step != b.step) return a.step < b.step;
    if (a.unit != b.unit) return a.unit < b.unit;
    if (a.column != b.column) return a.column < b.column;
    return a.token < b.token;
}

bool same_word(const Record &a, const Record &b) {
    return !earlier(a, b) && !earlier(b, a) && std::memcmp(a.data, b.data, sizeof a.data) == 0;
}

std::string name_of(const Record &record) {
    const bool known = record.unit < sizeof UNIT_NAMES / sizeof *UNIT_NAMES;
    return std::string("unit ") + (known ? UNIT_NAMES[record.unit] : "?") + ", step " + std::to_string(record.step) +
           ", column " + std::to_string(record.column) + ", token " + std::to_string(record.token);
}

// Compares the words of one image, starts of steps left out; returns the number of differences.
std::size_t compare(std::vector<Record> seen, const std::vector<Record> &expected, std::size_t frame,
                    std::size_t image) {
    seen.erase(std::remove_if(seen.begin(), seen.end(),
                              [](const Record &record) { return record.unit == sievit::PROBE_START; }),
               seen.end());
    std::stable_sort(seen.begin(), seen.end(), earlier);
    const std::string where = "frame " + std::to_string(frame) + ", image " + std::to_string(image);
    if (seen.size() != expected.size()) {
        std::fprintf(stderr, "%s: %zu words were written, %zu expected\n", where.c_str(), seen.size(),
                     expected.size());
        return 1;
    }
    std::size_t wrong = 0;
    for (std::size_t index = 0; index < seen.size(); ++index) {
        if (same_word(seen[index], expected[index])) continue;
        if (wrong == 0) {
            std::fprintf(stderr, "%s: first difference at %s\n", where.c_str(), name_of(expected[index]).c_str());
        }
        ++wrong;
    }
    return wrong;
}

// Records by image: steps are numbered from 0 again.
std::vector<std::vector<Record>> split(const std::vector<Record> &records) {
    std::vector<std::vector<Record>> images;
    for (const Record &record : records) {
        if (images.empty() || (record.unit == sievit::PROBE_START && record.step == 0)) images.emplace_back();
        images.back().push_back(record);
    }
    return images;
}

// Logits in memory against those among the expected records.
std::size_t compare_logits(const char *output, const std::vector<Record> &expected) {
    std::size_t wrong = 0;
    for (const Record &record : expected) {
        if (record.unit == sievit::PROBE_L) wrong += std::memcmp(output + 32 * record.column, record.data, 32) != 0;
    }
    if (wrong != 0) std::fprintf(stderr, "%zu words of the output buffer are wrong\n", wrong);
    return wrong;
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 2) fail("usage: testbench FOLDER");
    const std::string folder = argv[1];
    std::vector<char> memory = read_file(folder + "/memory.bin");
    const std::vector<char> job_text = read_file(folder + "/job.json"), words = read_file(folder + "/records.bin");
    const Json job(std::string(job_text.begin(), job_text.end()));
    std::vector<Record> expected(words.size() / sizeof(Record));
    if (!words.empty()) std::memcpy(expected.data(), words.data(), expected.size() * sizeof(Record));
    if (job.number("config_hash", 0) != sievit::Params::CONFIG_HASH) fail("the job is for other hardware");

    std::size_t wrong = 0, position = 0, images_run = 0;
    const std::size_t frames = job.count("program");
    // Simulators read whole windows behind an address; the last buffer must not end with the memory.
    memory.resize(memory.size() + sievit::Params::WINDOW_BYTES);
    for (std::size_t frame = 0; frame < frames; ++frame) {
        std::vector<Record> records;
        sievit::probe_sink() = &records;
        uint32_t status[sievit::STATUS_WORDS];
        char *output = memory.data() + job.number("output", frame);
        vit_accel(reinterpret_cast<const sievit::StreamWord *>(memory.data() + job.number("program", frame)),
                  reinterpret_cast<const sievit::StreamWord *>(memory.data() + job.number("image", frame)),
                  reinterpret_cast<sievit::LogitWord *>(output), static_cast<uint32_t>(job.number("words", frame)),
                  static_cast<uint32_t>(job.number("images", frame)),
                  static_cast<uint32_t>(job.number("image_stride", frame)),
                  static_cast<uint32_t>(job.number("output_stride", frame)), status);
        sievit::probe_sink() = nullptr;
        if (status[sievit::STATUS_ERROR] != 0) {
            fail("frame " + std::to_string(frame) + " ended with error " +
                 std::to_string(status[sievit::STATUS_ERROR]));
        }
        const std::vector<uint64_t> counts = job.numbers("records", frame);
        const std::vector<std::vector<Record>> seen = split(records);
        for (std::size_t image = 0; image < counts.size(); ++image) {
            const auto first = expected.begin() + static_cast<std::ptrdiff_t>(position);
            const std::vector<Record> mine(first, first + static_cast<std::ptrdiff_t>(counts[image]));
            position += counts[image];
            // In cosimulation the circuit runs, which has no probes: the logits have to do.
            if (!records.empty()) {
                wrong += image < seen.size() ? compare(seen[image], mine, frame, image) : mine.size();
            }
            wrong += compare_logits(output + image * job.number("output_stride", frame), mine);
            ++images_run;
        }
    }
    if (position != expected.size()) fail("records.bin does not fit job.json");
    std::printf("%s: %zu frames, %zu images, %zu words compared, %zu wrong\n", wrong == 0 ? "PASS" : "FAIL", frames,
                images_run, expected.size(), wrong);
    return wrong == 0 ? 0 : 1;
}
