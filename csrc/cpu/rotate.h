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
template <int Half>
LANES_FN FloatV butterfly(FloatV x) {
    constexpr int kWidth = LANES_BYTES / 4;
    Native<float>::I partner;
    FloatV sign, other;
    LANES_UNROLL
    for (int u = 0; u < kWidth; ++u) {
        partner[u] = u ^ Half;
        sign[u] = u & Half ? -1.0f : 1.0f;
    }
#ifdef __clang__
    LANES_UNROLL
    for (int u = 0; u < kWidth; ++u) {
        other[u] = x[u ^ Half];
    }
#else
    other = __builtin_shuffle(x, partner);
#endif
    return fused(x, sign, other);  // x * sign is exact
}

// Sums and differences of numbers half, 2 half, ... apart: so many stages in one pass over memory
template <int Stages>
LANES_FN void rotate_stages(float* x, long n, long half) {
    using V = Native<float>::Unaligned;
    constexpr int kWidth = LANES_BYTES / 4, kParts = 1 << Stages;
    for (long from = 0; from < n; from += kParts * half) {
        for (long t = from; t < from + half; t += kWidth) {
            FloatV part[kParts];
            LANES_UNROLL
            for (int i = 0; i < kParts; ++i) {
                part[i] = *reinterpret_cast<const V*>(x + t + i * half);
            }
            LANES_UNROLL
            for (int step = 1; step < kParts; step *= 2) {
                LANES_UNROLL
                for (int i = 0; i < kParts; ++i) {
                    if (i & step) continue;
                    const FloatV a = part[i], b = part[i + step];
                    part[i] = a + b;
                    part[i + step] = a - b;
                }
            }
            LANES_UNROLL
            for (int i = 0; i < kParts; ++i) {
                *reinterpret_cast<V*>(x + t + i * half) = part[i];
            }
        }
    }
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
    for (long from = 0; from < n; from += kWidth) {
        FloatV part = *reinterpret_cast<const V*>(x + from);
        part = part * *reinterpret_cast<const V*>(signs + from);
        part = butterfly<1>(part);
        part = butterfly<2>(part);
        if (kWidth > 4) part = butterfly<(kWidth > 4) ? 4 : 1>(part);
        if (kWidth > 8) part = butterfly<(kWidth > 8) ? 8 : 1>(part);
        *reinterpret_cast<V*>(x + from) = part;
    }
    long half = kWidth;
    for (; 4 * half < block; half *= 8) rotate_stages<3>(x, n, half);
    for (; half < block; half *= 2) rotate_stages<1>(x, n, half);
}

}  // namespace
