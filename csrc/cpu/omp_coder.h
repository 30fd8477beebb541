// OMP on a CPU, a chunk of signals at a time: correlations in one product that stays in the L2
// cache, then the kernel of omp.h. With a table of all products of atoms, a few signals side by
// side; without, all signals of the chunk step by step, their Gram rows in one product.
#pragma once
#include <memory>

#include "../omp_positive.h"
#include "../transpose.h"
#include "omp_plan.h"
#include "signal.h"

namespace {

// The directions u_i of a large dictionary, in feature space; see OmpSignal
template <class T>
struct Directions {
    static constexpr bool kHasRows = false;
    T* u;  // [K, stride]
    const T* dictionary;
    long n_features, stride;
    T* atom;  // [stride] the one that enters, padded

    // Asked for in order from i = 0
    T element(int i, int j) const {
        if (i == 0) load(j);
        return dot(u + i * stride, atom, stride);
    }
    // u_i = (d - sum_k row_k u_k) row_i, and what rounding left of the others once more
    void enter(int i, int j, const T* row) {
        if (i == 0) load(j);
        T* const to = u + i * stride;
        __builtin_memcpy(to, atom, stride * sizeof(T));
        for (int k = 0; k < i; ++k) subtract(to, row[k], u + k * stride, stride);
        for (int k = 0; k < i; ++k) {
            subtract(to, dot(u + k * stride, to, stride), u + k * stride, stride);
        }
        for (long t = 0; t < stride; ++t) to[t] *= row[i];
    }

  private:
    void load(int j) const {
        __builtin_memcpy(atom, dictionary + j * n_features, n_features * sizeof(T));
        fill(atom + n_features, stride - n_features, T(0));
    }
};

template <class T>
struct OmpFound {      // of one signal
    const int* atoms;  // [K] unused -1
    const T* values;   // [K] unused 0
    int n_chosen;
    Status status;  // kNonfinite: nothing else is set
};

template <class T>
class OmpCoder {
  public:
    explicit OmpCoder(const OmpSettings<T>& settings)
        : settings_(settings),
          plan_(settings),
          panels_(plan_.n * settings.n_features),
          norm2_(plan_.n),
          packed_{panels_.data(), settings.n_features, int(plan_.n)},
          workspaces_(new Workspace[plan_.n_threads]) {
        prepare_atoms();
        for (int i = 0; i < plan_.n_threads; ++i) workspaces_[i].reserve(settings_, plan_);
    }
    // Signals that code() takes at the most
    long chunk() const {
        return plan_.chunk;
    }
    int n_workspaces() const {
        return plan_.n_threads;
    }
    long stride() const {
        return plan_.stride;
    }
    // [chunk, stride] for the caller to fill, padded with zeros; code() overwrites it
    T* signals(int thread) {
        return workspaces_[thread].signals;
    }
    // tol [rows] on the squared residual; limits [rows] or null: K
    void code(int thread, long rows, const T* tol, const int* limits) {
        if (settings_.is_nonnegative) {
            settings_.is_ols ? code_by<kOls, true>(workspaces_[thread], rows, tol, limits)
                             : code_by<kOmp, true>(workspaces_[thread], rows, tol, limits);
        } else {
            settings_.is_ols ? code_by<kOls, false>(workspaces_[thread], rows, tol, limits)
                             : code_by<kOmp, false>(workspaces_[thread], rows, tol, limits);
        }
    }
    const OmpFound<T>& found(int thread, long row) const {
        return workspaces_[thread].found[row];
    }

  private:
    using L = CpuLanes<T>;
    // What the registers hold of a row
    static constexpr int kBlock = L::P <= 2 ? 4 : L::P <= 4 ? 2 : 1;

    struct Workspace {  // of one thread
        Buffer<T> numbers;
        Buffer<int> atoms;                     // [chunk, K]
        std::unique_ptr<OmpFound<T>[]> found;  // [chunk]
        T* signals;                            // [chunk, stride] scaled
        T* scale;                              // [chunk] by this; 0: not finite
        T* correlations;                       // [chunk, n]
        T* values;                             // [chunk, K]
        T* vectors;                            // no Gram matrix: [group, stride]
        T* rows;                               // and their products [group, n]
        T* atom;                               // [stride] see Directions
        T* own;                                // [group, signal_numbers]

        void reserve(const OmpSettings<T>& s, const OmpPlan<T>& plan) {
            numbers.reserve(plan.thread_numbers(s));
            atoms.reserve(plan.chunk * s.n_nonzero);
            found.reset(new OmpFound<T>[plan.chunk]);
            signals = numbers.data();
            correlations = signals + plan.chunk * plan.stride;
            rows = correlations + plan.chunk * plan.n;
            vectors = rows + (plan.has_gram ? 0 : plan.group * plan.n);
            atom = vectors + (plan.has_gram ? 0 : plan.group * plan.stride);
            own = atom + plan.stride;
            values = own + plan.group * plan.signal_numbers(s);
            scale = values + plan.chunk * s.n_nonzero;
        }
    };

    void prepare_atoms() {
        const long n = plan_.n, n_panels = n / Tile<T>::kWidth, block = 16;
        const long n_atoms = settings_.n_atoms, n_features = settings_.n_features;
        for_each((n_panels + block - 1) / block, plan_.n_threads, [&](long i, int) {
            const long to = (i + 1) * block;
            pack_panels(settings_.dictionary, n_atoms, packed_, i * block,
                        to < n_panels ? to : n_panels);
        });
        squared_norms(packed_, norm2_.data());
        if (!plan_.has_gram) return;
        gram_.reserve(n_atoms * n);
        constexpr long rows = 96;  // a multiple of 32: threads write to places of their own
        for_each((n_atoms + rows - 1) / rows, plan_.n_threads, [&](long i, int) {
            const long from = i * rows, left = n_atoms - from;
            const long to = from + (left < rows ? left : rows);
            correlate(settings_.dictionary + from * n_features, to - from, n_features, packed_,
                      gram_.data() + from * n, n, from, n);
            // The other half, by symmetry
            copy_transposed(gram_.data() + from * n + to, n, to - from, n_atoms - to,
                            gram_.data() + to * n + from, n);
        });
    }

    template <Selection Rule, bool Positive>
    void code_by(Workspace& own, long rows, const T* tol, const int* limits) const {
        if (plan_.has_directions) {
            code_rows<Rule, Positive, Directions<T>>(own, rows, tol, limits);
        } else {
            code_rows<Rule, Positive, MemMat<L>>(own, rows, tol, limits);
        }
    }

    template <Selection Rule, bool Positive, class Mat>
    void code_rows(Workspace& own, long rows, const T* tol, const int* limits) const {
        using Signal = OmpSignal<L, Rule, Positive, MemVec<L>, Mat>;
        for (long i = 0; i < rows; ++i) {
            own.scale[i] = scale_signal(own.signals + i * plan_.stride, plan_.stride);
        }
        product(own.signals, rows, own.correlations);
        Signal group[kLargestChunk];
        long at[kLargestChunk];  // their rows
        for (long next = 0; next < rows;) {
            int count = 0;
            for (; next < rows && count < plan_.group; ++next) {
                OmpFound<T>& found = own.found[next];
                found = {own.atoms.data() + next * settings_.n_nonzero,
                         own.values + next * settings_.n_nonzero, 0, kNonfinite};
                if (own.scale[next] == 0) continue;
                const int limit = limits == nullptr ? settings_.n_nonzero : limits[next];
                load(group[count], own, next, count, tol[next], limit);
                at[count++] = next;
            }
            pursue(group, count, own);
            for (int g = 0; g < count; ++g) {
                const T unscale = 1 / own.scale[at[g]];
                T* const values = own.values + at[g] * settings_.n_nonzero;
                for (int k = 0; k < settings_.n_nonzero; ++k) values[k] *= unscale;
                own.found[at[g]].n_chosen = group[g].n_chosen;
                own.found[at[g]].status = group[g].status;
            }
        }
    }

    template <class Signal>
    void load(Signal& s, Workspace& own, long row, int place, T tol, int limit) const {
        const long k = settings_.n_nonzero, n = plan_.n, stride = plan_.stride;
        const T *x = own.signals + row * stride, scale = own.scale[row];
        T* const memory = own.own + place * plan_.signal_numbers(settings_);
        s.correlations = {own.correlations + row * n};
        if constexpr (decltype(s.basis)::kHasRows) {
            s.basis = {memory, n};
            s.rest = {memory + k * n};
        } else {
            s.basis = {memory, settings_.dictionary, settings_.n_features, stride, own.atom};
            s.rest = {memory + k * stride};
        }
        s.own.factor = s.rest.p + n;
        s.own.projections = s.own.factor + k * k;
        s.own.trial = s.own.projections + k;
        s.own.chosen = own.atoms.data() + row * k;
        s.own.coefficients = own.values + row * k;
        s.energy = dot(x, x, stride);
        s.tol = tol * scale * scale;
        s.limit = limit < k ? limit : int(k);
    }

    template <class Signal>
    void pursue(Signal* group, int count, Workspace& own) const {
        const OmpAtoms<T> atoms{norm2_.data(), int(plan_.n / L::W), settings_.n_nonzero};
        int open[kLargestChunk], n_open = count;
        for (int g = 0; g < count; ++g) {
            open[g] = g;
            omp_start(atoms, group[g]);
        }
        while (n_open > 0) {
            int n_left = 0;
            for (int i = 0; i < n_open; ++i) {
                Signal& s = group[open[i]];
                omp_choose(atoms, s);
                if constexpr (Signal::kPositive) {
                    const auto row = [&](int k) { return product_of(s, k, own); };
                    if (s.is_open) omp_settle<kBlock>(atoms, s, row);
                }
                if (!s.is_open) continue;
                open[n_left++] = open[i];
                if (plan_.has_gram && plan_.n * plan_.n * long(sizeof(T)) > kGramInL2) {
                    const T* row = gram_row(s.own.chosen[s.n_chosen - 1]);
                    for (long t = 0; t < plan_.n; t += 32) prefetch(row + t);
                }
            }
            n_open = n_left;
            if (!plan_.has_gram) make_rows(group, open, n_open, own);
            for (int i = 0; i < n_open; ++i) {
                Signal& s = group[open[i]];
                const T* row = plan_.has_gram ? gram_row(s.own.chosen[s.n_chosen - 1])
                                              : own.rows + i * plan_.n;
                omp_update<kBlock>(atoms, s, row);
            }
        }
        for (int g = 0; g < count; ++g) omp_finish(atoms, group[g]);
    }

    // c [rows, n] = x [rows, stride] D^T, by all threads if there is but one chunk of signals
    void product(const T* x, long rows, T* c) const {
        const long n = plan_.n, block = 512, n_blocks = (n + block - 1) / block;
        const bool is_alone = settings_.n_signals <= plan_.chunk && n_blocks > 1;
        for_each(is_alone ? n_blocks : 1, is_alone ? plan_.n_threads : 1, [&](long i, int) {
            const long from = is_alone ? i * block : 0, to = is_alone ? from + block : n;
            correlate(x, rows, plan_.stride, packed_, c, n, from, to < n ? to : n);
        });
    }

    const T* gram_row(int atom) const {
        return gram_.data() + atom * plan_.n;
    }
    // What omp_update wants the product of, with all atoms, for atom k of the support
    template <class Signal>
    const T* vector_of(const Signal& s, int k) const {
        if constexpr (decltype(s.basis)::kHasRows) {
            return settings_.dictionary + s.own.chosen[k] * settings_.n_features;
        } else {
            return s.basis.u + k * plan_.stride;
        }
    }
    template <class Signal>
    const T* product_of(const Signal& s, int k, Workspace& own) const {
        if (plan_.has_gram) return gram_row(s.own.chosen[k]);
        product(vector_of(s, k), 1, own.rows);
        return own.rows;
    }
    template <class Signal>
    void make_rows(const Signal* group, const int* open, int n_open, Workspace& own) const {
        for (int i = 0; i < n_open; ++i) {
            const Signal& s = group[open[i]];
            __builtin_memcpy(own.vectors + i * plan_.stride, vector_of(s, s.n_chosen - 1),
                             settings_.n_features * sizeof(T));
        }
        product(own.vectors, n_open, own.rows);
    }

    const OmpSettings<T> settings_;
    const OmpPlan<T> plan_;
    Buffer<T> panels_, norm2_, gram_;
    const PackedAtoms<T> packed_;
    const std::unique_ptr<Workspace[]> workspaces_;
};

}  // namespace
