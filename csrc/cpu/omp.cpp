// OMP on a CPU: each thread takes chunks of signals, makes their correlations in one product that
// stays in its L2 cache, and runs the kernel of omp.h on them one by one.
#include "../omp.h"

#include "../correlate.h"
#include "signal.h"
#include "tasks.h"
#include "threads.h"

namespace {

using sparsedef::OmpTask;

constexpr long kLargestGram = 4096;       // atoms; beyond, Gram rows are made when needed
constexpr long kChunkBytes = 512 * 1024;  // correlations of a chunk
constexpr long kLargestChunk = 96;        // signals

template <class T>
class OmpRun {
  public:
    explicit OmpRun(const OmpTask<T>& task)
        : task_(task),
          n_(round_up(task.n_atoms, 32)),
          stride_(round_up(task.n_features, 32)),
          panels_(n_ * task.n_features),
          norm2_(n_),
          packed_{panels_.data(), task.n_features, int(n_)} {
        const long chunk_in_cache = kChunkBytes / (n_ * long(sizeof(T)));
        const long share = (task.n_signals + task.n_threads - 1) / task.n_threads;
        chunk_ = share < kLargestChunk ? share : kLargestChunk;
        chunk_ = chunk_in_cache < chunk_ ? chunk_in_cache : chunk_;
        chunk_ = chunk_ < 1 ? 1 : chunk_ > kTileRows ? chunk_ / kTileRows * kTileRows : chunk_;
        n_chunks_ = (task.n_signals + chunk_ - 1) / chunk_;
    }

    void run() {
        prepare_atoms();
        const long per_thread = round_up(chunk_ * (n_ + stride_) + n_ * (task_.n_nonzero + 3) +
                                             long(task_.n_nonzero) * (task_.n_nonzero + 2) + chunk_,
                                         64);
        const int n_threads = int(n_chunks_ < task_.n_threads ? n_chunks_ : task_.n_threads);
        Buffer<T> numbers(per_thread * n_threads);
        Buffer<int> atoms(long(task_.n_nonzero) * n_threads);
        for_each(n_chunks_, n_threads, [&](long chunk, int thread) {
            Workspace own = slice(numbers.data() + per_thread * thread);
            own.scratch.chosen = atoms.data() + long(task_.n_nonzero) * thread;
            code_chunk(chunk, own);
        });
    }

  private:
    static constexpr int kTileRows = Tile<T>::kRows;
    static constexpr int kBlock = CpuLanes<T>::P <= 4 ? 2 : 1;  // what the registers hold

    struct Workspace {    // of one thread
        T* signals;       // [chunk, stride] scaled
        T* scale;         // [chunk] 0: not finite
        T* correlations;  // [chunk, n]
        T* basis;         // [K, n]
        T *rest, *score;  // [n]
        T* gram_row;      // [n]
        OmpScratch<T> scratch;
    };

    Workspace slice(T* memory) const {
        const long n_nonzero = task_.n_nonzero;
        Workspace own;
        own.signals = memory;
        own.correlations = own.signals + chunk_ * stride_;
        own.basis = own.correlations + chunk_ * n_;
        own.rest = own.basis + n_nonzero * n_;
        own.score = own.rest + n_;
        own.gram_row = own.score + n_;
        own.scale = own.gram_row + n_;
        own.scratch.factor = own.scale + chunk_;
        own.scratch.projections = own.scratch.factor + n_nonzero * n_nonzero;
        own.scratch.coefficients = own.scratch.projections + n_nonzero;
        return own;
    }

    void prepare_atoms() {
        const long n_panels = n_ / Tile<T>::kWidth, block = 16;
        for_each((n_panels + block - 1) / block, task_.n_threads, [&](long i, int) {
            const long to = (i + 1) * block;
            pack_panels(task_.dictionary, task_.n_atoms, packed_, i * block,
                        to < n_panels ? to : n_panels);
        });
        squared_norms(packed_, norm2_.data());
        // The whole Gram matrix costs N rows, the signals ask for B K of them at the most; a row
        // made alone costs some four times a row made with others.
        const bool pays = 4 * task_.n_signals * task_.n_nonzero >= task_.n_atoms;
        if (task_.n_atoms > kLargestGram || !pays || task_.n_nonzero == 1) return;
        gram_.reserve(task_.n_atoms * n_);
        constexpr long rows = 96;  // a multiple of 32: threads write to places of their own
        for_each((task_.n_atoms + rows - 1) / rows, task_.n_threads, [&](long i, int) {
            const long from = i * rows, left = task_.n_atoms - from;
            const long to = from + (left < rows ? left : rows);
            correlate(task_.dictionary + from * task_.n_features, to - from, task_.n_features,
                      packed_, gram_.data() + from * n_, n_, int(from));
            for (long c = to; c < task_.n_atoms; ++c) {  // the other half, by symmetry
                for (long r = from; r < to; ++r) gram_[c * n_ + r] = gram_[r * n_ + c];
            }
        });
    }

    void code_chunk(long chunk, const Workspace& own) const {
        const long from = chunk * chunk_, left = task_.n_signals - from;
        const long rows = left < chunk_ ? left : chunk_;
        for (long i = 0; i < rows; ++i) {
            own.scale[i] = load_signal(task_.x + (from + i) * task_.n_features, task_.n_features,
                                       own.signals + i * stride_, stride_);
        }
        correlate(own.signals, rows, stride_, packed_, own.correlations, n_);
        for (long i = 0; i < rows; ++i) {
            if (own.scale[i] == 0) {
                write_nonfinite(from + i);
            } else if (task_.is_ols) {
                code_signal<kOls>(from + i, i, own);
            } else {
                code_signal<kOmp>(from + i, i, own);
            }
        }
    }

    template <Selection Rule>
    void code_signal(long signal, long row, const Workspace& own) const {
        using L = CpuLanes<T>;
        const OmpAtoms<T> atoms{norm2_.data(), int(n_ / L::W), task_.n_nonzero};
        OmpState<L, Rule, MemVec<L>, MemMat<L>> state{
            {own.correlations + row * n_}, {own.basis, n_}, {own.rest}, {own.score}};
        const auto gram_row = [&](int atom) -> const T* {
            if (gram_.data() != nullptr) return gram_.data() + atom * n_;
            correlate(task_.dictionary + atom * task_.n_features, 1, task_.n_features, packed_,
                      own.gram_row, n_);
            return own.gram_row;
        };
        const T* x = own.signals + row * stride_;
        const T scale = own.scale[row];
        const OmpEnd end =
            omp_signal<L, Rule, kBlock>(atoms, state, own.scratch, gram_row, dot(x, x, stride_),
                                        task_.tol[signal] * scale * scale);
        write(signal, end, 1 / scale, own.scratch);
    }

    void write(long signal, OmpEnd end, T unscale, const OmpScratch<T>& found) const {
        const long n_nonzero = task_.n_nonzero, n_features = task_.n_features;
        T* residual = task_.residual + signal * n_features;
        __builtin_memcpy(residual, task_.x + signal * n_features, n_features * sizeof(T));
        for (long k = 0; k < n_nonzero; ++k) {
            const T value = found.coefficients[k] * unscale;
            task_.indices[signal * n_nonzero + k] = found.chosen[k];
            task_.values[signal * n_nonzero + k] = value;
            if (k >= end.n_chosen) continue;
            subtract(residual, value, task_.dictionary + found.chosen[k] * n_features, n_features);
        }
        task_.n_iter[signal] = end.n_chosen;
        task_.status[signal] = end.status;
    }

    void write_nonfinite(long signal) const {
        const long n_nonzero = task_.n_nonzero;
        fill(task_.indices + signal * n_nonzero, n_nonzero, std::int64_t(-1));
        fill(task_.values + signal * n_nonzero, n_nonzero, not_a_number<T>());
        fill(task_.residual + signal * task_.n_features, task_.n_features, not_a_number<T>());
        task_.n_iter[signal] = 0;
        task_.status[signal] = kNonfinite;
    }

    const OmpTask<T>& task_;
    const long n_, stride_;  // atoms, features, padded
    Buffer<T> panels_, norm2_, gram_;
    const PackedAtoms<T> packed_;
    long chunk_ = 0, n_chunks_ = 0;
};

}  // namespace

namespace sparsedef::SPARSEDEF_ISA {

void omp(const OmpTask<float>& task) {
    OmpRun<float>(task).run();
}
void omp(const OmpTask<double>& task) {
    OmpRun<double>(task).run();
}

}  // namespace sparsedef::SPARSEDEF_ISA
