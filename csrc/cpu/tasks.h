// What the CPU kernels are asked to do: addresses and sizes. All arrays are contiguous, row by row;
// outputs are written in full. B signals, M features, N atoms, K or `slots` places per signal.
#pragma once
#include <cstdint>

namespace sparsedef {

template <class T>
struct OmpTask {
    const T* x;             // [B, M]
    const T* dictionary;    // [N, M]
    const T* tol;           // [B] on the squared residual
    std::int64_t* indices;  // [B, K] out
    T* values;              // [B, K] out
    T* residual;            // [B, M] out
    std::int32_t* n_iter;   // [B] out
    std::int32_t* status;   // [B] out
    long n_signals, n_features, n_atoms;
    int n_nonzero;
    bool is_ols;
    int n_threads;
};

template <class T>
struct LassoTask {
    const T* x;             // [B, M]
    const T* dictionary;    // [N, M]
    const T* alpha;         // [B]
    const T* init;          // [B, N] or null
    std::int64_t* indices;  // [B, slots] out
    T* values;              // [B, slots] out; [B, N] when slots is 0
    T* residual;            // [B, M] out
    T* gap;                 // [B] out, relative
    std::int32_t* n_iter;   // [B] out
    std::int32_t* status;   // [B] out
    long n_signals, n_features, n_atoms;
    long slots;
    bool is_nonnegative;
    double tol;  // on the relative gap
    int max_iter;
    int n_threads;
};

}  // namespace sparsedef
