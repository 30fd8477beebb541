// Runs the CPU kernels on awkward sizes under the address and undefined-behaviour sanitizers.
#include <cmath>
#include <cstdio>
#include <memory>
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

template <class T>
void run_learning(const Shape& shape, int n_threads) {
    std::mt19937 random(7);
    const long n_signals = shape.n_signals, n_features = shape.n_features, n_atoms = shape.n_atoms;
    const long n_slots = shape.n_nonzero;
    const std::vector<T> x = gaussian<T>(n_signals * n_features, random);
    const std::vector<T> dictionary = unit_atoms<T>(shape, random);
    std::vector<T> values = gaussian<T>(n_signals * n_slots, random);
    std::vector<std::int64_t> indices(values.size());
    for (std::int64_t& index : indices) index = long(random() % (n_atoms + 1)) - 1;
    std::vector<T> gram(n_atoms * n_atoms), cross(dictionary.size()), usage(n_atoms);
    std::vector<T> updated(dictionary.size());
    const sparsedef::Kernels& kernels = sparsedef::active_kernels();
    kernels.code_statistics(sparsedef::CodeStatisticsTask<T>{
        x.data(), indices.data(), values.data(), gram.data(), cross.data(), usage.data(), n_signals,
        n_features, n_atoms, n_slots, n_threads});
    for (const bool is_unit : {false, true}) {
        kernels.update_atoms(sparsedef::UpdateAtomsTask<T>{
            dictionary.data(), gram.data(), cross.data(), updated.data(), n_atoms, n_features, 2,
            is_unit, is_unit, n_threads});
    }
}

struct Picture {
    long n_images, n_channels, height, width, size, stride;
};

template <class T>
void run_patches(const Picture& picture, int n_threads) {
    std::mt19937 random(7);
    const long n_pixels = picture.height * picture.width;
    const auto n_starts = [&](long length) {
        return (length - picture.size + picture.stride - 1) / picture.stride + 1;
    };
    const long n_patches = n_starts(picture.height) * n_starts(picture.width);
    const Shape shape{0, picture.n_channels * picture.size * picture.size, 40, 3};
    const std::vector<T> dictionary = unit_atoms<T>(shape, random);
    std::vector<T> images = gaussian<T>(picture.n_images * picture.n_channels * n_pixels, random);
    if (picture.n_images > 1) images[3] = T(NAN);
    const long n_codes = picture.n_images * n_patches * shape.n_nonzero;
    std::vector<T> rebuilt(images.size()), values(n_codes);
    std::vector<std::int64_t> indices(n_codes);
    std::vector<std::int32_t> n_iter(n_codes), status(n_codes);
    const std::unique_ptr<bool[]> mask(new bool[picture.n_images * n_pixels]);
    for (long i = 0; i < picture.n_images * n_pixels; ++i) mask[i] = random() % 40 == 0;
    using Standard = sparsedef::PatchStandard;
    for (const Standard standard : {Standard::kNone, Standard::kMean, Standard::kZscore}) {
        for (const bool has_mask : {false, true}) {
            for (const long max_memory : {0L, 250000L}) {
                sparsedef::active_kernels().patch_omp(
                    sparsedef::PatchTask<T>{images.data(),
                                            dictionary.data(),
                                            has_mask ? mask.get() : nullptr,
                                            indices.data(),
                                            values.data(),
                                            rebuilt.data(),
                                            n_iter.data(),
                                            status.data(),
                                            picture.n_images,
                                            picture.n_channels,
                                            picture.height,
                                            picture.width,
                                            shape.n_atoms,
                                            picture.size,
                                            picture.stride,
                                            shape.n_nonzero,
                                            standard,
                                            has_mask,
                                            1e-3,
                                            max_memory,
                                            n_threads});
            }
        }
    }
}

}  // namespace

int main() {
    const Picture pictures[] = {{0, 1, 9, 9, 8, 1},  {1, 1, 8, 8, 8, 1}, {3, 1, 17, 30, 8, 3},
                                {2, 3, 9, 11, 3, 2}, {1, 2, 1, 1, 1, 1}, {4, 1, 12, 9, 5, 5}};
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
                run_learning<float>(shape, n_threads);
                run_learning<double>(shape, n_threads);
            }
        }
        for (const Picture& picture : pictures) {
            for (const int n_threads : {1, 3}) {
                run_patches<float>(picture, n_threads);
                run_patches<double>(picture, n_threads);
            }
        }
        std::printf("%s is clean\n", isa.c_str());
    }
}
