// Lanes of a GPU: one number in each thread of a warp of 32. See lanes.h.
#pragma once

template <class T, int W_ = 32>
struct WarpLanes {
    using Number = T;
    static constexpr int W = W_;
    static_assert(W == 32, "a warp has 32 lanes");
    using F = T;
    using I = int;
    static constexpr unsigned kAll = 0xffffffffu;

    static LANES_FN int lane() {
        return threadIdx.x % W;
    }
    static LANES_FN void sync() {
        __syncwarp(kAll);
    }
    static LANES_FN F load(const T* p) {
        return p[lane()];
    }
    static LANES_FN void store(T* p, F a) {
        p[lane()] = a;
    }
    // to[i] = from[ids[i]] for i < n, 0 up to n_padded
    static LANES_FN void gather(T* to, const T* from, const int* ids, int n, int n_padded) {
        for (int i = lane(); i < n_padded; i += W) to[i] = i < n ? from[ids[i]] : T(0);
    }
    static LANES_FN F broadcast(T x) {
        return x;
    }
    static LANES_FN I broadcast_slot(int x) {
        return x;
    }
    // a * b + c and c - a * b
    static LANES_FN float fma(float a, float b, float c) {
        return fmaf(a, b, c);
    }
    static LANES_FN double fma(double a, double b, double c) {
        return ::fma(a, b, c);
    }
    static LANES_FN F fnma(F a, F b, F c) {
        return fma(-a, b, c);
    }
    static LANES_FN float sqrt(float a) {
        return sqrtf(a);
    }
    static LANES_FN double sqrt(double a) {
        return ::sqrt(a);
    }
    static LANES_FN F add(F a, F b) {
        return a + b;
    }
    static LANES_FN F mul(F a, F b) {
        return a * b;
    }
    static LANES_FN F div(F a, F b) {
        return a / b;
    }
    static LANES_FN float abs(float a) {
        return fabsf(a);
    }
    static LANES_FN double abs(double a) {
        return ::fabs(a);
    }
    static LANES_FN F max(F a, F b) {
        return a > b ? a : b;
    }
    // a >= b ? x : y
    static LANES_FN F pick(F a, F b, F x, F y) {
        return a >= b ? x : y;
    }
    static LANES_FN I pick_slot(F a, F b, I x, I y) {
        return a >= b ? x : y;
    }
    // Only for a >= 0: the bit patterns are then ordered as the numbers are, one REDUX
    static LANES_FN float hmax(float a) {
        return __uint_as_float(__reduce_max_sync(kAll, __float_as_uint(a)));
    }
    static LANES_FN double hmax(double a) {
        LANES_UNROLL
        for (int half = W / 2; half >= 1; half /= 2) {
            a = max(a, __shfl_xor_sync(kAll, a, half));
        }
        return a;
    }
    static LANES_FN T hsum(F a) {
        LANES_UNROLL
        for (int half = W / 2; half >= 1; half /= 2) {
            a += __shfl_xor_sync(kAll, a, half);
        }
        return a;
    }
    // The smallest slot * W + lane
    static LANES_FN int hfirst(I slot) {
        return __reduce_min_sync(kAll, unsigned(slot * W + lane()));
    }
    static LANES_FN T at(F a, int lane) {
        return __shfl_sync(kAll, a, lane);
    }
};
