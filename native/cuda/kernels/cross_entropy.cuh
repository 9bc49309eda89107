// The loss of rows of logits, which become their gradient where they lie. One block a row: the first walk finds maximum and sum
// of exponentials together (Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867), the second finds the row in the cache.
#pragma once

#include "common.cuh"

struct Softmax {
  float best, sum;  // the maximum, and the sum of exponentials relative to it
};

__device__ inline float exp_of(float x) {
  return exp2f(x * 1.4426950408889634f);
}

__device__ inline Softmax joined(Softmax a, Softmax b) {
  const float best = fmaxf(a.best, b.best);
  return {best, a.sum * exp_of(a.best - best) + b.sum * exp_of(b.best - best)};
}

__device__ inline Softmax joined_lanes(Softmax own) {
  for (int offset = 16; offset > 0; offset >>= 1) {
    const float best = __shfl_xor_sync(kAllLanes, own.best, offset), sum = __shfl_xor_sync(kAllLanes, own.sum, offset);
    own = joined(own, {best, sum});
  }
  return own;
}

template <typename T, int N>
__device__ inline void cross_entropy(const CrossEntropyArgs& a) {
  constexpr float lowest = -3.402823466e38f;  // not -inf, whose difference to itself is NaN
  __shared__ Softmax parts[33];
  const long long row = blockIdx.x;
  T* const logits = static_cast<T*>(a.logits) + row * a.size;
  const long long label = a.labels[row];
  const bool known = label >= 0 && label < a.size;
  // Read before any thread writes: the barriers of the sum lie between.
  const float target = known ? to_float(logits[label]) : __uint_as_float(0x7fffffffu);

  Softmax own = {lowest, 0};
#pragma unroll 2
  for (int at = threadIdx.x * N; at < a.size; at += blockDim.x * N) {
    float x[N];
    load<N>(logits + at, x);
    float best = own.best;
#pragma unroll
    for (int i = 0; i < N; ++i) best = fmaxf(best, x[i]);
    float sum = own.sum * exp_of(own.best - best);
#pragma unroll
    for (int i = 0; i < N; ++i) sum += exp_of(x[i] - best);
    own = {best, sum};
  }
  const unsigned lane = threadIdx.x & 31u, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  own = joined_lanes(own);
  if (lane == 0) parts[warp] = own;
  __syncthreads();
  if (warp == 0) {
    Softmax all = {lowest, 0};
    if (lane < warps) all = parts[lane];
    all = joined_lanes(all);
    if (lane == 0) parts[32] = all;
  }
  __syncthreads();
  // Not by way of their logarithm's sum, which large logits would round.
  const float highest = parts[32].best, inverse = 1.0f / parts[32].sum;
  const float weight = a.weights == nullptr ? 1.0f : a.weights[row];
  if (threadIdx.x == 0) a.losses[row] = weight * (highest - target + logf(parts[32].sum));
  if (a.gradient == 0) return;
  const float factor = a.scale * weight;
  // Backwards: what was read last is the likeliest still to be in the cache.
  const int first = threadIdx.x * N, stride = blockDim.x * N;
  if (first >= a.size) return;
#pragma unroll 2
  for (int at = first + (a.size - 1 - first) / stride * stride; at >= 0; at -= stride) {
    float x[N];
    load<N>(logits + at, x);
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] = factor * (exp_of(x[i] - highest) * inverse - (at + i == label ? 1.0f : 0.0f));
    store<N>(logits + at, x);
  }
}
