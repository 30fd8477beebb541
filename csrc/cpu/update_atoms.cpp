// The atoms' turn in dictionary learning: each in its order moves to where the surrogate
// 1/2 tr(D^T A D) - tr(D^T B) is least while the others stay, then back to norm 1.
//
// Atom j wants b_j - sum_i A_ji d_i, which changes with every atom that moved before it. Atoms go
// in blocks of kBlock: one product of a block's rows of A with all atoms, in registers, then inside
// the block each move is taken off the rows that are still to come. Traffic per block: the
// dictionary once per tile of rows, the block's rows of A once. Every element is one chain of fused
// multiply-adds in the atoms' order, so its bits depend on neither threads nor instruction set.
#include "signal.h"
#include "tasks.h"
#include "threads.h"

namespace {

using sparsedef::UpdateAtomsTask;

constexpr long kBlock = 24;            // atoms
constexpr long kPanel = 32;            // features side by side
constexpr long kAloneBelow = 1 << 19;  // numbers in a dictionary that is not worth threads

template <class T>
class AtomUpdate {
    using L = CpuLanes<T, kPanel>;
    using Narrow = CpuLanes<T, 2 * LANES_BYTES / int(sizeof(T))>;
    static constexpr int kRows = LANES_BYTES == 64 ? 12 : 6;
    static_assert(kBlock % kRows == 0, "whole tiles, but for the last block");

  public:
    explicit AtomUpdate(const UpdateAtomsTask<T>& task)
        : task_(task),
          n_panels_((task.n_features + kPanel - 1) / kPanel),
          panels_(n_panels_ * task.n_atoms * kPanel),
          slopes_(n_panels_ * kBlock * kPanel),
          move_(n_panels_ * kPanel) {}

    void run() {
        const long n_atoms = task_.n_atoms;
        for (long j = 0; j < n_atoms; ++j) {
            for (long p = 0; p < n_panels_; ++p) load_row(task_.dictionary, j, p, atom(p, j));
        }
        const T least = smallest_weight();
        for (int pass = 0; pass < task_.n_passes; ++pass) {
            for (long from = 0; from < n_atoms; from += kBlock) {
                const long rows = n_atoms - from < kBlock ? n_atoms - from : kBlock;
                find_slopes(from, rows);
                for (long i = 0; i < rows; ++i) {
                    const T weight = task_.gram[(from + i) * (n_atoms + 1)];
                    if (weight > least && find_move(from + i, slope(0, i), weight)) {
                        apply_move(from, i, rows);
                    }
                }
            }
        }
        for (long j = 0; j < n_atoms; ++j) {
            for (long p = 0; p < n_panels_; ++p) {
                __builtin_memcpy(task_.updated + j * task_.n_features + p * kPanel, atom(p, j),
                                 width(p) * sizeof(T));
            }
        }
    }

  private:
    T* atom(long panel, long j) const {  // [panels, N, kPanel]
        return panels_.data() + (panel * task_.n_atoms + j) * kPanel;
    }
    T* slope(long panel, long i) const {  // [panels, kBlock, kPanel]
        return slopes_.data() + (panel * kBlock + i) * kPanel;
    }
    long width(long panel) const {
        const long left = task_.n_features - panel * kPanel;
        return left < kPanel ? left : kPanel;
    }
    void load_row(const T* matrix, long j, long panel, T* to) const {
        const long n = width(panel);
        __builtin_memcpy(to, matrix + j * task_.n_features + panel * kPanel, n * sizeof(T));
        fill(to + n, kPanel - n, T(0));
    }

    // Atoms used less than this against the others have no say where they should be
    T smallest_weight() const {
        const T rounding = sizeof(T) == 4 ? T(1.1920929e-7) : T(2.220446049250313e-16);
        T most = 0;
        for (long j = 0; j < task_.n_atoms; ++j) {
            const T weight = task_.gram[j * (task_.n_atoms + 1)];
            most = weight > most ? weight : most;
        }
        return most * rounding * rounding;
    }

    // slopes = B - A D for the atoms of a block
    void find_slopes(long from, long rows) {
        const bool is_alone = n_panels_ * task_.n_atoms * kPanel < kAloneBelow;
        for_each(n_panels_, is_alone ? 1 : task_.n_threads, [&](long p, int) {
            for (long i = 0; i < rows; ++i) load_row(task_.cross, from + i, p, slope(p, i));
            for (long part = 0; part < kPanel; part += Narrow::W) {
                long i = 0;
                for (; i + kRows <= rows; i += kRows) subtract_products<kRows>(from, i, p, part);
                for (; i < rows; ++i) subtract_products<1>(from, i, p, part);
            }
        });
    }

    template <int Rows>
    LANES_FN void subtract_products(long from, long i, long panel, long part) {
        const long n_atoms = task_.n_atoms;
        const T* const weights = task_.gram + (from + i) * n_atoms;
        const T* atoms = atom(panel, 0) + part;
        typename Narrow::F sum[Rows];
        LANES_UNROLL
        for (int r = 0; r < Rows; ++r) {
            sum[r] = Narrow::load(slope(panel, i + r) + part);
        }
        for (long t = 0; t < n_atoms; ++t) {
            const typename Narrow::F d = Narrow::load(atoms + t * kPanel);
            LANES_UNROLL
            for (int r = 0; r < Rows; ++r) {
                sum[r] = Narrow::fnma(Narrow::broadcast(weights[r * n_atoms + t]), d, sum[r]);
            }
        }
        LANES_UNROLL
        for (int r = 0; r < Rows; ++r) {
            Narrow::store(slope(panel, i + r) + part, sum[r]);
        }
    }

    // Leaves where atom j goes less where it was, and puts it there; false if it stays
    bool find_move(long j, const T* slopes, T weight) {
        const typename L::F inverse = L::broadcast(T(1) / weight), zero = L::broadcast(0);
        typename L::F sum = zero;
        for (long p = 0; p < n_panels_; ++p) {
            typename L::F target =
                L::fma(L::load(slopes + p * kBlock * kPanel), inverse, L::load(atom(p, j)));
            if (task_.is_nonnegative) target = L::max(target, zero);
            L::store(move_.data() + p * kPanel, target);
            sum = L::fma(target, target, sum);
        }
        const T norm2 = L::hsum(sum);
        if (task_.is_unit && !(norm2 > 0)) return false;
        const bool is_scaled = task_.is_unit || norm2 > 1;
        const typename L::F scale = L::broadcast(is_scaled ? T(1) / L::sqrt(norm2) : T(1));
        for (long p = 0; p < n_panels_; ++p) {
            T* const move = move_.data() + p * kPanel;
            const typename L::F target = L::mul(L::load(move), scale), old = L::load(atom(p, j));
            L::store(atom(p, j), target);
            L::store(move, L::sub(target, old));
        }
        return true;
    }

    // Takes the move of the block's atom i off the slopes of those that come after it
    void apply_move(long from, long i, long rows) {
        for (long p = 0; p < n_panels_; ++p) {
            const typename L::F move = L::load(move_.data() + p * kPanel);
            for (long later = i + 1; later < rows; ++later) {
                const T weight = task_.gram[(from + later) * task_.n_atoms + from + i];
                T* const to = slope(p, later);
                L::store(to, L::fnma(L::broadcast(weight), move, L::load(to)));
            }
        }
    }

    const UpdateAtomsTask<T>& task_;
    const long n_panels_;
    const Buffer<T> panels_, slopes_, move_;
};

}  // namespace

namespace sparsedef::SPARSEDEF_ISA {

void update_atoms(const UpdateAtomsTask<float>& task) {
    AtomUpdate<float>(task).run();
}
void update_atoms(const UpdateAtomsTask<double>& task) {
    AtomUpdate<double>(task).run();
}

}  // namespace sparsedef::SPARSEDEF_ISA
