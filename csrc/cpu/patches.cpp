// Images to images on a CPU: patches are cut, standardised, coded by OMP, rebuilt and averaged.
//
// The work goes window by window: some images, or some rows of patches of a large one. In a window
// each thread takes a few rows of patches, codes them in pieces that stay in cache, and adds what
// is rebuilt, left to right, into a strip [C, size, W] of each row. Then the strips are added to
// the image in order from the top. So each pixel's sum has one order, whatever the pieces, windows
// and threads. Memory beside the coder's: the strips of a window, P C size / stride numbers per
// patch rather than P C size^2.
//
// Traffic: an image is read once (twice with z-scores), a strip written once and read once.
//
// Source: Elad, Aharon, "Image denoising via sparse and redundant representations", 2006.
#include "omp_coder.h"
#include "patch_grid.h"
#include "patch_statistics.h"
#include "patch_window.h"
#include "signal.h"
#include "tasks.h"
#include "threads.h"

namespace {

using sparsedef::PatchTask;

constexpr long kPieces = 4;  // pieces that a thread takes at once

template <class T>
class PatchRun {
  public:
    explicit PatchRun(const PatchTask<T>& task)
        : task_(task),
          grid_(task),
          stride_(round_up(grid_.n_features(), 32)),
          window_(plan_window(task, grid_, stride_)),
          coder_(settings(task, grid_, window_.bytes)),
          n_threads_(coder_.n_workspaces() < task.n_threads ? coder_.n_workspaces()
                                                            : task.n_threads),
          piece_(coder_.chunk() < kLargestPiece ? coder_.chunk() : kLargestPiece),
          strips_(window_.n_images * window_.n_rows * grid_.strip()),
          places_(n_threads_ * piece_),
          rebuilt_(n_threads_ * stride_),
          tol_(piece_),
          columns_over_(grid_.columns.length),
          coded_(n_threads_ * grid_.columns.n),
          any_(n_threads_ * grid_.columns.length) {
        fill(tol_.data(), piece_, T(task.tol));
        for (long x = 0; x < grid_.columns.length; ++x) {
            columns_over_[x] = T(grid_.columns.end(x) - grid_.columns.first(x));
        }
    }

    void run() {
        if (task_.standard != Standard::kZscore) return run_windows(nullptr);
        PatchStatistics<T> statistics(task_, grid_, stride_, window_.n_images);
        run_windows(&statistics);
    }

  private:
    using Standard = sparsedef::PatchStandard;
    using L = CpuLanes<T>;
    struct Range {
        long from, to;
        long size() const {
            return to - from;
        }
    };

    void run_windows(PatchStatistics<T>* statistics) {
        statistics_ = statistics;
        for (long image = 0; image < task_.n_images; image += window_.n_images) {
            const long left = task_.n_images - image;
            images_ = {image, image + (left < window_.n_images ? left : window_.n_images)};
            if (statistics != nullptr) statistics->fill(images_.from, images_.to);
            for (long row = 0; row < grid_.rows.n; row += window_.n_rows) {
                const long below = grid_.rows.n - row;
                rows_ = {row, row + (below < window_.n_rows ? below : window_.n_rows)};
                code_window();
                add_strips();
            }
        }
    }

    static OmpSettings<T> settings(const PatchTask<T>& task, const PatchGrid& grid, long bytes) {
        OmpSettings<T> settings = coder_settings(task, grid);
        settings.max_memory = task.max_memory > 0 ? task.max_memory - bytes : 0;
        return settings;
    }

    void code_window() {
        const long n_rows = images_.size() * rows_.size();
        long share = (kPieces * piece_ + grid_.columns.n - 1) / grid_.columns.n;
        const long fair = n_rows / (4 * n_threads_);  // so that no thread waits long for others
        share = share < fair ? share : fair;
        share = share < 1 ? 1 : share;
        for_each((n_rows + share - 1) / share, n_threads_, [&](long i, int thread) {
            const long to = (i + 1) * share;
            if (grid_.size == 8) {  // the usual size: copies of known length
                code_rows<8>(i * share, to < n_rows ? to : n_rows, thread);
            } else {
                code_rows<0>(i * share, to < n_rows ? to : n_rows, thread);
            }
        });
    }

    // Row of patches `row` of the window
    long image_of(long row) const {
        return images_.from + row / rows_.size();
    }
    long row_of(long row) const {
        return rows_.from + row % rows_.size();
    }
    T* strip_of(long row) const {
        return strips_.data() + row * grid_.strip();
    }
    long patch_of(long row, long column) const {  // among all
        return (image_of(row) * grid_.rows.n + row_of(row)) * grid_.columns.n + column;
    }

    template <int Size>
    void code_rows(long from, long to, int thread) {
        int* coded = coded_.data() + thread * grid_.columns.n;
        bool* any = any_.data() + thread * grid_.columns.length;
        PatchPlace<T>* places = places_.data() + thread * piece_;
        long n_waiting = 0;
        for (long row = from; row < to; ++row) {
            fill(strip_of(row), grid_.strip(), T(0));
            const bool* mask =
                task_.mask == nullptr ? nullptr : task_.mask + image_of(row) * grid_.n_pixels();
            const long n_coded = list_coded(grid_, mask, row_of(row), any, coded);
            long column = 0;
            for (long i = 0; i < n_coded; ++i, ++column) {
                for (; column < coded[i]; ++column) write_uncoded(patch_of(row, column));
                T* signal = coder_.signals(thread) + n_waiting * coder_.stride();
                places[n_waiting] = {row, column, cut<Size>(row, column, signal)};
                if (++n_waiting < piece_) continue;
                code_piece<Size>(n_waiting, thread);
                n_waiting = 0;
            }
            for (; column < grid_.columns.n; ++column) write_uncoded(patch_of(row, column));
        }
        if (n_waiting > 0) code_piece<Size>(n_waiting, thread);
    }

    // Copies a patch into `to` [stride], standardised; returns its mean if that was taken away
    template <int Size>
    T cut(long row, long column, T* to) const {
        const long size = Size > 0 ? Size : grid_.size, width = grid_.columns.length;
        const T* pixels = task_.images + image_of(row) * grid_.n_channels * grid_.n_pixels() +
                          grid_.rows.start(row_of(row)) * width + grid_.columns.start(column);
        const long n_features = grid_.n_features();
        for (long c = 0; c < grid_.n_channels; ++c) {
            for (long y = 0; y < size; ++y) {
                T* line = to + (c * size + y) * size;
                for (long x = 0; x < size; ++x) line[x] = pixels[y * width + x];
            }
            pixels += grid_.n_pixels();
        }
        fill(to + n_features, coder_.stride() - n_features, T(0));
        if (task_.standard == Standard::kMean) {
            typename L::F sum = L::broadcast(0);
            for (long t = 0; t < stride_; t += L::W) sum = L::add(sum, L::load(to + t));
            const T mean = L::hsum(sum) / T(n_features);
            for (long t = 0; t < n_features; ++t) to[t] -= mean;
            return mean;
        }
        if (task_.standard == Standard::kZscore) {
            const long i = image_of(row) - images_.from;
            const T *shift = statistics_->shift(i), *inverse = statistics_->inverse(i);
            for (long t = 0; t < n_features; ++t) to[t] = (to[t] - shift[t]) * inverse[t];
        }
        return 0;
    }

    template <int Size>
    void code_piece(long n_patches, int thread) {
        coder_.code(thread, n_patches, tol_.data(), nullptr);
        for (long i = 0; i < n_patches; ++i) {
            const PatchPlace<T>& place = places_[thread * piece_ + i];
            const OmpFound<T>& found = coder_.found(thread, i);
            write(patch_of(place.row, place.column), found);
            add_patch<Size>(place, rebuild(place, found, rebuilt_.data() + thread * stride_));
        }
    }

    void write(long patch, const OmpFound<T>& found) const {
        const bool is_finite = found.status != kNonfinite;
        const long n_nonzero = task_.n_nonzero, n_chosen = is_finite ? found.n_chosen : 0;
        std::int64_t* indices = task_.indices + patch * n_nonzero;
        T* values = task_.values + patch * n_nonzero;
        for (long k = 0; k < n_chosen; ++k) {
            indices[k] = found.atoms[k];
            values[k] = found.values[k];
        }
        fill(indices + n_chosen, n_nonzero - n_chosen, std::int64_t(-1));
        fill(values + n_chosen, n_nonzero - n_chosen, is_finite ? T(0) : not_a_number<T>());
        task_.n_iter[patch] = std::int32_t(n_chosen);
        task_.status[patch] = found.status;
    }

    void write_uncoded(long patch) const {
        const long n_nonzero = task_.n_nonzero;
        fill(task_.indices + patch * n_nonzero, n_nonzero, std::int64_t(-1));
        fill(task_.values + patch * n_nonzero, n_nonzero, T(0));
        task_.n_iter[patch] = 0;
        task_.status[patch] = kConverged;
    }

    // The patch that the code stands for, [M]
    const T* rebuild(const PatchPlace<T>& place, const OmpFound<T>& found, T* to) const {
        const long n_features = grid_.n_features();
        if (found.status == kNonfinite) {
            fill(to, n_features, not_a_number<T>());
            return to;
        }
        fill(to, n_features, T(0));
        for (int k = 0; k < found.n_chosen; ++k) {
            subtract(to, -found.values[k], task_.dictionary + found.atoms[k] * n_features,
                     n_features);
        }
        if (task_.standard == Standard::kMean) {
            for (long t = 0; t < n_features; ++t) to[t] += place.mean;
        } else if (task_.standard == Standard::kZscore) {
            const long i = image_of(place.row) - images_.from;
            const T *shift = statistics_->shift(i), *scale = statistics_->scale(i);
            for (long t = 0; t < n_features; ++t) to[t] = to[t] * scale[t] + shift[t];
        }
        return to;
    }

    template <int Size>
    void add_patch(const PatchPlace<T>& place, const T* patch) const {
        const long size = Size > 0 ? Size : grid_.size, width = grid_.columns.length;
        T* to = strip_of(place.row) + grid_.columns.start(place.column);
        for (long y = 0; y < grid_.n_channels * size; ++y) {
            for (long x = 0; x < size; ++x) to[y * width + x] += patch[y * size + x];
        }
    }

    // Adds the window's strips to the images; divides what no other window adds to.
    void add_strips() const {
        const long top = grid_.rows.start(rows_.from);
        const long n_lines = grid_.rows.start(rows_.to - 1) + grid_.size - top;
        for_each(images_.size() * n_lines, n_threads_, [&](long i, int) {
            const long image = i / n_lines, y = top + i % n_lines;
            const long first = grid_.rows.first(y), end = grid_.rows.end(y);
            const Range rows{first > rows_.from ? first : rows_.from,
                             end < rows_.to ? end : rows_.to};
            for (long c = 0; c < grid_.n_channels; ++c) {
                add_line(image, c, y, rows);
                if (rows.to == end) finish_line(images_.from + image, c, y, T(end - first));
            }
        });
    }

    void add_line(long image, long channel, long y, Range rows) const {
        const long width = grid_.columns.length;
        T* to = line_of(task_.rebuilt, images_.from + image, channel, y);
        for (long row = rows.from; row < rows.to; ++row) {
            const T* strip = strip_of(image * rows_.size() + row - rows_.from) +
                             (channel * grid_.size + y - grid_.rows.start(row)) * width;
            if (row == grid_.rows.first(y)) {
                __builtin_memcpy(to, strip, width * sizeof(T));
            } else {
                for (long x = 0; x < width; ++x) to[x] += strip[x];
            }
        }
    }

    void finish_line(long image, long channel, long y, T rows_over) const {
        const long width = grid_.columns.length;
        T* to = line_of(task_.rebuilt, image, channel, y);
        for (long x = 0; x < width; ++x) to[x] /= rows_over * columns_over_[x];
        if (task_.mask == nullptr) return;
        const T* from = line_of(task_.images, image, channel, y);
        const bool* mask = task_.mask + image * grid_.n_pixels() + y * width;
        for (long x = 0; x < width; ++x) to[x] = mask[x] ? to[x] : from[x];
    }

    template <class Pixel>
    Pixel* line_of(Pixel* images, long image, long channel, long y) const {
        return images + (image * grid_.n_channels + channel) * grid_.n_pixels() +
               y * grid_.columns.length;
    }

    const PatchTask<T>& task_;
    const PatchGrid grid_;
    const long stride_;  // features, padded
    const PatchWindow window_;
    OmpCoder<T> coder_;
    const int n_threads_;
    const long piece_;              // patches coded at once
    Buffer<T> strips_;              // [images, rows, C, size, W]
    Buffer<PatchPlace<T>> places_;  // [threads, piece]
    Buffer<T> rebuilt_;             // [threads, stride]
    Buffer<T> tol_;                 // [piece]
    Buffer<T> columns_over_;        // [W] patches of a row over a pixel
    Buffer<int> coded_;             // [threads, columns]
    Buffer<bool> any_;              // [threads, W]
    const PatchStatistics<T>* statistics_ = nullptr;
    Range images_{0, 0}, rows_{0, 0};  // of this window
};

}  // namespace

namespace sparsedef::SPARSEDEF_ISA {

void patch_omp(const PatchTask<float>& task) {
    if (task.n_images > 0) PatchRun<float>(task).run();
}
void patch_omp(const PatchTask<double>& task) {
    if (task.n_images > 0) PatchRun<double>(task).run();
}

}  // namespace sparsedef::SPARSEDEF_ISA
