// Nonnegative pursuit: what follows the choice of an atom (omp.h).
//
// The codes of the new support are allowed if all are above zero. Otherwise the old codes walk
// towards them until the first reaches zero; its atom leaves, and the codes of what is left are
// tried. An atom leaves by undoing the updates since it came, and repeating those of the others.
//
// Source: Lawson, Hanson, "Solving least squares problems", 1974, chapter 23; Bruckstein, Elad,
// Zibulevsky, "On the uniqueness of nonnegative sparse solutions", 2008 (the pursuit).
#pragma once
#include "omp.h"

#ifndef __CUDACC__
namespace {
#endif

// Takes back the update of atom i of the support
template <class Signal, class Row>
LANES_FN void omp_undo(const OmpAtoms<typename Signal::T>& atoms, Signal& s, int i, Row&& row) {
    using L = typename Signal::Lanes;
    using F = typename L::F;
    const typename Signal::T* given = nullptr;
    if constexpr (!s.basis.kHasRows) given = row(i);
    const F weight = L::broadcast(s.own.projections[i]);
    L::sync();
    for (int slot = 0; slot < atoms.slots; ++slot) {
        F q;
        if constexpr (s.basis.kHasRows) {
            q = s.basis.get(i, slot);
        } else {
            q = L::load(given + slot * L::W);
        }
        s.correlations.set(slot, L::fma(weight, q, s.correlations.get(slot)));
        if constexpr (Signal::kRule == kOls) s.rest.set(slot, L::fma(q, q, s.rest.get(slot)));
    }
    L::sync();
}

// Lets go of atom `leaving` of the support; the newest atom still awaits its update. False if the
// newest is gone, by rounding.
template <int Block, class Signal, class Row>
LANES_FN bool omp_remove(const OmpAtoms<typename Signal::T>& atoms, Signal& s, int leaving,
                         Row&& row) {
    using L = typename Signal::Lanes;
    const int size = s.n_chosen, newest = size - 1;
    for (int i = newest; i >= leaving; --i) {
        if (i < newest) omp_undo(atoms, s, i, row);
        s.energy = L::fma(s.own.projections[i], s.own.projections[i], s.energy);
    }
    s.n_chosen = leaving;
    bool is_due = false;
    for (int i = leaving + 1; i < size; ++i) {
        const int atom = s.own.chosen[i];
        const typename Signal::T code = s.own.coefficients[i];
        L::sync();
        is_due = omp_enter(atoms, s, atom);
        if (!is_due) continue;  // by rounding
        s.own.coefficients[s.n_chosen - 1] = code;
        if (i < newest) omp_update<Block>(atoms, s, row(s.n_chosen - 1));
    }
    return is_due;
}

// After omp_choose: makes the codes nonnegative. Afterwards the signal is closed, or omp_update is
// due for the newest atom. row(i): what omp_update wants for atom i of the support.
template <int Block, class Signal, class Row>
LANES_FN void omp_settle(const OmpAtoms<typename Signal::T>& atoms, Signal& s, Row&& row) {
    using L = typename Signal::Lanes;
    using T = typename Signal::T;
    ++s.n_entered;
    for (;;) {
        T *const codes = s.own.coefficients, *const trial = s.own.trial;
        T* const walked = trial + atoms.n_nonzero;
        omp_solve(atoms, s, trial);
        T share = 2;  // of the way that can be walked
        int leaving = -1;
        for (int i = 0; i < s.n_chosen; ++i) {
            if (trial[i] > 0) continue;
            const T own = codes[i] > 0 ? codes[i] / (codes[i] - trial[i]) : T(0);
            if (own < share) {
                share = own;
                leaving = i;
            }
        }
        L::sync();
        if (leaving < 0) {
            for (int i = 0; i < s.n_chosen; ++i) codes[i] = trial[i];
            L::sync();
            break;
        }
        for (int i = 0; i < s.n_chosen; ++i) {
            walked[i] = L::fma(share, trial[i], (1 - share) * codes[i]);
        }
        L::sync();
        for (int i = 0; i < s.n_chosen; ++i) codes[i] = walked[i];
        L::sync();
        if (!omp_remove<Block>(atoms, s, leaving, row)) {
            s.status = kExhausted;
            s.is_open = false;
            return;
        }
    }
    s.is_open = s.n_chosen < s.limit;
}

#ifndef __CUDACC__
}  // namespace
#endif
