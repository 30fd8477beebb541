// Writes answers of the LASSO where they belong, in units of the signals as they came.
#pragma once
#include "tasks.h"
#include "working_set.h"

namespace {

template <class T>
class LassoOutputs {
  public:
    explicit LassoOutputs(const sparsedef::LassoTask<T>& task) : task_(task) {}

    // One answer; found [n] is scratch
    void write(long number, const WorkingSet<T>& set, T scale, const T* residual, double gap,
               int round, sparsedef::Candidate* found) const {
        const T unscale = 1 / scale;
        for (long t = 0; t < task_.n_features; ++t) {
            task_.residual[number * task_.n_features + t] = residual[t] * unscale;
        }
        task_.gap[number] = T(gap);
        task_.n_iter[number] = round;
        task_.status[number] = gap <= task_.tol ? kConverged : kMaxIter;
        int n_on = 0;
        for (int i = 0; i < set.size(); ++i) {
            if (set.codes()[i] != 0) found[n_on++] = {set.codes()[i], set.atoms()[i]};
        }
        if (task_.slots == 0) {
            T* values = task_.values + number * task_.n_atoms;
            fill(values, task_.n_atoms, T(0));
            for (int i = 0; i < n_on; ++i) values[found[i].atom] = T(found[i].value) * unscale;
            return;
        }
        if (n_on > task_.slots) {
            write_slots(number, found, 0, unscale, not_a_number<T>());
            task_.status[number] = kOverflow;
            return;
        }
        sparsedef::sort_by_atom(found, n_on);
        write_slots(number, found, n_on, unscale, T(0));
    }

    void write_nonfinite(long signal) const {
        const T nan = not_a_number<T>();
        if (task_.slots == 0) {
            fill(task_.values + signal * task_.n_atoms, task_.n_atoms, nan);
        } else {
            write_slots(signal, nullptr, 0, T(1), nan);
        }
        fill(task_.residual + signal * task_.n_features, task_.n_features, nan);
        task_.gap[signal] = nan;
        task_.n_iter[signal] = 0;
        task_.status[signal] = kNonfinite;
    }

  private:
    void write_slots(long signal, const sparsedef::Candidate* found, int n_on, T unscale,
                     T rest) const {
        T* values = task_.values + signal * task_.slots;
        std::int64_t* indices = task_.indices + signal * task_.slots;
        for (int i = 0; i < n_on; ++i) {
            values[i] = T(found[i].value) * unscale;
            indices[i] = found[i].atom;
        }
        fill(values + n_on, task_.slots - n_on, rest);
        fill(indices + n_on, task_.slots - n_on, std::int64_t(-1));
    }

    const sparsedef::LassoTask<T>& task_;
};

}  // namespace
