// Lanes of a CPU: W numbers in W / (numbers per register) native vectors. See lanes.h.
#pragma once
#include <cstdint>

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES_BYTES 64
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define LANES_BYTES 32
#else
#define LANES_BYTES 16
#endif
#define LANES_EACH \
    LANES_UNROLL   \
    for (int i = 0; i < P; ++i)

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

template <class T, int W_ = 32>
struct CpuLanes {
    using Number = T;
    using V = typename Native<T>::V;
    using VI = typename Native<T>::I;
    using Index = typename Native<T>::Index;
    static constexpr int W = W_;
    static constexpr int kWidth = LANES_BYTES / sizeof(T);  // numbers in a register
    static constexpr int P = W / kWidth;                    // registers in a lane value
    static_assert(P >= 1 && P * kWidth == W, "W must be a multiple of the register's width");
    struct F {
        V v[P];
    };
    struct I {
        VI v[P];
    };

    static LANES_FN F load(const T* p) {
        using Unaligned = typename Native<T>::Unaligned;
        F r;
        LANES_EACH
        {
            r.v[i] = *reinterpret_cast<const Unaligned*>(p + i * kWidth);
        }
        return r;
    }
    static LANES_FN void store(T* p, F a) {
        using Unaligned = typename Native<T>::Unaligned;
        LANES_EACH
        {
            *reinterpret_cast<Unaligned*>(p + i * kWidth) = a.v[i];
        }
    }
    // to[i] = from[ids[i]] for i < n, 0 up to n_padded
    static LANES_FN void gather(T* to, const T* from, const int* ids, int n, int n_padded) {
        for (int i = 0; i < n; ++i) to[i] = from[ids[i]];
        for (int i = n; i < n_padded; ++i) to[i] = 0;
    }
    static LANES_FN F broadcast(T x) {
        F r;
        LANES_EACH
        {
            r.v[i] = x - V{};
        }
        return r;
    }
    static LANES_FN I broadcast_slot(int x) {
        I r;
        LANES_EACH
        {
            r.v[i] = Index(x) - VI{};
        }
        return r;
    }
    // a * b + c and c - a * b
    static LANES_FN F fma(F a, F b, F c) {
        F r;
        LANES_EACH
        {
            r.v[i] = fused(a.v[i], b.v[i], c.v[i]);
        }
        return r;
    }
    static LANES_FN F fnma(F a, F b, F c) {
        F r;
        LANES_EACH
        {
            r.v[i] = fused_minus(a.v[i], b.v[i], c.v[i]);
        }
        return r;
    }
    static LANES_FN T fma(T a, T b, T c) {
        return fused(a, b, c);
    }
    static LANES_FN float sqrt(float a) {
        return __builtin_sqrtf(a);
    }
    static LANES_FN double sqrt(double a) {
        return __builtin_sqrt(a);
    }
    static LANES_FN F add(F a, F b) {
        F r;
        LANES_EACH
        {
            r.v[i] = a.v[i] + b.v[i];
        }
        return r;
    }
    static LANES_FN F mul(F a, F b) {
        F r;
        LANES_EACH
        {
            r.v[i] = a.v[i] * b.v[i];
        }
        return r;
    }
    static LANES_FN F div(F a, F b) {
        F r;
        LANES_EACH
        {
            r.v[i] = a.v[i] / b.v[i];
        }
        return r;
    }
    static LANES_FN F abs(F a) {
        F r;
        LANES_EACH
        {
            r.v[i] = (V)((VI)a.v[i] & Native<T>::kMagnitude);
        }
        return r;
    }
    static LANES_FN F max(F a, F b) {
        F r;
        LANES_EACH
        {
            r.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
        }
        return r;
    }
    // a >= b ? x : y, lane by lane
    static LANES_FN F pick(F a, F b, F x, F y) {
        F r;
        LANES_EACH
        {
            r.v[i] = a.v[i] >= b.v[i] ? x.v[i] : y.v[i];
        }
        return r;
    }
    static LANES_FN I pick_slot(F a, F b, int x, I y) {
        I r;
        LANES_EACH
        {
            r.v[i] = a.v[i] >= b.v[i] ? Index(x) - VI{} : y.v[i];
        }
        return r;
    }
    static LANES_FN T hmax(F a) {
        return fold<T>(a, [](auto x, auto y) { return x > y ? x : y; });
    }
    static LANES_FN T hsum(F a) {
        return fold<T>(a, [](auto x, auto y) { return x + y; });
    }
    // The smallest slot * W + lane
    static LANES_FN int hfirst(I slot) {
        I element;
        LANES_EACH
        {
            VI lane;
            LANES_UNROLL
            for (int u = 0; u < kWidth; ++u) {
                lane[u] = i * kWidth + u;
            }
            element.v[i] = slot.v[i] * W + lane;
        }
        return int(fold<Index>(element, [](auto x, auto y) { return x < y ? x : y; }));
    }
    static LANES_FN T at(F a, int lane) {
        return a.v[lane / kWidth][lane % kWidth];
    }
    static LANES_FN int lane() {
        return 0;
    }
    static LANES_FN void sync() {}

  private:
    // Halves until one number is left: 16, 8, 4, 2, 1 for W = 32
    template <class Number, class Lanes, class Op>
    static LANES_FN Number fold(Lanes a, Op op) {
        LANES_UNROLL
        for (int half = P / 2; half >= 1; half /= 2) {
            LANES_UNROLL
            for (int i = 0; i < half; ++i) {
                a.v[i] = op(a.v[i], a.v[i + half]);
            }
        }
        alignas(LANES_BYTES) Number rest[kWidth];
        __builtin_memcpy(rest, &a.v[0], sizeof rest);
        LANES_UNROLL
        for (int half = kWidth / 2; half >= 1; half /= 2) {
            LANES_UNROLL
            for (int i = 0; i < half; ++i) {
                rest[i] = op(rest[i], rest[i + half]);
            }
        }
        return rest[0];
    }
};

}  // namespace
#undef LANES_EACH
