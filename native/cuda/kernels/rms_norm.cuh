// RMSNorm over rows, with or without a residual that is added first: forward and backward. A row is held in registers, N
// elements at a time and K times a thread, so that it is read once.
#pragma once

#include "common.cuh"

/// One block a row.
template <typename T, int N, int K>
__device__ inline void rms_norm_forward(const RmsForwardArgs& a) {
  const long long row = blockIdx.x;
  const T* const input = static_cast<const T*>(a.input) + row * a.input_stride;
  const T* const residual = a.residual == nullptr ? nullptr : static_cast<const T*>(a.residual) + row * a.residual_stride;
  const T* const weight = static_cast<const T*>(a.weight);
  T* const sum = static_cast<T*>(a.sum) + row * a.size;
  T* const output = static_cast<T*>(a.output) + row * a.size;
  float x[K][N];
  float squares = 0;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int at = (k * blockDim.x + threadIdx.x) * N;
    if (at >= a.size) continue;
    load<N>(input + at, x[k]);
    if (residual != nullptr) {
      float r[N];
      load<N>(residual + at, r);
      // The statistics are those of the sum as it was rounded, which is what the residual stream carries on.
#pragma unroll
      for (int i = 0; i < N; ++i) x[k][i] = to_float(from_float<T>(x[k][i] + r[i]));
      store<N>(sum + at, x[k]);
    }
#pragma unroll
    for (int i = 0; i < N; ++i) squares = fmaf(x[k][i], x[k][i], squares);
  }
  const float rstd = 1.0f / sqrtf(block_sum(squares) / a.size + a.eps);
  if (threadIdx.x == 0) a.rstd[row] = rstd;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int at = (k * blockDim.x + threadIdx.x) * N;
    if (at >= a.size) continue;
    float w[N];
    if (weight != nullptr) load<N>(weight + at, w);
#pragma unroll
    for (int i = 0; i < N; ++i) x[k][i] *= weight == nullptr ? rstd : rstd * w[i];
    store<N>(output + at, x[k]);
  }
}

/// dx = extra + rstd * (g*w - xhat * mean(g*w*xhat)) and dweight = sum of g * xhat, where xhat = x * rstd. A block walks rows
/// that lie the grid's size apart.
template <typename T, int N, int K>
__device__ inline void rms_norm_backward(const RmsBackwardArgs& a) {
  const T* const weight = static_cast<const T*>(a.weight);
  float dweight[K][N] = {};
  for (long long row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const T* const grad = static_cast<const T*>(a.grad) + row * a.grad_stride;
    const T* const input = static_cast<const T*>(a.input) + row * a.input_stride;
    const float rstd = a.rstd[row];
    float g[K][N], xhat[K][N];
    float dot = 0;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int at = (k * blockDim.x + threadIdx.x) * N;
      if (at >= a.size) continue;
      float w[N];
      load<N>(grad + at, g[k]);
      load<N>(input + at, xhat[k]);
      if (weight != nullptr) load<N>(weight + at, w);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        xhat[k][i] *= rstd;
        dweight[k][i] = fmaf(g[k][i], xhat[k][i], dweight[k][i]);
        if (weight != nullptr) g[k][i] *= w[i];
        dot = fmaf(g[k][i], xhat[k][i], dot);
      }
    }
    if (a.grad_input == nullptr) continue;
    const float mean = block_sum(dot) / a.size;
    const T* const extra = a.extra == nullptr ? nullptr : static_cast<const T*>(a.extra) + row * a.extra_stride;
    T* const out = static_cast<T*>(a.grad_input) + row * a.size;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int at = (k * blockDim.x + threadIdx.x) * N;
      if (at >= a.size) continue;
      float past[N] = {};
      if (extra != nullptr) load<N>(extra + at, past);
#pragma unroll
      for (int i = 0; i < N; ++i) g[k][i] = fmaf(fmaf(-mean, xhat[k][i], g[k][i]), rstd, past[i]);
      store<N>(out + at, g[k]);
    }
  }
  if (a.partial == nullptr) return;
  float* const partial = a.partial + static_cast<long long>(blockIdx.x) * a.size;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int at = (k * blockDim.x + threadIdx.x) * N;
    if (at < a.size) store<N>(partial + at, dweight[k]);
  }
}
