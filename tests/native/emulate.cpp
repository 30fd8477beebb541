// The CUDA kernels' own source on the emulator, beside the same kernels with the lanes of this CPU.
#include "cuda_emulator.h"
//
#include "../../csrc/cuda/lasso_kernel.h"
#include "../../csrc/cuda/omp_kernel.h"

using sparsedef::LassoSmallCudaTask;
using sparsedef::OmpCudaTask;
using sparsedef::ResidualCudaTask;

namespace {

template <class T, Selection Rule>
void omp_gpu(OmpCudaTask<T> task, int order, int memory) {
    const unsigned blocks =
        unsigned((task.n_groups + sparsedef::kOmpWarps - 1) / sparsedef::kOmpWarps);
    const auto layout = sparsedef::omp_layout(task.n, task.n_nonzero, Rule == kOls) * sizeof(T);
    const auto run = [&](const std::function<void()>& kernel) {
        emulator::launch(blocks, sparsedef::kOmpWarps,
                         task.workspace == nullptr ? sparsedef::kOmpWarps * layout : 4,
                         emulator::Order(order), emulator::Memory(memory), kernel);
    };
    if (task.workspace == nullptr) {
        run([&] { sparsedef::omp_kernel<T, Rule, true>(task); });
    } else {
        run([&] { sparsedef::omp_kernel<T, Rule, false>(task); });
    }
}

template <class T, Selection Rule>
void omp_cpu(const OmpCudaTask<T>& task) {
    using L = CpuLanes<T>;
    const long n = task.n, n_nonzero = task.n_nonzero;
    std::vector<T> basis(n * n_nonzero), rest(n), score(n), factor(n_nonzero * n_nonzero),
        projections(n_nonzero), coefficients(n_nonzero);
    std::vector<int> chosen(n_nonzero);
    const OmpScratch<T> scratch{factor.data(), projections.data(), chosen.data(),
                                coefficients.data()};
    for (long b = 0; b < task.n_signals; ++b) {
        OmpState<L, Rule, MemVec<L>, MemMat<L>> state{
            {task.correlations + b * n}, {basis.data(), n}, {rest.data()}, {score.data()}};
        const OmpEnd end = omp_signal<L, Rule, 2>(
            OmpAtoms<T>{task.norm2, int(n / 32), task.n_nonzero}, state, scratch,
            [&](int atom) { return task.gram + atom * n; }, task.energy[b], task.tol[b]);
        std::copy(chosen.begin(), chosen.end(), task.indices + b * n_nonzero);
        std::copy(coefficients.begin(), coefficients.end(), task.values + b * n_nonzero);
        task.n_iter[b] = end.n_chosen;
        task.status[b] = end.status;
    }
}

template <class T>
void lasso_cpu(const LassoSmallCudaTask<T>& task) {
    const int size = task.size, stride = padded_to_lanes(size);
    std::vector<T> memory((2 * size + 5) * stride);
    std::vector<int> support(stride);
    for (long u = 0; u < task.n_problems; ++u) {
        std::fill(memory.begin(), memory.end(), T(0));
        T* vectors = memory.data() + 2 * size * stride;
        SmallLasso<T> p{size,
                        stride,
                        memory.data(),
                        vectors,
                        vectors + stride,
                        memory.data() + size * stride,
                        vectors + 2 * stride,
                        vectors + 3 * stride,
                        vectors + 4 * stride,
                        support.data(),
                        0,
                        false,
                        task.alpha[u],
                        task.is_nonnegative,
                        0};
        T largest = p.alpha;
        for (int j = 0; j < size; ++j) {
            std::copy_n(task.gram + (u * size + j) * size, size, memory.data() + j * stride);
            p.codes[j] = task.codes[u * size + j];
            p.left[j] = task.slopes[u * size + j];
            largest = std::max(largest, std::abs(p.left[j]));
        }
        p.accuracy = T(task.tol) * largest;
        solve_small<CpuLanes<T>>(p);
        std::copy_n(p.codes, size, task.codes + u * size);
    }
}

// order < 0: the lanes of this CPU
template <class T>
void run_omp(const OmpCudaTask<T>& task, bool is_ols, int order, int memory) {
    if (order < 0) {
        is_ols ? omp_cpu<T, kOls>(task) : omp_cpu<T, kOmp>(task);
    } else {
        is_ols ? omp_gpu<T, kOls>(task, order, memory) : omp_gpu<T, kOmp>(task, order, memory);
    }
}

template <class T>
void run_residual(const ResidualCudaTask<T>& task, int order, int memory) {
    const unsigned blocks = unsigned((task.n_signals + 3) / 4);
    emulator::launch(blocks, sparsedef::kOmpWarps, 4, emulator::Order(order),
                     emulator::Memory(memory), [&] { sparsedef::residual_kernel<T>(task); });
}

template <class T>
void run_lasso(const LassoSmallCudaTask<T>& task, int order, int memory) {
    if (order < 0) return lasso_cpu(task);
    const auto layout = sparsedef::lasso_layout(task.size) * sizeof(T);
    const auto run = [&](std::size_t shared_bytes, const std::function<void()>& kernel) {
        emulator::launch(unsigned(task.n_groups), 1, shared_bytes, emulator::Order(order),
                         emulator::Memory(memory), kernel);
    };
    if (task.workspace == nullptr) {
        run(layout, [&] { sparsedef::lasso_small_kernel<T, true, sparsedef::kPivots>(task); });
        run(layout, [&] { sparsedef::lasso_small_kernel<T, true, sparsedef::kDescent>(task); });
    } else {
        run(4, [&] { sparsedef::lasso_small_kernel<T, false, sparsedef::kPivots>(task); });
        run(4, [&] { sparsedef::lasso_small_kernel<T, false, sparsedef::kDescent>(task); });
    }
}

}  // namespace

extern "C" {

void emulate_omp_float(const OmpCudaTask<float>* task, bool is_ols, int order, int memory) {
    run_omp(*task, is_ols, order, memory);
}
void emulate_omp_double(const OmpCudaTask<double>* task, bool is_ols, int order, int memory) {
    run_omp(*task, is_ols, order, memory);
}
void emulate_residual_float(const ResidualCudaTask<float>* task, int order, int memory) {
    run_residual(*task, order, memory);
}
void emulate_residual_double(const ResidualCudaTask<double>* task, int order, int memory) {
    run_residual(*task, order, memory);
}
void emulate_lasso_float(const LassoSmallCudaTask<float>* task, int order, int memory) {
    run_lasso(*task, order, memory);
}
void emulate_lasso_double(const LassoSmallCudaTask<double>* task, int order, int memory) {
    run_lasso(*task, order, memory);
}
long emulate_omp_numbers(int n, int n_nonzero, bool is_ols) {
    return sparsedef::omp_layout(n, n_nonzero, is_ols);
}
long emulate_lasso_numbers(int size) {
    return sparsedef::lasso_layout(size);
}

}  // extern "C"
