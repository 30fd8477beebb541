// The CUDA kernel of the small LASSO: a warp per problem runs the text of lasso.h.
//
// Per problem of W atoms, float32: reads 4 W^2 bytes of Gram matrix, 8 W of slopes and codes, and
// writes 8 W. A pivot with support S is three passes over |S| rows, 6 |S| W operations, so some
// 3 W s^2 up to a support of s atoms; of descent lasso_newton.h says what a Newton step takes.
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

__host__ __device__ inline long lasso_layout(int size) {
    const long stride = (size + 31) / 32 * 32;
    return (2 * long(size) + 6) * stride;
}

// Two launches, so that neither solver needs registers for both: pivots for all problems, then
// descent for those that they could not solve, from where they got to.
enum LassoSolver { kPivots, kDescent };

template <class T, bool kShared, LassoSolver kSolver>
__global__ void __launch_bounds__(32, 16) lasso_small_kernel(LassoSmallCudaTask<T> task) {
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
        if (kSolver == kDescent && task.accuracy[u] == 0) continue;  // solved
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
        if (kSolver == kPivots) {
            problem.has_inverse = false;
            const bool is_solved = pivot_to_solution<L>(problem);
            L::sync();
            task.accuracy[u] = is_solved ? T(0) : problem.accuracy;
        } else {
            problem.accuracy = task.accuracy[u];
            descend_to_solution<L>(problem);
            L::sync();
        }
        for (int i = L::lane(); i < size; i += L::W) {
            task.codes[u * size + i] = problem.codes[i];
            if (kSolver == kPivots) task.slopes[u * size + i] = problem.left[i];
        }
        L::sync();  // the next problem overwrites what is read here
    }
}

}  // namespace sparsedef
