// How the LASSO divides its work: threads, signals at a time, the size of a working set; what fits
// into max_memory.
#pragma once
#include "quantise_atoms.h"
#include "screen.h"
#include "tasks.h"
#include "working_set.h"

namespace {

constexpr int kFirst = 16;            // atoms in the first working set
constexpr int kGrowth = 16;           // violators that may join in one round; half the set if more
constexpr long kLargestTable = 2048;  // atoms in a table of all products

constexpr long kPoolBytes = 1 << 19;  // of integer correlations, to stay in the L2 cache
constexpr int kLeastPool = 12, kLargestPool = 48;

template <class T>
struct LassoPlan {
    long n, stride;  // atoms, features, padded
    long n_threads;
    int pool;           // signals that a thread works on at a time
    long most_members;  // of a working set
    bool has_table;     // of all products of atoms

    explicit LassoPlan(const sparsedef::LassoTask<T>& task)
        : n(round_up(task.n_atoms, kPanel)), stride(round_up(task.n_features, 32)) {
        n_threads = task.n_threads > 0 ? task.n_threads : 1;
        const long share = (task.n_signals + n_threads - 1) / n_threads;
        long most = kPoolBytes / (4 * n) / kLeastPool * kLeastPool;
        most = most < kLeastPool ? kLeastPool : most > kLargestPool ? kLargestPool : most;
        pool = int(share < 1 ? 1 : share < most ? share : most);
        most_members = task.n_atoms;
        // The table costs N^2 / 2 products, a signal asks for some thousand
        has_table =
            task.n_atoms <= kLargestTable && task.n_signals * 2000 >= task.n_atoms * task.n_atoms;
        if (task.max_memory > 0) fit(task);
    }

  private:
    // Bytes that are left for the working set of each signal
    double room(const sparsedef::LassoTask<T>& task) const {
        const double wide = double(n), deep = double(stride);
        const double rows = stride != task.n_features ? deep * sizeof(T) : 0;
        const double table = has_table ? wide * wide * sizeof(T) : 0;
        const double fixed = wide * (deep + 8 + rows) + table + 4096;
        const double thread =
            wide * (8.25 + sizeof(T) + sizeof(sparsedef::Candidate)) + deep * (4 + 4 * kAtomLanes);
        const double signal = 4 * wide + deep * (2 * sizeof(T) + 1) + 256;
        const double own = double(task.max_memory) - fixed - double(n_threads) * thread;
        return own / (double(n_threads) * pool) - signal;
    }

    void fit(const sparsedef::LassoTask<T>& task) {
        const long usual = task.n_features < task.n_atoms ? task.n_features : task.n_atoms;
        const long usually = 2 * usual + 4 * kGrowth;
        const double wanted =
            WorkingSet<T>::bytes(double(usually < task.n_atoms ? usually : task.n_atoms));
        if (room(task) < wanted) has_table = false;
        while (room(task) < wanted && pool > 1) --pool;
        while (room(task) < wanted && n_threads > 1) --n_threads;
        const double least = WorkingSet<T>::bytes(kFirst), found = room(task);
        if (found < least) {
            sparsedef::refuse_memory("lasso", task.max_memory,
                                     task.max_memory + long(least - found) + 1);
        }
        while (most_members > kFirst && WorkingSet<T>::bytes(double(most_members)) > found) {
            most_members -= 1 + most_members / 64;
        }
    }
};

}  // namespace
