// What the kernels share: bfloat16, loads and stores of several elements at once, sums over a block. Compiled by NVRTC without
// CUDA's headers, and by the host's compiler in the tests (test/kernels/emulate.h). Blocks are whole warps in one dimension.
#pragma once

#include "args.h"

struct bf16 {
  unsigned short bits;
};

__device__ inline float to_float(float x) {
  return x;
}
__device__ inline float to_float(bf16 x) {
  return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}

template <typename T>
__device__ inline T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
/// Rounds to the nearest, ties to even; NaN stays NaN.
template <>
__device__ inline bf16 from_float<bf16>(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  bf16 out;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out.bits) : "f"(x));
  return out;
#else
  const unsigned bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
  return {static_cast<unsigned short>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
#endif
}

/// N elements that are read and written together, in accesses of up to 16 bytes.
template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T element[N];
};

template <int N, typename T>
__device__ inline void load(const T* p, float (&out)[N]) {
  const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(p);
#pragma unroll
  for (int i = 0; i < N; ++i) out[i] = to_float(pack.element[i]);
}

template <int N, typename T>
__device__ inline void store(T* p, const float (&in)[N]) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) pack.element[i] = from_float<T>(in[i]);
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

__device__ inline bool is_aligned(const void* p) {
  return (reinterpret_cast<unsigned long long>(p) & 15u) == 0;
}

constexpr unsigned kAllLanes = 0xffffffffu;

/// The sum over the block, in every thread, in an order that doesn't change from run to run. All threads call it.
template <typename T>
__device__ inline T block_sum(T x) {
  __shared__ T parts[33];
  const unsigned lane = threadIdx.x & 31u, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  for (int offset = 16; offset > 0; offset >>= 1) x += __shfl_xor_sync(kAllLanes, x, offset);
  if (lane == 0) parts[warp] = x;
  __syncthreads();
  if (warp == 0) {
    T all = lane < warps ? parts[lane] : T(0);
    for (int offset = 16; offset > 0; offset >>= 1) all += __shfl_xor_sync(kAllLanes, all, offset);
    if (lane == 0) parts[32] = all;
  }
  __syncthreads();
  return parts[32];
}

/// Which of `count` tensors this block works on: the last that begins at or before it.
__device__ inline int tensor_of_block(const unsigned* first_block, int count) {
  int low = 0, high = count - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (first_block[middle] <= blockIdx.x) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}
