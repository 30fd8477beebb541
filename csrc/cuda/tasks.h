// What the CUDA kernels are asked to do, and their launchers. Addresses are of device memory; all
// arrays are contiguous, row by row. Everything runs on the given stream, nothing waits.
// B signals, M features, N atoms padded to n (a multiple of 32) with zeros, K places per signal.
#pragma once
#include <cstdint>

namespace sparsedef {

template <class T>
struct OmpCudaTask {
    T* correlations;        // [B, n] of signals scaled to about 1; overwritten
    const T* gram;          // [n, n]
    const T* norm2;         // [n] diagonal of gram
    const T* energy;        // [B] squared norms of the scaled signals
    const T* tol;           // [B] on the scaled squared residual
    const int* limits;      // [B] atoms that each signal may have, at most K, or null: K
    T* workspace;           // [groups, omp_numbers()] or null if that fits into shared memory
    std::int64_t* indices;  // [B, K] out
    T* values;              // [B, K] out, of the scaled signals
    std::int32_t* n_iter;   // [B] out
    std::int32_t* status;   // [B] out
    long n_signals;
    int n, n_nonzero;
    bool is_ols, is_nonnegative;
    int register_slots;  // n / 32 if the correlations are to live in registers: 8, 16, 32 (signed,
                         // no workspace; float64: 8, 16), else 0
    long n_groups;       // warps that have a workspace
};

template <class T>
struct ResidualCudaTask {
    const T* x;                   // [B, M]
    const T* dictionary;          // [N, M]
    const std::int64_t* indices;  // [B, K] unused: -1
    const T* values;              // [B, K]
    T* residual;                  // [B, M] out: x - values D
    long n_signals, n_features;
    int n_nonzero;
};

template <class T>
struct LassoSmallCudaTask {
    const T* gram;   // [U, W, W]; an atom with a zero row keeps its coefficient
    T* slopes;       // [U, W] correlations with the residual of the start; overwritten
    const T* alpha;  // [U]
    T* codes;        // [U, W] in: start; out: solution
    T* accuracy;     // [U] scratch
    T* workspace;    // [groups, lasso_numbers()] or null if that fits into shared memory
    long n_problems;
    int size;
    bool is_nonnegative;
    double tol;     // accuracy of the optimality conditions, relative to the largest slope or alpha
    long n_groups;  // warps that have a workspace
};

// Numbers of memory that one warp needs
long omp_numbers(int n, int n_nonzero, bool is_ols, bool has_registers);
long lasso_numbers(int size);

// Bytes of shared memory that one block may use on the device
long shared_memory_limit(int device);

// These throw std::runtime_error with CUDA's own words. `stream` is a cudaStream_t.
void omp_cuda(const OmpCudaTask<float>& task, int device, void* stream);
void omp_cuda(const OmpCudaTask<double>& task, int device, void* stream);
void residual_cuda(const ResidualCudaTask<float>& task, int device, void* stream);
void residual_cuda(const ResidualCudaTask<double>& task, int device, void* stream);
void lasso_small_cuda(const LassoSmallCudaTask<float>& task, int device, void* stream);
void lasso_small_cuda(const LassoSmallCudaTask<double>& task, int device, void* stream);

}  // namespace sparsedef
