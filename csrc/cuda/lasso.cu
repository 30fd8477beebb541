#include "lasso_kernel.h"
#include "launch.h"

namespace sparsedef {

long lasso_numbers(int size) {
    return lasso_layout(size);
}

template <class T, bool kShared, LassoSolver kSolver>
static void launch(LassoSmallCudaTask<T> task, int device, void* stream) {
    const auto kernel = lasso_small_kernel<T, kShared, kSolver>;
    const long shared_bytes = kShared ? lasso_layout(task.size) * sizeof(T) : 0;
    const long resident = resident_blocks(kernel, 32, shared_bytes, device);
    long blocks = task.n_problems < resident ? task.n_problems : resident;
    if (!kShared && task.n_groups < blocks) blocks = task.n_groups;
    task.n_groups = blocks;
    kernel<<<unsigned(blocks), 32, shared_bytes, static_cast<cudaStream_t>(stream)>>>(task);
    check(cudaGetLastError(), "lasso_small_kernel");
}

template <class T, bool kShared>
static void launch_both(const LassoSmallCudaTask<T>& task, int device, void* stream) {
    launch<T, kShared, kPivots>(task, device, stream);
    launch<T, kShared, kDescent>(task, device, stream);
}

template <class T>
static void dispatch(const LassoSmallCudaTask<T>& task, int device, void* stream) {
    if (task.n_problems == 0 || task.size == 0) return;
    const DeviceScope scope(device);
    if (task.workspace == nullptr) {
        launch_both<T, true>(task, device, stream);
    } else {
        launch_both<T, false>(task, device, stream);
    }
}

void lasso_small_cuda(const LassoSmallCudaTask<float>& task, int device, void* stream) {
    dispatch(task, device, stream);
}
void lasso_small_cuda(const LassoSmallCudaTask<double>& task, int device, void* stream) {
    dispatch(task, device, stream);
}

}  // namespace sparsedef
