// What one product of the residuals with all atoms tells about a signal: the duality gap of its
// coefficients, and the atoms that must join its working set.
#pragma once
#include "working_set.h"

namespace {

constexpr int kBlock = 16;  // atoms that share a peak

// peaks[i]: largest magnitude of block i of correlations (of their positive part, if z >= 0)
template <class T>
T block_peaks(const T* correlations, int n, bool is_nonnegative, T* peaks) {
    using L = CpuLanes<T, kBlock>;
    const typename L::F zero = L::broadcast(0);
    T largest = 0;
    for (int i = 0; i < n; i += kBlock) {
        const typename L::F c = L::load(correlations + i);
        const T peak = L::hmax(is_nonnegative ? L::max(c, zero) : L::abs(c));
        peaks[i / kBlock] = peak;
        largest = peak > largest ? peak : largest;
    }
    return largest;
}

template <class T>
double squared_norm(const T* x, long n) {  // n a multiple of 32
    double part[8] = {};
    for (long t = 0; t < n; t += 8) {
        LANES_UNROLL
        for (int u = 0; u < 8; ++u) {
            part[u] += double(x[t + u]) * double(x[t + u]);
        }
    }
    return ((part[0] + part[4]) + (part[2] + part[6])) +
           ((part[1] + part[5]) + (part[3] + part[7]));
}

// Relative duality gap, primal minus dual over |x|^2 / 2, at the dual point s r, s = min(1, alpha /
// peak): 1/2 (1 - s)^2 |r|^2 + sum_j (alpha |z_j| - s z_j c_j), a sum that does not cancel.
// Leaves the gap and the objective with the working set.
template <class T>
double relative_gap(WorkingSet<T>& set, const T* residual, long n_features, const T* correlations,
                    T peak) {
    const double alpha = set.alpha;
    const double scale = peak > set.alpha ? alpha / peak : 1;
    const double residual2 = squared_norm(residual, n_features);
    double slack = 0, sum = 0;
    for (int i = 0; i < set.size(); ++i) {
        const double code = set.codes()[i];
        const double magnitude = code < 0 ? -code : code;
        sum += magnitude;
        slack += alpha * magnitude - scale * code * correlations[set.atoms()[i]];
    }
    const double gap = 0.5 * (1 - scale) * (1 - scale) * residual2 + slack;
    set.objective = 0.5 * residual2 + alpha * sum;
    set.gap = set.energy > 0 && gap > 0 ? gap / (0.5 * set.energy) : 0;
    return set.gap;
}

template <class T>
struct ScreenScratch {                 // of one thread, n padded atoms
    T *peaks, *ordered;                // [n / kBlock], [n / kBlock + 1]
    unsigned char* mark;               // [n] all 0 between calls
    sparsedef::Candidate* candidates;  // [n + 1]
};

// Finds at most `most` atoms outside the set whose correlations exceed alpha, the largest; returns
// their number. Not sorted.
template <class T>
int find_violators(const WorkingSet<T>& set, const T* correlations, int n, bool is_nonnegative,
                   int most, const ScreenScratch<T>& own) {
    // With more than `most` blocks above alpha, the most-th largest block peak bounds the atoms
    // that can be among the largest; members of the set may be among them, so leave room for those.
    const int n_blocks = n / kBlock;
    int n_above = 0;
    for (int block = 0; block < n_blocks; ++block) {
        own.ordered[n_above] = own.peaks[block];
        n_above += own.peaks[block] > set.alpha;
    }
    T level = set.alpha;
    if (n_above > most + set.size()) {
        const T bound = sparsedef::nth_largest(own.ordered, n_above, most + set.size());
        level = bound > level ? bound : level;
    }
    for (int i = 0; i < set.size(); ++i) own.mark[set.atoms()[i]] = 1;
    int found = 0;
    for (int block = 0; block < n_blocks; ++block) {
        if (!(own.peaks[block] > set.alpha && own.peaks[block] >= level)) continue;
        for (int j = block * kBlock; j < (block + 1) * kBlock; ++j) {
            const T c = correlations[j], magnitude = c < 0 && !is_nonnegative ? -c : c;
            own.candidates[found] = {double(magnitude), j};
            found += int(magnitude > set.alpha) & int(magnitude >= level) & int(own.mark[j] == 0);
        }
    }
    for (int i = 0; i < set.size(); ++i) own.mark[set.atoms()[i]] = 0;
    sparsedef::select_largest(own.candidates, found, most);
    return found < most ? found : most;
}

}  // namespace
