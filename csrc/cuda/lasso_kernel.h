// The CUDA kernel of the small LASSO: a warp per problem runs the text of lasso.h.
//
// kShared: Gram matrix and factor live in shared memory, 2 W^2 numbers (34 KB for W = 64 in
// float32); the matrix is read once. Otherwise they live in a workspace in global memory.
#pragma once
#include "../lasso.h"
#include "tasks.h"

#ifndef SPARSEDEF_EMULATE
#define SHARED_MEMORY extern __shared__ float4 shared_memory[];
#endif

namespace sparsedef {

constexpr int kLassoSteps = 60;  // Newton steps, and 4 more for every atom

__host__ __device__ inline long lasso_layout(int size) {
    const long stride = (size + 31) / 32 * 32;
    return (2 * long(size) + 6) * stride;
}

template <class T, bool kShared>
__global__ void __launch_bounds__(32) lasso_small_kernel(LassoSmallCudaTask<T> task) {
    using L = WarpLanes<T>;
    SHARED_MEMORY
    const int size = task.size, stride = padded_to_lanes(size);
    const long group = blockIdx.x;
    T* own =
        kShared ? reinterpret_cast<T*>(shared_memory) : task.workspace + group * lasso_layout(size);
    T* gram = own;
    T* vectors = own + 2 * long(size) * stride;
    SmallLasso<T> problem;
    problem.size = size;
    problem.stride = stride;
    problem.gram = gram;
    problem.factor = own + long(size) * stride;
    problem.codes = vectors;
    problem.left = vectors + stride;
    problem.slope = vectors + 2 * stride;
    problem.forward = vectors + 3 * stride;
    problem.inverse_pivots = vectors + 4 * stride;
    problem.support = reinterpret_cast<int*>(vectors + 5 * stride);
    problem.is_nonnegative = task.is_nonnegative;

    for (long u = group; u < task.n_problems; u += task.n_groups) {
        const T* rows = task.gram + u * size * size;
        for (int j = 0; j < size; ++j) {
            for (int i = L::lane(); i < stride; i += L::W) {
                gram[long(j) * stride + i] = i < size ? rows[long(j) * size + i] : T(0);
            }
        }
        const T alpha = task.alpha[u];
        T largest = alpha;
        for (int i = L::lane(); i < stride; i += L::W) {
            const T slope = i < size ? task.slopes[u * size + i] : T(0);
            problem.codes[i] = i < size ? task.codes[u * size + i] : T(0);
            problem.left[i] = slope;
            largest = L::max(largest, L::abs(slope));
        }
        L::sync();
        problem.alpha = alpha;
        problem.accuracy = T(task.tol) * L::hmax(largest);
        solve_small<L>(problem, kLassoSteps + 4 * size);
        L::sync();
        for (int i = L::lane(); i < size; i += L::W) task.codes[u * size + i] = problem.codes[i];
        L::sync();  // the next problem overwrites what is read here
    }
}

}  // namespace sparsedef
