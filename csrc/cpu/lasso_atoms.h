// The dictionary as the LASSO needs it: quantised for the screen, in rows for exact products, and,
// when many signals share a small one, a table of all products.
#pragma once
#include "lasso_plan.h"

namespace {

template <class T>
class LassoAtoms {
  public:
    LassoAtoms(const sparsedef::LassoTask<T>& task, const LassoPlan<T>& plan)
        : task_(task), plan_(plan), rotation_(plan.stride) {
        make_integers();
        rows_ = {task.dictionary, plan.stride, nullptr, task.n_atoms};
        if (plan.stride != task.n_features) pad_rows();
        if (plan.has_table) make_table();
    }
    const QuantisedAtoms& quantised() const {
        return quantised_;
    }
    const AtomRows<T>& rows() const {
        return rows_;
    }
    const Rotation& rotation() const {
        return rotation_;
    }

  private:
    void make_integers() {
        const long n_panels = plan_.n / kPanel, block = 4, stride = plan_.stride;
        panels_.reserve(plan_.n * stride);
        scales_.reserve(plan_.n);
        norms_.reserve(n_panels);
        errors_.reserve(n_panels);
        for_each((n_panels + block - 1) / block, plan_.n_threads, [&](long i, int) {
            Buffer<float> rotated(stride * kAtomLanes);
            for (long panel = i * block; panel < (i + 1) * block && panel < n_panels; ++panel) {
                float norm = 0, error = 0;
                for (long u = 0; u < kPanel; u += kAtomLanes) {
                    quantise_atoms(task_.dictionary, task_.n_atoms, task_.n_features, rotation_,
                                   panel * kPanel + u, panels_.data(), scales_.data(), norm, error,
                                   rotated.data());
                }
                norms_[panel] = norm;
                errors_[panel] = error;
            }
        });
        quantised_ = {panels_.data(),  scales_.data(), norms_.data(), errors_.data(),
                      stride / kGroup, int(plan_.n),   task_.has_vnni};
    }

    void pad_rows() {
        const long stride = plan_.stride;
        padded_.reserve(task_.n_atoms * stride);
        for (long j = 0; j < task_.n_atoms; ++j) {
            T* row = padded_.data() + j * stride;
            __builtin_memcpy(row, task_.dictionary + j * task_.n_features,
                             task_.n_features * sizeof(T));
            fill(row + task_.n_features, stride - task_.n_features, T(0));
        }
        rows_.rows = padded_.data();
    }

    void make_table() {
        const long n_atoms = task_.n_atoms, block = 32;
        table_.reserve(n_atoms * n_atoms);
        Buffer<int> all(n_atoms);
        for (long j = 0; j < n_atoms; ++j) all[j] = int(j);
        for_each((n_atoms + block - 1) / block, plan_.n_threads, [&](long i, int) {
            const long from = i * block, to = from + block < n_atoms ? from + block : n_atoms;
            gram_rows(rows_, all.data(), int(from), int(to), table_.data(), n_atoms);
            for (long c = 0; c < to; ++c) {
                T* const column = table_.data() + c * n_atoms;
                for (long r = from > c ? from : c + 1; r < to; ++r) {
                    column[r] = table_[r * n_atoms + c];
                }
            }
        });
        rows_.table = table_.data();
    }

    const sparsedef::LassoTask<T>& task_;
    const LassoPlan<T>& plan_;
    const Rotation rotation_;
    Buffer<unsigned char> panels_;
    Buffer<float> scales_, norms_, errors_;
    Buffer<T> padded_, table_;
    QuantisedAtoms quantised_{};
    AtomRows<T> rows_{};
};

}  // namespace
