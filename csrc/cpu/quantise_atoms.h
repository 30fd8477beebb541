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
// Coordinates in one chain of sums, four side by side: more would round by more than kUpwards
// allows
constexpr long kLongestSum = 4096;

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
    const FloatV shift = kToInteger - FloatV{};
    FloatV error2{}, norm2{};
    unsigned char* to = panels + first / kPanel * kPanel * rotation.n + first % kPanel * kGroup;
    for (long from = 0; from < rotation.n; from += kLongestSum) {
        const long end = rotation.n < from + kLongestSum ? rotation.n : from + kLongestSum;
        FloatV errors2[kGroup]{}, norms2[kGroup]{};
        for (long t = from; t < end; t += kGroup) {
            IntV four{};
            LANES_UNROLL
            for (int i = 0; i < kGroup; ++i) {
                const FloatV x = load(t + i), shifted = fused(x, inverse, shift);
                const FloatV q = shifted - shift, rest = fused_minus(q, scale, x);
                errors2[i] = fused(rest, rest, errors2[i]);
                norms2[i] = fused(q, q, norms2[i]);
                // The low bits of `shifted` are those of q, plus 128 to make them unsigned
                four |= (((IntV)shifted + 128) & 255) << (8 * i);
            }
            *reinterpret_cast<UnalignedInts*>(to + t * kPanel) = four;
        }
        LANES_UNROLL
        for (int i = 1; i < kGroup; ++i) {
            norms2[0] = norms2[0] + norms2[i];
            errors2[0] = errors2[0] + errors2[i];
        }
        norm2 = norm2 + norms2[0];
        error2 = error2 + errors2[0];
    }
    for (int u = 0; u < kAtomLanes; ++u) {
        const QuantisedVector found = is_quantised(peak[u])
                                          ? with_bounds(scale[u], norm2[u], error2[u], 0)
                                          : unquantised(peak[u]);
        const float largest = found.norm + found.error;  // not below |d|
        scales[first + u] = found.scale;
        norm = largest > norm ? largest : norm;
        error = found.error > error ? found.error : error;
    }
}

}  // namespace
