// The working set of one signal: a few atoms, their coefficients, their Gram matrix, which grows,
// and the inverse of it on the support.
#pragma once
#include "../lasso.h"
#include "atom_gram.h"
#include "select.h"

namespace {

template <class T>
struct SolverScratch {  // of one thread, for the largest working set so far
    Buffer<T> numbers;
    void reserve(long stride) {
        numbers.reserve(3 * stride);
    }
};

template <class T>
class WorkingSet {
  public:
    int size() const {
        return problem_.size;
    }
    // Members with a coefficient
    int n_on() const {
        int n = 0;
        for (int i = 0; i < size(); ++i) n += codes_[i] != 0;
        return n;
    }
    const int* atoms() const {
        return atoms_.data();
    }
    const T* codes() const {
        return codes_.data();
    }
    T* codes() {
        return codes_.data();
    }
    // Correlations of the members with the residual, less ridge times code
    const T* left() const {
        return left_.data();
    }

    void clear() {
        problem_.size = 0;
        problem_.n_on = 0;
        problem_.has_inverse = true;  // of nothing
    }

    // Takes atoms in, with coefficient 0; `left` must be made anew
    void add(const AtomRows<T>& d, const T* ridge, const int* joining, int count) {
        const int before = size(), after = before + count;
        grow(after);
        for (int i = 0; i < count; ++i) atoms_[before + i] = joining[i];
        const long end = round_up(after, 32), stride = problem_.stride;
        fill(codes_.data() + before, end - before, T(0));
        T* const gram = gram_.data();
        gram_rows(d, atoms_.data(), before, after, gram, stride);
        for (int i = before; i < after; ++i) {
            for (int c = 0; c < i; ++c) gram[c * stride + i] = gram[i * stride + c];
            if (ridge != nullptr) gram[i * stride + i] += ridge[atoms_[i]];
            fill(factor_.data() + i * stride, end, T(0));
        }
        for (int i = 0; i < after; ++i) {
            fill(gram + i * stride + after, end - after, T(0));
            if (i < before) fill(factor_.data() + i * stride + before, end - before, T(0));
        }
        problem_.size = after;
    }

    // Lets go of the members with coefficient 0
    void prune() {
        int kept = 0;
        const long stride = problem_.stride;
        for (int i = 0; i < size(); ++i) {
            if (codes_[i] == 0) continue;
            support_[kept] = i;  // for now, the places of those that stay
            atoms_[kept] = atoms_[i];
            left_[kept] = left_[i];
            codes_[kept++] = codes_[i];
        }
        for (long i = 0; i < kept; ++i) {
            T* const row = gram_.data() + i * stride;
            const T* from = gram_.data() + support_[i] * stride;
            for (int j = 0; j < kept; ++j) row[j] = from[support_[j]];
            fill(row + kept, round_up(kept, 32) - kept, T(0));
        }
        fill(codes_.data() + kept, round_up(kept, 32) - kept, T(0));
        problem_.size = kept;
        problem_.has_inverse = false;
    }

    // Bytes that a working set of so many members takes, also while it grows
    static double bytes(double members) {
        const double stride = 1.5 * members + 32;
        return (2 * stride + 2 * members + 6) * stride * sizeof(T);
    }

    // The codes were set from outside
    void forget_inverse() {
        problem_.has_inverse = false;
    }

    // Makes `left` of members `from` and on
    void correlate(const AtomRows<T>& d, const T* ridge, const T* residual, int from = 0) {
        correlate_few(d, residual, atoms_.data() + from, size() - from, left_.data() + from);
        if (ridge != nullptr) {
            for (int i = from; i < size(); ++i) {
                left_[i] = fused(-ridge[atoms_[i]], codes_[i], left_[i]);
            }
        }
        fill(left_.data() + size(), round_up(size(), 32) - size(), T(0));
    }

    // Solves on the working set, from the true `left`
    void solve(T alpha, double energy, bool is_nonnegative, SolverScratch<T>& scratch) {
        const long stride = problem_.stride;
        scratch.reserve(stride);
        problem_.slope = scratch.numbers.data();
        problem_.forward = scratch.numbers.data() + stride;
        problem_.inverse_pivots = scratch.numbers.data() + 2 * stride;
        problem_.alpha = alpha;
        problem_.is_nonnegative = is_nonnegative;
        problem_.accuracy = T(__builtin_sqrt(energy)) * (sizeof(T) == 4 ? T(2.4e-7) : T(4.4e-16));
        solve_small<CpuLanes<T>>(problem_);
    }

    // residual = x - codes D, [stride of d]
    void residual(const T* x, const AtomRows<T>& d, T* to) const {
        __builtin_memcpy(to, x, d.stride * sizeof(T));
        for (int i = 0; i < size(); ++i) {
            if (codes_[i] != 0) subtract(to, codes_[i], d.row(atoms_[i]), d.stride);
        }
    }

  private:
    void grow(int needed) {
        const long old = problem_.stride;
        if (needed <= old) return;
        const long stride = round_up(needed > 64 ? needed * 3 / 2 : 64, 32);
        Buffer<int> atoms(stride), support(stride);
        Buffer<T> codes(stride), left(stride), gram(stride * stride), factor(stride * stride);
        const long n = size(), end = round_up(n, 32);
        if (n > 0) {
            __builtin_memcpy(atoms.data(), atoms_.data(), n * sizeof(int));
            __builtin_memcpy(support.data(), support_.data(), n * sizeof(int));
            __builtin_memcpy(codes.data(), codes_.data(), end * sizeof(T));
            __builtin_memcpy(left.data(), left_.data(), end * sizeof(T));
        }
        for (long i = 0; i < n; ++i) {
            __builtin_memcpy(gram.data() + i * stride, gram_.data() + i * old, end * sizeof(T));
            __builtin_memcpy(factor.data() + i * stride, factor_.data() + i * old, end * sizeof(T));
        }
        atoms_.swap(atoms);
        support_.swap(support);
        codes_.swap(codes);
        left_.swap(left);
        gram_.swap(gram);
        factor_.swap(factor);
        problem_.stride = int(stride);
        problem_.gram = gram_.data();
        problem_.factor = factor_.data();
        problem_.codes = codes_.data();
        problem_.left = left_.data();
        problem_.support = support_.data();
    }

    SmallLasso<T> problem_{};
    Buffer<int> atoms_, support_;
    Buffer<T> codes_, left_, gram_, factor_;
};

}  // namespace
