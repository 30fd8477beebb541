// How OMP divides its work on a CPU: the form of the kernel, threads, signals at a time; what fits
// into max_memory.
#pragma once
#include "../correlate.h"
#include "threads.h"

namespace {

constexpr long kLargestGram = 4096;           // atoms; beyond, directions are kept, not rows
constexpr long kChunkBytes = 256 * 1024;      // correlations of a chunk
constexpr long kLargestChunk = 96;            // signals
constexpr long kSideBytes = 40 * 1024;        // of their rows, to stay in the L1 cache
constexpr long kGramInL2 = 512 * 1024;        // larger ones are prefetched
constexpr long kSideBySide = 3;               // signals that hide each other's latencies
constexpr long kStepBytes = 8 * 1024 * 1024;  // rows of signals that go step by step

template <class T>
struct OmpSettings {
    const T* dictionary;  // [N, M]
    long n_atoms, n_features;
    int n_nonzero;  // K
    bool is_ols, is_nonnegative;
    long n_signals;   // in all
    long max_memory;  // bytes, 0 for no limit
    int n_threads;
};

template <class T>
struct OmpPlan {
    long n, stride;       // atoms, features, padded
    bool has_gram;        // a table of all products
    bool has_directions;  // in feature space, instead of rows over the atoms
    int n_threads;
    long chunk;  // signals that share one product at the start
    long group;  // signals at work at a time

    explicit OmpPlan(const OmpSettings<T>& s)
        : n(round_up(s.n_atoms, 32)), stride(round_up(s.n_features, 32)) {
        // Decides over bits, so it may not depend on the number of signals
        has_directions = s.n_atoms > kLargestGram;
        // The whole Gram matrix costs N rows, the signals ask for B K of them at the most; a row
        // made alone costs some four times a row made with others.
        const bool pays = 4 * s.n_signals * s.n_nonzero >= s.n_atoms;
        has_gram = !has_directions && pays && s.n_nonzero > 1;
        n_threads = s.n_threads > 1 ? s.n_threads : 1;
        divide(s, kLargestChunk);
        if (s.max_memory <= 0) return;
        const double bound = double(s.max_memory);
        while (bytes(s) > bound && (has_gram || n_threads > 1 || chunk > 1)) {
            if (chunk > 1) {
                divide(s, chunk / 2);
            } else if (n_threads > 1) {
                --n_threads;
                divide(s, kLargestChunk);
            } else {
                has_gram = false;
                n_threads = s.n_threads > 1 ? s.n_threads : 1;
                divide(s, kLargestChunk);
            }
        }
        if (bytes(s) > bound) sparsedef::refuse_memory("omp", s.max_memory, least(s));
    }

    // Bytes without which nothing goes: one thread, one signal, no table
    static long least(OmpSettings<T> s) {
        s.n_threads = 1;
        s.n_signals = 1;
        s.max_memory = 0;
        OmpPlan plan(s);
        plan.has_gram = false;
        plan.divide(s, 1);
        return long(plan.bytes(s));
    }

    // Numbers of one signal at work: rows or directions, OLS's vector, the scratch
    long signal_numbers(const OmpSettings<T>& s) const {
        const long k = s.n_nonzero;
        return round_up(k * (has_directions ? stride : n) + n + k * (k + 3), 64);
    }
    // Numbers of one thread
    long thread_numbers(const OmpSettings<T>& s) const {
        const long step = has_gram ? 0 : group * (n + stride);
        return chunk * (n + stride + s.n_nonzero + 1) + step + stride + group * signal_numbers(s);
    }

  private:
    void divide(const OmpSettings<T>& s, long most) {
        constexpr long kRows = Tile<T>::kRows;
        const long share = (s.n_signals + n_threads - 1) / n_threads;
        const long in_cache = kChunkBytes / (n * long(sizeof(T)));
        // Signals that go step by step share the reading of the dictionary: the more the better
        const long in_step = kStepBytes / (signal_numbers(s) * long(sizeof(T)));
        const long usual = has_gram ? in_cache : in_step > kRows ? in_step : kRows;
        chunk = share < most ? share : most;
        chunk = usual < chunk ? usual : chunk;
        chunk = chunk < 1 ? 1 : chunk > kRows ? chunk / kRows * kRows : chunk;
        const long in_l1 = kSideBytes / (n * s.n_nonzero * long(sizeof(T)));
        const long side = in_l1 < 1 ? 1 : in_l1 < kSideBySide ? in_l1 : kSideBySide;
        group = has_gram && side < chunk ? side : chunk;
    }
    double bytes(const OmpSettings<T>& s) const {
        const double wide = double(n);
        const double shared = wide * (s.n_features + 1) + (has_gram ? wide * s.n_atoms : 0);
        const double found = double(chunk) * (4.0 * s.n_nonzero + 32);  // atoms, and where they are
        return (shared + double(n_threads) * thread_numbers(s)) * sizeof(T) +
               double(n_threads) * found + 4096;
    }
};

}  // namespace
