#include "threads.h"

#include <cstdlib>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
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

void refuse_memory(const char* who, long given, long least) {
    throw std::invalid_argument(std::string(who) + ": max_memory must be at least " +
                                std::to_string(least) + " bytes for this dictionary, got " +
                                std::to_string(given) + " (None lets the backend choose)");
}

void* allocate(std::size_t bytes) {
    constexpr std::size_t kLine = 64, kHugePage = 1 << 21;
    // What is larger comes fresh from the system at every call, page by page
    constexpr std::size_t kReused = 1 << 25;
    const std::size_t align = bytes < kReused ? kLine : kHugePage;
    void* memory = std::aligned_alloc(align, (bytes + align) / align * align);
    if (memory == nullptr) throw std::bad_alloc();
#ifdef __linux__
    // Fewer pages to fault in; only advice, so a refusal does not matter
    if (align == kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

void release(void* memory) noexcept {
    std::free(memory);
}

}  // namespace sparsedef
