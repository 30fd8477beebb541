// What dictionary learning keeps of a batch: Z^T Z and Z^T X of its codes Z, from their nonzeros.
//
// The nonzeros are first sorted by atom; then each atom's rows are sums over the signals that use
// it, in the signals' order: no two threads write to one row, and no sum depends on their number.
// Work is B K (K + M) for K nonzeros a signal, against B N (N + M) of the dense products.
#include "signal.h"
#include "tasks.h"
#include "threads.h"

namespace {

using sparsedef::CodeStatisticsTask;

constexpr long kAtoms = 8;             // that a thread takes at a time
constexpr long kAloneBelow = 1 << 22;  // multiply-adds that are not worth threads

template <class T>
class CodeStatistics {
    using L = CpuLanes<T>;

  public:
    explicit CodeStatistics(const CodeStatisticsTask<T>& task)
        : task_(task), first_(task.n_atoms + 1), uses_(task.n_signals * task.n_slots + 1) {}

    void run() {
        sort_by_atom();
        const long work = first_[task_.n_atoms] * (task_.n_features + task_.n_slots);
        const int n_threads = work < kAloneBelow ? 1 : task_.n_threads;
        for_each((task_.n_atoms + kAtoms - 1) / kAtoms, n_threads, [&](long item, int) {
            const long from = item * kAtoms, left = task_.n_atoms - from;
            for (long j = from; j < from + (left < kAtoms ? left : kAtoms); ++j) add_up(j);
        });
    }

  private:
    bool is_used(long place) const {
        return task_.indices[place] >= 0 && task_.values[place] != 0;
    }

    // uses[first[j] .. first[j + 1]) are the places of atom j's codes, in order
    void sort_by_atom() {
        const long n_places = task_.n_signals * task_.n_slots;
        fill(first_.data(), task_.n_atoms + 1, 0L);
        for (long place = 0; place < n_places; ++place) {
            if (is_used(place)) ++first_[task_.indices[place] + 1];
        }
        for (long j = 0; j < task_.n_atoms; ++j) {
            task_.usage[j] = T(first_[j + 1]);
            first_[j + 1] += first_[j];
        }
        for (long place = 0; place < n_places; ++place) {
            if (is_used(place)) uses_[first_[task_.indices[place]]++] = place;
        }
        for (long j = task_.n_atoms; j > 0; --j) first_[j] = first_[j - 1];  // back to the starts
        first_[0] = 0;
    }

    void add_up(long j) const {
        const long n_features = task_.n_features, n_slots = task_.n_slots;
        T* const gram = task_.gram + j * task_.n_atoms;
        T* const cross = task_.cross + j * n_features;
        fill(gram, task_.n_atoms, T(0));
        fill(cross, n_features, T(0));
        for (long use = first_[j]; use < first_[j + 1]; ++use) {
            const long signal = uses_[use] / n_slots;
            const T code = task_.values[uses_[use]];
            const T* const x = task_.x + signal * n_features;
            const typename L::F codes = L::broadcast(code);
            long t = 0;
            for (; t + L::W <= n_features; t += L::W) {
                L::store(cross + t, L::fma(codes, L::load(x + t), L::load(cross + t)));
            }
            for (; t < n_features; ++t) cross[t] = fused(code, x[t], cross[t]);
            const std::int64_t* const indices = task_.indices + signal * n_slots;
            const T* const values = task_.values + signal * n_slots;
            for (long k = 0; k < n_slots; ++k) {
                if (indices[k] < 0) continue;
                gram[indices[k]] = fused(code, values[k], gram[indices[k]]);
            }
        }
    }

    const CodeStatisticsTask<T>& task_;
    const Buffer<long> first_, uses_;
};

}  // namespace

namespace sparsedef::SPARSEDEF_ISA {

void code_statistics(const CodeStatisticsTask<float>& task) {
    CodeStatistics<float>(task).run();
}
void code_statistics(const CodeStatisticsTask<double>& task) {
    CodeStatistics<double>(task).run();
}

}  // namespace sparsedef::SPARSEDEF_ISA
