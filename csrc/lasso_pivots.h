// The small LASSO by pivots: one atom after the other enters the support, and leaves it when its
// coefficient reaches zero, while the inverse H of the support's Gram matrix is carried along.
//
// Invariant: left_S = alpha sign(z_S), the optimum on the support S. The entering atom j has
// u = H G_Sj; as its coefficient grows by t, the others move by -t u, and left_S stays as it is.
// So a pivot costs three passes over |S| rows of W numbers and no solve. The objective falls with
// every step, so no support comes back. H is spread over the rows and columns of the working set
// (zero off the support), so nothing moves when an atom enters or leaves. What rounding leaves in
// left_S is taken out by refinement, z_S += H (left_S - alpha sign(z_S)).
//
// Source: Lawson, Hanson, "Solving least squares problems", 1974, chapter 23 (the active set);
// Efron et al., "Least angle regression", 2004 (for the signs of the LASSO).
#pragma once
#include "lasso_problem.h"

#ifndef __CUDACC__
namespace {
#endif

// out = sum over i in the support of weights[i] * row i
template <class L>
LANES_FN void combine_rows(const SmallLasso<typename L::Number>& p,
                           const typename L::Number* weights, const typename L::Number* rows,
                           typename L::Number* out) {
    const int end = padded_to_lanes(p.size);
    for (int from = 0; from < end; from += L::W) {
        typename L::F even = L::broadcast(0), odd = L::broadcast(0);
        int i = 0;
        for (; i + 1 < p.n_on; i += 2) {
            const int a = p.support[i], b = p.support[i + 1];
            even =
                L::fma(L::broadcast(weights[a]), L::load(rows + long(a) * p.stride + from), even);
            odd = L::fma(L::broadcast(weights[b]), L::load(rows + long(b) * p.stride + from), odd);
        }
        if (i < p.n_on) {
            const int a = p.support[i];
            even =
                L::fma(L::broadcast(weights[a]), L::load(rows + long(a) * p.stride + from), even);
        }
        L::store(out + from, L::add(even, odd));
    }
    L::sync();
}

// H += w w^T / scale on the support, for a w that is zero elsewhere
template <class L>
LANES_FN void add_outer_product(const SmallLasso<typename L::Number>& p,
                                const typename L::Number* w, typename L::Number scale) {
    const int end = padded_to_lanes(p.size);
    for (int i = 0; i < p.n_on; ++i) {
        typename L::Number* row = p.factor + long(p.support[i]) * p.stride;
        const typename L::F weight = L::broadcast(w[p.support[i]] * scale);
        for (int from = 0; from < end; from += L::W) {
            L::store(row + from, L::fma(weight, L::load(w + from), L::load(row + from)));
        }
    }
    L::sync();
}

// Takes atom j into H and the support. In slope: u = H G_Sj, overwritten; outside: its energy
// outside the support.
template <class L>
LANES_FN void include_atom(SmallLasso<typename L::Number>& p, int j, typename L::Number outside) {
    p.slope[j] = -1;
    p.support[p.n_on++] = j;
    L::sync();
    add_outer_product<L>(p, p.slope, 1 / outside);
}

// Takes atom i out of H and the support; false if H is not positive there, by rounding
template <class L>
LANES_FN bool exclude_atom(SmallLasso<typename L::Number>& p, int i) {
    using T = typename L::Number;
    T* const row = p.factor + long(i) * p.stride;
    const T pivot = row[i];
    if (!(pivot > 0)) return false;
    int place = 0;
    while (p.support[place] != i) ++place;
    const int end = padded_to_lanes(p.size);
    for (int from = 0; from < end; from += L::W) L::store(p.slope + from, L::load(row + from));
    L::sync();
    --p.n_on;
    p.support[place] = p.support[p.n_on];
    for (int from = 0; from < end; from += L::W) L::store(row + from, L::broadcast(0));
    p.slope[i] = 0;
    L::sync();
    add_outer_product<L>(p, p.slope, -1 / pivot);
    for (int m = 0; m < p.n_on; ++m) p.factor[long(p.support[m]) * p.stride + i] = 0;
    L::sync();
    return true;
}

// Moves codes by step * direction until the first one reaches zero. `slope` is the direction,
// `forward` what left loses by a whole step. Returns the atom that got there, or -1 after a whole
// step.
template <class L>
LANES_FN int walk_to_zero(const SmallLasso<typename L::Number>& p, typename L::Number step) {
    using T = typename L::Number;
    using F = typename L::F;
    const int end = padded_to_lanes(p.size);
    const F zero = L::broadcast(0), scale = L::broadcast(-step);
    F most = zero;  // of the shares of themselves that codes lose in a whole step
    for (int from = 0; from < end; from += L::W) {
        const F before = L::load(p.codes + from);
        const F loss = L::div(L::mul(scale, L::load(p.slope + from)), before);
        most = L::max(most, L::pick(zero, L::abs(before), zero, loss));
    }
    const T largest = L::hmax(most);
    const T length = largest > 1 ? 1 / largest : T(1);
    int first = -1;
    if (largest > 1) {
        for (int i = 0; i < p.n_on && first < 0; ++i) {
            const int atom = p.support[i];
            if (-step * p.slope[atom] / p.codes[atom] == largest) first = atom;
        }
    }
    L::sync();
    const F share = L::broadcast(length * step);
    for (int from = 0; from < end; from += L::W) {
        L::store(p.codes + from, L::fma(share, L::load(p.slope + from), L::load(p.codes + from)));
        L::store(p.left + from, L::fnma(share, L::load(p.forward + from), L::load(p.left + from)));
    }
    L::sync();
    if (first >= 0) p.codes[first] = 0;
    L::sync();
    return first;
}

// Brings left_S back to alpha sign(z_S); false if rounding does not allow it
template <class L>
LANES_FN bool refine_support(SmallLasso<typename L::Number>& p) {
    using T = typename L::Number;
    constexpr int kMostRefinements = 4;
    T last = 0;
    for (int n = 0; p.n_on > 0;) {
        T worst = 0;
        for (int i = 0; i < p.n_on; ++i) {
            const int j = p.support[i];
            const T error = p.left[j] - (p.codes[j] > 0 ? p.alpha : -p.alpha);
            const T magnitude = error < 0 ? -error : error;
            worst = magnitude > worst ? magnitude : worst;
            p.inverse_pivots[j] = error;
        }
        L::sync();
        if (worst <= p.accuracy) return true;
        if (n == kMostRefinements || (n > 0 && !(worst < T(0.5) * last))) {
            return worst <= 16 * p.accuracy;
        }
        last = worst;
        combine_rows<L>(p, p.inverse_pivots, p.factor, p.slope);
        combine_rows<L>(p, p.slope, p.gram, p.forward);
        const int first = walk_to_zero<L>(p, 1);
        if (first >= 0 && !exclude_atom<L>(p, first)) return false;
        n = first >= 0 ? 0 : n + 1;
    }
    return true;
}

// Lets atom j in until left_j = alpha sign; false if it depends on the support
template <class L>
LANES_FN bool enter_atom(SmallLasso<typename L::Number>& p, int j) {
    using T = typename L::Number;
    using F = typename L::F;
    const T* const g = p.gram + long(j) * p.stride;
    const int end = padded_to_lanes(p.size);
    const T target = p.left[j] > 0 ? p.alpha : -p.alpha;
    for (;;) {
        combine_rows<L>(p, g, p.factor, p.slope);
        const T outside = g[j] - dot_rows<L>(p.slope, g, 0, end);
        if (!(outside > LassoLevels<T>::kDependent * g[j])) return false;
        combine_rows<L>(p, p.slope, p.gram, p.forward);
        // The direction is -slope on the support and 1 for j itself
        for (int from = 0; from < end; from += L::W) {
            const F change = L::load(p.forward + from);
            L::store(p.forward + from, L::fnma(L::broadcast(1), L::load(g + from), change));
        }
        L::sync();
        p.slope[j] = -1;
        const T step = -(p.left[j] - target) / outside;
        L::sync();
        const int first = walk_to_zero<L>(p, step);
        if (first < 0) {
            include_atom<L>(p, j, outside);
            return true;
        }
        if (first == j || !exclude_atom<L>(p, first)) return false;
    }
}

// The atom outside the support that violates |left| <= alpha most, -1 if none does; ties to the
// lower one
template <class L>
LANES_FN int worst_outside(const SmallLasso<typename L::Number>& p) {
    using F = typename L::F;
    const int end = padded_to_lanes(p.size);
    const F zero = L::broadcast(0);
    F best = zero;
    for (int from = 0; from < end; from += L::W) {
        const F left = L::load(p.left + from);
        const F size = p.is_nonnegative ? left : L::abs(left);
        const F outside = L::pick(zero, L::abs(L::load(p.codes + from)), size, zero);
        best = L::max(best, outside);
        L::store(p.inverse_pivots + from, outside);
    }
    const auto peak = L::hmax(best);
    if (!(peak - p.alpha > p.accuracy)) return -1;
    L::sync();
    const F level = L::broadcast(peak);
    auto slot = L::broadcast_slot(p.size);  // beyond the last
    for (int from = end - L::W; from >= 0; from -= L::W) {
        const auto here = L::broadcast_slot(from / L::W);
        slot = L::pick_slot(L::load(p.inverse_pivots + from), level, here, slot);
    }
    return L::hfirst(slot);
}

// The inverse for the support of the codes; false if it is singular
template <class L>
LANES_FN bool invert_support(SmallLasso<typename L::Number>& p) {
    using T = typename L::Number;
    const int end = padded_to_lanes(p.size);
    for (int i = 0; i < p.size; ++i) {
        for (int from = 0; from < end; from += L::W) {
            L::store(p.factor + long(i) * p.stride + from, L::broadcast(0));
        }
    }
    p.n_on = 0;
    L::sync();
    for (int j = 0; j < p.size; ++j) {
        if (p.codes[j] == 0) continue;
        const T* const g = p.gram + long(j) * p.stride;
        combine_rows<L>(p, g, p.factor, p.slope);
        const T outside = g[j] - dot_rows<L>(p.slope, g, 0, end);
        if (!(outside > LassoLevels<T>::kDependent * g[j])) return false;
        L::sync();
        include_atom<L>(p, j, outside);
    }
    p.has_inverse = true;
    return true;
}

// Says whether it got there; if not, codes and left are a valid point with a lower objective
template <class L>
LANES_FN bool pivot_to_solution(SmallLasso<typename L::Number>& p) {
    const int max_pivots = 20 + 4 * p.size;
    if (!p.has_inverse && !invert_support<L>(p)) return false;
    p.has_inverse = false;
    if (!refine_support<L>(p)) return false;
    for (int n = 0; n < max_pivots; ++n) {
        const int j = worst_outside<L>(p);
        if (j < 0) {
            p.has_inverse = refine_support<L>(p);
            return p.has_inverse;
        }
        if (!enter_atom<L>(p, j)) return false;
    }
    return false;
}

#ifndef __CUDACC__
}  // namespace
#endif
