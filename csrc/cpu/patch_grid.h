// Where the patches of an image lie, and which of them are wanted.
//
// Patches start every `stride` pixels; where the last would leave a margin, one more starts flush
// with the edge. Rows and columns of patches are counted apart from rows and columns of pixels.
#pragma once
#include "tasks.h"

namespace {

// The starts of n windows of `size` pixels along a side of `length` pixels
struct PatchStarts {
    long length, size, stride, n;

    PatchStarts(long length_, long size_, long stride_)
        : length(length_),
          size(size_),
          stride(stride_),
          n((length_ - size_ + stride_ - 1) / stride_ + 1) {}

    long start(long i) const {
        return i * stride < length - size ? i * stride : length - size;
    }
    // Windows [first(pixel), end(pixel)) lie over a pixel
    long first(long pixel) const {
        return pixel < size ? 0 : (pixel - size) / stride + 1;
    }
    long end(long pixel) const {
        return pixel >= length - size ? n : pixel / stride + 1;
    }
};

struct PatchGrid {
    long n_channels, size;
    PatchStarts rows, columns;

    template <class T>
    explicit PatchGrid(const sparsedef::PatchTask<T>& task)
        : n_channels(task.n_channels),
          size(task.size),
          rows(task.height, task.size, task.stride),
          columns(task.width, task.size, task.stride) {}

    long n_pixels() const {  // of one channel
        return rows.length * columns.length;
    }
    long n_patches() const {
        return rows.n * columns.n;
    }
    long n_features() const {
        return n_channels * size * size;
    }
    long strip() const {  // numbers in the pixels under a row of patches, [C, size, W]
        return n_channels * size * columns.length;
    }
};

// Lists the columns whose patch, in one row of patches, holds a pixel of `mask` [H, W]; null: all.
// any: scratch [W]. Returns how many they are.
inline long list_coded(const PatchGrid& grid, const bool* mask, long row, bool* any, int* coded) {
    const PatchStarts& columns = grid.columns;
    if (mask == nullptr) {
        for (long i = 0; i < columns.n; ++i) coded[i] = int(i);
        return columns.n;
    }
    const long width = columns.length;
    const bool* top = mask + grid.rows.start(row) * width;
    for (long x = 0; x < width; ++x) any[x] = false;
    for (long y = 0; y < grid.size; ++y) {
        for (long x = 0; x < width; ++x) any[x] |= top[y * width + x];
    }
    long n_coded = 0;
    for (long i = 0; i < columns.n; ++i) {
        const bool* left = any + columns.start(i);
        bool is_coded = false;
        for (long x = 0; x < grid.size; ++x) is_coded |= left[x];
        if (is_coded) coded[n_coded++] = int(i);
    }
    return n_coded;
}

}  // namespace
