// Program source: reads the program from memory, once per image or, of a resident program, for the first image only;
// mirrors rtl/program_store.py.
#ifndef SIEVIT_PROGRAM_STORE_HPP
#define SIEVIT_PROGRAM_STORE_HPP

#include <hls_stream.h>

#include "types.hpp"

namespace sievit {

template <class P> struct ProgramStore {
    typedef Word<P::STREAM_BITS> StreamWord;
    StreamWord word[P::RESIDENT_WORDS > 0 ? P::RESIDENT_WORDS : 1];

    void send(const StreamWord *memory, uint32_t words, bool resident, uint32_t images,
              hls::stream<StreamWord> &program) {
    images_of_run:
        for (uint32_t image = 0; image < images; ++image) {
        program_words:
            for (uint32_t index = 0; index < words; ++index) {
#pragma HLS PIPELINE II=1
                const bool replay = resident && image != 0;
                const StreamWord next = replay ? word[index] : memory[index];
                if (resident && !replay) word[index] = next;
                program.write(next);
            }
        }
    }
};

}  // namespace sievit

#endif
