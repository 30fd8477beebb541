// Products of atoms with atoms, G = D D^T, and with one vector, a few at a time: for the working
// sets of the LASSO.
//
// Every element is one sum in lanes (lanes.h), so it has the same bits whether it is made alone, in
// a tile, or taken from a table of all.
#pragma once
#include "signal.h"

namespace {

template <class T>
struct AtomRows {
    const T* rows;  // [N, stride], padded with zeros to a multiple of 32 features
    long stride;
    const T* table;  // [N, N] all products, or null
    long n_atoms;
    const T* row(int atom) const {
        return rows + atom * stride;
    }
};

// The largest power of two that is no larger
constexpr int power_below(int n) {
    return n < 2 ? n : 2 * power_below(n / 2);
}

template <class L, int Sums>
LANES_FN void hsum_all(typename L::F* sums, typename L::Number* to) {
    if constexpr (Sums > 0) {
        constexpr int kAtOnce = power_below(Sums < L::kWidth ? Sums : L::kWidth);
        L::template hsum_each<kAtOnce>(sums, to);
        hsum_all<L, Sums - kAtOnce>(sums + kAtOnce, to + kAtOnce);
    }
}

// products[r * products_stride + c] = d_{a[r]} . d_{b[c]}
template <class T, int Rows, int Columns>
void gram_tile(const AtomRows<T>& d, const int* a, const int* b, T* products,
               long products_stride) {
    using L = CpuLanes<T>;
    typename L::F sum[Rows * Columns];
    LANES_UNROLL
    for (int i = 0; i < Rows * Columns; ++i) {
        sum[i] = L::broadcast(0);
    }
    for (long t = 0; t < d.stride; t += L::W) {
        typename L::F x[Rows];
        LANES_UNROLL
        for (int r = 0; r < Rows; ++r) {
            x[r] = L::load(d.row(a[r]) + t);
        }
        LANES_UNROLL
        for (int c = 0; c < Columns; ++c) {
            const typename L::F y = L::load(d.row(b[c]) + t);
            LANES_UNROLL
            for (int r = 0; r < Rows; ++r) {
                sum[r * Columns + c] = L::fma(x[r], y, sum[r * Columns + c]);
            }
        }
    }
    T each[Rows * Columns];
    hsum_all<L, Rows * Columns>(sum, each);
    LANES_UNROLL
    for (int r = 0; r < Rows; ++r) {
        LANES_UNROLL
        for (int c = 0; c < Columns; ++c) {
            products[r * products_stride + c] = each[r * Columns + c];
        }
    }
}

// to[i] = x . d_{atoms[i]}
template <class T>
void correlate_few(const AtomRows<T>& d, const T* x, const int* atoms, int n, T* to) {
    using L = CpuLanes<T>;
    constexpr int kAtOnce = L::P <= 4 ? 4 : 2;
    int i = 0;
    for (; i + kAtOnce <= n; i += kAtOnce) {
        typename L::F sum[kAtOnce];
        LANES_UNROLL
        for (int c = 0; c < kAtOnce; ++c) {
            sum[c] = L::broadcast(0);
        }
        // The next atoms lie anywhere: they are asked for in time
        const int* const next = atoms + (i + 2 * kAtOnce <= n ? i + kAtOnce : i);
        for (long t = 0; t < d.stride; t += L::W) {
            const typename L::F part = L::load(x + t);
            LANES_UNROLL
            for (int c = 0; c < kAtOnce; ++c) {
                prefetch(d.row(next[c]) + t);
                sum[c] = L::fma(part, L::load(d.row(atoms[i + c]) + t), sum[c]);
            }
        }
        hsum_all<L, kAtOnce>(sum, to + i);
    }
    for (; i < n; ++i) to[i] = dot(x, d.row(atoms[i]), d.stride);
}

// Rows `from` to `to` of the lower triangle of gram [., stride], products of the atoms listed
template <class T>
void gram_rows(const AtomRows<T>& d, const int* atoms, int from, int to, T* gram, long stride) {
    if (d.table != nullptr) {
        for (int r = from; r < to; ++r) {
            const T* row = d.table + atoms[r] * d.n_atoms;
            for (int c = 0; c <= r; ++c) gram[r * stride + c] = row[atoms[c]];
        }
        return;
    }
    constexpr int kRows = CpuLanes<T>::P <= 2 ? 4 : CpuLanes<T>::P <= 4 ? 2 : 1, kColumns = 2;
    for (int i = 0; i < to; ++i) {
        for (long t = 0; t < d.stride; t += 32) prefetch(d.row(atoms[i]) + t);
    }
    int r = from;
    for (; r + kRows <= to; r += kRows) {
        int c = 0;
        for (; c + kColumns <= r + kRows; c += kColumns) {
            gram_tile<T, kRows, kColumns>(d, atoms + r, atoms + c, gram + r * stride + c, stride);
        }
        for (; c < r + kRows; ++c) {
            gram_tile<T, kRows, 1>(d, atoms + r, atoms + c, gram + r * stride + c, stride);
        }
    }
    for (; r < to; ++r) correlate_few(d, d.row(atoms[r]), atoms, r + 1, gram + r * stride);
}

}  // namespace
