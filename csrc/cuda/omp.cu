#include "launch.h"
#include "omp_kernel.h"

namespace sparsedef {

long omp_numbers(int n, int n_nonzero, bool is_ols, bool has_registers) {
    return omp_layout(n, n_nonzero, is_ols, has_registers);
}

long shared_memory_limit(int device) {
    int bytes = 0;
    check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "cudaDeviceGetAttribute");
    return bytes;
}

// Warps of a block, so that most warps are at work at once; the more the better where that is equal
template <class Kernel>
static int warps_of_block(Kernel kernel, long warp_bytes, int device) {
    int best = 1;
    long most = 0;
    const long limit = shared_memory_limit(device);
    for (int warps = 1; warps <= kOmpWarps; warps *= 2) {
        if (warps * warp_bytes > limit) break;
        const long resident =
            warps * resident_blocks(kernel, warps * 32, warps * warp_bytes, device);
        if (resident >= most) {
            most = resident;
            best = warps;
        }
    }
    return best;
}

template <class T, Selection Rule, bool Positive, int kPlace>
static void launch(OmpCudaTask<T> task, int device, void* stream) {
    const DeviceScope scope(device);
    const auto kernel = omp_kernel<T, Rule, Positive, kPlace>;
    const long numbers = omp_layout(task.n, task.n_nonzero, Rule == kOls, kPlace > 0);
    const long warp_bytes = kPlace == kWorkspace ? 0 : numbers * long(sizeof(T));
    const int warps = warps_of_block(kernel, warp_bytes, device);
    const long resident = resident_blocks(kernel, warps * 32, warps * warp_bytes, device) * warps;
    const long most = kPlace == kWorkspace && task.n_groups < resident ? task.n_groups : resident;
    task.n_groups = task.n_signals < most ? task.n_signals : most;
    const long blocks = (task.n_groups + warps - 1) / warps;
    kernel<<<unsigned(blocks), warps * 32, warps * warp_bytes, static_cast<cudaStream_t>(stream)>>>(
        task);
    check(cudaGetLastError(), "omp_kernel");
}

template <class T, Selection Rule>
static void launch_at_place(const OmpCudaTask<T>& task, int device, void* stream) {
    if (task.is_nonnegative) {
        return task.workspace == nullptr ? launch<T, Rule, true, kShared>(task, device, stream)
                                         : launch<T, Rule, true, kWorkspace>(task, device, stream);
    }
    switch (task.register_slots) {
        case 8:
            return launch<T, Rule, false, 8>(task, device, stream);
        case 16:
            return launch<T, Rule, false, 16>(task, device, stream);
        case 32:
            if constexpr (sizeof(T) == 4) return launch<T, Rule, false, 32>(task, device, stream);
    }
    return task.workspace == nullptr ? launch<T, Rule, false, kShared>(task, device, stream)
                                     : launch<T, Rule, false, kWorkspace>(task, device, stream);
}

template <class T>
static void dispatch(const OmpCudaTask<T>& task, int device, void* stream) {
    if (task.n_signals == 0) return;
    task.is_ols ? launch_at_place<T, kOls>(task, device, stream)
                : launch_at_place<T, kOmp>(task, device, stream);
}

void omp_cuda(const OmpCudaTask<float>& task, int device, void* stream) {
    dispatch(task, device, stream);
}
void omp_cuda(const OmpCudaTask<double>& task, int device, void* stream) {
    dispatch(task, device, stream);
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
