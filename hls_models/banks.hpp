// Activation memories X (layer-norm output), A (patches, queries, context, hidden) and S (scores); mirrors rtl/banks.py.
#ifndef SIEVIT_BANKS_HPP
#define SIEVIT_BANKS_HPP

#include "types.hpp"

namespace sievit {

// Words of 16 codes by column and token. Column c is in bank c mod banks, token t in the memories of group t mod
// groups: the pragmas with the core's memories say so.
template <class P, int COLUMNS> struct Banks {
    Int<8> word[COLUMNS][P::MAX_TOKENS][BLOCK];
};

}  // namespace sievit

#endif
