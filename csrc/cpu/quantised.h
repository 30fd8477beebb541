// Correlations of many signals with all atoms in 8-bit integers, with a bound on their error: the
// screen of the LASSO. Integer sums are exact, so they are the same on every instruction set.
//
// A vector v is v' + e with v' = scale q, q integers of at most 127, and |e| known. With both sides
// quantised, |r . d - r' . d'| <= |e_r| |d| + |r'| |e_d|: about 1 % of |r| |d| for spread-out
// vectors, which rotate.h makes of any. The products take bytes of atoms (plus 128, unsigned) and
// of signals, four features at a time: one instruction for 64 of them with AVX-512 VNNI, and as
// fast as float32 without it.
//
// Traffic: a panel of 32 atoms is 32 M bytes and stays in L1 while the rows of signals pass.
#pragma once
#include "../lanes.h"
#include "rotate.h"
#include "signal.h"

namespace {

constexpr int kPanel = 32;             // atoms side by side
constexpr int kGroup = 4;              // features in one step of the product
constexpr long kMostFeatures = 60000;  // more might overflow 32 bits

struct QuantisedAtoms {
    const unsigned char* panels;  // [n / 32, M4 / 4, 32, 4]
    const float* scale;           // [n] of an atom
    const float* norm;            // [n / 32] largest |d| of a panel
    const float* error;           // [n / 32] largest |e_d|
    long n_groups;                // M4 / 4
    int n;                        // atoms, padded to a multiple of 32
    bool has_vnni;                // whether the processor has the instruction
};

template <int N>
struct Size {
    static constexpr int value = N;
};

struct QuantisedVector {
    float scale;  // of the integers
    float norm;   // |r'|
    float error;  // |e_r|
    int sum;      // of the integers
};

// The rotation that comes before: the same for all vectors of n features
struct Rotation {
    Buffer<float> signs;
    long n, block;
    explicit Rotation(long n_features) : signs(n_features), n(n_features), block(0) {
        block = rotation_block(n);
        rotation_signs(signs.data(), n, block);
    }
    // to [n] = rotated v [n_features], as float32
    template <class T>
    void apply(const T* v, long n_features, float* to) const {
        for (long t = 0; t < n_features; ++t) to[t] = float(v[t]);
        if (n_features < n) fill(to + n_features, n - n_features, 0.0f);
        rotate(to, n, block, signs.data());
    }
};

// Bounds are rounded up by this factor, which covers the rounding of their own computation; those
// of an error also by this share of the norm, for what is rounded to float32 on the way.
constexpr float kUpwards = 1.0001f, kRounding = 2e-6f;
// Vectors whose largest number is not within these are not quantised: their error is "unknown",
// and so nothing is concluded about their products.
constexpr float kSmallest = 1e-15f, kLargest = 1e15f, kUnknown = 1e30f;

constexpr float kToInteger = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer

// Whether a vector with this largest magnitude is quantised
inline bool is_quantised(float peak) {
    return peak > kSmallest && peak < kLargest;
}
// One that is not
inline QuantisedVector unquantised(float peak) {
    return {0, 0, peak == 0 ? 0 : kUnknown, 0};
}
// One that is, from its scale, |q|^2, |e|^2 and the sum of q
inline QuantisedVector with_bounds(float scale, float norm2, float error2, int sum) {
    const float norm = kUpwards * scale * __builtin_sqrtf(norm2);
    return {scale, norm, kUpwards * __builtin_sqrtf(error2) + kRounding * norm, sum};
}

// to[t] = rint(v / scale), t < n, a multiple of 32
inline QuantisedVector quantise(const float* v, long n, signed char* to) {
    using L = CpuLanes<float>;
    L::F peaks = L::broadcast(0);
    for (long t = 0; t < n; t += L::W) peaks = L::max(peaks, L::abs(L::load(v + t)));
    const float peak = L::hmax(peaks);
    if (!is_quantised(peak)) {
        fill(to, n, static_cast<signed char>(0));
        return unquantised(peak);
    }
    const float scale = peak / 127;
    const L::F inverse = L::broadcast(127 / peak), each = L::broadcast(scale);
    const L::F shift = L::broadcast(kToInteger);
    L::F error2 = L::broadcast(0), norm2 = error2, sum = error2;
    for (long t = 0; t < n; t += L::W) {
        const L::F x = L::load(v + t), q = L::sub(L::fma(x, inverse, shift), shift);
        const L::F rest = L::fnma(q, each, x);
        L::store_bytes(to + t, q);
        error2 = L::fma(rest, rest, error2);
        norm2 = L::fma(q, q, norm2);
        sum = L::add(sum, q);  // exact
    }
    L::F sums[4] = {norm2, error2, sum, sum};
    float total[4];
    L::hsum_each<4>(sums, total);
    return with_bounds(scale, total[0], total[1], int(total[2]));
}

// The product without an instruction for it: 16-bit multiplications, even and odd bytes apart
#if LANES_BYTES == 64
struct Ints {
    using V = __m512i;
    static LANES_FN V load(const unsigned char* p) {
        return _mm512_loadu_si512(p);
    }
    static LANES_FN void store(int* p, V a) {
        _mm512_storeu_si512(p, a);
    }
    static LANES_FN V broadcast(int a) {
        return _mm512_set1_epi32(a);
    }
    static LANES_FN V even(V a) {
        return _mm512_and_si512(a, _mm512_set1_epi16(0xff));
    }
    static LANES_FN V odd(V a) {
        return _mm512_srli_epi16(a, 8);
    }
    static LANES_FN V add_products(V sum, V a, V b) {
        return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
    }
};
#elif LANES_BYTES == 32
struct Ints {
    using V = __m256i;
    static LANES_FN V load(const unsigned char* p) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    }
    static LANES_FN void store(int* p, V a) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a);
    }
    static LANES_FN V broadcast(int a) {
        return _mm256_set1_epi32(a);
    }
    static LANES_FN V even(V a) {
        return _mm256_and_si256(a, _mm256_set1_epi16(0xff));
    }
    static LANES_FN V odd(V a) {
        return _mm256_srli_epi16(a, 8);
    }
    static LANES_FN V add_products(V sum, V a, V b) {
        return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
    }
};
#else  // one number at a time
struct Ints {
    using V = unsigned;
    static LANES_FN V load(const unsigned char* p) {
        V a;
        __builtin_memcpy(&a, p, sizeof a);
        return a;
    }
    static LANES_FN void store(int* p, V a) {
        *p = int(a);
    }
    static LANES_FN V broadcast(int a) {
        return V(a);
    }
    static LANES_FN V even(V a) {
        return a & 0xff00ff;
    }
    static LANES_FN V odd(V a) {
        return (a >> 8) & 0xff00ff;
    }
    static LANES_FN V add_products(V sum, V a, V b) {
        const int low = int(a & 0xffff) * short(b & 0xffff), high = int(a >> 16) * short(b >> 16);
        return sum + V(low) + V(high);
    }
};
#endif

// Two 16-bit numbers in one
LANES_FN int pair(int low, int high) {
    return int((unsigned(high) << 16) | (unsigned(low) & 0xffff));
}

template <int Rows>
void screen_tile(const signed char* x, long stride, long n_groups, const unsigned char* panel,
                 const int* offset, int* c, long c_stride) {
    using V = Ints::V;
    constexpr int kOwn = sizeof(V) / sizeof(int), kAtOnce = 2;
    for (int u = 0; u < kPanel; u += kAtOnce * kOwn) {
        V sum[Rows][kAtOnce];
        LANES_UNROLL
        for (int i = 0; i < Rows; ++i) {
            sum[i][0] = sum[i][1] = Ints::broadcast(-offset[i]);
        }
        for (long g = 0; g < n_groups; ++g) {
            const unsigned char* four = panel + (g * kPanel + u) * kGroup;
            const V p0 = Ints::load(four), p1 = Ints::load(four + sizeof(V));
            LANES_UNROLL
            for (int i = 0; i < Rows; ++i) {
                const signed char* q = x + i * stride + g * kGroup;
                const V even = Ints::broadcast(pair(q[0], q[2]));
                const V odd = Ints::broadcast(pair(q[1], q[3]));
                sum[i][0] = Ints::add_products(sum[i][0], Ints::even(p0), even);
                sum[i][1] = Ints::add_products(sum[i][1], Ints::even(p1), even);
                sum[i][0] = Ints::add_products(sum[i][0], Ints::odd(p0), odd);
                sum[i][1] = Ints::add_products(sum[i][1], Ints::odd(p1), odd);
            }
        }
        LANES_UNROLL
        for (int i = 0; i < Rows; ++i) {
            Ints::store(c + i * c_stride + u, sum[i][0]);
            Ints::store(c + i * c_stride + u + kOwn, sum[i][1]);
        }
    }
}

#if LANES_BYTES == 64
template <int Rows>
__attribute__((target("avx512vnni"))) void screen_tile_vnni(const signed char* x, long stride,
                                                            long n_groups,
                                                            const unsigned char* panel,
                                                            const int* offset, int* c,
                                                            long c_stride) {
    __m512i low[Rows], high[Rows];
    LANES_UNROLL
    for (int i = 0; i < Rows; ++i) {
        low[i] = high[i] = _mm512_set1_epi32(-offset[i]);
    }
    for (long g = 0; g < n_groups; ++g) {
        const __m512i p0 = _mm512_loadu_si512(panel + g * kPanel * kGroup);
        const __m512i p1 = _mm512_loadu_si512(panel + g * kPanel * kGroup + 64);
        LANES_UNROLL
        for (int i = 0; i < Rows; ++i) {
            int four;
            __builtin_memcpy(&four, x + i * stride + g * kGroup, sizeof four);
            const __m512i q = _mm512_set1_epi32(four);
            low[i] = _mm512_dpbusd_epi32(low[i], p0, q);
            high[i] = _mm512_dpbusd_epi32(high[i], p1, q);
        }
    }
    LANES_UNROLL
    for (int i = 0; i < Rows; ++i) {
        _mm512_storeu_si512(c + i * c_stride, low[i]);
        _mm512_storeu_si512(c + i * c_stride + 16, high[i]);
    }
}
#endif

struct ScreenTile {
    template <int Rows>
    static void run(const QuantisedAtoms& d, int atom, const signed char* x, long stride,
                    const int* offset, int* c) {
        const unsigned char* panel = d.panels + atom * d.n_groups * kGroup;
#if LANES_BYTES == 64
        if (d.has_vnni) {
            screen_tile_vnni<Rows>(x, stride, d.n_groups, panel, offset, c + atom, d.n);
            return;
        }
#endif
        screen_tile<Rows>(x, stride, d.n_groups, panel, offset, c + atom, d.n);
    }
};

// c [rows, d.n] = sums of products of integers; x [rows, stride], offset [rows]: 128 times the sum
// of a row
inline void screen_products(const signed char* x, int rows, long stride, const int* offset,
                            const QuantisedAtoms& d, int* c) {
    for (int atom = 0; atom < d.n; atom += kPanel) {
        int i = 0;
        const auto tile = [&](auto size) {
            constexpr int kRows = decltype(size)::value;
            ScreenTile::run<kRows>(d, atom, x + i * stride, stride, offset + i, c + long(i) * d.n);
            i += kRows;
        };
        while (i + 12 <= rows) tile(Size<12>());
        if (i + 8 <= rows) tile(Size<8>());
        if (i + 4 <= rows) tile(Size<4>());
        if (i + 2 <= rows) tile(Size<2>());
        if (i + 1 <= rows) tile(Size<1>());
    }
}

}  // namespace
