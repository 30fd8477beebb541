// Orthogonal matching pursuit of one signal by one group of lanes.
//
// Keeps, for the atoms chosen so far, the rows q_i = D u_i (u_i: chosen atoms, orthonormalised),
// and updates in one pass over the atoms: q_j, the correlations with the residual, the best score
// and where it is. The Cholesky factor of the support's Gram matrix falls out of it; one back
// substitution at the end. Traffic of step j: j rows q, one Gram row, the correlations.
//
// A signal is a struct and its steps are functions, omp_start, omp_choose, omp_update, ...,
// omp_finish, so that several signals side by side can hide each other's latencies.
//
// Rules: kOmp takes the largest |c|, kOls the largest c^2 / n2 (n2: squared norm of the atom
// outside the span of the support), which lowers the residual most. Nonnegative: only c > 0 counts,
// and an atom whose code would fall to zero leaves (omp_positive.h).
//
// Source: Rubinstein, Zibulevsky, Elad, "Efficient implementation of the K-SVD algorithm using
// batch orthogonal matching pursuit", 2008; Chen, Billings, Luo, 1989 (OLS rule).
#pragma once
#include "status.h"
#include "storage.h"

#ifndef __CUDACC__
namespace {
#endif

enum Selection : int { kOmp = 0, kOls = 1 };

// An atom with less than this share of its squared norm outside the support is dependent on it;
// correlations below that fraction of the first best are rounding noise.
template <class T>
struct OmpLevels;
template <>
struct OmpLevels<float> {
    static constexpr float kDependent = 1e-5f;
    static constexpr float kRounding = 32 * 1.1920929e-7f;
};
template <>
struct OmpLevels<double> {
    static constexpr double kDependent = 1e-8;
    static constexpr double kRounding = 32 * 2.220446049250313e-16;
};

constexpr int kNowhere = 1 << 24;  // a slot that no atom is in

template <class T>
struct OmpAtoms {    // shared by all signals; N padded to n with atoms of norm 0
    const T* norm2;  // [n] squared norms
    int slots;       // n / 32
    int n_nonzero;   // K
};

template <class T>
struct OmpScratch {   // of one signal
    T* factor;        // [K, K] row j: q_0..q_{j-1} at atom j, then 1 / its norm outside them
    T* projections;   // [K] u_i . x
    T* trial;         // [2, K] nonnegative: codes that are not allowed yet
    int* chosen;      // [K] out: atoms, unused -1
    T* coefficients;  // [K] out: values, unused 0
};

// Where the rows q are kept, Mat: `kHasRows` of them in memory [K, n] (MemMat), or none: then the
// directions u themselves are kept, and omp_update is given q.
template <class L, Selection Rule, bool Positive, class Vec, class Mat>
struct OmpSignal {
    using Lanes = L;
    using T = typename L::Number;
    static constexpr Selection kRule = Rule;
    static constexpr bool kPositive = Positive;
    // Given: vectors over the atoms, [n]
    Vec correlations;  // with the residual; at the start D x
    Vec rest;          // OLS: squared norms outside the support
    Mat basis;         // rows q_i
    OmpScratch<T> own;
    T energy;   // |residual|^2; at the start |x|^2
    T tol;      // on the squared residual, 0 for none
    int limit;  // atoms, at most K
    // Made by the functions below
    T noise;
    int n_chosen;
    int n_entered;  // nonnegative: also those that left again
    Status status;
    bool is_open;
    typename L::F best;  // score of the next atom,
    typename L::I slot;  // and where it is
};

// c^2 / n2, and 0 for an atom that depends on the support
template <class L>
LANES_FN typename L::F ols_score(typename L::F c, typename L::F rest, typename L::F norm2) {
    using T = typename L::Number;
    const typename L::F least = L::mul(L::broadcast(OmpLevels<T>::kDependent), norm2);
    return L::pick(least, rest, L::broadcast(0), L::div(L::mul(c, c), rest));
}

// Scores atoms of a slot and keeps the best; the lower slot when they are equal
template <class Signal, class F>
LANES_FN void omp_compare(Signal& s, F c, F rest, F norm2, int slot) {
    using L = typename Signal::Lanes;
    F score = Signal::kPositive ? L::max(c, L::broadcast(0)) : L::abs(c);
    if constexpr (Signal::kRule == kOls) score = ols_score<L>(score, rest, norm2);
    s.slot = L::pick_slot(s.best, score, s.slot, L::broadcast_slot(slot));
    s.best = L::max(s.best, score);
}

template <class Signal>
LANES_FN void omp_start(const OmpAtoms<typename Signal::T>& atoms, Signal& s) {
    using L = typename Signal::Lanes;
    using T = typename Signal::T;
    s.best = L::broadcast(0);
    s.slot = L::broadcast_slot(kNowhere);
    typename L::F largest = L::broadcast(0);
    for (int slot = 0; slot < atoms.slots; ++slot) {
        const typename L::F c = s.correlations.get(slot);
        typename L::F norm2 = c;
        if constexpr (Signal::kRule == kOls) {
            norm2 = L::load(atoms.norm2 + slot * L::W);
            s.rest.set(slot, norm2);
        }
        largest = L::max(largest, L::abs(c));
        omp_compare(s, c, norm2, norm2, slot);
    }
    s.noise = OmpLevels<T>::kRounding * L::hmax(largest);
    if constexpr (Signal::kRule == kOls) s.noise *= s.noise;
    s.n_chosen = s.n_entered = 0;
    s.status = kConverged;
    s.is_open = true;
}

// Takes the atom into the support; false if it depends on it
template <class Signal>
LANES_FN bool omp_enter(const OmpAtoms<typename Signal::T>& atoms, Signal& s, int atom) {
    using L = typename Signal::Lanes;
    using T = typename Signal::T;
    const int j = s.n_chosen;
    T* const row = s.own.factor + long(j) * atoms.n_nonzero;
    const T norm2 = atoms.norm2[atom];
    T rest = norm2;
    for (int i = 0; i < j; ++i) {
        const T w = s.basis.element(i, atom);
        row[i] = w;
        rest = L::fma(-w, w, rest);
    }
    if (!(rest > OmpLevels<T>::kDependent * norm2)) return false;
    const T inverse = 1 / L::sqrt(rest);
    const T projection = s.correlations.element(atom) * inverse;
    row[j] = inverse;
    s.own.projections[j] = projection;
    s.own.chosen[j] = atom;
    s.own.coefficients[j] = 0;
    s.energy = L::fma(-projection, projection, s.energy);
    s.n_chosen = j + 1;
    s.basis.enter(j, atom, row);
    return true;
}

// Chooses the next atom, if there is to be one. Afterwards the signal is closed, or omp_update is
// due for the newest atom.
template <class Signal>
LANES_FN void omp_choose(const OmpAtoms<typename Signal::T>& atoms, Signal& s) {
    using L = typename Signal::Lanes;
    const auto top = L::hmax(s.best);
    s.is_open = false;
    if (s.n_chosen >= s.limit || !(top > s.noise) || (s.tol > 0 && s.energy <= s.tol)) return;
    const int atom =
        L::hfirst(L::pick_slot(s.best, L::broadcast(top), s.slot, L::broadcast_slot(kNowhere)));
    if (Signal::kPositive && s.n_entered >= 3 * s.limit + 10) {
        s.status = kMaxIter;
    } else if (omp_enter(atoms, s, atom)) {
        s.is_open = Signal::kPositive || s.n_chosen < s.limit;
    } else {
        s.status = kExhausted;
    }
}

// `Count` slots from `slot`: q = (g - sum_i w_i q_i) / norm; c -= c_j q
template <int Count, class Signal>
LANES_FN void omp_update_slots(const OmpAtoms<typename Signal::T>& atoms, Signal& s,
                               const typename Signal::T* given, int slot) {
    using L = typename Signal::Lanes;
    using F = typename L::F;
    const int j = s.n_chosen - 1;
    const typename Signal::T* const row = s.own.factor + long(j) * atoms.n_nonzero;
    F q[Count];
    LANES_UNROLL
    for (int u = 0; u < Count; ++u) {
        q[u] = L::load(given + (slot + u) * L::W);
    }
    if constexpr (s.basis.kHasRows) {
        for (int i = 0; i < j; ++i) {
            const F w = L::broadcast(row[i]);
            LANES_UNROLL
            for (int u = 0; u < Count; ++u) {
                q[u] = L::fnma(w, s.basis.get(i, slot + u), q[u]);
            }
        }
        const F inverse = L::broadcast(row[j]);
        LANES_UNROLL
        for (int u = 0; u < Count; ++u) {
            q[u] = L::mul(q[u], inverse);
            s.basis.set(j, slot + u, q[u]);
        }
    }
    const F weight = L::broadcast(s.own.projections[j]);
    LANES_UNROLL
    for (int u = 0; u < Count; ++u) {
        const int at = slot + u;
        const F c = L::fnma(weight, q[u], s.correlations.get(at));
        s.correlations.set(at, c);
        F rest = c, norm2 = c;
        if constexpr (Signal::kRule == kOls) {
            rest = L::fnma(q[u], q[u], s.rest.get(at));
            norm2 = L::load(atoms.norm2 + at * L::W);
            s.rest.set(at, rest);
        }
        omp_compare(s, c, rest, norm2, at);
    }
}

// Follows the newest atom: its row q, the correlations, the next best score. `given` [n]: its row
// of the Gram matrix, or q itself if no rows are kept. Block: slots in registers at once.
template <int Block, class Signal>
LANES_FN void omp_update(const OmpAtoms<typename Signal::T>& atoms, Signal& s,
                         const typename Signal::T* given) {
    using L = typename Signal::Lanes;
    L::sync();  // all lanes have read the correlations that are overwritten now
    s.best = L::broadcast(0);
    s.slot = L::broadcast_slot(kNowhere);
    int slot = 0;
    for (; slot + Block <= atoms.slots; slot += Block) {
        omp_update_slots<Block>(atoms, s, given, slot);
    }
    for (; slot < atoms.slots; ++slot) omp_update_slots<1>(atoms, s, given, slot);
    L::sync();  // row j of the basis is read by other lanes from here on
}

// values = factor^-T projections; stores only values of its own, so lanes may repeat it
template <class Signal>
LANES_FN void omp_solve(const OmpAtoms<typename Signal::T>& atoms, const Signal& s,
                        typename Signal::T* values) {
    using L = typename Signal::Lanes;
    using T = typename Signal::T;
    for (int i = s.n_chosen - 1; i >= 0; --i) {
        T value = s.own.projections[i];
        for (int u = s.n_chosen - 1; u > i; --u) {
            value = L::fma(-s.own.factor[long(u) * atoms.n_nonzero + i], values[u], value);
        }
        values[i] = value * s.own.factor[long(i) * atoms.n_nonzero + i];
    }
}

// Leaves the outputs in `own`
template <class Signal>
LANES_FN void omp_finish(const OmpAtoms<typename Signal::T>& atoms, Signal& s) {
    omp_solve(atoms, s, s.own.coefficients);
    for (int i = s.n_chosen; i < atoms.n_nonzero; ++i) {
        s.own.chosen[i] = -1;
        s.own.coefficients[i] = 0;
    }
}

#ifndef __CUDACC__
}  // namespace
#endif
