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
    const int* limits;      // [B] atoms that each signal may have, at most K, or null: K
    std::int64_t* indices;  // [B, K] out
    T* values;              // [B, K] out
    T* residual;            // [B, M] out
    std::int32_t* n_iter;   // [B] out
    std::int32_t* status;   // [B] out
    long n_signals, n_features, n_atoms;
    int n_nonzero;
    bool is_ols, is_nonnegative;
    long max_memory;  // bytes of workspace, 0 for no limit
    int n_threads;
};

enum class PatchStandard : int { kNone, kMean, kZscore };  // see PatchTask::standard

// P patches of an image: M = C size^2 features, row by row, the last flush with the edge
template <class T>
struct PatchTask {
    const T* images;        // [B, C, H, W]
    const T* dictionary;    // [N, M]
    const bool* mask;       // [B, H, W] pixels to rebuild, or null: all
    std::int64_t* indices;  // [B, P, K] out
    T* values;              // [B, P, K] out
    T* rebuilt;             // [B, C, H, W] out
    std::int32_t* n_iter;   // [B, P] out
    std::int32_t* status;   // [B, P] out
    long n_images, n_channels, height, width, n_atoms;
    long size, stride;  // of a patch, and between neighbours, at most `size`
    int n_nonzero;
    PatchStandard standard;  // what is taken from patches: nothing; each one's mean; mean and
                             // deviation of each dimension over the coded patches of an image
    bool is_ols;
    double tol;       // on the squared residual
    long max_memory;  // bytes of workspace, 0 for no limit
    int n_threads;
};

template <class T>
struct LassoTask {
    const T* x;             // [B, M]
    const T* dictionary;    // [N, M]
    const T* alpha;         // [B]
    const T* ridge;         // [N] or null
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
    long max_memory;  // bytes of workspace, 0 for no limit
    int n_threads;
    bool has_vnni;  // set by the dispatcher
};

// The open signals of ISTA or FISTA; `stride` is N rounded up to a multiple of 32, filled with
// zeros.
template <class T>
struct ProximalStepTask {
    T* codes;               // [B, stride] z, becomes the next iterate
    T* point;               // [B, stride] y, becomes the next; null: ISTA, where y = z
    T* pace;                // [B] t, becomes the next; null for ISTA
    const T* correlations;  // [B, stride] (x - y D) D^T; Gram form: x D^T
    const T* product;       // [B, stride] Gram form: y G; else null
    const T* ridge;         // [stride] or null
    const T* alpha;         // [B]
    T step;
    long n_signals, stride;
    bool is_nonnegative;
    int n_threads;
};

template <class T>
struct ProximalGapTask {
    const T* x;             // [B, M]
    const T* residual;      // [B, M] x - z D
    const T* codes;         // [B, stride] z
    const T* correlations;  // [B, stride] residual D^T
    const T* ridge;         // [stride] or null
    const T* alpha;         // [B]
    T* gap;                 // [B] out, relative
    long n_signals, n_features, stride;
    bool is_nonnegative;
    int n_threads;
};

// Unused slots have index -1.
template <class T>
struct CodeStatisticsTask {
    const T* x;                   // [B, M]
    const std::int64_t* indices;  // [B, slots]
    const T* values;              // [B, slots]
    T* gram;                      // [N, N] out, Z^T Z
    T* cross;                     // [N, M] out, Z^T X
    T* usage;                     // [N] out, nonzero codes of each atom
    long n_signals, n_features, n_atoms, n_slots;
    int n_threads;
};

template <class T>
struct UpdateAtomsTask {
    const T* dictionary;  // [N, M]
    const T* gram;        // [N, N] A, symmetric
    const T* cross;       // [N, M] B
    T* updated;           // [N, M] out
    long n_atoms, n_features;
    int n_passes;
    bool is_nonnegative;
    bool is_unit;  // norm 1, else at most 1
    int n_threads;
};

}  // namespace sparsedef
