// OMP on a CPU: each thread takes chunks of signals; omp_coder.h codes them.
#include "omp_coder.h"
#include "tasks.h"
#include "threads.h"

namespace {

using sparsedef::OmpTask;

template <class T>
class OmpRun {
  public:
    explicit OmpRun(const OmpTask<T>& task)
        : task_(task),
          coder_({task.dictionary, task.n_atoms, task.n_features, task.n_nonzero, task.is_ols,
                  task.is_nonnegative, task.n_signals, task.max_memory, task.n_threads}) {}

    void run() {
        const long chunk = coder_.chunk(), n_chunks = (task_.n_signals + chunk - 1) / chunk;
        const int most = coder_.n_workspaces();
        for_each(n_chunks, int(n_chunks < most ? n_chunks : most), [&](long i, int thread) {
            const long from = i * chunk, left = task_.n_signals - from;
            code_chunk(from, left < chunk ? left : chunk, thread);
        });
    }

  private:
    void code_chunk(long from, long rows, int thread) {
        const long n_features = task_.n_features, stride = coder_.stride();
        T* const signals = coder_.signals(thread);
        for (long i = 0; i < rows; ++i) {
            T* to = signals + i * stride;
            __builtin_memcpy(to, task_.x + (from + i) * n_features, n_features * sizeof(T));
            fill(to + n_features, stride - n_features, T(0));
        }
        coder_.code(thread, rows, task_.tol + from,
                    task_.limits == nullptr ? nullptr : task_.limits + from);
        for (long i = 0; i < rows; ++i) write(from + i, coder_.found(thread, i));
    }

    void write(long signal, const OmpFound<T>& found) const {
        const long n_nonzero = task_.n_nonzero, n_features = task_.n_features;
        std::int64_t* const indices = task_.indices + signal * n_nonzero;
        T* const values = task_.values + signal * n_nonzero;
        T* const residual = task_.residual + signal * n_features;
        task_.n_iter[signal] = found.n_chosen;
        task_.status[signal] = found.status;
        if (found.status == kNonfinite) {
            fill(indices, n_nonzero, std::int64_t(-1));
            fill(values, n_nonzero, not_a_number<T>());
            fill(residual, n_features, not_a_number<T>());
            return;
        }
        __builtin_memcpy(residual, task_.x + signal * n_features, n_features * sizeof(T));
        for (long k = 0; k < n_nonzero; ++k) {
            indices[k] = found.atoms[k];
            values[k] = found.values[k];
            if (k >= found.n_chosen) continue;
            subtract(residual, values[k], task_.dictionary + found.atoms[k] * n_features,
                     n_features);
        }
    }

    const OmpTask<T>& task_;
    OmpCoder<T> coder_;
};

}  // namespace

namespace sparsedef::SPARSEDEF_ISA {

void omp(const OmpTask<float>& task) {
    OmpRun<float>(task).run();
}
void omp(const OmpTask<double>& task) {
    OmpRun<double>(task).run();
}

}  // namespace sparsedef::SPARSEDEF_ISA
