// A small LASSO solved to working precision by one group of lanes: the inner problem of the
// working-set method. By pivots when the support is well conditioned, else by descent.
#pragma once
#include "lasso_newton.h"
#include "lasso_pivots.h"

#ifndef __CUDACC__
namespace {
#endif

template <class L>
LANES_FN void solve_small(SmallLasso<typename L::Number>& p) {
    if (!pivot_to_solution<L>(p)) descend_to_solution<L>(p);
}

#ifndef __CUDACC__
}  // namespace
#endif
