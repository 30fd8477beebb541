// Registers of a CPU: the vector types, and the fused multiply-add on them.
#pragma once
#include <cstdint>
#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES_BYTES 64
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define LANES_BYTES 32
#else
#define LANES_BYTES 16
#endif
namespace {  // one copy per instruction set, never merged by the linker

template <class T>
struct Native;  // a register of T, the integers that go with it, and unaligned memory

template <>
struct Native<float> {
    using Index = std::int32_t;
    typedef float V __attribute__((vector_size(LANES_BYTES)));
    typedef Index I __attribute__((vector_size(LANES_BYTES)));
    typedef float Unaligned __attribute__((vector_size(LANES_BYTES), aligned(4), may_alias));
    static constexpr Index kMagnitude = 0x7fffffff;
};

template <>
struct Native<double> {
    using Index = std::int64_t;
    typedef double V __attribute__((vector_size(LANES_BYTES)));
    typedef Index I __attribute__((vector_size(LANES_BYTES)));
    typedef double Unaligned __attribute__((vector_size(LANES_BYTES), aligned(8), may_alias));
    static constexpr Index kMagnitude = 0x7fffffffffffffff;
};

// Numbers From... of x and then y. Written with constants: an index that is filled in a loop is
// filled at run time.
template <class V, int... From>
LANES_FN V shuffle(V x, V y) {
#if defined(__clang__) || __GNUC__ >= 12
    return __builtin_shufflevector(x, y, From...);
#else
    using I = typename Native<typename std::decay<decltype(x[0])>::type>::I;
    return __builtin_shuffle(x, y, I{From...});
#endif
}

// a * b + c and c - a * b, rounded once
LANES_FN float fused(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
LANES_FN double fused(double a, double b, double c) {
    return __builtin_fma(a, b, c);
}

using FloatV = Native<float>::V;
using DoubleV = Native<double>::V;

#if LANES_BYTES == 64
LANES_FN FloatV fused(FloatV a, FloatV b, FloatV c) {
    return (FloatV)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
LANES_FN DoubleV fused(DoubleV a, DoubleV b, DoubleV c) {
    return (DoubleV)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
LANES_FN FloatV fused_minus(FloatV a, FloatV b, FloatV c) {
    return (FloatV)_mm512_fnmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
LANES_FN DoubleV fused_minus(DoubleV a, DoubleV b, DoubleV c) {
    return (DoubleV)_mm512_fnmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
#elif LANES_BYTES == 32
LANES_FN FloatV fused(FloatV a, FloatV b, FloatV c) {
    return (FloatV)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
LANES_FN DoubleV fused(DoubleV a, DoubleV b, DoubleV c) {
    return (DoubleV)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
LANES_FN FloatV fused_minus(FloatV a, FloatV b, FloatV c) {
    return (FloatV)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
LANES_FN DoubleV fused_minus(DoubleV a, DoubleV b, DoubleV c) {
    return (DoubleV)_mm256_fnmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
#else  // element by element: the compiler makes NEON of it; plain SSE2 has no fused operation
LANES_FN FloatV fused(FloatV a, FloatV b, FloatV c) {
    return FloatV{fused(a[0], b[0], c[0]), fused(a[1], b[1], c[1]), fused(a[2], b[2], c[2]),
                  fused(a[3], b[3], c[3])};
}
LANES_FN DoubleV fused(DoubleV a, DoubleV b, DoubleV c) {
    return DoubleV{fused(a[0], b[0], c[0]), fused(a[1], b[1], c[1])};
}
LANES_FN FloatV fused_minus(FloatV a, FloatV b, FloatV c) {
    return fused(-a, b, c);
}
LANES_FN DoubleV fused_minus(DoubleV a, DoubleV b, DoubleV c) {
    return fused(-a, b, c);
}
#endif

}  // namespace
