// Where a kernel keeps its vectors over the atoms: a policy apart from the lanes (lanes.h).
//
// MemVec, MemMat: memory (of a CPU; shared or global memory of a GPU), chosen by the launcher.
#pragma once
#include "lanes.h"

#ifndef __CUDACC__
namespace {
#endif

template <class L>
struct MemVec {
    using T = typename L::Number;
    T* p;
    LANES_FN typename L::F get(int slot) const {
        return L::load(p + slot * L::W);
    }
    LANES_FN void set(int slot, typename L::F a) {
        L::store(p + slot * L::W, a);
    }
    LANES_FN T element(int m) const {
        return p[m];
    }
};

template <class L>
struct MemMat {
    using T = typename L::Number;
    T* p;
    long stride;  // numbers in a row
    LANES_FN typename L::F get(int row, int slot) const {
        return L::load(p + row * stride + slot * L::W);
    }
    LANES_FN void set(int row, int slot, typename L::F a) {
        L::store(p + row * stride + slot * L::W, a);
    }
    LANES_FN T element(int row, int m) const {
        return p[row * stride + m];
    }
};

#ifndef __CUDACC__
}
#endif
