// The CUDA kernels of OMP: a warp per signal runs the text of omp.h.
//
// kShared: correlations and basis live in shared memory, (K + 3) n numbers per warp; traffic per
// signal: its correlations once, K rows of the Gram matrix (from L2). Otherwise they live in a
// workspace in global memory, which L2 may or may not hold.
#pragma once
#include "../omp.h"
#include "tasks.h"

#ifndef SPARSEDEF_EMULATE
#define SHARED_MEMORY extern __shared__ float4 shared_memory[];
#endif

namespace sparsedef {

constexpr int kOmpWarps = 4;     // of a block
constexpr int kOmpRegister = 4;  // slots in registers at once

// Layout of a warp's memory: [K basis rows | correlations | rest, score (OLS)] of n, then the
// scratch
__host__ __device__ inline long omp_layout(int n, int n_nonzero, bool is_ols) {
    const long scratch = (long(n_nonzero) * (n_nonzero + 3) + 31) / 32 * 32;
    return long(n_nonzero + (is_ols ? 3 : 1)) * n + scratch;
}

template <class T, Selection Rule, bool kShared>
__global__ void __launch_bounds__(kOmpWarps * 32, 4) omp_kernel(OmpCudaTask<T> task) {
    using L = WarpLanes<T>;
    SHARED_MEMORY
    const int n = task.n, n_nonzero = task.n_nonzero, slots = n / L::W;
    const int warp = threadIdx.x / L::W;
    const long group = long(blockIdx.x) * kOmpWarps + warp;
    const long size = omp_layout(n, n_nonzero, Rule == kOls);
    if (group >= task.n_groups) return;
    T* own =
        kShared ? reinterpret_cast<T*>(shared_memory) + warp * size : task.workspace + group * size;
    T* correlations = own + long(n_nonzero) * n;
    T* rest = correlations + n;
    T* score = rest + (Rule == kOls ? n : 0);
    OmpScratch<T> scratch;
    scratch.factor = own + long(n_nonzero + (Rule == kOls ? 3 : 1)) * n;
    scratch.projections = scratch.factor + long(n_nonzero) * n_nonzero;
    scratch.coefficients = scratch.projections + n_nonzero;
    scratch.chosen = reinterpret_cast<int*>(scratch.coefficients + n_nonzero);
    const OmpAtoms<T> atoms{task.norm2, slots, n_nonzero};
    const auto gram_row = [&](int atom) { return task.gram + long(atom) * n; };

    for (long b = group; b < task.n_signals; b += task.n_groups) {
        for (int s = 0; s < slots; ++s) {
            L::store(correlations + s * L::W, L::load(task.correlations + b * n + s * L::W));
        }
        L::sync();
        OmpState<L, Rule, MemVec<L>, MemMat<L>> state{{correlations}, {own, n}, {rest}, {score}};
        const OmpEnd end = omp_signal<L, Rule, kOmpRegister>(atoms, state, scratch, gram_row,
                                                             task.energy[b], task.tol[b]);
        L::sync();
        for (int k = L::lane(); k < n_nonzero; k += L::W) {
            task.indices[b * n_nonzero + k] = scratch.chosen[k];
            task.values[b * n_nonzero + k] = scratch.coefficients[k];
        }
        task.n_iter[b] = end.n_chosen;
        task.status[b] = end.status;
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
