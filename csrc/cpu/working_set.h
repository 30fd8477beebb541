// The working set of one signal: a few atoms, their coefficients and their Gram matrix, which
// grows.
#pragma once
#include "../lasso.h"
#include "atom_gram.h"
#include "select.h"
#include "signal.h"

namespace {

template <class T>
struct SolverScratch {  // of one thread, for the largest working set so far
    Buffer<T> numbers;
    Buffer<int> support;
    void reserve(long stride) {
        numbers.reserve(stride * (stride + 3));
        support.reserve(stride);
    }
};

template <class T>
class WorkingSet {
  public:
    // Of one round, for the judgement of the next
    double energy = 0;  // |x|^2
    double objective = 0, gap = 0;
    int n_stalls = 0;
    T alpha = 0, scale = 1;  // both in units of the scaled signal

    int size() const {
        return size_;
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

    void clear() {
        size_ = 0;
        n_stalls = 0;
    }

    // Takes atoms in, with coefficient 0
    void add(const AtomRows<T>& d, const sparsedef::Candidate* joining, int count) {
        const int before = size_, after = size_ + count;
        grow(after);
        for (int i = 0; i < count; ++i) atoms_[before + i] = joining[i].atom;
        const long end = round_up(after, 32);
        fill(codes_.data() + before, end - before, T(0));
        fill(left_.data() + before, end - before, T(0));
        T* fresh = gram_.data() + before * stride_;
        gram_block(d, atoms_.data() + before, count, atoms_.data(), after, fresh, stride_);
        for (int i = 0; i < before; ++i) {
            T* row = gram_.data() + i * stride_;
            for (int j = 0; j < count; ++j) row[before + j] = fresh[j * stride_ + i];
            fill(row + after, end - after, T(0));
        }
        for (int i = before; i < after; ++i)
            fill(gram_.data() + i * stride_ + after, end - after, T(0));
        size_ = after;
    }

    // Solves on the working set, from the true correlations [n] with the current residual
    void solve(const T* correlations, bool is_nonnegative, SolverScratch<T>& scratch) {
        for (int i = 0; i < size_; ++i) left_[i] = correlations[atoms_[i]];
        scratch.reserve(stride_);
        T* const numbers = scratch.numbers.data();
        SmallLasso<T> problem;
        problem.size = size_;
        problem.stride = int(stride_);
        problem.gram = gram_.data();
        problem.codes = codes_.data();
        problem.left = left_.data();
        problem.slope = numbers;
        problem.forward = numbers + stride_;
        problem.inverse_pivots = numbers + 2 * stride_;
        problem.factor = numbers + 3 * stride_;
        problem.support = scratch.support.data();
        problem.alpha = alpha;
        problem.is_nonnegative = is_nonnegative;
        problem.accuracy = T(__builtin_sqrt(energy)) * (sizeof(T) == 4 ? T(2.4e-7) : T(4.4e-16));
        solve_small<CpuLanes<T>>(problem, kMaxSteps + 4 * size_);
    }

    // residual = x - codes D, [stride of d]
    void residual(const T* x, const AtomRows<T>& d, T* to) const {
        __builtin_memcpy(to, x, d.stride * sizeof(T));
        for (int i = 0; i < size_; ++i) {
            if (codes_[i] != 0) subtract(to, codes_[i], d.row(atoms_[i]), d.stride);
        }
    }

  private:
    static constexpr int kMaxSteps = 60;

    void grow(int needed) {
        if (needed <= stride_) return;
        const long stride = round_up(needed > 64 ? needed * 3 / 2 : 64, 32);
        Buffer<int> atoms(stride);
        Buffer<T> codes(stride), left(stride), gram(stride * stride);
        const long end = round_up(size_, 32);
        for (int i = 0; i < size_; ++i) {
            atoms[i] = atoms_[i];
            __builtin_memcpy(gram.data() + i * stride, gram_.data() + i * stride_, end * sizeof(T));
        }
        if (size_ > 0) __builtin_memcpy(codes.data(), codes_.data(), end * sizeof(T));
        atoms_.swap(atoms);
        codes_.swap(codes);
        left_.swap(left);
        gram_.swap(gram);
        stride_ = stride;
    }

    int size_ = 0;
    long stride_ = 0;  // capacity, and numbers in a row of gram
    Buffer<int> atoms_;
    Buffer<T> codes_, left_, gram_;
};

}  // namespace
