// ISTA and FISTA on a CPU, all but the matrix products: the proximal step and the duality gap.
// A signal's row goes through memory once per step: the gradient step, the shrink and the restart
// test in one pass, then, with the row still in a cache, the momentum in another. Traffic per
// signal and step: 5 N numbers (6 N in Gram form; without momentum 2 N less).
//
// Every sum looks at one row and has one order, so a signal's step depends on no other signal and
// on no number of threads.
#include "signal.h"
#include "tasks.h"
#include "threads.h"

namespace {

using sparsedef::ProximalGapTask;
using sparsedef::ProximalStepTask;

constexpr long kItem = 1 << 14;  // numbers that a thread takes at a time

// fn(signal) for every signal, in blocks of rows of n numbers
template <class Fn>
void for_each_row(long n_signals, long n, int n_threads, Fn fn) {
    const long block = n < kItem ? kItem / n : 1;
    for_each((n_signals + block - 1) / block, n_threads, [&](long item, int) {
        const long from = item * block, left = n_signals - from;
        const long to = from + (left < block ? left : block);
        for (long signal = from; signal < to; ++signal) fn(signal);
    });
}

template <class T, bool IsNonnegative>
LANES_FN typename CpuLanes<T>::F shrink(typename CpuLanes<T>::F a,
                                        typename CpuLanes<T>::F threshold) {
    using L = CpuLanes<T>;
    const typename L::F zero = L::broadcast(0);
    const typename L::F above = L::max(L::sub(a, threshold), zero);
    if (IsNonnegative) return above;
    const typename L::F below = L::max(L::sub(L::sub(zero, a), threshold), zero);
    return L::sub(above, below);
}

template <class T, bool HasMomentum, bool IsNonnegative>
void step_row(const ProximalStepTask<T>& task, long signal) {
    using L = CpuLanes<T>;
    const long stride = task.stride;
    T* codes = task.codes + signal * stride;
    T* point = HasMomentum ? task.point + signal * stride : codes;
    const T* correlations = task.correlations + signal * stride;
    const T* product = task.product == nullptr ? nullptr : task.product + signal * stride;
    const typename L::F step = L::broadcast(task.step);
    const typename L::F threshold = L::broadcast(task.alpha[signal] * task.step);
    typename L::F turn = L::broadcast(0);
    for (long j = 0; j < stride; j += L::W) {
        const typename L::F from = L::load(point + j);
        typename L::F slope = L::load(correlations + j);
        if (product != nullptr) slope = L::sub(slope, L::load(product + j));
        if (task.ridge != nullptr) slope = L::fnma(L::load(task.ridge + j), from, slope);
        const typename L::F next = shrink<T, IsNonnegative>(L::fma(step, slope, from), threshold);
        if (HasMomentum) {
            const typename L::F change = L::sub(next, L::load(codes + j));
            turn = L::fma(L::sub(from, next), change, turn);
        }
        L::store(point + j, next);
    }
    if (!HasMomentum) return;
    const T pace = L::hsum(turn) > 0 ? T(1) : task.pace[signal];
    const T next_pace = (1 + L::sqrt(1 + 4 * pace * pace)) / 2;
    const typename L::F momentum = L::broadcast((pace - 1) / next_pace);
    task.pace[signal] = next_pace;
    for (long j = 0; j < stride; j += L::W) {
        const typename L::F next = L::load(point + j);
        const typename L::F change = L::sub(next, L::load(codes + j));
        L::store(codes + j, next);
        L::store(point + j, L::fma(momentum, change, next));
    }
}

template <class T, bool HasMomentum>
void step(const ProximalStepTask<T>& task) {
    for_each_row(task.n_signals, task.stride, task.n_threads, [&](long signal) {
        if (task.is_nonnegative) {
            step_row<T, HasMomentum, true>(task, signal);
        } else {
            step_row<T, HasMomentum, false>(task, signal);
        }
    });
}

// |x|^2 of any length: eight sums in float64
template <class T>
double energy(const T* x, long n) {
    double part[8] = {};
    const long whole = n / 8 * 8;
    for (long t = 0; t < whole; t += 8) {
        LANES_UNROLL
        for (int u = 0; u < 8; ++u) {
            part[u] += double(x[t + u]) * double(x[t + u]);
        }
    }
    for (long t = whole; t < n; ++t) part[t - whole] += double(x[t]) * double(x[t]);
    return ((part[0] + part[4]) + (part[2] + part[6])) +
           ((part[1] + part[5]) + (part[3] + part[7]));
}

// Formula in sparsedef/backends/certificate.py
template <class T>
T relative_gap(const ProximalGapTask<T>& task, long signal) {
    using L = CpuLanes<T>;
    const typename L::F zero = L::broadcast(0);
    const T* codes = task.codes + signal * task.stride;
    const T* correlations = task.correlations + signal * task.stride;
    const auto slope = [&](long j, typename L::F z) {
        const typename L::F c = L::load(correlations + j);
        return task.ridge == nullptr ? c : L::fnma(L::load(task.ridge + j), z, c);
    };
    typename L::F peaks = zero, curved = zero, slack = zero;
    for (long j = 0; j < task.stride; j += L::W) {
        const typename L::F z = L::load(codes + j), c = slope(j, z);
        peaks = L::max(peaks, task.is_nonnegative ? c : L::abs(c));
        if (task.ridge != nullptr) curved = L::fma(L::mul(L::load(task.ridge + j), z), z, curved);
    }
    const T alpha = task.alpha[signal], peak = L::hmax(peaks);
    const T scale = peak > alpha ? alpha / peak : T(1);
    for (long j = 0; j < task.stride; j += L::W) {
        const typename L::F z = L::load(codes + j);
        const typename L::F cost = L::mul(L::broadcast(alpha), L::abs(z));
        slack = L::add(slack, L::fnma(L::mul(L::broadcast(scale), z), slope(j, z), cost));
    }
    const long n_features = task.n_features;
    const double spread =
        energy(task.residual + signal * n_features, n_features) + double(L::hsum(curved));
    const double gap = 0.5 * double(1 - scale) * double(1 - scale) * spread + L::hsum(slack);
    const double whole = 0.5 * energy(task.x + signal * n_features, n_features);
    return whole > 0 ? T((gap < 0 ? 0 : gap) / whole) : T(0);
}

template <class T>
void run(const ProximalStepTask<T>& task) {
    if (task.point == nullptr) {
        step<T, false>(task);
    } else {
        step<T, true>(task);
    }
}

template <class T>
void run(const ProximalGapTask<T>& task) {
    for_each_row(task.n_signals, task.stride + task.n_features, task.n_threads,
                 [&](long signal) { task.gap[signal] = relative_gap(task, signal); });
}

}  // namespace

namespace sparsedef::SPARSEDEF_ISA {

void proximal_step(const ProximalStepTask<float>& task) {
    run(task);
}
void proximal_step(const ProximalStepTask<double>& task) {
    run(task);
}
void proximal_gap(const ProximalGapTask<float>& task) {
    run(task);
}
void proximal_gap(const ProximalGapTask<double>& task) {
    run(task);
}

}  // namespace sparsedef::SPARSEDEF_ISA
