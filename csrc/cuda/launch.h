// Launching: errors as exceptions, and how many blocks are worth starting.
#pragma once
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace sparsedef {

inline void check(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

// Makes a device current for a scope; torch may have another current one.
class DeviceScope {
  public:
    explicit DeviceScope(int device) {
        check(cudaGetDevice(&before_), "cudaGetDevice");
        if (device != before_) check(cudaSetDevice(device), "cudaSetDevice");
    }
    ~DeviceScope() {
        cudaSetDevice(before_);
    }
    DeviceScope(const DeviceScope&) = delete;
    DeviceScope& operator=(const DeviceScope&) = delete;

  private:
    int before_ = 0;
};

// Blocks that the device can run at once
template <class Kernel>
long resident_blocks(Kernel kernel, int threads, long shared_bytes, int device) {
    if (shared_bytes > 48 * 1024) {
        check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   int(shared_bytes)),
              "cudaFuncSetAttribute");
    }
    int per_processor = 0, processors = 0;
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_processor, kernel, threads,
                                                        shared_bytes),
          "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device),
          "cudaDeviceGetAttribute");
    return long(per_processor > 0 ? per_processor : 1) * processors;
}

}  // namespace sparsedef
