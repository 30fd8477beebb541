// LASSO on a CPU by working sets: each thread takes chunks of signals. A round: the correlations of
// the residuals of the unfinished signals with all atoms, in one product; every signal's duality
// gap and violators from them; its small problem, solved to the end; its new residual. A handful of
// rounds, so an exact answer costs a handful of matrix products.
//
// All decisions look at one signal only, so its answer does not depend on the others.
//
// Source: Massias, Gramfort, Salmon, "Celer: a fast solver for the Lasso with dual extrapolation",
// 2018 (working sets).
#include <memory>

#include "../correlate.h"
#include "screen.h"
#include "tasks.h"

namespace {

using sparsedef::Candidate;
using sparsedef::LassoTask;

constexpr int kFirst = 24;            // atoms in the first working set
constexpr int kGrowth = 24;           // violators that may join in one round; half the set if more
constexpr int kMostStalls = 3;        // rounds without progress, at the limit of the precision
constexpr long kLargestTable = 2048;  // atoms in a table of all products

template <class T>
class LassoRun {
  public:
    explicit LassoRun(const LassoTask<T>& task)
        : task_(task),
          n_(round_up(task.n_atoms, 32)),
          stride_(round_up(task.n_features, 32)),
          panels_(n_ * task.n_features),
          packed_{panels_.data(), task.n_features, int(n_)} {
        const long share = (task.n_signals + task.n_threads - 1) / task.n_threads;
        const long most = Tile<T>::kRows * 4;
        chunk_ = share < 1 ? 1 : share < most ? share : most;
    }

    void run() {
        prepare_atoms();
        const long n_chunks = (task_.n_signals + chunk_ - 1) / chunk_;
        const int n_threads = int(n_chunks < task_.n_threads ? n_chunks : task_.n_threads);
        const std::unique_ptr<Workspace[]> workspaces(new Workspace[n_threads > 0 ? n_threads : 1]);
        for_each(n_chunks, n_threads, [&](long chunk, int thread) {
            Workspace& own = workspaces[thread];
            if (own.correlations.size() == 0) own.allocate(chunk_, n_, stride_);
            const long from = chunk * chunk_, left = task_.n_signals - from;
            code_chunk(from, left < chunk_ ? left : chunk_, own);
        });
    }

  private:
    struct Workspace {                          // of one thread
        Buffer<T> signals, residuals;           // [chunk, stride] scaled
        Buffer<T> correlations;                 // [chunk, n]
        Buffer<T> peaks, ordered;               // [n / kBlock], one more for ordered
        Buffer<unsigned char> mark;             // [n]
        Buffer<Candidate> candidates;           // [n + 1]
        Buffer<int> open;                       // [chunk] rows of signals that are not done
        std::unique_ptr<WorkingSet<T>[]> sets;  // [chunk]
        SolverScratch<T> solver;

        void allocate(long chunk, long n, long stride) {
            signals.reserve(chunk * stride);
            residuals.reserve(chunk * stride);
            correlations.reserve(chunk * n);
            peaks.reserve(n / kBlock);
            ordered.reserve(n / kBlock + 1);
            mark.reserve(n);
            fill(mark.data(), n, static_cast<unsigned char>(0));
            candidates.reserve(n + 1);
            open.reserve(chunk);
            sets.reset(new WorkingSet<T>[chunk]);
        }
        ScreenScratch<T> screen() const {
            return {peaks.data(), ordered.data(), mark.data(), candidates.data()};
        }
    };

    void prepare_atoms() {
        const long n_panels = n_ / Tile<T>::kWidth, block = 16;
        for_each((n_panels + block - 1) / block, task_.n_threads, [&](long i, int) {
            const long to = (i + 1) * block;
            pack_panels(task_.dictionary, task_.n_atoms, packed_, i * block,
                        to < n_panels ? to : n_panels);
        });
        atoms_ = {task_.dictionary, stride_, nullptr, task_.n_atoms};
        if (stride_ != task_.n_features) pad_rows();
        // The table costs N^2 / 2 products, a signal asks for some thousand
        if (task_.n_atoms <= kLargestTable &&
            task_.n_signals * 2000 >= task_.n_atoms * task_.n_atoms) {
            make_table();
        }
    }

    void pad_rows() {
        rows_.reserve(task_.n_atoms * stride_);
        for (long j = 0; j < task_.n_atoms; ++j) {
            T* row = rows_.data() + j * stride_;
            __builtin_memcpy(row, task_.dictionary + j * task_.n_features,
                             task_.n_features * sizeof(T));
            fill(row + task_.n_features, stride_ - task_.n_features, T(0));
        }
        atoms_.rows = rows_.data();
    }

    void make_table() {
        const long n_atoms = task_.n_atoms, rows = 32;
        table_.reserve(n_atoms * n_atoms);
        Buffer<int> all(n_atoms);
        for (long j = 0; j < n_atoms; ++j) all[j] = int(j);
        for_each((n_atoms + rows - 1) / rows, task_.n_threads, [&](long i, int) {
            const long from = i * rows, to = from + rows < n_atoms ? from + rows : n_atoms;
            T* out = table_.data() + from * n_atoms;
            gram_block(atoms_, all.data() + from, int(to - from), all.data(), int(to), out,
                       n_atoms);
            for (long r = from; r < to; ++r) {
                for (long c = 0; c < from; ++c) {
                    table_[c * n_atoms + r] = table_[r * n_atoms + c];
                }
            }
        });
        atoms_.table = table_.data();
    }

    void code_chunk(long from, long rows, Workspace& own) const {
        long n_open = 0;
        for (long i = 0; i < rows; ++i) {
            if (start(from + i, i, own, own.residuals.data() + n_open * stride_)) {
                own.open[n_open++] = int(i);
            }
        }
        for (int round = 0; n_open > 0; ++round) {
            correlate(own.residuals.data(), n_open, stride_, packed_, own.correlations.data(), n_);
            long n_left = 0;
            for (long k = 0; k < n_open; ++k) {
                const int i = own.open[k];
                const T* residual = own.residuals.data() + k * stride_;
                const T* correlations = own.correlations.data() + k * n_;
                WorkingSet<T>& set = own.sets[i];
                const T peak =
                    block_peaks(correlations, int(n_), task_.is_nonnegative, own.peaks.data());
                if (is_done(set, residual, correlations, peak, round)) {
                    write(from + i, set, residual, round, own.candidates.data());
                    continue;
                }
                take_violators(set, correlations, own.screen());
                set.solve(correlations, task_.is_nonnegative, own.solver);
                set.residual(own.signals.data() + i * stride_, atoms_,
                             own.residuals.data() + n_left * stride_);
                own.open[n_left++] = i;
            }
            n_open = n_left;
        }
    }

    // Loads a signal, its start and that start's residual; false if it is not finite
    bool start(long signal, long i, Workspace& own, T* residual) const {
        const T* x = task_.x + signal * task_.n_features;
        T* to = own.signals.data() + i * stride_;
        WorkingSet<T>& set = own.sets[i];
        set.clear();
        set.scale = load_signal(x, task_.n_features, to, stride_);
        if (set.scale == 0) {
            write_nonfinite(signal);
            return false;
        }
        set.alpha = task_.alpha[signal] * set.scale;
        set.energy = squared_norm(to, stride_);
        if (task_.init != nullptr) take_start(signal, set, own.candidates.data());
        set.residual(to, atoms_, residual);
        return true;
    }

    void take_start(long signal, WorkingSet<T>& set, Candidate* candidates) const {
        const T* init = task_.init + signal * task_.n_atoms;
        int n_on = 0;
        for (long j = 0; j < task_.n_atoms; ++j) {
            const bool is_on = task_.is_nonnegative ? init[j] > 0 : init[j] != 0;
            if (!is_on || !is_finite(init + j, 1)) continue;
            candidates[n_on++] = {double(init[j] < 0 ? -init[j] : init[j]), int(j)};
        }
        // A solution needs no more atoms than features; a start with more is cut to its largest
        const int most = int(task_.n_features < task_.n_atoms ? task_.n_features : task_.n_atoms);
        sparsedef::select_largest(candidates, n_on, most);
        n_on = n_on < most ? n_on : most;
        set.add(atoms_, candidates, n_on);
        for (int i = 0; i < n_on; ++i) set.codes()[i] = init[set.atoms()[i]] * set.scale;
    }

    bool is_done(WorkingSet<T>& set, const T* residual, const T* correlations, T peak,
                 int round) const {
        const double last_objective = set.objective, last_gap = set.gap;
        if (relative_gap(set, residual, stride_, correlations, peak) <= task_.tol) return true;
        if (round >= task_.max_iter) return true;
        if (round == 0) return false;
        const double rounding = (sizeof(T) == 4 ? 1.2e-7 : 2.2e-16) * 0.5 * set.energy;
        const bool is_progress =
            last_objective - set.objective > rounding || set.gap < 0.5 * last_gap;
        set.n_stalls = is_progress ? 0 : set.n_stalls + 1;
        return set.n_stalls >= kMostStalls;
    }

    void take_violators(WorkingSet<T>& set, const T* correlations,
                        const ScreenScratch<T>& own) const {
        const int half = set.size() / 2;
        const int most = set.size() == 0 ? kFirst : half > kGrowth ? half : kGrowth;
        const int count =
            find_violators(set, correlations, int(n_), task_.is_nonnegative, most, own);
        set.add(atoms_, own.candidates, count);
    }

    void write(long signal, const WorkingSet<T>& set, const T* residual, int round,
               Candidate* candidates) const {
        const T unscale = 1 / set.scale;
        for (long t = 0; t < task_.n_features; ++t) {
            task_.residual[signal * task_.n_features + t] = residual[t] * unscale;
        }
        task_.gap[signal] = T(set.gap);
        task_.n_iter[signal] = round;
        task_.status[signal] = set.gap <= task_.tol ? kConverged : kMaxIter;
        int n_on = 0;
        for (int i = 0; i < set.size(); ++i) {
            if (set.codes()[i] != 0) candidates[n_on++] = {set.codes()[i], set.atoms()[i]};
        }
        if (task_.slots == 0) {
            T* values = task_.values + signal * task_.n_atoms;
            fill(values, task_.n_atoms, T(0));
            for (int i = 0; i < n_on; ++i)
                values[candidates[i].atom] = T(candidates[i].value) * unscale;
            return;
        }
        if (n_on > task_.slots) {
            write_slots(signal, candidates, 0, unscale, not_a_number<T>());
            task_.status[signal] = kOverflow;
            return;
        }
        sparsedef::sort_by_atom(candidates, n_on);
        write_slots(signal, candidates, n_on, unscale, T(0));
    }

    void write_slots(long signal, const Candidate* found, int n_on, T unscale, T rest) const {
        T* values = task_.values + signal * task_.slots;
        std::int64_t* indices = task_.indices + signal * task_.slots;
        for (int i = 0; i < n_on; ++i) {
            values[i] = T(found[i].value) * unscale;
            indices[i] = found[i].atom;
        }
        fill(values + n_on, task_.slots - n_on, rest);
        fill(indices + n_on, task_.slots - n_on, std::int64_t(-1));
    }

    void write_nonfinite(long signal) const {
        const T nan = not_a_number<T>();
        if (task_.slots == 0) {
            fill(task_.values + signal * task_.n_atoms, task_.n_atoms, nan);
        } else {
            write_slots(signal, nullptr, 0, T(1), nan);
        }
        fill(task_.residual + signal * task_.n_features, task_.n_features, nan);
        task_.gap[signal] = nan;
        task_.n_iter[signal] = 0;
        task_.status[signal] = kNonfinite;
    }

    const LassoTask<T>& task_;
    const long n_, stride_;  // atoms, features, padded
    Buffer<T> panels_, rows_, table_;
    const PackedAtoms<T> packed_;
    AtomRows<T> atoms_{};
    long chunk_ = 1;
};

}  // namespace

namespace sparsedef::SPARSEDEF_ISA {

void lasso(const LassoTask<float>& task) {
    LassoRun<float>(task).run();
}
void lasso(const LassoTask<double>& task) {
    LassoRun<double>(task).run();
}

}  // namespace sparsedef::SPARSEDEF_ISA
