// Products of atoms with atoms, G = D D^T, a few at a time: for the working sets of the LASSO.
//
// Every element is one sum in lanes (lanes.h), so it has the same bits whether it is made alone, in
// a tile, or taken from a table of all.
#pragma once
#include "../lanes.h"

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

// products[r * products_stride + c] = d_{a[r]} . d_{b[c]}
template <class T, int Rows, int Columns>
void gram_tile(const AtomRows<T>& d, const int* a, const int* b, T* products,
               long products_stride) {
    using L = CpuLanes<T>;
    typename L::F sum[Rows][Columns];
    LANES_UNROLL
    for (int r = 0; r < Rows; ++r) {
        LANES_UNROLL
        for (int c = 0; c < Columns; ++c) {
            sum[r][c] = L::broadcast(0);
        }
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
                sum[r][c] = L::fma(x[r], y, sum[r][c]);
            }
        }
    }
    LANES_UNROLL
    for (int r = 0; r < Rows; ++r) {
        LANES_UNROLL
        for (int c = 0; c < Columns; ++c) {
            products[r * products_stride + c] = L::hsum(sum[r][c]);
        }
    }
}

// products [n_a, products_stride], columns 0 to n_b
template <class T>
void gram_block(const AtomRows<T>& d, const int* a, int n_a, const int* b, int n_b, T* products,
                long products_stride) {
    if (d.table != nullptr) {
        for (int r = 0; r < n_a; ++r) {
            const T* row = d.table + a[r] * d.n_atoms;
            for (int c = 0; c < n_b; ++c) products[r * products_stride + c] = row[b[c]];
        }
        return;
    }
    constexpr int kRows = CpuLanes<T>::P <= 2 ? 4 : CpuLanes<T>::P <= 4 ? 2 : 1, kColumns = 2;
    for (int r = 0; r < n_a; r += kRows) {
        for (int c = 0; c < n_b; c += kColumns) {
            T* out = products + r * products_stride + c;
            if (r + kRows <= n_a && c + kColumns <= n_b) {
                gram_tile<T, kRows, kColumns>(d, a + r, b + c, out, products_stride);
                continue;
            }
            for (int i = 0; i < kRows && r + i < n_a; ++i) {
                for (int k = 0; k < kColumns && c + k < n_b; ++k) {
                    gram_tile<T, 1, 1>(d, a + r + i, b + c + k, out + i * products_stride + k,
                                       products_stride);
                }
            }
        }
    }
}

}  // namespace
