// The CUDA kernels' own source on the emulator, beside the same kernels with the lanes of this CPU.
#include "cuda_emulator.h"
//
#include "../../csrc/cuda/lasso_kernel.h"
#include "../../csrc/cuda/omp_kernel.h"

using sparsedef::LassoSmallCudaTask;
using sparsedef::OmpCudaTask;
using sparsedef::ResidualCudaTask;

namespace {

template <class T, Selection Rule, bool Positive, int kPlace>
void omp_gpu(const OmpCudaTask<T>& task, int order, int memory) {
    constexpr int kWarps = sparsedef::kOmpWarps;
    const auto layout =
        sparsedef::omp_layout(task.n, task.n_nonzero, Rule == kOls, kPlace > 0) * sizeof(T);
    emulator::launch(unsigned((task.n_groups + kWarps - 1) / kWarps), kWarps,
                     kPlace == sparsedef::kWorkspace ? 4 : kWarps * layout, emulator::Order(order),
                     emulator::Memory(memory),
                     [&] { sparsedef::omp_kernel<T, Rule, Positive, kPlace>(task); });
}

template <class T, Selection Rule, bool Positive>
void omp_cpu(const OmpCudaTask<T>& task) {
    using L = CpuLanes<T>;
    const long n = task.n, n_nonzero = task.n_nonzero;
    std::vector<T> basis(n * n_nonzero), rest(n), factor(n_nonzero * n_nonzero),
        projections(n_nonzero), trial(2 * n_nonzero), coefficients(n_nonzero);
    std::vector<int> chosen(n_nonzero);
    const OmpAtoms<T> atoms{task.norm2, int(n / 32), task.n_nonzero};
    const auto row = [&](int i) { return task.gram + chosen[i] * n; };
    for (long b = 0; b < task.n_signals; ++b) {
        OmpSignal<L, Rule, Positive, MemVec<L>, MemMat<L>> s;
        s.correlations = {task.correlations + b * n};
        s.rest = {rest.data()};
        s.basis = {basis.data(), n};
        s.own = {factor.data(), projections.data(), trial.data(), chosen.data(),
                 coefficients.data()};
        s.energy = task.energy[b];
        s.tol = task.tol[b];
        s.limit = task.limits == nullptr ? task.n_nonzero : task.limits[b];
        omp_start(atoms, s);
        for (;;) {
            omp_choose(atoms, s);
            if constexpr (Positive) {
                if (s.is_open) omp_settle<2>(atoms, s, row);
            }
            if (!s.is_open) break;
            omp_update<2>(atoms, s, row(s.n_chosen - 1));
        }
        omp_finish(atoms, s);
        std::copy(chosen.begin(), chosen.end(), task.indices + b * n_nonzero);
        std::copy(coefficients.begin(), coefficients.end(), task.values + b * n_nonzero);
        task.n_iter[b] = s.n_chosen;
        task.status[b] = s.status;
    }
}

// order < 0: the lanes of this CPU
template <class T, Selection Rule, bool Positive>
void omp_by(const OmpCudaTask<T>& task, int order, int memory) {
    using namespace sparsedef;
    if (order < 0) return omp_cpu<T, Rule, Positive>(task);
    if constexpr (!Positive) {
        if (task.register_slots == 8) return omp_gpu<T, Rule, false, 8>(task, order, memory);
        if (task.register_slots == 16) return omp_gpu<T, Rule, false, 16>(task, order, memory);
        if (task.register_slots == 32) return omp_gpu<T, Rule, false, 32>(task, order, memory);
    }
    task.workspace == nullptr ? omp_gpu<T, Rule, Positive, kShared>(task, order, memory)
                              : omp_gpu<T, Rule, Positive, kWorkspace>(task, order, memory);
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

template <class T>
void run_omp(const OmpCudaTask<T>& task, int order, int memory) {
    if (task.is_nonnegative) {
        task.is_ols ? omp_by<T, kOls, true>(task, order, memory)
                    : omp_by<T, kOmp, true>(task, order, memory);
    } else {
        task.is_ols ? omp_by<T, kOls, false>(task, order, memory)
                    : omp_by<T, kOmp, false>(task, order, memory);
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

void emulate_omp_float(const OmpCudaTask<float>* task, int order, int memory) {
    run_omp(*task, order, memory);
}
void emulate_omp_double(const OmpCudaTask<double>* task, int order, int memory) {
    run_omp(*task, order, memory);
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
long emulate_omp_numbers(int n, int n_nonzero, bool is_ols, bool has_registers) {
    return sparsedef::omp_layout(n, n_nonzero, is_ols, has_registers);
}
long emulate_lasso_numbers(int size) {
    return sparsedef::lasso_layout(size);
}

}  // extern "C"
