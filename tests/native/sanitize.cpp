// Runs the CPU kernels on awkward sizes under the address and undefined-behaviour sanitizers.
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "../../csrc/cpu/dispatch.h"

namespace {

struct Shape {
    long n_signals, n_features, n_atoms;
    int n_nonzero;
};

template <class T>
std::vector<T> gaussian(long n, std::mt19937& random) {
    std::normal_distribution<double> normal;
    std::vector<T> numbers(n);
    for (T& number : numbers) number = T(normal(random));
    return numbers;
}

template <class T>
std::vector<T> unit_atoms(const Shape& shape, std::mt19937& random) {
    std::vector<T> atoms = gaussian<T>(shape.n_atoms * shape.n_features, random);
    for (long j = 0; j < shape.n_atoms; ++j) {
        T* atom = atoms.data() + j * shape.n_features;
        double norm2 = 0;
        for (long t = 0; t < shape.n_features; ++t) norm2 += double(atom[t]) * atom[t];
        for (long t = 0; t < shape.n_features; ++t) atom[t] = T(atom[t] / std::sqrt(norm2));
    }
    return atoms;
}

template <class T>
void run(const Shape& shape, int n_threads) {
    std::mt19937 random(7);
    const long n_signals = shape.n_signals;
    const std::vector<T> dictionary = unit_atoms<T>(shape, random);
    std::vector<T> x = gaussian<T>(n_signals * shape.n_features, random);
    if (n_signals > 2) x[2 * shape.n_features] = T(NAN);
    const std::vector<T> tol(n_signals, T(0)), alpha(n_signals, T(0.05));
    std::vector<T> residual(x.size()), gap(n_signals), values(n_signals * (shape.n_atoms + 2));
    std::vector<std::int64_t> indices(n_signals * (shape.n_atoms + 2));
    std::vector<std::int32_t> n_iter(n_signals), status(n_signals);
    const sparsedef::Kernels& kernels = sparsedef::active_kernels();
    for (const bool is_ols : {false, true}) {
        kernels.omp(sparsedef::OmpTask<T>{
            x.data(), dictionary.data(), tol.data(), nullptr, indices.data(), values.data(),
            residual.data(), n_iter.data(), status.data(), n_signals, shape.n_features,
            shape.n_atoms, shape.n_nonzero, is_ols, false, 0, n_threads});
    }
    for (const long slots : {0L, 2L}) {
        for (const bool has_start : {false, true}) {
            const std::vector<T> start(n_signals * shape.n_atoms, T(0.1));
            const std::vector<T> ridge(shape.n_atoms, T(0.2));
            kernels.lasso(sparsedef::LassoTask<T>{x.data(),
                                                  dictionary.data(),
                                                  alpha.data(),
                                                  slots == 2 ? ridge.data() : nullptr,
                                                  has_start ? start.data() : nullptr,
                                                  indices.data(),
                                                  values.data(),
                                                  residual.data(),
                                                  gap.data(),
                                                  n_iter.data(),
                                                  status.data(),
                                                  n_signals,
                                                  shape.n_features,
                                                  shape.n_atoms,
                                                  slots,
                                                  slots == 2,
                                                  1e-6,
                                                  20,
                                                  has_start ? 2000000 : 0,
                                                  n_threads,
                                                  false});
        }
    }
}

template <class T>
void run_proximal(const Shape& shape, int n_threads) {
    std::mt19937 random(7);
    const long n_signals = shape.n_signals, n_features = shape.n_features;
    const long stride = (shape.n_atoms + 31) / 32 * 32;
    const std::vector<T> x = gaussian<T>(n_signals * n_features, random);
    const std::vector<T> slopes = gaussian<T>(n_signals * stride, random);
    const std::vector<T> ridge(stride, T(0.5)), alpha(n_signals, T(0.05));
    std::vector<T> codes = slopes, point = slopes, pace(n_signals, T(1)), gap(n_signals);
    const sparsedef::Kernels& kernels = sparsedef::active_kernels();
    for (const bool is_plain : {false, true}) {
        kernels.proximal_step(sparsedef::ProximalStepTask<T>{
            codes.data(), is_plain ? nullptr : point.data(), is_plain ? nullptr : pace.data(),
            slopes.data(), is_plain ? nullptr : slopes.data(), is_plain ? nullptr : ridge.data(),
            alpha.data(), T(0.1), n_signals, stride, is_plain, n_threads});
        kernels.proximal_gap(sparsedef::ProximalGapTask<T>{
            x.data(), x.data(), codes.data(), slopes.data(), is_plain ? nullptr : ridge.data(),
            alpha.data(), gap.data(), n_signals, n_features, stride, is_plain, n_threads});
    }
}

}  // namespace

int main() {
    const Shape shapes[] = {{0, 3, 5, 2},      {1, 1, 1, 1},    {5, 7, 33, 7},
                            {101, 33, 31, 31}, {3, 65, 257, 9}, {40, 8, 500, 8}};
    for (const std::string& isa : sparsedef::supported_isas()) {
        sparsedef::set_isa(isa);
        for (const Shape& shape : shapes) {
            for (const int n_threads : {1, 3}) {
                run<float>(shape, n_threads);
                run<double>(shape, n_threads);
                run_proximal<float>(shape, n_threads);
                run_proximal<double>(shape, n_threads);
            }
        }
        std::printf("%s is clean\n", isa.c_str());
    }
}
