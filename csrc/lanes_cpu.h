// Lanes of a CPU: W numbers in W / (numbers per register) native vectors. See lanes.h.
#pragma once
#include "native.h"

#define LANES_EACH \
    LANES_UNROLL   \
    for (int i = 0; i < P; ++i)

namespace {

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
    // Whole numbers of at most 127 as bytes
    static LANES_FN void store_bytes(signed char* p, F a) {
        typedef signed char Bytes __attribute__((vector_size(kWidth)));
        LANES_EACH
        {
            const Bytes bytes = __builtin_convertvector(__builtin_convertvector(a.v[i], VI), Bytes);
            __builtin_memcpy(p + i * kWidth, &bytes, sizeof bytes);
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
    static LANES_FN F sub(F a, F b) {
        F r;
        LANES_EACH
        {
            r.v[i] = a.v[i] - b.v[i];
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
    static LANES_FN I pick_slot(F a, F b, I x, I y) {
        I r;
        LANES_EACH
        {
            r.v[i] = a.v[i] >= b.v[i] ? x.v[i] : y.v[i];
        }
        return r;
    }
    static LANES_FN T hmax(F a) {
        return fold<T>(a, [](auto x, auto y) { return x > y ? x : y; });
    }
    static LANES_FN T hsum(F a) {
        return fold<T>(a, [](auto x, auto y) { return x + y; });
    }
    // to[i] = hsum(a[i]) for i < Sums, a power of two, at most kWidth: the same sums in the same
    // order, made side by side
    template <int Sums>
    static LANES_FN void hsum_each(F* a, T* to) {
        V part[Sums];
        LANES_UNROLL
        for (int s = 0; s < Sums; ++s) {
            LANES_UNROLL
            for (int half = P / 2; half >= 1; half /= 2) {
                LANES_UNROLL
                for (int i = 0; i < half; ++i) {
                    a[s].v[i] = a[s].v[i] + a[s].v[i + half];
                }
            }
            part[s] = a[s].v[0];
        }
        add_halves<kWidth, Sums>(part);
        LANES_UNROLL
        for (int s = 0; s < Sums; ++s) {
            to[s] = part[0][s];
        }
    }
    // The smallest slot * W + lane
    static LANES_FN int hfirst(I slot) {
        I element;
        LANES_EACH
        {
            element.v[i] = slot.v[i] * W + (lane_numbers(Lanes{}) + Index(i * kWidth));
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
    using Lanes = std::make_integer_sequence<int, kWidth>;
    template <int... U>
    static LANES_FN VI lane_numbers(std::integer_sequence<int, U...>) {
        return VI{U...};
    }
    // The first or second halves of the groups of x, then of y
    template <int Group, int Which, int... U>
    static LANES_FN V halves(V x, V y, std::integer_sequence<int, U...>) {
        constexpr int kHalf = Group / 2;
        return shuffle<V, (U / kHalf * Group + U % kHalf + Which * kHalf)...>(x, y);
    }
    // Each register of `part` holds kWidth / Group sums of Group terms each, until they are whole
    template <int Group, int N>
    static LANES_FN void add_halves(V* part) {
        if constexpr (Group > 1) {
            constexpr int kPairs = N > 1 ? N / 2 : 1;
            LANES_UNROLL
            for (int i = 0; i < kPairs; ++i) {
                const V x = part[N > 1 ? 2 * i : 0], y = part[N > 1 ? 2 * i + 1 : 0];
                part[i] = halves<Group, 0>(x, y, Lanes{}) + halves<Group, 1>(x, y, Lanes{});
            }
            add_halves<Group / 2, kPairs>(part);
        }
    }
    // op of the first and the second half of the first `Group` numbers, until one is left
    template <int Group, class Register, class Op>
    static LANES_FN Register fold_halves(Register x, Op op) {
        if constexpr (Group > 1) {
            return fold_halves<Group / 2>(op(x, rotated<Group / 2>(x, Lanes{})), op);
        } else {
            return x;
        }
    }
    template <int By, class Register, int... U>
    static LANES_FN Register rotated(Register x, std::integer_sequence<int, U...>) {
        return shuffle<Register, ((U + By) % kWidth)...>(x, x);
    }
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
        return fold_halves<kWidth>(a.v[0], op)[0];
    }
};

}  // namespace
#undef LANES_EACH
