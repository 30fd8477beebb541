// The dictionary in 8-bit integers, as quantised.h wants it: in one pass over it.
//
// As many atoms as a register has numbers are worked on side by side, a coordinate of each in one
// register: the rotation and the sums are then additions of registers, and the bytes of a step of
// the product come out in the order that it reads. Only the loads have to be transposed.
//
// Traffic: the atoms once, a quarter of that written; the atoms in work stay in L1 or L2.
#pragma once
#include "../transpose.h"
#include "quantised.h"

namespace {

constexpr int kAtomLanes = LANES_BYTES / 4;

// to[t] = coordinates t of the atoms from `first` on, rotated; zero where there are none
template <class T>
void rotate_atoms(const T* dictionary, long n_atoms, long n_features, long first,
                  const Rotation& rotation, float* to) {
    using V = Native<float>::Unaligned;
    for (long t = 0; t < rotation.n; t += kAtomLanes) {
        FloatV part[kAtomLanes];
        LANES_UNROLL
        for (int u = 0; u < kAtomLanes; ++u) {
            part[u] = FloatV{};
            const T* v = dictionary + (first + u) * n_features + t;
            if (first + u < n_atoms && t + kAtomLanes <= n_features) {
                if constexpr (sizeof(T) == 4) {
                    part[u] = *reinterpret_cast<const V*>(v);
                } else {
                    for (int i = 0; i < kAtomLanes; ++i) part[u][i] = float(v[i]);
                }
                __builtin_prefetch(v + kAtomLanes * n_features);  // those that come next
            } else if (first + u < n_atoms) {
                for (int i = 0; t + i < n_features; ++i) part[u][i] = float(v[i]);
            }
        }
        transpose<float>(part);
        LANES_UNROLL
        for (int u = 0; u < kAtomLanes; ++u) part[u] = part[u] * rotation.signs[t + u];
        add_and_subtract<kAtomLanes>(part);
        LANES_UNROLL
        for (int u = 0; u < kAtomLanes; ++u) {
            *reinterpret_cast<V*>(to + (t + u) * kAtomLanes) = part[u];
        }
    }
    rotate_from(to, rotation.n, kAtomLanes, rotation.block, kAtomLanes);
}

// Quantises atoms `first` and on, as many as a register has numbers, of a panel; raises the panel's
// norm and error. rotated [n of the rotation, kAtomLanes] is scratch.
template <class T>
void quantise_atoms(const T* dictionary, long n_atoms, long n_features, const Rotation& rotation,
                    long first, unsigned char* panels, float* scales, float& norm, float& error,
                    float* rotated) {
    using V = Native<float>::Unaligned;
    typedef std::int32_t IntV __attribute__((vector_size(LANES_BYTES)));
    typedef std::int32_t UnalignedInts
        __attribute__((vector_size(LANES_BYTES), aligned(4), may_alias));
    rotate_atoms(dictionary, n_atoms, n_features, first, rotation, rotated);
    const auto load = [&](long t) { return *reinterpret_cast<const V*>(rotated + t * kAtomLanes); };
    // Magnitudes are in order as integers too, and what is not a number comes last
    IntV peaks[kGroup]{};
    for (long t = 0; t < rotation.n; t += kGroup) {
        LANES_UNROLL
        for (int i = 0; i < kGroup; ++i) {
            const IntV magnitude = (IntV)load(t + i) & Native<float>::kMagnitude;
            peaks[i] = magnitude > peaks[i] ? magnitude : peaks[i];
        }
    }
    LANES_UNROLL
    for (int i = 1; i < kGroup; ++i) peaks[0] = peaks[i] > peaks[0] ? peaks[i] : peaks[0];
    const FloatV peak = (FloatV)peaks[0];
    const IntV is_known = (peak > kSmallest - FloatV{}) & (peak < kLargest - FloatV{});
    const FloatV one = 1 - FloatV{}, safe = is_known ? peak : one;
    const FloatV scale = safe / 127, inverse = is_known ? 127 / safe : FloatV{};
    const FloatV shift = 12582912.0f - FloatV{};  // 1.5 * 2^23: adding it rounds to an integer
    FloatV error2[kGroup]{}, norm2[kGroup]{};
    unsigned char* to = panels + first / kPanel * kPanel * rotation.n + first % kPanel * kGroup;
    for (long t = 0; t < rotation.n; t += kGroup) {
        IntV four{};
        LANES_UNROLL
        for (int i = 0; i < kGroup; ++i) {
            const FloatV x = load(t + i), shifted = fused(x, inverse, shift), q = shifted - shift;
            const FloatV rest = fused_minus(q, scale, x);
            error2[i] = fused(rest, rest, error2[i]);
            norm2[i] = fused(q, q, norm2[i]);
            // The low bits of `shifted` are those of q, plus 128 to make them unsigned
            four |= (((IntV)shifted + 128) & 255) << (8 * i);
        }
        *reinterpret_cast<UnalignedInts*>(to + t * kPanel) = four;
    }
    LANES_UNROLL
    for (int i = 1; i < kGroup; ++i) {
        norm2[0] = norm2[0] + norm2[i];
        error2[0] = error2[0] + error2[i];
    }
    for (int u = 0; u < kAtomLanes; ++u) {
        const bool is_zero = peak[u] == 0;
        const float norm_up = kUpwards * scale[u] * __builtin_sqrtf(norm2[0][u]);
        float error_up = kUpwards * __builtin_sqrtf(error2[0][u]) + kRounding * norm_up;
        if (!is_known[u]) error_up = is_zero ? 0 : kUnknown;
        scales[first + u] = is_known[u] ? scale[u] : 0;
        const float largest = (is_known[u] ? norm_up : 0) + error_up;  // not below |d|
        norm = largest > norm ? largest : norm;
        error = error_up > error ? error_up : error;
    }
}

}  // namespace
