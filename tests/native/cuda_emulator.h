// Runs CUDA source on a CPU. Every lane of a warp is a fiber, switched only at warp collectives, in
// an order that the test chooses, so that code which relies on lanes running in step fails.
//
// Shared memory comes in two kinds. kDirect: stores are seen at once, which shows
// read-modify-writes of shared places (32 lanes do them 32 times). kDelayed: every lane has a copy
// of its own, and stores are seen by other lanes only after __syncwarp(), as CUDA promises no
// earlier; two lanes that store different numbers to one place in between are reported.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#define SPARSEDEF_EMULATE 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define SHARED_MEMORY char* const shared_memory = emulator::shared();

namespace emulator {

enum Order { kAscending, kDescending, kRandom };
enum Memory { kDirect, kDelayed };

constexpr int kLanes = 32;
constexpr std::size_t kStack = 1 << 18;

struct Lane {
    ucontext_t context;
    std::vector<char> stack;
    std::vector<char> memory;  // kDelayed: this lane's view of shared memory
    bool is_done, is_waiting, is_sync;
    std::uint64_t sent[2];  // two buffers: a fast lane may reach the next collective
    unsigned n_met;
};

struct Warp {
    Lane lanes[kLanes];
    ucontext_t host;
    int current = 0;
    std::vector<char> shared;  // what all have seen
    Memory memory = kDirect;
    std::function<void()> body;
};
inline Warp warp;
inline unsigned random_state = 1;
struct Dim {
    unsigned x;
};
inline Dim block, block_size, grid;
inline unsigned first_thread;

[[noreturn]] inline void fail(const char* message) {
    std::fprintf(stderr, "emulator: %s\n", message);
    std::abort();
}

inline char* shared() {
    Lane& lane = warp.lanes[warp.current];
    return warp.memory == kDelayed ? lane.memory.data() : warp.shared.data();
}

// Makes every lane's stores since the last synchronisation visible to all
inline void publish() {
    if (warp.memory == kDirect) return;
    using Word = std::uint32_t;
    std::vector<char>& seen = warp.shared;
    std::vector<char> merged = seen;
    for (Lane& lane : warp.lanes) {
        for (std::size_t i = 0; i < seen.size(); i += sizeof(Word)) {
            if (std::memcmp(&lane.memory[i], &seen[i], sizeof(Word)) == 0) continue;
            const bool is_first = std::memcmp(&merged[i], &seen[i], sizeof(Word)) == 0;
            if (!is_first && std::memcmp(&merged[i], &lane.memory[i], sizeof(Word)) != 0) {
                fail("two lanes stored different numbers to one place without a sync between");
            }
            std::memcpy(&merged[i], &lane.memory[i], sizeof(Word));
        }
    }
    seen = merged;
    for (Lane& lane : warp.lanes) lane.memory = merged;
}

inline void enter() {
    warp.body();
    warp.lanes[warp.current].is_done = true;
    swapcontext(&warp.lanes[warp.current].context, &warp.host);
}

inline void start(int index) {
    Lane& lane = warp.lanes[index];
    lane.stack.resize(kStack);
    getcontext(&lane.context);
    lane.context.uc_stack.ss_sp = lane.stack.data();
    lane.context.uc_stack.ss_size = kStack;
    lane.context.uc_link = &warp.host;
    makecontext(&lane.context, enter, 0);
    lane.is_done = lane.is_waiting = false;
    lane.n_met = 0;
    if (warp.memory == kDelayed) lane.memory = warp.shared;
}

inline void shuffle(int* places, Order order) {
    for (int i = 0; i < kLanes; ++i) places[i] = order == kDescending ? kLanes - 1 - i : i;
    if (order != kRandom) return;
    for (int i = kLanes - 1; i > 0; --i) {
        random_state = random_state * 1664525u + 1013904223u;
        std::swap(places[i], places[(random_state >> 16) % (i + 1)]);
    }
}

// Lets all lanes pass a collective that all have reached; false if some have not
inline bool release() {
    bool is_sync = false;
    for (const Lane& lane : warp.lanes) {
        if (lane.is_done) fail("a lane left before a collective");
        if (!lane.is_waiting) return false;
        is_sync = lane.is_sync;
    }
    for (Lane& lane : warp.lanes) {
        if (lane.is_sync != is_sync) fail("lanes met at different collectives");
        lane.is_waiting = false;
        ++lane.n_met;
    }
    if (is_sync) publish();
    return true;
}

inline void run_warp(std::size_t shared_bytes, Order order, Memory memory,
                     std::function<void()> body) {
    warp.body = std::move(body);
    warp.memory = memory;
    warp.shared.assign((shared_bytes + 3) / 4 * 4, char(0xff));  // NaN
    for (int i = 0; i < kLanes; ++i) start(i);
    for (;;) {
        int places[kLanes], n_left = 0, n_ran = 0;
        shuffle(places, order);
        for (const int i : places) {
            Lane& lane = warp.lanes[i];
            if (lane.is_done) continue;
            ++n_left;
            if (lane.is_waiting && !release()) continue;
            warp.current = i;
            ++n_ran;
            swapcontext(&warp.host, &lane.context);
        }
        if (n_left == 0) return;
        if (n_ran == 0) fail("deadlock: lanes wait at a collective that others do not reach");
    }
}

// Hands a number in at a collective; returns which buffer holds everybody's
inline int meet(std::uint64_t number, bool is_sync = false) {
    Lane& lane = warp.lanes[warp.current];
    const int buffer = lane.n_met & 1;
    lane.sent[buffer] = number;
    lane.is_sync = is_sync;
    lane.is_waiting = true;
    swapcontext(&lane.context, &warp.host);
    return buffer;
}

template <class T>
std::uint64_t bits(T value) {
    std::uint64_t result = 0;
    std::memcpy(&result, &value, sizeof(T));
    return result;
}

template <class T>
T exchange(T value, int source) {
    const int buffer = meet(bits(value));
    T result;
    std::memcpy(&result, &warp.lanes[source].sent[buffer], sizeof(T));
    return result;
}

struct ThreadIndex {
    struct {
        operator unsigned() const {
            return first_thread + unsigned(warp.current);
        }
    } x;
};

// Runs a kernel for every warp of every block, one after the other
inline void launch(unsigned blocks, int warps, std::size_t shared_bytes, Order order, Memory memory,
                   const std::function<void()>& kernel) {
    grid.x = blocks;
    block_size.x = unsigned(warps * kLanes);
    for (unsigned b = 0; b < blocks; ++b) {
        for (int w = 0; w < warps; ++w) {
            block.x = b;
            first_thread = unsigned(w * kLanes);
            run_warp(shared_bytes, order, memory, kernel);
        }
    }
}

}  // namespace emulator

#define threadIdx (emulator::ThreadIndex{})
#define blockIdx emulator::block
#define blockDim emulator::block_size
#define gridDim emulator::grid

inline void __syncwarp(unsigned) {
    emulator::meet(0, true);
}
inline unsigned __reduce_max_sync(unsigned, unsigned value) {
    const int buffer = emulator::meet(value);
    unsigned result = 0;
    for (const auto& lane : emulator::warp.lanes)
        result = std::max(result, unsigned(lane.sent[buffer]));
    return result;
}
inline unsigned __reduce_min_sync(unsigned, unsigned value) {
    const int buffer = emulator::meet(value);
    unsigned result = ~0u;
    for (const auto& lane : emulator::warp.lanes)
        result = std::min(result, unsigned(lane.sent[buffer]));
    return result;
}
template <class T>
T __shfl_sync(unsigned, T value, int source) {
    return emulator::exchange(value, source);
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return emulator::exchange(value, emulator::warp.current ^ mask);
}
inline unsigned __float_as_uint(float value) {
    return unsigned(emulator::bits(value));
}
inline float __uint_as_float(unsigned value) {
    float result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}
