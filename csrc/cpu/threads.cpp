#include "threads.h"

#include <cstdlib>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace sparsedef {

void run_parallel(long n_items, int n_threads, void (*body)(void*, long, int), void* context) {
#ifdef _OPENMP
    if (n_threads > 1 && n_items > 1) {
        const int team = n_items < n_threads ? int(n_items) : n_threads;
        std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic) num_threads(team)
        for (long item = 0; item < n_items; ++item) {
            try {
                body(context, item, omp_get_thread_num());
            } catch (...) {
#pragma omp critical(sparsedef_failure)
                if (!failure) failure = std::current_exception();
            }
        }
        if (failure) std::rethrow_exception(failure);
        return;
    }
#endif
    for (long item = 0; item < n_items; ++item) body(context, item, 0);
}

void refuse_memory(long given, long least) {
    throw std::invalid_argument("lasso: max_memory must be at least " + std::to_string(least) +
                                " bytes for this dictionary, got " + std::to_string(given) +
                                " (None lets the backend choose)");
}

void* allocate(std::size_t bytes) {
    constexpr std::size_t kLine = 64;
    void* memory = std::aligned_alloc(kLine, (bytes + kLine) / kLine * kLine);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

void release(void* memory) noexcept {
    std::free(memory);
}

}  // namespace sparsedef
