// A fixed rotation of feature space: random signs, then Hadamard's transform on blocks.
//
// It keeps all products between vectors and spreads every vector over its coordinates, so that none
// of them stands out: what quantisation wants. Additions in one order, the same bits on every
// instruction set. n log2(block) additions.
//
// Source: Ailon, Chazelle, "The fast Johnson-Lindenstrauss transform", 2009, section 2.
#pragma once
#include "../lanes.h"

namespace {

constexpr long kLargestBlock = 1024;

// The largest power of two that divides n, at most kLargestBlock
inline long rotation_block(long n) {
    const long power = n & -n;
    return power < kLargestBlock ? power : kLargestBlock;
}

// x[u] + x[u ^ half], or their difference, within each register
template <int Half, int... U>
LANES_FN FloatV butterfly(FloatV x, std::integer_sequence<int, U...>) {
    const FloatV other = shuffle<FloatV, (U ^ Half)...>(x, x);
    return fused(x, FloatV{(U & Half ? -1.0f : 1.0f)...}, other);  // x * sign is exact
}

// log2(Parts) stages of sums and differences between registers
template <int Parts>
LANES_FN void add_and_subtract(FloatV* part) {
    LANES_UNROLL
    for (int step = 1; step < Parts; step *= 2) {
        LANES_UNROLL
        for (int i = 0; i < Parts; ++i) {
            if (i & step) continue;
            const FloatV a = part[i], b = part[i + step];
            part[i] = a + b;
            part[i + step] = a - b;
        }
    }
}

// The stages of numbers half, 2 half, ... apart, where a number is `width` floats: one for the
// coordinates of a single vector, a register for those of several vectors side by side
template <int Parts>
LANES_FN void rotate_stages(float* x, long n, long half, long width) {
    using V = Native<float>::Unaligned;
    constexpr int kWidth = LANES_BYTES / 4;
    for (long from = 0; from < n * width; from += Parts * half * width) {
        for (long t = from; t < from + half * width; t += kWidth) {
            FloatV part[Parts];
            LANES_UNROLL
            for (int i = 0; i < Parts; ++i) {
                part[i] = *reinterpret_cast<const V*>(x + t + i * half * width);
            }
            add_and_subtract<Parts>(part);
            LANES_UNROLL
            for (int i = 0; i < Parts; ++i) {
                *reinterpret_cast<V*>(x + t + i * half * width) = part[i];
            }
        }
    }
}

// All stages from `half` on
LANES_FN void rotate_from(float* x, long n, long half, long block, long width) {
    for (; 4 * half < block; half *= 8) rotate_stages<8>(x, n, half, width);
    for (; 2 * half < block; half *= 4) rotate_stages<4>(x, n, half, width);
    for (; half < block; half *= 2) rotate_stages<2>(x, n, half, width);
}

// Signs of both kinds, in an order without a pattern, times 1 / sqrt(block)
inline void rotation_signs(float* signs, long n, long block) {
    const float scale = 1 / __builtin_sqrtf(float(block));
    unsigned state = 1;
    for (long t = 0; t < n; ++t) {
        state = state * 1664525u + 1013904223u;
        signs[t] = state >> 31 ? -scale : scale;
    }
}

// Rotates x [n] in place, n a multiple of 32; signs [n]
inline void rotate(float* x, long n, long block, const float* signs) {
    using V = Native<float>::Unaligned;
    constexpr int kWidth = LANES_BYTES / 4;
    using Lanes = std::make_integer_sequence<int, kWidth>;
    for (long from = 0; from < n; from += kWidth) {
        FloatV part = *reinterpret_cast<const V*>(x + from);
        part = part * *reinterpret_cast<const V*>(signs + from);
        part = butterfly<1>(part, Lanes{});
        part = butterfly<2>(part, Lanes{});
        if constexpr (kWidth > 4) part = butterfly<4>(part, Lanes{});
        if constexpr (kWidth > 8) part = butterfly<8>(part, Lanes{});
        *reinterpret_cast<V*>(x + from) = part;
    }
    rotate_from(x, n, kWidth, block, 1);
}

}  // namespace
