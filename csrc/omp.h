// Orthogonal matching pursuit of one signal by one group of lanes.
//
// Keeps, for the atoms chosen so far, the rows q_i = D u_i (u_i: chosen atoms, orthonormalised),
// and updates in one pass over the atoms: q_j, the correlations with the residual, their largest
// score. The Cholesky factor of the support's Gram matrix falls out of it; one back substitution at
// the end. Traffic of step j: j rows q, one Gram row, the correlations.
//
// Rules: kOmp takes the largest |c|, kOls the largest c^2 / n2 (n2: squared norm of the atom
// outside the span of the support), which lowers the residual most.
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

template <class T>
struct OmpAtoms {    // shared by all signals; N padded to n with atoms of norm 0
    const T* norm2;  // [n] squared norms
    int slots;       // n / 32
    int n_nonzero;   // K
};

template <class T>
struct OmpScratch {   // of one signal
    T* factor;        // [K, K] row j: q_0..q_{j-1} at atom j, then 1 / norm of what is left of it
    T* projections;   // [K] u_i . x
    int* chosen;      // [K] out: atoms, unused -1
    T* coefficients;  // [K] out: values, unused 0
};

struct OmpEnd {
    int n_chosen;
    Status status;
};

template <class L, class Vec>
LANES_FN typename L::Number largest_magnitude(const Vec& a, int slots) {
    typename L::F best = L::broadcast(0);
    for (int s = 0; s < slots; ++s) best = L::max(best, L::abs(a.get(s)));
    return L::hmax(best);
}

// The lowest index whose magnitude is `largest`
template <class L, class Vec>
LANES_FN int first_of_magnitude(const Vec& a, int slots, typename L::Number largest) {
    typename L::I slot = L::broadcast_slot(1 << 24);
    const typename L::F level = L::broadcast(largest);
    for (int s = slots - 1; s >= 0; --s) slot = L::pick_slot(L::abs(a.get(s)), level, s, slot);
    return L::hfirst(slot);
}

// c^2 / n2, and 0 for an atom that depends on the support
template <class L>
LANES_FN typename L::F ols_score(typename L::F c, typename L::F rest, typename L::F norm2) {
    using T = typename L::Number;
    const typename L::F least = L::mul(L::broadcast(OmpLevels<T>::kDependent), norm2);
    return L::pick(least, rest, L::broadcast(0), L::div(L::mul(c, c), rest));
}

template <class L, Selection Rule, class Vec, class Mat>
struct OmpState {      // vectors over the atoms, [n]
    Vec correlations;  // with the residual
    Mat basis;         // [K, n] rows q_i
    Vec rest;          // OLS: squared norms outside the support
    Vec score;         // OLS: scores of the next step
};

// `Count` slots from `slot`: q = (g - sum_i w_i q_i) / norm; c -= c_j q; returns the scores'
// maximum
template <class L, Selection Rule, int Count, class Vec, class Mat>
LANES_FN typename L::F omp_update(OmpState<L, Rule, Vec, Mat>& state,
                                  const typename L::Number* norm2, const typename L::Number* gram,
                                  const typename L::Number* row, int step,
                                  typename L::Number projection, int slot, typename L::F best) {
    using F = typename L::F;
    F a[Count];
    LANES_UNROLL
    for (int u = 0; u < Count; ++u) {
        a[u] = L::load(gram + (slot + u) * L::W);
    }
    for (int i = 0; i < step; ++i) {
        const F w = L::broadcast(row[i]);
        LANES_UNROLL
        for (int u = 0; u < Count; ++u) {
            a[u] = L::fnma(w, state.basis.get(i, slot + u), a[u]);
        }
    }
    const F inverse = L::broadcast(row[step]), weight = L::broadcast(projection);
    LANES_UNROLL
    for (int u = 0; u < Count; ++u) {
        const int s = slot + u;
        const F q = L::mul(a[u], inverse);
        state.basis.set(step, s, q);
        const F c = L::fnma(weight, q, state.correlations.get(s));
        state.correlations.set(s, c);
        F score = L::abs(c);
        if constexpr (Rule == kOls) {
            const F rest = L::fnma(q, q, state.rest.get(s));
            state.rest.set(s, rest);
            score = ols_score<L>(c, rest, L::load(norm2 + s * L::W));
            state.score.set(s, score);
        }
        best = L::max(best, score);
    }
    return best;
}

// values = factor^-T projections; stores only values of its own, so lanes may repeat it
template <class L>
LANES_FN void omp_solve(const OmpScratch<typename L::Number>& own, int n_chosen, int n_nonzero) {
    using T = typename L::Number;
    for (int i = n_chosen - 1; i >= 0; --i) {
        T value = own.projections[i];
        for (int u = n_chosen - 1; u > i; --u) {
            value = L::fma(-own.factor[long(u) * n_nonzero + i], own.coefficients[u], value);
        }
        own.coefficients[i] = value * own.factor[long(i) * n_nonzero + i];
    }
    for (int i = n_chosen; i < n_nonzero; ++i) {
        own.chosen[i] = -1;
        own.coefficients[i] = 0;
    }
}

// gram(j): row j of the Gram matrix, [n]. energy: |x|^2. tol: on the squared residual, 0 for none.
// state.correlations holds D x and is overwritten. Block: slots per register block.
template <class L, Selection Rule, int Block, class GramRow, class Vec, class Mat>
LANES_FN OmpEnd omp_signal(const OmpAtoms<typename L::Number>& atoms,
                           OmpState<L, Rule, Vec, Mat>& state,
                           const OmpScratch<typename L::Number>& own, GramRow&& gram,
                           typename L::Number energy, typename L::Number tol) {
    using T = typename L::Number;
    using F = typename L::F;
    const int slots = atoms.slots, n_nonzero = atoms.n_nonzero;
    T top = largest_magnitude<L>(state.correlations, slots);
    T noise = OmpLevels<T>::kRounding * top;
    if constexpr (Rule == kOls) {
        noise *= noise;
        for (int s = 0; s < slots; ++s) {
            const F norm2 = L::load(atoms.norm2 + s * L::W);
            state.rest.set(s, norm2);
            state.score.set(s, ols_score<L>(state.correlations.get(s), norm2, norm2));
        }
        top = largest_magnitude<L>(state.score, slots);
    }
    Vec& score = Rule == kOls ? state.score : state.correlations;
    OmpEnd end{0, kConverged};
    while (end.n_chosen < n_nonzero && top > noise && !(tol > 0 && energy <= tol)) {
        const int j = end.n_chosen, atom = first_of_magnitude<L>(score, slots, top);
        T* row = own.factor + long(j) * n_nonzero;
        T rest = atoms.norm2[atom];
        for (int i = 0; i < j; ++i) {
            const T w = state.basis.element(i, atom);
            row[i] = w;
            rest = L::fma(-w, w, rest);
        }
        if (!(rest > OmpLevels<T>::kDependent * atoms.norm2[atom])) {
            end.status = kExhausted;
            break;
        }
        const T inverse = 1 / L::sqrt(rest);
        const T projection = state.correlations.element(atom) * inverse;
        row[j] = inverse;
        own.projections[j] = projection;
        own.chosen[j] = atom;
        energy = L::fma(-projection, projection, energy);
        end.n_chosen = j + 1;
        if (end.n_chosen == n_nonzero) break;
        L::sync();  // all lanes have read the correlations that are overwritten now
        const T* g = gram(atom);
        F best = L::broadcast(0);
        int s = 0;
        for (; s + Block <= slots; s += Block) {
            best = omp_update<L, Rule, Block>(state, atoms.norm2, g, row, j, projection, s, best);
        }
        for (; s < slots; ++s) {
            best = omp_update<L, Rule, 1>(state, atoms.norm2, g, row, j, projection, s, best);
        }
        top = L::hmax(best);
        L::sync();  // row j of the basis is read by other lanes from here on
    }
    omp_solve<L>(own, end.n_chosen, n_nonzero);
    return end;
}

#ifndef __CUDACC__
}  // namespace
#endif
