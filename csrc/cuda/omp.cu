#include "launch.h"
#include "omp_kernel.h"

namespace sparsedef {

long omp_numbers(int n, int n_nonzero, bool is_ols) {
    return omp_layout(n, n_nonzero, is_ols);
}

long shared_memory_limit(int device) {
    int bytes = 0;
    check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "cudaDeviceGetAttribute");
    return bytes;
}

template <class T, Selection Rule, bool kShared>
static void launch(OmpCudaTask<T> task, int device, void* stream) {
    const DeviceScope scope(device);
    const auto kernel = omp_kernel<T, Rule, kShared>;
    const long shared_bytes =
        kShared ? kOmpWarps * omp_layout(task.n, task.n_nonzero, Rule == kOls) * sizeof(T) : 0;
    const long resident = resident_blocks(kernel, kOmpWarps * 32, shared_bytes, device);
    const long wanted = (task.n_signals + kOmpWarps - 1) / kOmpWarps;
    long blocks = wanted < resident ? wanted : resident;
    if (kShared) {
        task.n_groups = blocks * kOmpWarps;
    } else {
        const long in_workspace = (task.n_groups + kOmpWarps - 1) / kOmpWarps;
        blocks = blocks < in_workspace ? blocks : in_workspace;
        task.n_groups = blocks * kOmpWarps < task.n_groups ? blocks * kOmpWarps : task.n_groups;
    }
    kernel<<<unsigned(blocks), kOmpWarps * 32, shared_bytes, static_cast<cudaStream_t>(stream)>>>(
        task);
    check(cudaGetLastError(), "omp_kernel");
}

template <class T>
static void dispatch(const OmpCudaTask<T>& task, bool is_ols, int device, void* stream) {
    if (task.n_signals == 0) return;
    const bool is_shared = task.workspace == nullptr;
    if (is_ols) {
        is_shared ? launch<T, kOls, true>(task, device, stream)
                  : launch<T, kOls, false>(task, device, stream);
    } else {
        is_shared ? launch<T, kOmp, true>(task, device, stream)
                  : launch<T, kOmp, false>(task, device, stream);
    }
}

void omp_cuda(const OmpCudaTask<float>& task, bool is_ols, int device, void* stream) {
    dispatch(task, is_ols, device, stream);
}
void omp_cuda(const OmpCudaTask<double>& task, bool is_ols, int device, void* stream) {
    dispatch(task, is_ols, device, stream);
}

template <class T>
static void launch_residual(const ResidualCudaTask<T>& task, int device, void* stream) {
    if (task.n_signals == 0) return;
    const DeviceScope scope(device);
    const long blocks = (task.n_signals + kOmpWarps - 1) / kOmpWarps;
    residual_kernel<T>
        <<<unsigned(blocks), kOmpWarps * 32, 0, static_cast<cudaStream_t>(stream)>>>(task);
    check(cudaGetLastError(), "residual_kernel");
}

void residual_cuda(const ResidualCudaTask<float>& task, int device, void* stream) {
    launch_residual(task, device, stream);
}
void residual_cuda(const ResidualCudaTask<double>& task, int device, void* stream) {
    launch_residual(task, device, stream);
}

}  // namespace sparsedef
