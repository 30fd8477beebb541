// One signal, made ready for a kernel: checked, padded, and scaled by a power of two.
#pragma once
#include "../lanes.h"
#include "../status.h"
#include "threads.h"

namespace {

// NaN and infinity are both not below infinity
template <class T>
bool is_finite(const T* x, long n) {
    int n_bad = 0;
    for (long t = 0; t < n; ++t) {
        const T magnitude = x[t] < 0 ? -x[t] : x[t];
        n_bad += !(magnitude <= (sizeof(T) == 4 ? T(3.4028235e38) : T(1.7976931348623157e308)));
    }
    return n_bad == 0;
}

template <class T>
void fill(T* to, long n, T value) {
    for (long t = 0; t < n; ++t) to[t] = value;
}

template <class T>
constexpr T not_a_number() {
    return T(__builtin_nanf(""));
}

// x . y over n numbers, n a multiple of 32
template <class T>
T dot(const T* x, const T* y, long n) {
    using L = CpuLanes<T>;
    typename L::F sum = L::broadcast(0);
    for (long t = 0; t < n; t += L::W) sum = L::fma(L::load(x + t), L::load(y + t), sum);
    return L::hsum(sum);
}

template <class T>
double squared_norm(const T* x, long n) {  // n a multiple of 32
    double part[8] = {};
    for (long t = 0; t < n; t += 8) {
        LANES_UNROLL
        for (int u = 0; u < 8; ++u) {
            part[u] += double(x[t + u]) * double(x[t + u]);
        }
    }
    return ((part[0] + part[4]) + (part[2] + part[6])) +
           ((part[1] + part[5]) + (part[3] + part[7]));
}

template <class T>
LANES_FN void prefetch(const T* p) {  // 32 numbers
    constexpr int kLine = 64 / sizeof(T);
    LANES_UNROLL
    for (int u = 0; u < 32; u += kLine) {
        __builtin_prefetch(p + u);
    }
}

// y -= scale * x; every element rounds once
template <class T>
void subtract(T* __restrict__ y, T scale, const T* __restrict__ x, long n) {
    for (long t = 0; t < n; ++t) y[t] = fused(-scale, x[t], y[t]);
}

// Copies a signal of n features into `to` [stride], padded with zeros and scaled by the power of
// two that brings its largest magnitude near 1: products then neither overflow nor vanish, and
// since such a factor is exact, no bit of the answer changes. Returns the factor, 0 if x is not
// finite.
template <class T>
T scale_signal(T* x, long stride) {
    using L = CpuLanes<T>;
    if (!is_finite(x, stride)) {
        fill(x, stride, T(0));
        return 0;
    }
    typename L::F peak = L::broadcast(0);
    for (long t = 0; t < stride; t += L::W) peak = L::max(peak, L::abs(L::load(x + t)));
    const T largest = L::hmax(peak);
    if (largest == 0) return 1;
    constexpr int kMost = sizeof(T) == 4 ? 126 : 1022;
    int exponent = 0;
    __builtin_frexp(double(largest), &exponent);
    exponent = exponent > kMost ? kMost : exponent < -kMost ? -kMost : exponent;
    const T scale = T(__builtin_ldexp(1.0, -exponent));
    for (long t = 0; t < stride; ++t) x[t] *= scale;
    return scale;
}

// The same for to [stride], from x [n] padded with zeros
template <class T>
T load_signal(const T* x, long n, T* to, long stride) {
    __builtin_memcpy(to, x, n * sizeof(T));
    fill(to + n, stride - n, T(0));
    return scale_signal(to, stride);
}

}  // namespace
