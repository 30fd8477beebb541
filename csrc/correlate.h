// Correlations of signals with all atoms, C = X D^T, by a product of our own.
//
// Every element of C is one chain of fused multiply-adds over the features, in order, so its bits
// depend on neither batch, chunk, thread nor instruction set. The dictionary is packed once into
// panels (a few atoms side by side, feature by feature); a tile of kRows signals by one panel stays
// in registers while the features stream by. Traffic: a block of signals is read from L1 or L2 once
// per panel, a panel once per tile.
#pragma once
#include "transpose.h"

namespace {

template <class T>
struct Tile {
    static constexpr int kWidth = 2 * LANES_BYTES / int(sizeof(T));  // atoms in a panel
    using Lanes = CpuLanes<T, kWidth>;
    static constexpr int kRows = LANES_BYTES == 64 ? 12 : 6;
    static constexpr int kBlock = 8 * kRows;  // signals that share a pass over the panels
};

template <class T>
struct PackedAtoms {
    T* panels;  // [n / width, M, width]
    long n_features;
    int n;  // atoms, padded to a multiple of 32 with zeros
};

// Packs panels `from` to `to` of dictionary [N, M]
template <class T>
void pack_panels(const T* dictionary, long n_atoms, const PackedAtoms<T>& packed, long from,
                 long to) {
    constexpr int kWidth = Tile<T>::kWidth;
    const long n_features = packed.n_features;
    for (long p = from; p < to; ++p) {
        T* panel = packed.panels + p * kWidth * n_features;
        const long left = n_atoms - p * kWidth, rows = left < 0 ? 0 : left < kWidth ? left : kWidth;
        copy_transposed(dictionary + p * kWidth * n_features, n_features, rows, n_features, panel,
                        kWidth);
        for (long u = rows; u < kWidth; ++u) {
            for (long t = 0; t < n_features; ++t) panel[t * kWidth + u] = 0;
        }
    }
}

template <class T, int Rows>
LANES_FN void correlate_tile(const T* x, long stride, long n_features, const T* panel, T* c,
                             long c_stride) {
    using L = typename Tile<T>::Lanes;
    typename L::F sum[Rows];
    LANES_UNROLL
    for (int i = 0; i < Rows; ++i) {
        sum[i] = L::broadcast(0);
    }
    for (long t = 0; t < n_features; ++t) {
        const typename L::F d = L::load(panel + t * L::W);
        LANES_UNROLL
        for (int i = 0; i < Rows; ++i) {
            sum[i] = L::fma(L::broadcast(x[i * stride + t]), d, sum[i]);
        }
    }
    LANES_UNROLL
    for (int i = 0; i < Rows; ++i) {
        L::store(c + i * c_stride, sum[i]);
    }
}

// C [rows, c_stride] = X [rows, stride] D^T, for atoms `first` to `last`, multiples of 32
template <class T>
void correlate(const T* x, long rows, long stride, const PackedAtoms<T>& atoms, T* c, long c_stride,
               long first, long last) {
    constexpr int kRows = Tile<T>::kRows, kWidth = Tile<T>::kWidth;
    for (long from = 0; from < rows; from += Tile<T>::kBlock) {
        const long to = rows < from + Tile<T>::kBlock ? rows : from + Tile<T>::kBlock;
        for (long atom = first; atom < last; atom += kWidth) {
            const T* panel = atoms.panels + atom * atoms.n_features;
            long i = from;
            for (; i + kRows <= to; i += kRows) {
                correlate_tile<T, kRows>(x + i * stride, stride, atoms.n_features, panel,
                                         c + i * c_stride + atom, c_stride);
            }
            for (; i < to; ++i) {
                correlate_tile<T, 1>(x + i * stride, stride, atoms.n_features, panel,
                                     c + i * c_stride + atom, c_stride);
            }
        }
    }
}

// norm2[m] = G_mm for m in [0, n), the same bits as the product gives
template <class T>
void squared_norms(const PackedAtoms<T>& atoms, T* norm2) {
    using L = typename Tile<T>::Lanes;
    for (int atom = 0; atom < atoms.n; atom += L::W) {
        const T* panel = atoms.panels + atom * atoms.n_features;
        typename L::F sum = L::broadcast(0);
        for (long t = 0; t < atoms.n_features; ++t) {
            const typename L::F d = L::load(panel + t * L::W);
            sum = L::fma(d, d, sum);
        }
        L::store(norm2 + atom, sum);
    }
}

}  // namespace
