// A small LASSO, min_z 1/2 z G z - c z + alpha ||z||_1 (z >= 0 on request): what its two solvers,
// lasso_pivots.h and lasso_newton.h, work on. What is carried along is `left` = c - G z.
#pragma once
#include "lanes.h"

#ifndef __CUDACC__
namespace {
#endif

template <class T>
struct LassoLevels;
template <>
struct LassoLevels<float> {
    static constexpr float kRidge = 1e-6f;      // times the largest diagonal element
    static constexpr float kDependent = 3e-5f;  // share of an atom's energy outside the support
};
template <>
struct LassoLevels<double> {
    static constexpr double kRidge = 1e-13;
    static constexpr double kDependent = 1e-10;
};

template <class T>
struct SmallLasso {     // W atoms; vectors and rows padded with zeros to a multiple of 32
    int size, stride;   // W, numbers in a row
    const T* gram;      // [W, stride]; an atom with a zero row keeps its coefficient
    T* codes;           // [stride] in: start; out: solution
    T* left;            // [stride] in: c - G z of the start; out: of the solution
    T* factor;          // [W, stride] of the support: its inverse Gram matrix, or a Cholesky factor
    T* slope;           // [stride] scratch
    T* forward;         // [stride] scratch
    T* inverse_pivots;  // [stride] scratch
    int* support;       // [stride]
    int n_on;           // atoms in the support, if has_inverse
    bool has_inverse;   // factor and support hold the inverse for the codes' support
    T alpha;
    bool is_nonnegative;
    T accuracy;  // of the optimality conditions, absolute
};

// y -= scale * x in [from, to), both multiples of 32
template <class L>
LANES_FN void subtract_row(typename L::Number* y, typename L::Number scale,
                           const typename L::Number* x, int from, int to) {
    const typename L::F weight = L::broadcast(scale);
    for (int i = from; i < to; i += L::W) {
        L::store(y + i, L::fnma(weight, L::load(x + i), L::load(y + i)));
    }
    L::sync();
}

template <class L>
LANES_FN typename L::Number dot_rows(const typename L::Number* x, const typename L::Number* y,
                                     int from, int to) {
    typename L::F sum = L::broadcast(0);
    for (int i = from; i < to; i += L::W) sum = L::fma(L::load(x + i), L::load(y + i), sum);
    return L::hsum(sum);
}

// Without branches: the signs are as good as random. v - v is 0 exactly.
template <class T>
LANES_FN T soft_threshold(T value, T alpha, bool is_nonnegative) {
    const T clipped_above = value > alpha ? alpha : value;
    const T clipped = clipped_above < -alpha && !is_nonnegative ? -alpha : clipped_above;
    return value - clipped;
}

LANES_FN int padded_to_lanes(int n) {
    return (n + 31) / 32 * 32;
}

#ifndef __CUDACC__
}  // namespace
#endif
