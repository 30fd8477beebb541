// What the integer correlations tell about a signal: which atoms may be correlated with its
// residual by more than alpha, and which of them should join its working set.
#pragma once
#include "quantised.h"

namespace {

struct Screen {              // of one thread, for n padded atoms
    Buffer<int> atoms;       // [n + 32] those that may be above alpha
    Buffer<float> sizes;     // [n + 32] their correlations, about
    int count;               // of them
    float sure;              // some atom's correlation is above this for certain, 0 if below alpha
    Buffer<unsigned> ruled;  // [n / 32] a bit for each atom that is no candidate: the set's members
    void reserve(long n, long n_atoms) {
        atoms.reserve(n + kPanel);
        sizes.reserve(n + kPanel);
        ruled.reserve(n / kPanel);
        fill(ruled.data(), n / kPanel, 0u);
        for (long j = n_atoms; j < n; ++j) ruled[j / kPanel] |= 1u << (j % kPanel);
    }
    void flip(const int* members, int n) {  // rules them out, or in again
        for (int i = 0; i < n; ++i) ruled[members[i] / kPanel] ^= 1u << (members[i] % kPanel);
    }
};

// One bit for each of 32 numbers above the level
LANES_FN unsigned above(const float* x, float level) {
#if LANES_BYTES == 64
    const __m512 limit = _mm512_set1_ps(level);
    return _mm512_cmp_ps_mask(_mm512_loadu_ps(x), limit, _CMP_GT_OQ) |
           unsigned(_mm512_cmp_ps_mask(_mm512_loadu_ps(x + 16), limit, _CMP_GT_OQ)) << 16;
#elif LANES_BYTES == 32
    const __m256 limit = _mm256_set1_ps(level);
    unsigned bits = 0;
    LANES_UNROLL
    for (int i = 0; i < 4; ++i) {
        const __m256 is_above = _mm256_cmp_ps(_mm256_loadu_ps(x + 8 * i), limit, _CMP_GT_OQ);
        bits |= unsigned(_mm256_movemask_ps(is_above)) << (8 * i);
    }
    return bits;
#else
    unsigned bits = 0;
    for (int i = 0; i < 32; ++i) bits |= unsigned(x[i] > level) << i;
    return bits;
#endif
}

// Appends those of 32 numbers whose bits are set
LANES_FN void append(unsigned bits, const float* sizes, int first, Screen& own) {
#if LANES_BYTES == 64
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    LANES_UNROLL
    for (int u = 0; u < kPanel; u += 16) {
        const __mmask16 mask = static_cast<__mmask16>(bits >> u);
        const __m512i atoms = _mm512_add_epi32(lane, _mm512_set1_epi32(first + u));
        _mm512_storeu_si512(own.atoms.data() + own.count, _mm512_maskz_compress_epi32(mask, atoms));
        _mm512_storeu_ps(own.sizes.data() + own.count,
                         _mm512_maskz_compress_ps(mask, _mm512_loadu_ps(sizes + u)));
        own.count += __builtin_popcount(mask);
    }
#else
    for (; bits != 0; bits &= bits - 1) {
        const int u = __builtin_ctz(bits);
        own.atoms[own.count] = first + u;
        own.sizes[own.count++] = sizes[u];
    }
#endif
}

// Collects the atoms that may be above alpha, unless they are ruled out. No other atom is above:
// its integer correlation plus the bound of the error is not.
inline void collect(const int* products, const QuantisedAtoms& d, const QuantisedVector& r,
                    float alpha, bool is_nonnegative, Screen& own) {
    using Int = std::int32_t;
    typedef Int IntV __attribute__((vector_size(LANES_BYTES)));
    typedef Int UnalignedInts __attribute__((vector_size(LANES_BYTES), aligned(4), may_alias));
    using Unaligned = Native<float>::Unaligned;
    constexpr int kWidth = LANES_BYTES / 4;
    const FloatV scale = r.scale - FloatV{};
    own.count = 0;
    own.sure = 0;
    for (int from = 0; from < d.n; from += kPanel) {
        alignas(64) float sizes[kPanel];
        LANES_UNROLL
        for (int u = 0; u < kPanel; u += kWidth) {
            const IntV ints = *reinterpret_cast<const UnalignedInts*>(products + from + u);
            const FloatV atoms = *reinterpret_cast<const Unaligned*>(d.scale + from + u);
            FloatV size = __builtin_convertvector(ints, FloatV) * atoms * scale;
            if (!is_nonnegative) size = (FloatV)((IntV)size & Native<float>::kMagnitude);
            *reinterpret_cast<Unaligned*>(sizes + u) = size;
        }
        const int panel = from / kPanel;
        const float bound = r.error * d.norm[panel] + r.norm * d.error[panel];
        const float slack = kUpwards * bound + kRounding * alpha;
        const unsigned bits = above(sizes, alpha - slack) & ~own.ruled[panel];
        if (bits == 0) continue;
        append(bits, sizes, from, own);
        const float least = own.sure > alpha ? own.sure : alpha;
        if (above(sizes, least + slack) & bits) {
            for (int u = 0; u < kPanel; ++u) {
                const bool is_sure = bits >> u & 1 && sizes[u] - slack > own.sure;
                own.sure = is_sure ? sizes[u] - slack : own.sure;
            }
        }
    }
    fill(own.sizes.data() + own.count, kPanel, 0.0f);
}

LANES_FN int count_above(const Screen& own, float level) {
    typedef std::int32_t IntV __attribute__((vector_size(LANES_BYTES)));
    constexpr int kWidth = LANES_BYTES / 4;
    const FloatV limit = level - FloatV{};
    IntV sum{};
    for (int i = 0; i < own.count; i += kWidth) {
        const FloatV size =
            *reinterpret_cast<const Native<float>::Unaligned*>(own.sizes.data() + i);
        sum -= (IntV)(size > limit);
    }
    int total = 0;
    for (int u = 0; u < kWidth; ++u) total += sum[u];
    return total;
}

// Moves the atoms with the largest sizes above alpha to the front, at most `most`, about: the level
// is halved in on, and of those that come last, the first in order are taken. Returns their number.
inline int keep_largest(Screen& own, float alpha, int most) {
    using L = CpuLanes<float>;
    constexpr int kHalvings = 8;
    L::F peaks = L::broadcast(alpha);
    for (int i = 0; i < own.count; i += L::W) {
        peaks = L::max(peaks, L::load(own.sizes.data() + i));
    }
    // At least `most` are above low, at most that many above high
    float low = alpha, high = L::hmax(peaks);
    if (count_above(own, low) <= most) high = low;
    for (int i = 0; i < kHalvings && low < high; ++i) {
        const float middle = 0.5f * (low + high);
        (count_above(own, middle) > most ? low : high) = middle;
    }
    int kept = 0, left = low < high ? most - count_above(own, high) : 0;
    for (int i = 0; i < own.count; i += kPanel) {
        const float* sizes = own.sizes.data() + i;
        for (unsigned bits = above(sizes, low); bits != 0; bits &= bits - 1) {
            const int u = __builtin_ctz(bits);
            if (!(sizes[u] > high) && left-- <= 0) continue;
            own.atoms[kept++] = own.atoms[i + u];
        }
    }
    return kept;
}

}  // namespace
