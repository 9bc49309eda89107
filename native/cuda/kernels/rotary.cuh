// Rotates pairs (x[i], x[i + half]) of each head by its token's angles: see native/fused/rotary.cc. One block a token, for
// queries and keys in turn.
#pragma once

#include "common.cuh"

template <typename T, int N>
__device__ inline void rotary(const RotaryArgs& a) {
  const long long batch = blockIdx.x / a.tokens, token = blockIdx.x - batch * a.tokens;
  const long long position = a.positions == nullptr ? token : a.positions[batch * a.positions_stride + token];
  // Such a token can't stop the launch: it gets numbers that nobody takes for right ones.
  const bool outside = position < 0 || position >= a.limit;
  const float poison = outside ? __uint_as_float(0x7fffffffu) : 0.0f;
  const long long table = (outside ? 0 : position) * a.half;
  const int packs = a.half / N;
  for (int t = 0; t < a.count; ++t) {
    const T* const from = static_cast<const T*>(a.from[t]) + batch * a.batch_stride[t] + token * a.token_stride[t];
    T* const to = static_cast<T*>(a.to[t]) + static_cast<long long>(blockIdx.x) * a.heads[t] * a.dim[t];
    for (int i = threadIdx.x; i < a.heads[t] * packs; i += blockDim.x) {
      const int head = i / packs, at = (i - head * packs) * N;
      const T* const x = from + head * a.head_stride[t] + at;
      T* const y = to + head * a.dim[t] + at;
      float x1[N], x2[N], c[N], s[N];
      load<N>(x, x1);
      load<N>(x + a.half, x2);
      load<N>(a.cos + table + at, c);
      load<N>(a.sin + table + at, s);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float sine = s[j] * a.sign, first = x1[j];
        x1[j] = fmaf(first, c[j], -(x2[j] * sine)) + poison;
        x2[j] = fmaf(first, sine, x2[j] * c[j]) + poison;
      }
      store<N>(y, x1);
      store<N>(y + a.half, x2);
    }
    const int rest = a.dim[t] - 2 * a.half;
    for (int i = threadIdx.x; i < a.heads[t] * rest; i += blockDim.x) {
      const int head = i / rest, at = 2 * a.half + (i - head * rest);
      to[head * a.dim[t] + at] = from[head * a.head_stride[t] + at];
    }
  }
}
