// The policy that lets one kernel text run on a CPU and on a GPU.
//
// A kernel is written against a policy L. A lane value L::F holds W numbers, element m of a vector
// of length n sits in lane m % W of slot m / W, and n is padded to a multiple of W by the caller,
// so there are no masked tails. Values that all lanes share (step counts, norms, pivots) are plain
// numbers; on a GPU every lane holds a copy.
//
//   CpuLanes<T, W>  (lanes_cpu.h)   W / (vector width) native vectors
//   WarpLanes<T, W> (lanes_warp.h)  one number per thread of a warp
//
// Rules that keep the answer the same to the bit on every instruction set and lane width:
// - multiply-add only through fma and fnma, each rounded once (built with -ffp-contract=off, on
//   CUDA with -fmad=false);
// - sums by hsum alone, one tree: halves 16, 8, 4, 2, 1;
// - divisions and square roots are IEEE.
// Rules for memory that the lanes of a warp share:
// - all lanes may store the same value to one place, none may read-modify-write it;
// - sync() between a store and another lane's load, and between a load and another lane's store.
#pragma once

#ifdef __CUDACC__
#define LANES_FN __device__ __forceinline__
#define LANES_UNROLL _Pragma("unroll")
#else
#define LANES_FN inline __attribute__((always_inline))
#ifdef __clang__
#define LANES_UNROLL _Pragma("unroll")
#else
#define LANES_UNROLL _Pragma("GCC unroll 64")
#endif
#endif

#if defined(__CUDACC__) || defined(SPARSEDEF_EMULATE)
#include "lanes_warp.h"
#endif
#ifndef __CUDACC__
#include "lanes_cpu.h"
#endif
