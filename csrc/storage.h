// Where a kernel keeps its vectors over the atoms: a policy apart from the lanes (lanes.h).
//
// MemVec, MemMat: memory (of a CPU; shared or global memory of a GPU), chosen by the launcher.
// RegVec: registers of a warp, for a length known when compiled and loops over it that are
// unrolled.
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

// Only for lanes of one number each
template <class L, int Slots>
struct RegVec {
    using T = typename L::Number;
    T v[Slots];
    LANES_FN T get(int slot) const {
        return v[slot];
    }
    LANES_FN void set(int slot, T a) {
        v[slot] = a;
    }
    // No register can be named at run time: each lane selects its number of that slot, then the
    // lane that has element m tells all
    LANES_FN T element(int m) const {
        const int slot = m / L::W;
        T own = v[0];
        LANES_UNROLL
        for (int s = 1; s < Slots; ++s) own = s == slot ? v[s] : own;
        return L::at(own, m % L::W);
    }
};

template <class L>
struct MemMat {
    using T = typename L::Number;
    static constexpr bool kHasRows = true;
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
    LANES_FN void enter(int, int, const T*) {}
};

#ifndef __CUDACC__
}
#endif
