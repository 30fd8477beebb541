// LASSO on a CPU by working sets. Each thread keeps a pool of unfinished signals. A round: the
// correlations of their residuals with all atoms, in integers, with a bound on the error
// (quantised.h); the atoms that the bound does not clear, in working precision: so the duality gap
// is certified in working precision for the price of an integer product; violators join the
// signal's working set; its small problem is solved to the end; its new residual. A handful of
// rounds. Signals that are done make place for the next ones.
//
// All decisions look at one signal only, so its answer does not depend on the others.
//
// Source: Massias, Gramfort, Salmon, "Celer: a fast solver for the Lasso with dual extrapolation",
// 2018 (working sets); the integer screen is ours.
#include <atomic>
#include <memory>

#include "lasso_atoms.h"
#include "lasso_outputs.h"

namespace {

using sparsedef::Candidate;
using sparsedef::LassoTask;

constexpr int kMostStalls = 3;  // rounds without progress, at the limit of the precision

template <class T>
struct Signal {  // one that is being coded
    WorkingSet<T> set;
    T alpha, scale;  // both in units of the scaled signal
    double energy;   // |x|^2
    double objective, gap;
    int n_stalls, round;
    long number;
};

template <class T>
class LassoRun {
  public:
    explicit LassoRun(const LassoTask<T>& task)
        : task_(task), plan_(task), atoms_(task, plan_), outputs_(task) {}

    void run() {
        const long n_pools = (task_.n_signals + plan_.pool - 1) / plan_.pool;
        const long n_workers = n_pools < plan_.n_threads ? n_pools : plan_.n_threads;
        for_each(n_workers, int(n_workers), [&](long, int) { work(); });
    }

  private:
    struct Workspace {                                 // of one thread
        Buffer<T> signals, residuals;                  // [pool, stride] scaled
        Buffer<signed char> integers;                  // [pool, stride] of residuals
        Buffer<float> rotated;                         // [stride]
        Buffer<int> offsets, products;                 // [pool], [pool, n]
        std::unique_ptr<QuantisedVector[]> quantised;  // [pool]
        std::unique_ptr<Signal<T>[]> pool;
        Buffer<int> open;              // [pool] places of unfinished signals
        Buffer<T> exact;               // [n] correlations of candidates
        Buffer<Candidate> candidates;  // [n]
        Screen screen;
        SolverScratch<T> solver;
    };

    void work() {
        Workspace own;
        own.signals.reserve(plan_.pool * plan_.stride);
        own.residuals.reserve(plan_.pool * plan_.stride);
        own.integers.reserve(plan_.pool * plan_.stride);
        own.rotated.reserve(plan_.stride);
        own.offsets.reserve(plan_.pool);
        own.products.reserve(plan_.pool * plan_.n);
        own.quantised.reset(new QuantisedVector[plan_.pool]);
        own.pool.reset(new Signal<T>[plan_.pool]);
        own.open.reserve(plan_.pool);
        own.exact.reserve(plan_.n);
        own.candidates.reserve(plan_.n);
        own.screen.reserve(plan_.n, task_.n_atoms);

        Buffer<int> idle(plan_.pool);
        int n_open = 0, n_idle = plan_.pool;
        for (int i = 0; i < plan_.pool; ++i) idle[i] = plan_.pool - 1 - i;
        for (;;) {
            while (n_idle > 0) {
                const long number = next_.fetch_add(1, std::memory_order_relaxed);
                if (number >= task_.n_signals) break;
                const int place = idle[n_idle - 1];
                if (!start(number, place, own)) continue;
                --n_idle;
                own.open[n_open++] = place;
            }
            if (n_open == 0) return;
            for (int k = 0; k < n_open; ++k) quantise_residual(own, k);
            screen_products(own.integers.data(), n_open, plan_.stride, own.offsets.data(),
                            atoms_.quantised(), own.products.data());
            int n_left = 0;
            for (int k = 0; k < n_open; ++k) {
                const int place = own.open[k];
                if (advance(own, k, place)) {
                    idle[n_idle++] = place;
                } else {
                    own.open[n_left++] = place;
                }
            }
            n_open = n_left;
        }
    }

    void quantise_residual(Workspace& own, int k) const {
        const T* residual = own.residuals.data() + own.open[k] * plan_.stride;
        atoms_.rotation().apply(residual, plan_.stride, own.rotated.data());
        QuantisedVector& found = own.quantised[k];
        found = quantise(own.rotated.data(), plan_.stride, own.integers.data() + k * plan_.stride);
        own.offsets[k] = 128 * found.sum;
        if (task_.n_features > kMostFeatures) found.error = kUnknown;
    }

    // Loads a signal, its start and that start's residual; false if it is not finite
    bool start(long number, int place, Workspace& own) const {
        const T* x = task_.x + number * task_.n_features;
        T* to = own.signals.data() + place * plan_.stride;
        Signal<T>& signal = own.pool[place];
        signal.set.clear();
        signal.number = number;
        signal.scale = load_signal(x, task_.n_features, to, plan_.stride);
        if (signal.scale == 0) {
            outputs_.write_nonfinite(number);
            return false;
        }
        signal.alpha = task_.alpha[number] * signal.scale;
        signal.energy = squared_norm(to, plan_.stride);
        signal.objective = signal.gap = 1e300;
        signal.n_stalls = signal.round = 0;
        if (task_.init != nullptr) take_start(signal, own);
        T* const residual = own.residuals.data() + place * plan_.stride;
        signal.set.residual(to, atoms_.rows(), residual);
        signal.set.correlate(atoms_.rows(), task_.ridge, residual);
        return true;
    }

    void take_start(Signal<T>& signal, Workspace& own) const {
        const T* init = task_.init + signal.number * task_.n_atoms;
        Candidate* const found = own.candidates.data();
        int n_on = 0;
        for (long j = 0; j < task_.n_atoms; ++j) {
            const bool is_on = task_.is_nonnegative ? init[j] > 0 : init[j] != 0;
            if (!is_on || !is_finite(init + j, 1)) continue;
            found[n_on++] = {double(init[j] < 0 ? -init[j] : init[j]), int(j)};
        }
        // A solution without ridge needs no more atoms than features; a start with more is cut
        long most = plan_.most_members;
        if (task_.ridge == nullptr && most > task_.n_features) most = task_.n_features;
        sparsedef::select_largest(found, n_on, int(most));
        n_on = n_on < most ? n_on : int(most);
        for (int i = 0; i < n_on; ++i) own.screen.atoms[i] = found[i].atom;
        signal.set.add(atoms_.rows(), task_.ridge, own.screen.atoms.data(), n_on);
        T* const codes = signal.set.codes();
        for (int i = 0; i < n_on; ++i) codes[i] = init[signal.set.atoms()[i]] * signal.scale;
        signal.set.forget_inverse();
    }

    // One round of one signal; says whether it is done
    bool advance(Workspace& own, int k, int place) const {
        Signal<T>& signal = own.pool[place];
        WorkingSet<T>& set = signal.set;
        Screen& screen = own.screen;
        T* const residual = own.residuals.data() + place * plan_.stride;
        screen.flip(set.atoms(), set.size());
        collect(own.products.data() + k * plan_.n, atoms_.quantised(), own.quantised[k],
                float(signal.alpha), task_.is_nonnegative, screen);
        screen.flip(set.atoms(), set.size());
        const bool is_full = set.size() >= plan_.most_members && set.size() == set.n_on();
        if (is_full || signal.round >= task_.max_iter ||
            !is_far(signal, screen, own.quantised[k])) {
            set.correlate(atoms_.rows(), task_.ridge, residual);
            const T peak = look_closely(own, set, residual);
            if (is_done(signal, residual, peak) || is_full) {
                outputs_.write(signal.number, set, signal.scale, residual, signal.gap, signal.round,
                               own.candidates.data());
                return true;
            }
        }
        const bool is_limited = plan_.most_members < task_.n_atoms;
        if (is_limited && set.size() + kGrowth > plan_.most_members) set.prune();
        const int half = set.size() / 2, before = set.size();
        int most = before == 0 ? kFirst : half > kGrowth ? half : kGrowth;
        most = most < plan_.most_members - before ? most : int(plan_.most_members) - before;
        const int count = keep_largest(screen, float(signal.alpha), most);
        set.add(atoms_.rows(), task_.ridge, screen.atoms.data(), count);
        set.correlate(atoms_.rows(), task_.ridge, residual, before);
        set.solve(signal.alpha, signal.energy, task_.is_nonnegative, own.solver);
        set.residual(own.signals.data() + place * plan_.stride, atoms_.rows(), residual);
        ++signal.round;
        return false;
    }

    // Whether the gap is above tol for certain, since an atom's correlation is far above alpha
    bool is_far(const Signal<T>& signal, const Screen& screen, const QuantisedVector& r) const {
        const double alpha = signal.alpha, norm = r.norm / double(kUpwards) - r.error;
        if (!(screen.sure > alpha) || !(norm > 0)) return false;
        const double rest = 1 - alpha / screen.sure;
        return rest * rest * norm * norm > 1.01 * task_.tol * signal.energy;
    }

    // Correlations of the candidates in working precision; returns the largest of all atoms', or
    // some number of at most alpha if that is no larger
    T look_closely(Workspace& own, const WorkingSet<T>& set, const T* residual) const {
        Screen& screen = own.screen;
        correlate_few(atoms_.rows(), residual, screen.atoms.data(), screen.count, own.exact.data());
        T peak = 0;
        for (int i = 0; i < set.size(); ++i) {
            const T c = set.left()[i], size = c < 0 && !task_.is_nonnegative ? -c : c;
            peak = size > peak ? size : peak;
        }
        for (int i = 0; i < screen.count; ++i) {
            const T c = own.exact[i], size = c < 0 && !task_.is_nonnegative ? -c : c;
            peak = size > peak ? size : peak;
            screen.sizes[i] = float(size);
        }
        return peak;
    }

    bool is_done(Signal<T>& signal, const T* residual, T peak) const {
        const double last_objective = signal.objective, last_gap = signal.gap;
        measure(signal, residual, peak);
        if (signal.gap <= task_.tol || signal.round >= task_.max_iter) return true;
        const double rounding = (sizeof(T) == 4 ? 1.2e-7 : 2.2e-16) * 0.5 * signal.energy;
        const bool is_progress =
            last_objective - signal.objective > rounding || signal.gap < 0.5 * last_gap;
        signal.n_stalls = is_progress ? 0 : signal.n_stalls + 1;
        return signal.n_stalls >= kMostStalls;
    }

    // Objective and relative duality gap, primal minus dual over |x|^2 / 2, at the dual point s r,
    // s = min(1, alpha / peak): 1/2 (1 - s)^2 |r|^2 + sum_j (alpha |z_j| - s z_j c_j), a sum that
    // does not cancel. A ridge is one more feature of each atom.
    void measure(Signal<T>& signal, const T* residual, T peak) const {
        const WorkingSet<T>& set = signal.set;
        const double alpha = signal.alpha;
        const double scale = peak > signal.alpha ? alpha / peak : 1;
        double residual2 = squared_norm(residual, plan_.stride), slack = 0, sum = 0;
        for (int i = 0; i < set.size(); ++i) {
            const double code = set.codes()[i], magnitude = code < 0 ? -code : code;
            sum += magnitude;
            slack += alpha * magnitude - scale * code * set.left()[i];
            if (task_.ridge != nullptr) residual2 += task_.ridge[set.atoms()[i]] * code * code;
        }
        const double gap = 0.5 * (1 - scale) * (1 - scale) * residual2 + slack;
        signal.objective = 0.5 * residual2 + alpha * sum;
        signal.gap = signal.energy > 0 && gap > 0 ? gap / (0.5 * signal.energy) : 0;
    }

    const LassoTask<T>& task_;
    const LassoPlan<T> plan_;
    const LassoAtoms<T> atoms_;
    const LassoOutputs<T> outputs_;
    std::atomic<long> next_{0};
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
