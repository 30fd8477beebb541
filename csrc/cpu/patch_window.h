// How much of a batch of images is at work at once.
#pragma once
#include "omp_plan.h"
#include "patch_grid.h"
#include "patch_statistics.h"
#include "threads.h"

namespace {

constexpr long kStripBytes = 4 * 1024 * 1024;  // of a window's strips, if there is a choice
constexpr long kRowsPerThread = 8;             // rows of patches in a window, at least
constexpr long kLargestPiece = 128;            // patches

// What a window holds
struct PatchWindow {
    long n_images, n_rows;  // one image, or all rows
    long bytes;             // of all memory but the coder's
};

template <class T>
struct PatchPlace {
    long row, column;  // of the window
    T mean;            // that was taken away
};

template <class T>
long thread_bytes(const sparsedef::PatchTask<T>& task, const PatchGrid& grid, long stride) {
    return task.n_threads * (long(sizeof(PatchPlace<T>) + sizeof(T)) * kLargestPiece +
                             stride * long(sizeof(T)) + grid.columns.n * 4 + grid.columns.length);
}

template <class T>
OmpSettings<T> coder_settings(const sparsedef::PatchTask<T>& task, const PatchGrid& grid) {
    OmpSettings<T> settings{};
    settings.dictionary = task.dictionary;
    settings.n_atoms = task.n_atoms;
    settings.n_features = grid.n_features();
    settings.n_nonzero = task.n_nonzero;
    settings.is_ols = task.is_ols;
    settings.n_signals = task.n_images * grid.n_patches();
    settings.n_threads = task.n_threads;
    return settings;
}

template <class T>
PatchWindow plan_window(const sparsedef::PatchTask<T>& task, const PatchGrid& grid, long stride) {
    const bool has_statistics = task.standard == sparsedef::PatchStandard::kZscore;
    const long strip = grid.strip() * long(sizeof(T)), fixed = thread_bytes(task, grid, stride);
    const auto bytes = [&](long n_images, long n_rows) {
        const long statistics =
            has_statistics ? PatchStatistics<T>::bytes(task, grid, stride, n_images) : 0;
        return n_images * n_rows * strip + statistics + fixed;
    };
    long share = task.max_memory / 2;  // the rest is the coder's
    if (task.max_memory > 0) {
        const long coder = OmpPlan<T>::least(coder_settings(task, grid));
        if (task.max_memory - share < coder) share = task.max_memory - coder;
        if (bytes(1, 1) > share) {
            const long least = bytes(1, 1) + coder;
            if (task.max_memory < least) {
                sparsedef::refuse_memory("patch_omp", task.max_memory, least);
            }
            share = bytes(1, 1);
        }
    }
    const auto fits = [&](long n_images, long n_rows) {
        if (task.max_memory > 0 && bytes(n_images, n_rows) > share) return false;
        return n_images * n_rows * strip <= kStripBytes ||
               n_images * n_rows <= kRowsPerThread * task.n_threads;
    };
    PatchWindow window{1, grid.rows.n, 0};
    if (fits(1, grid.rows.n)) {
        while (window.n_images < task.n_images && fits(window.n_images + 1, grid.rows.n)) {
            ++window.n_images;
        }
    } else {
        while (window.n_rows > 1 && !fits(1, window.n_rows)) --window.n_rows;
    }
    window.bytes = bytes(window.n_images, window.n_rows);
    return window;
}

}  // namespace
