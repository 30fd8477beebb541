// Mean and standard deviation of every dimension over the patches of an image, from the image.
//
// Dimension (c, y, x) of the patches in one row of patches is one line of pixels, thinned to the
// patches' starts. So the moments of lines come first (n, mean, sum of squared deviations, in
// float64), each by a sum of fixed shape; then the lines of all rows of patches are joined in order
// from the top. Without a mask a line serves all rows of patches that it lies under: size^2 /
// stride sums over the image rather than size^4 / stride^2.
//
// Source of the joining: Chan, Golub, LeVeque, 1983.
#pragma once
#include "patch_grid.h"
#include "signal.h"
#include "threads.h"

namespace {

constexpr double kStdFloor = 1e-2;  // of the standard deviation, as in backends/patch_pipeline.py

template <class T>
class PatchStatistics {
  public:
    // Of at most `n_images` images at a time, each padded to `stride` dimensions with zeros
    PatchStatistics(const sparsedef::PatchTask<T>& task, const PatchGrid& grid, long stride,
                    long n_images)
        : task_(task),
          grid_(grid),
          stride_(stride),
          n_places_(n_images > 1 ? task.n_threads : 1),
          shift_(n_images * stride),
          inverse_(n_images * stride),
          scale_(n_images * stride),
          moments_(n_places_ * moments(task, grid)),
          counts_(n_places_ * grid.rows.n),
          lines_(task.n_threads * line(grid)),
          coded_(task.n_threads * grid.columns.n),
          any_(task.n_threads * grid.columns.length) {}

    // Bytes of an object
    static long bytes(const sparsedef::PatchTask<T>& task, const PatchGrid& grid, long stride,
                      long n_images) {
        const long n_places = n_images > 1 ? task.n_threads : 1;
        return 3 * n_images * stride * long(sizeof(T)) +
               n_places * (moments(task, grid) + grid.rows.n) * 8 +
               task.n_threads * (line(grid) * 8 + grid.columns.n * 4 + grid.columns.length);
    }

    // Fills the statistics of images [from, to)
    void fill(long from, long to) {
        const long n_units = task_.mask == nullptr ? grid_.rows.length : grid_.rows.n;
        if (to - from == 1) {
            for_each(n_units, task_.n_threads,
                     [&](long unit, int thread) { measure(from, unit, thread, 0); });
            join(0, 0);
            return;
        }
        for_each(to - from, task_.n_threads, [&](long i, int thread) {
            for (long unit = 0; unit < n_units; ++unit) measure(from + i, unit, thread, thread);
            join(i, thread);
        });
    }

    // Of image from + i: what to take away, to multiply with, and to multiply with after, [stride]
    const T* shift(long i) const {
        return shift_.data() + i * stride_;
    }
    const T* inverse(long i) const {
        return inverse_.data() + i * stride_;
    }
    const T* scale(long i) const {
        return scale_.data() + i * stride_;
    }

  private:
    using L = CpuLanes<double>;

    static long line(const PatchGrid& grid) {
        return round_up(grid.columns.n, L::W);
    }
    static long moments(const sparsedef::PatchTask<T>& task, const PatchGrid& grid) {
        const long n_lines = task.mask == nullptr ? grid.rows.length : grid.rows.n * grid.size;
        return 2 * n_lines * grid.n_channels * grid.size;
    }

    // A unit is a row of pixels or, under a mask, a row of patches
    void measure(long image, long unit, int thread, long place) {
        int* coded = coded_.data() + thread * grid_.columns.n;
        const bool* mask = task_.mask == nullptr ? nullptr : task_.mask + image * grid_.n_pixels();
        const bool has_mask = mask != nullptr;
        bool* any = any_.data() + thread * grid_.columns.length;
        const long n = list_coded(grid_, mask, unit, any, coded);
        if (has_mask) counts_[place * grid_.rows.n + unit] = n;
        const long n_lines = has_mask ? grid_.size : 1, width = grid_.columns.length;
        const long top = has_mask ? grid_.rows.start(unit) : unit;
        for (long y = 0; y < n_lines; ++y) {
            for (long c = 0; c < grid_.n_channels; ++c) {
                const T* pixels = task_.images + (image * grid_.n_channels + c) * grid_.n_pixels() +
                                  (top + y) * width;
                double* to = moments_of(place, has_mask ? unit * grid_.size + y : unit, c);
                for (long x = 0; x < grid_.size; ++x) {
                    measure_line(pixels + x, coded, n, lines_.data() + thread * line(grid_),
                                 to + 2 * x);
                }
            }
        }
    }

    double* moments_of(long place, long unit, long channel) {
        return moments_.data() + place * moments(task_, grid_) +
               (unit * grid_.n_channels + channel) * grid_.size * 2;
    }

    // moments[0], moments[1]: mean and sum of squared deviations of n pixels
    void measure_line(const T* pixels, const int* coded, long n, double* line, double* moments) {
        const long padded = round_up(n, L::W);
        for (long i = 0; i < n; ++i) line[i] = double(pixels[grid_.columns.start(coded[i])]);
        for (long i = n; i < padded; ++i) line[i] = 0;
        L::F sum = L::broadcast(0);
        for (long i = 0; i < padded; i += L::W) sum = L::add(sum, L::load(line + i));
        const double mean = n > 0 ? L::hsum(sum) / double(n) : 0;
        for (long i = 0; i < n; ++i) line[i] -= mean;
        moments[0] = mean;
        moments[1] = dot(line, line, padded);
    }

    void join(long i, long place) {
        const long size = grid_.size, n_features = grid_.n_features();
        T *shift = shift_.data() + i * stride_, *inverse = inverse_.data() + i * stride_;
        T* scale = scale_.data() + i * stride_;
        ::fill(shift + n_features, stride_ - n_features, T(0));
        ::fill(inverse + n_features, stride_ - n_features, T(0));
        ::fill(scale + n_features, stride_ - n_features, T(0));
        for (long t = 0; t < n_features; ++t) {
            const long c = t / (size * size), y = t / size % size, x = t % size;
            double n = 0, sum = 0, spread = 0;
            for (long row = 0; row < grid_.rows.n; ++row) {
                const double n_line = double(count(place, row));
                n += n_line;
                sum += n_line * line_of(place, row, y, c)[2 * x];
            }
            const double mean = n > 0 ? sum / n : 0;
            for (long row = 0; row < grid_.rows.n; ++row) {
                const double* line = line_of(place, row, y, c) + 2 * x;
                const double apart = line[0] - mean;
                spread += line[1] + double(count(place, row)) * apart * apart;
            }
            const double variance = n > 0 ? spread / n : 1;
            const double floor = kStdFloor * kStdFloor;
            // NaN is not below the floor, and stays
            const double deviation = __builtin_sqrt(variance < floor ? floor : variance);
            shift[t] = T(mean);
            inverse[t] = T(1 / deviation);
            scale[t] = T(deviation);
        }
    }

    long count(long place, long row) const {
        return task_.mask == nullptr ? grid_.columns.n : counts_[place * grid_.rows.n + row];
    }
    const double* line_of(long place, long row, long y, long channel) {
        const bool has_mask = task_.mask != nullptr;
        return moments_of(place, has_mask ? row * grid_.size + y : grid_.rows.start(row) + y,
                          channel);
    }

    const sparsedef::PatchTask<T>& task_;
    const PatchGrid& grid_;
    const long stride_, n_places_;
    Buffer<T> shift_, inverse_, scale_;  // [images, stride]
    Buffer<double> moments_;             // [places, lines, C, size, 2]
    Buffer<long> counts_;                // [places, rows] patches of a row that are coded
    Buffer<double> lines_;               // [threads, columns]
    Buffer<int> coded_;                  // [threads, columns]
    Buffer<bool> any_;                   // [threads, W]
};

}  // namespace
