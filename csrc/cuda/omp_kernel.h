// The CUDA kernels of OMP: a warp per signal runs the text of omp.h.
//
// Per signal: K^2 N operations on the basis and 2 K N (ols: 5 K N) on the rest; reads its
// correlations (4 N bytes, float32) and K rows of the Gram matrix (4 K N, from L2), writes 12 K.
//
// Where state lives, kPlace:
// - above 0, in registers: the correlations (ols: and squared norms), kPlace in each thread; the
//   basis is in shared memory, K n numbers, of which one is loaded per multiply-add;
// - kShared: all of it in shared memory, (K + 2) n numbers, and 4 more accesses per atom and step;
// - kWorkspace: all of it in global memory, which L2 may or may not hold.
#pragma once
#include "../omp_positive.h"
#include "tasks.h"

#ifndef SPARSEDEF_EMULATE
#define SHARED_MEMORY extern __shared__ float4 shared_memory[];
#endif

namespace sparsedef {

constexpr int kOmpWarps = 4;     // of a block, at the most
constexpr int kOmpRegister = 4;  // slots in registers at once, if not all
constexpr int kShared = 0, kWorkspace = -1;

// Layout of a warp's memory: [K basis rows | without registers: correlations | and rest (OLS)] of
// n, then the scratch
__host__ __device__ inline long omp_layout(int n, int n_nonzero, bool is_ols, bool has_registers) {
    const long scratch = (long(n_nonzero) * (n_nonzero + 5) + 31) / 32 * 32;
    return long(n_nonzero + (has_registers ? 0 : is_ols ? 2 : 1)) * n + scratch;
}

// Vectors over the atoms at kPlace
template <class L, int kPlace>
struct OmpVector {
    using Type = RegVec<L, kPlace>;
    static LANES_FN Type at(typename L::Number*) {
        return {};
    }
};
template <class L>
struct OmpVector<L, kShared> {
    using Type = MemVec<L>;
    static LANES_FN Type at(typename L::Number* p) {
        return {p};
    }
};
template <class L>
struct OmpVector<L, kWorkspace> : OmpVector<L, kShared> {};

// Blocks per processor that registers must allow; more slots need more of them
constexpr int omp_least_blocks(int place) {
    return place <= 8 ? 4 : place <= 16 ? 3 : 2;
}

template <class T, Selection Rule, bool Positive, int kPlace>
__global__ void __launch_bounds__(kOmpWarps * 32, omp_least_blocks(kPlace))
    omp_kernel(OmpCudaTask<T> task) {
    using L = WarpLanes<T>;
    using Vector = OmpVector<L, kPlace>;
    constexpr bool kHasRegisters = kPlace > 0;
    constexpr int kBlock = kHasRegisters ? kPlace : kOmpRegister;
    SHARED_MEMORY
    const int n = kHasRegisters ? kPlace * L::W : task.n, n_nonzero = task.n_nonzero;
    const int warp = threadIdx.x / L::W, n_warps = blockDim.x / L::W;
    const long group = long(blockIdx.x) * n_warps + warp;
    const long size = omp_layout(n, n_nonzero, Rule == kOls, kHasRegisters);
    if (group >= task.n_groups) return;
    T* const own = kPlace == kWorkspace ? task.workspace + group * size
                                        : reinterpret_cast<T*>(shared_memory) + warp * size;
    T* const vectors = own + long(n_nonzero) * n;
    OmpScratch<T> scratch;
    scratch.factor = vectors + (kHasRegisters ? 0 : Rule == kOls ? 2 * n : n);
    scratch.projections = scratch.factor + long(n_nonzero) * n_nonzero;
    scratch.trial = scratch.projections + n_nonzero;
    scratch.coefficients = scratch.trial + 2 * n_nonzero;
    scratch.chosen = reinterpret_cast<int*>(scratch.coefficients + n_nonzero);
    const OmpAtoms<T> atoms{task.norm2, n / L::W, n_nonzero};

    for (long b = group; b < task.n_signals; b += task.n_groups) {
        OmpSignal<L, Rule, Positive, typename Vector::Type, MemMat<L>> s;
        s.correlations = Vector::at(vectors);
        s.rest = Vector::at(vectors + n);
        s.basis = {own, n};
        s.own = scratch;
        s.energy = task.energy[b];
        s.tol = task.tol[b];
        s.limit = task.limits == nullptr ? n_nonzero : task.limits[b];
        LANES_UNROLL
        for (int slot = 0; slot < atoms.slots; ++slot) {
            s.correlations.set(slot, L::load(task.correlations + b * n + slot * L::W));
        }
        L::sync();
        const auto row = [&](int i) { return task.gram + long(scratch.chosen[i]) * n; };
        omp_start(atoms, s);
        for (;;) {
            omp_choose(atoms, s);
            if constexpr (Positive) {
                if (s.is_open) omp_settle<kBlock>(atoms, s, row);
            }
            if (!s.is_open) break;
            omp_update<kBlock>(atoms, s, row(s.n_chosen - 1));
        }
        omp_finish(atoms, s);
        L::sync();
        for (int k = L::lane(); k < n_nonzero; k += L::W) {
            task.indices[b * n_nonzero + k] = scratch.chosen[k];
            task.values[b * n_nonzero + k] = scratch.coefficients[k];
        }
        task.n_iter[b] = s.n_chosen;
        task.status[b] = s.status;
        L::sync();  // the next signal overwrites what is read here
    }
}

// residual = x - values D, one chain of fused multiply-adds per element as on the CPU
template <class T>
__global__ void __launch_bounds__(kOmpWarps * 32) residual_kernel(ResidualCudaTask<T> task) {
    using L = WarpLanes<T>;
    const long b = long(blockIdx.x) * kOmpWarps + threadIdx.x / L::W;
    if (b >= task.n_signals) return;
    const std::int64_t* indices = task.indices + b * task.n_nonzero;
    const T* values = task.values + b * task.n_nonzero;
    for (long t = L::lane(); t < task.n_features; t += L::W) {
        T left = task.x[b * task.n_features + t];
        for (int k = 0; k < task.n_nonzero && indices[k] >= 0; ++k) {
            left = L::fma(-values[k], task.dictionary[indices[k] * task.n_features + t], left);
        }
        task.residual[b * task.n_features + t] = left;
    }
}

}  // namespace sparsedef
