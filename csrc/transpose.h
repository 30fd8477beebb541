// A square of registers, transposed.
#pragma once
#include "lanes.h"

namespace {

// The first (Which = 0) or second numbers of blocks of Half numbers of x and y, in turns
template <int Half, int Which, class V, int... U>
LANES_FN V interleave(V x, V y, std::integer_sequence<int, U...>) {
    constexpr int kWidth = sizeof...(U);
    return shuffle<V, ((U & Half ? kWidth : 0) + (U & ~Half) + (Which ? Half : 0))...>(x, y);
}

// rows[i][j] and rows[j][i] change places
template <class T, int Half = LANES_BYTES / int(sizeof(T)) / 2>
LANES_FN void transpose(typename Native<T>::V* rows) {
    constexpr int kWidth = LANES_BYTES / int(sizeof(T));
    using Lanes = std::make_integer_sequence<int, kWidth>;
    if constexpr (Half >= 1) {
        LANES_UNROLL
        for (int i = 0; i < kWidth; ++i) {
            if (i & Half) continue;
            const auto x = rows[i], y = rows[i + Half];
            rows[i] = interleave<Half, 0>(x, y, Lanes{});
            rows[i + Half] = interleave<Half, 1>(x, y, Lanes{});
        }
        transpose<T, Half / 2>(rows);
    }
}

// to[c * to_stride + r] = from[r * from_stride + c]
template <class T>
void copy_transposed(const T* from, long from_stride, long rows, long columns, T* to,
                     long to_stride) {
    using V = typename Native<T>::V;
    using Unaligned = typename Native<T>::Unaligned;
    constexpr int kWidth = LANES_BYTES / int(sizeof(T));
    for (long c = 0; c < columns; c += kWidth) {
        for (long r = 0; r < rows; r += kWidth) {
            if (c + kWidth <= columns && r + kWidth <= rows) {
                V square[kWidth];
                LANES_UNROLL
                for (int i = 0; i < kWidth; ++i) {
                    square[i] =
                        *reinterpret_cast<const Unaligned*>(from + (r + i) * from_stride + c);
                }
                transpose<T>(square);
                LANES_UNROLL
                for (int i = 0; i < kWidth; ++i) {
                    *reinterpret_cast<Unaligned*>(to + (c + i) * to_stride + r) = square[i];
                }
                continue;
            }
            for (long i = c; i < columns && i < c + kWidth; ++i) {
                for (long k = r; k < rows && k < r + kWidth; ++k) {
                    to[i * to_stride + k] = from[k * from_stride + i];
                }
            }
        }
    }
}

}  // namespace
