// sparsedef._C: the native kernels, for sparsedef/backends. Arrays come as addresses
// (Tensor.data_ptr()) so that neither torch nor its headers are needed here; the caller keeps them
// alive, contiguous and of the stated sizes. All functions release the GIL.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>

#include "cpu/dispatch.h"
#ifdef SPARSEDEF_CUDA_ARCHITECTURES
#include "cuda/tasks.h"
#endif

namespace py = pybind11;

namespace {

using Address = std::uintptr_t;

template <class T>
T* at(Address address) {
    return reinterpret_cast<T*>(address);
}

template <class T>
void omp_cpu(Address x, Address dictionary, Address tol, Address limits, Address indices,
             Address values, Address residual, Address n_iter, Address status, long n_signals,
             long n_features, long n_atoms, int n_nonzero, bool is_ols, bool is_nonnegative,
             long max_memory, int n_threads) {
    sparsedef::active_kernels().omp(sparsedef::OmpTask<T>{
        at<const T>(x), at<const T>(dictionary), at<const T>(tol), at<const int>(limits),
        at<std::int64_t>(indices), at<T>(values), at<T>(residual), at<std::int32_t>(n_iter),
        at<std::int32_t>(status), n_signals, n_features, n_atoms, n_nonzero, is_ols, is_nonnegative,
        max_memory, n_threads});
}

template <class T>
void patch_omp_cpu(Address images, Address dictionary, Address mask, Address indices,
                   Address values, Address rebuilt, Address n_iter, Address status, long n_images,
                   long n_channels, long height, long width, long n_atoms, long size, long stride,
                   int n_nonzero, const std::string& standardize, bool is_ols, double tol,
                   long max_memory, int n_threads) {
    using Standard = sparsedef::PatchStandard;
    const Standard standard = standardize == "mean"     ? Standard::kMean
                              : standardize == "zscore" ? Standard::kZscore
                                                        : Standard::kNone;
    sparsedef::active_kernels().patch_omp(sparsedef::PatchTask<T>{at<const T>(images),
                                                                  at<const T>(dictionary),
                                                                  at<const bool>(mask),
                                                                  at<std::int64_t>(indices),
                                                                  at<T>(values),
                                                                  at<T>(rebuilt),
                                                                  at<std::int32_t>(n_iter),
                                                                  at<std::int32_t>(status),
                                                                  n_images,
                                                                  n_channels,
                                                                  height,
                                                                  width,
                                                                  n_atoms,
                                                                  size,
                                                                  stride,
                                                                  n_nonzero,
                                                                  standard,
                                                                  is_ols,
                                                                  tol,
                                                                  max_memory,
                                                                  n_threads});
}

template <class T>
void lasso_cpu(Address x, Address dictionary, Address alpha, Address ridge, Address init,
               Address indices, Address values, Address residual, Address gap, Address n_iter,
               Address status, long n_signals, long n_features, long n_atoms, long slots,
               bool is_nonnegative, double tol, int max_iter, long max_memory, int n_threads) {
    sparsedef::active_kernels().lasso(sparsedef::LassoTask<T>{at<const T>(x),
                                                              at<const T>(dictionary),
                                                              at<const T>(alpha),
                                                              at<const T>(ridge),
                                                              at<const T>(init),
                                                              at<std::int64_t>(indices),
                                                              at<T>(values),
                                                              at<T>(residual),
                                                              at<T>(gap),
                                                              at<std::int32_t>(n_iter),
                                                              at<std::int32_t>(status),
                                                              n_signals,
                                                              n_features,
                                                              n_atoms,
                                                              slots,
                                                              is_nonnegative,
                                                              tol,
                                                              max_iter,
                                                              max_memory,
                                                              n_threads,
                                                              false});
}

template <class T>
void proximal_step_cpu(Address codes, Address point, Address pace, Address correlations,
                       Address product, Address ridge, Address alpha, double step, long n_signals,
                       long stride, bool is_nonnegative, int n_threads) {
    sparsedef::active_kernels().proximal_step(sparsedef::ProximalStepTask<T>{
        at<T>(codes), at<T>(point), at<T>(pace), at<const T>(correlations), at<const T>(product),
        at<const T>(ridge), at<const T>(alpha), T(step), n_signals, stride, is_nonnegative,
        n_threads});
}

template <class T>
void proximal_gap_cpu(Address x, Address residual, Address codes, Address correlations,
                      Address ridge, Address alpha, Address gap, long n_signals, long n_features,
                      long stride, bool is_nonnegative, int n_threads) {
    sparsedef::active_kernels().proximal_gap(sparsedef::ProximalGapTask<T>{
        at<const T>(x), at<const T>(residual), at<const T>(codes), at<const T>(correlations),
        at<const T>(ridge), at<const T>(alpha), at<T>(gap), n_signals, n_features, stride,
        is_nonnegative, n_threads});
}

template <class T>
void code_statistics_cpu(Address x, Address indices, Address values, Address gram, Address cross,
                         Address usage, long n_signals, long n_features, long n_atoms, long n_slots,
                         int n_threads) {
    sparsedef::active_kernels().code_statistics(sparsedef::CodeStatisticsTask<T>{
        at<const T>(x), at<const std::int64_t>(indices), at<const T>(values), at<T>(gram),
        at<T>(cross), at<T>(usage), n_signals, n_features, n_atoms, n_slots, n_threads});
}

template <class T>
void update_atoms_cpu(Address dictionary, Address gram, Address cross, Address updated,
                      long n_atoms, long n_features, int n_passes, bool is_nonnegative,
                      bool is_unit, int n_threads) {
    sparsedef::active_kernels().update_atoms(sparsedef::UpdateAtomsTask<T>{
        at<const T>(dictionary), at<const T>(gram), at<const T>(cross), at<T>(updated), n_atoms,
        n_features, n_passes, is_nonnegative, is_unit, n_threads});
}

void define_cpu(py::module_& module) {
    using namespace py::literals;
    using NoGil = py::call_guard<py::gil_scoped_release>;
    const auto omp = [&](const char* name, auto function) {
        module.def(name, function, NoGil(), py::kw_only(), "x"_a, "dictionary"_a, "tol"_a,
                   "limits"_a, "indices"_a, "values"_a, "residual"_a, "n_iter"_a, "status"_a,
                   "n_signals"_a, "n_features"_a, "n_atoms"_a, "n_nonzero"_a, "is_ols"_a,
                   "is_nonnegative"_a, "max_memory"_a, "n_threads"_a);
    };
    omp("omp_cpu_float", &omp_cpu<float>);
    omp("omp_cpu_double", &omp_cpu<double>);
    const auto patch_omp = [&](const char* name, auto function) {
        module.def(name, function, NoGil(), py::kw_only(), "images"_a, "dictionary"_a, "mask"_a,
                   "indices"_a, "values"_a, "rebuilt"_a, "n_iter"_a, "status"_a, "n_images"_a,
                   "n_channels"_a, "height"_a, "width"_a, "n_atoms"_a, "size"_a, "stride"_a,
                   "n_nonzero"_a, "standardize"_a, "is_ols"_a, "tol"_a, "max_memory"_a,
                   "n_threads"_a);
    };
    patch_omp("patch_omp_cpu_float", &patch_omp_cpu<float>);
    patch_omp("patch_omp_cpu_double", &patch_omp_cpu<double>);
    const auto lasso = [&](const char* name, auto function) {
        module.def(name, function, NoGil(), py::kw_only(), "x"_a, "dictionary"_a, "alpha"_a,
                   "ridge"_a, "init"_a, "indices"_a, "values"_a, "residual"_a, "gap"_a, "n_iter"_a,
                   "status"_a, "n_signals"_a, "n_features"_a, "n_atoms"_a, "slots"_a,
                   "is_nonnegative"_a, "tol"_a, "max_iter"_a, "max_memory"_a, "n_threads"_a);
    };
    lasso("lasso_cpu_float", &lasso_cpu<float>);
    lasso("lasso_cpu_double", &lasso_cpu<double>);
    const auto proximal_step = [&](const char* name, auto function) {
        module.def(name, function, NoGil(), py::kw_only(), "codes"_a, "point"_a, "pace"_a,
                   "correlations"_a, "product"_a, "ridge"_a, "alpha"_a, "step"_a, "n_signals"_a,
                   "stride"_a, "is_nonnegative"_a, "n_threads"_a);
    };
    proximal_step("proximal_step_cpu_float", &proximal_step_cpu<float>);
    proximal_step("proximal_step_cpu_double", &proximal_step_cpu<double>);
    const auto proximal_gap = [&](const char* name, auto function) {
        module.def(name, function, NoGil(), py::kw_only(), "x"_a, "residual"_a, "codes"_a,
                   "correlations"_a, "ridge"_a, "alpha"_a, "gap"_a, "n_signals"_a, "n_features"_a,
                   "stride"_a, "is_nonnegative"_a, "n_threads"_a);
    };
    proximal_gap("proximal_gap_cpu_float", &proximal_gap_cpu<float>);
    proximal_gap("proximal_gap_cpu_double", &proximal_gap_cpu<double>);
    const auto code_statistics = [&](const char* name, auto function) {
        module.def(name, function, NoGil(), py::kw_only(), "x"_a, "indices"_a, "values"_a, "gram"_a,
                   "cross"_a, "usage"_a, "n_signals"_a, "n_features"_a, "n_atoms"_a, "n_slots"_a,
                   "n_threads"_a);
    };
    code_statistics("code_statistics_cpu_float", &code_statistics_cpu<float>);
    code_statistics("code_statistics_cpu_double", &code_statistics_cpu<double>);
    const auto update_atoms = [&](const char* name, auto function) {
        module.def(name, function, NoGil(), py::kw_only(), "dictionary"_a, "gram"_a, "cross"_a,
                   "updated"_a, "n_atoms"_a, "n_features"_a, "n_passes"_a, "is_nonnegative"_a,
                   "is_unit"_a, "n_threads"_a);
    };
    update_atoms("update_atoms_cpu_float", &update_atoms_cpu<float>);
    update_atoms("update_atoms_cpu_double", &update_atoms_cpu<double>);
}

#ifdef SPARSEDEF_CUDA_ARCHITECTURES

template <class T>
void omp_cuda_as(Address correlations, Address gram, Address norm2, Address energy, Address tol,
                 Address limits, Address workspace, Address indices, Address values, Address n_iter,
                 Address status, long n_signals, int n, int n_nonzero, bool is_ols,
                 bool is_nonnegative, int register_slots, long n_groups, int device,
                 Address stream) {
    sparsedef::omp_cuda(
        sparsedef::OmpCudaTask<T>{at<T>(correlations), at<const T>(gram), at<const T>(norm2),
                                  at<const T>(energy), at<const T>(tol), at<const int>(limits),
                                  at<T>(workspace), at<std::int64_t>(indices), at<T>(values),
                                  at<std::int32_t>(n_iter), at<std::int32_t>(status), n_signals, n,
                                  n_nonzero, is_ols, is_nonnegative, register_slots, n_groups},
        device, at<void>(stream));
}

template <class T>
void residual_cuda_as(Address x, Address dictionary, Address indices, Address values,
                      Address residual, long n_signals, long n_features, int n_nonzero, int device,
                      Address stream) {
    sparsedef::residual_cuda(
        sparsedef::ResidualCudaTask<T>{at<const T>(x), at<const T>(dictionary),
                                       at<const std::int64_t>(indices), at<const T>(values),
                                       at<T>(residual), n_signals, n_features, n_nonzero},
        device, at<void>(stream));
}

template <class T>
void lasso_small_cuda_as(Address gram, Address slopes, Address alpha, Address codes,
                         Address accuracy, Address workspace, long n_problems, int size,
                         bool is_nonnegative, double tol, long n_groups, int device,
                         Address stream) {
    sparsedef::lasso_small_cuda(
        sparsedef::LassoSmallCudaTask<T>{at<const T>(gram), at<T>(slopes), at<const T>(alpha),
                                         at<T>(codes), at<T>(accuracy), at<T>(workspace),
                                         n_problems, size, is_nonnegative, tol, n_groups},
        device, at<void>(stream));
}

void define_cuda(py::module_& module) {
    using namespace py::literals;
    using NoGil = py::call_guard<py::gil_scoped_release>;
    const auto omp = [&](const char* name, auto function) {
        module.def(name, function, NoGil(), py::kw_only(), "correlations"_a, "gram"_a, "norm2"_a,
                   "energy"_a, "tol"_a, "limits"_a, "workspace"_a, "indices"_a, "values"_a,
                   "n_iter"_a, "status"_a, "n_signals"_a, "n"_a, "n_nonzero"_a, "is_ols"_a,
                   "is_nonnegative"_a, "register_slots"_a, "n_groups"_a, "device"_a, "stream"_a);
    };
    omp("omp_cuda_float", &omp_cuda_as<float>);
    omp("omp_cuda_double", &omp_cuda_as<double>);
    const auto residual = [&](const char* name, auto function) {
        module.def(name, function, NoGil(), py::kw_only(), "x"_a, "dictionary"_a, "indices"_a,
                   "values"_a, "residual"_a, "n_signals"_a, "n_features"_a, "n_nonzero"_a,
                   "device"_a, "stream"_a);
    };
    residual("residual_cuda_float", &residual_cuda_as<float>);
    residual("residual_cuda_double", &residual_cuda_as<double>);
    const auto lasso = [&](const char* name, auto function) {
        module.def(name, function, NoGil(), py::kw_only(), "gram"_a, "slopes"_a, "alpha"_a,
                   "codes"_a, "accuracy"_a, "workspace"_a, "n_problems"_a, "size"_a,
                   "is_nonnegative"_a, "tol"_a, "n_groups"_a, "device"_a, "stream"_a);
    };
    lasso("lasso_small_cuda_float", &lasso_small_cuda_as<float>);
    lasso("lasso_small_cuda_double", &lasso_small_cuda_as<double>);
    module.def("omp_cuda_numbers", &sparsedef::omp_numbers, "n"_a, "n_nonzero"_a, "is_ols"_a,
               "has_registers"_a, "Numbers of memory that one signal needs.");
    module.def("lasso_cuda_numbers", &sparsedef::lasso_numbers, "size"_a,
               "Numbers of memory that one problem needs.");
    module.def("shared_memory_limit", &sparsedef::shared_memory_limit, "device"_a,
               "Bytes of shared memory that a block may use.");
}

#endif

py::dict capabilities() {
    py::dict found;
    found["compiled_isas"] = sparsedef::compiled_isas();
    found["supported_isas"] = sparsedef::supported_isas();
    found["active_isa"] = sparsedef::active_kernels().isa;
#ifdef _OPENMP
    found["openmp"] = true;
#else
    found["openmp"] = false;
#endif
#ifdef SPARSEDEF_CUDA_ARCHITECTURES
    found["cuda_architectures"] = SPARSEDEF_CUDA_ARCHITECTURES;
#else
    found["cuda_architectures"] = "";
#endif
    return found;
}

}  // namespace

PYBIND11_MODULE(_C, module) {
    using namespace py::literals;
    module.doc() = "Native kernels of sparsedef; called by sparsedef.backends only.";
    define_cpu(module);
#ifdef SPARSEDEF_CUDA_ARCHITECTURES
    define_cuda(module);
#endif
    module.def("capabilities", &capabilities,
               "Instruction sets compiled, supported and active; OpenMP; CUDA architectures.");
    module.def("set_isa", &sparsedef::set_isa, "name"_a,
               "Forces an instruction set by name, for tests; 'auto' chooses again.");
}
