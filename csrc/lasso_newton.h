// The small LASSO by descent and Newton steps: slow and sure, for supports that are (nearly)
// singular.
//
// Alternates a sweep of coordinate descent, which moves the support, with a Newton step on the
// support, which is exact on it. The Newton step refines the current point:
// (G_SS + ridge) d = left_S - alpha sign(z_S), walked to the first change of sign. So the ridge,
// which makes singular supports harmless, costs speed there and no accuracy.
// Traffic per Newton step: |S|^2 / 2 numbers of G once, |S|^3 / 3 multiply-adds in the factor.
//
// Source: Lee, Battle, Raina, Ng, "Efficient sparse coding algorithms", 2007 (step to the first
// change of sign).
#pragma once
#include "lasso_problem.h"

#ifndef __CUDACC__
namespace {
#endif

// One coordinate to its minimum
template <class L>
LANES_FN void descend(const SmallLasso<typename L::Number>& p, int j) {
    using T = typename L::Number;
    const T* g = p.gram + long(j) * p.stride;
    const T norm2 = g[j], before = p.codes[j];
    if (!(norm2 > 0)) return;
    const T target = L::fma(before, norm2, p.left[j]);
    const T after = soft_threshold(target, p.alpha, p.is_nonnegative) / norm2;
    if (after == before) return;
    L::sync();  // all lanes have read what is overwritten now
    p.codes[j] = after;
    subtract_row<L>(p.left, after - before, g, 0, padded_to_lanes(p.size));
}

template <class L>
LANES_FN int find_support(const SmallLasso<typename L::Number>& p) {
    L::sync();  // nobody reads the last support any more
    int n_on = 0;
    for (int j = 0; j < p.size; ++j) {
        if (p.codes[j] != 0) p.support[n_on++] = j;
    }
    L::sync();
    return n_on;
}

// factor: rows of the transposed Cholesky factor of G_SS + ridge; forward: its solution of the
// slope
template <class L>
LANES_FN void factorise(const SmallLasso<typename L::Number>& p, int n_on) {
    using T = typename L::Number;
    const int end = padded_to_lanes(n_on);
    T largest = 0;
    for (int i = 0; i < n_on; ++i) {
        const int j = p.support[i], block = i & ~31;
        const T* g = p.gram + long(j) * p.stride;
        L::gather(p.factor + long(i) * p.stride + block, g, p.support + block, n_on - block,
                  end - block);
        largest = g[j] > largest ? g[j] : largest;
        p.slope[i] = p.left[j] - (p.codes[j] > 0 ? p.alpha : -p.alpha);
    }
    for (int i = n_on; i < end; ++i) p.slope[i] = 0;
    L::sync();
    const T ridge = LassoLevels<T>::kRidge * largest;
    for (int k = 0; k < n_on; ++k) {
        T* pivot_row = p.factor + long(k) * p.stride;
        const int block = k & ~31;
        // Below zero only by rounding, on a singular support: the ridge alone is left then
        const T pivot = (pivot_row[k] > 0 ? pivot_row[k] : T(0)) + ridge;
        const T inverse = 1 / L::sqrt(pivot);
        L::sync();
        const typename L::F scale = L::broadcast(inverse);
        for (int i = block; i < end; i += L::W) {
            L::store(pivot_row + i, L::mul(scale, L::load(pivot_row + i)));
        }
        L::sync();
        for (int i = k + 1; i < n_on; ++i) {
            T* row = p.factor + long(i) * p.stride;
            const typename L::F weight = L::broadcast(pivot_row[i]);
            for (int m = i & ~31; m < end; m += L::W) {
                L::store(row + m, L::fnma(weight, L::load(pivot_row + m), L::load(row + m)));
            }
        }
        const T solved = p.slope[k] * inverse;
        L::sync();  // the next pivot is another lane's; the slope is overwritten
        subtract_row<L>(p.slope, solved, pivot_row, block, end);
        p.forward[k] = solved;
        p.inverse_pivots[k] = inverse;
    }
}

// slope: solution d of the factorised system
template <class L>
LANES_FN void substitute_back(const SmallLasso<typename L::Number>& p, int n_on) {
    const int end = padded_to_lanes(n_on);
    L::sync();
    for (int i = 0; i < end; i += L::W) L::store(p.slope + i, L::broadcast(0));
    L::sync();
    for (int k = n_on - 1; k >= 0; --k) {
        const auto known = dot_rows<L>(p.factor + long(k) * p.stride, p.slope, k & ~31, end);
        L::sync();
        p.slope[k] = (p.forward[k] - known) * p.inverse_pivots[k];
        L::sync();
    }
}

// Walks along the slope to the first change of sign; says whether the step was a whole one
template <class L>
LANES_FN bool walk(const SmallLasso<typename L::Number>& p, int n_on) {
    using T = typename L::Number;
    T length = 1;
    for (int i = 0; i < n_on; ++i) {
        const T before = p.codes[p.support[i]], change = p.slope[i];
        if (before * (before + change) < 0) {
            const T reach = before / -change;
            length = reach < length ? reach : length;
        }
    }
    for (int i = 0; i < n_on; ++i) {
        const int j = p.support[i];
        const T before = p.codes[j], change = p.slope[i];
        const bool is_first =
            length < 1 && before * (before + change) < 0 && before / -change == length;
        const T after = is_first ? T(0) : L::fma(length, change, before);
        L::sync();
        p.codes[j] = after;
        subtract_row<L>(p.left, after - before, p.gram + long(j) * p.stride, 0,
                        padded_to_lanes(p.size));
    }
    return length == 1;
}

template <class T>
struct Violation {  // of the optimality conditions
    T on_support;   // largest | left - alpha sign(z) |
    T off_support;  // largest |left| - alpha, 0 if none
    int atom;       // where
};

template <class L>
LANES_FN Violation<typename L::Number> worst_violation(const SmallLasso<typename L::Number>& p) {
    using T = typename L::Number;
    Violation<T> worst{0, 0, -1};
    for (int j = 0; j < p.size; ++j) {
        const T code = p.codes[j], left = p.left[j];
        if (!(p.gram[long(j) * p.stride + j] > 0)) continue;
        if (code != 0) {
            const T error = left - (code > 0 ? p.alpha : -p.alpha);
            const T magnitude = error < 0 ? -error : error;
            worst.on_support = magnitude > worst.on_support ? magnitude : worst.on_support;
        } else {
            const T excess = (left < 0 && !p.is_nonnegative ? -left : left) - p.alpha;
            if (!(excess > worst.off_support)) continue;
            worst.off_support = excess;
            worst.atom = j;
        }
    }
    return worst;
}

// Sweeps find the support within a few rounds when the atoms are not too alike. When they are, a
// sweep undoes what the last Newton step did; then one atom at a time joins a solved support, which
// ends for certain.
template <class L>
LANES_FN void descend_to_solution(SmallLasso<typename L::Number>& p) {
    constexpr int kSweeps = 4, kRefinements = 3;
    const int max_steps = 60 + 4 * p.size;
    p.has_inverse = false;
    int joining = -1;  // the atom to join, if any
    int n_whole = 0;   // whole steps since the support last changed
    for (int step = 0; step < max_steps; ++step) {
        if (step < kSweeps) {
            for (int j = 0; j < p.size; ++j) descend<L>(p, j);
            const int n_on = find_support<L>(p);
            for (int i = 0; i < 2 * n_on; ++i) descend<L>(p, p.support[i < n_on ? i : i - n_on]);
        } else if (joining >= 0) {
            descend<L>(p, joining);
            n_whole = 0;
        }
        const int n_on = find_support<L>(p);
        bool is_whole = true;
        if (n_on > 0) {
            factorise<L>(p, n_on);
            substitute_back<L>(p, n_on);
            is_whole = walk<L>(p, n_on);
        }
        joining = -1;
        n_whole = is_whole ? n_whole + 1 : 0;
        if (!is_whole) continue;
        const Violation<typename L::Number> worst = worst_violation<L>(p);
        const bool is_solved = worst.on_support <= p.accuracy || n_whole >= kRefinements;
        if (is_solved && worst.off_support <= p.accuracy) return;
        if (is_solved) joining = worst.atom;
    }
}

#ifndef __CUDACC__
}  // namespace
#endif
