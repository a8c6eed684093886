// hls::stream for native builds, in place of the vendor's header: a queue without bound.
#ifndef SIEVIT_NATIVE_HLS_STREAM_H
#define SIEVIT_NATIVE_HLS_STREAM_H

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace hls {

template <class T> class stream {
  public:
    stream() : first_(0) {}
    explicit stream(const char *) : first_(0) {}

    bool empty() const { return first_ == items_.size(); }
    void write(const T &item) { items_.push_back(item); }

    // The oldest item. Processes run one after the other here, so that one that is not there will never come.
    T read() {
        if (empty()) {
            std::fputs("a stream was read beyond its end\n", stderr);
            std::abort();
        }
        const T item = items_[first_++];
        if (empty()) {
            items_.clear();
            first_ = 0;
        }
        return item;
    }

  private:
    std::vector<T> items_;
    std::size_t first_;
};

}  // namespace hls

#endif
