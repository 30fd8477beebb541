// Threads and memory for the kernels. Compiled once, for the baseline: the kernels are compiled per
// instruction set and must not bring their own copies of library templates (the linker keeps only
// one, perhaps one that this processor cannot run).
#pragma once
#include <cstddef>

namespace sparsedef {

// Calls body(context, item, thread) for every item; one thread means no parallel region at all, so
// that it is safe in a process forked from one that has used OpenMP. Rethrows the first exception.
void run_parallel(long n_items, int n_threads, void (*body)(void*, long, int), void* context);

// Throws std::invalid_argument: the workspace cannot be made as small as `given` bytes.
[[noreturn]] void refuse_memory(const char* who, long given, long least);

// Aligned to a cache line; throws std::bad_alloc.
void* allocate(std::size_t bytes);
void release(void* memory) noexcept;

}  // namespace sparsedef

namespace {

// fn(item, thread) for every item
template <class Fn>
void for_each(long n_items, int n_threads, Fn fn) {
    sparsedef::run_parallel(
        n_items, n_threads,
        [](void* context, long item, int thread) { (*static_cast<Fn*>(context))(item, thread); },
        &fn);
}

// Memory of n numbers, uninitialised; grows without keeping its content.
template <class T>
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(std::size_t n) {
        reserve(n);
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() {
        sparsedef::release(data_);
    }
    void reserve(std::size_t n) {
        if (n <= size_) return;
        sparsedef::release(data_);
        data_ = nullptr;
        size_ = 0;
        data_ = static_cast<T*>(sparsedef::allocate(n * sizeof(T)));
        size_ = n;
    }
    void swap(Buffer& other) {
        T* const data = data_;
        const std::size_t size = size_;
        data_ = other.data_;
        size_ = other.size_;
        other.data_ = data;
        other.size_ = size;
    }
    T* data() const {
        return data_;
    }
    std::size_t size() const {
        return size_;
    }
    T& operator[](std::size_t i) const {
        return data_[i];
    }

  private:
    T* data_ = nullptr;
    std::size_t size_ = 0;
};

constexpr long round_up(long n, long multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

}  // namespace
