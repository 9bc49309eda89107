// silu(gate) * up and its gradient: see native/fused/swiglu.cc. One block a row.
#pragma once

#include "common.cuh"

__device__ inline float sigmoid(float x) {
  return 1.0f / (1.0f + expf(-x));
}

template <typename T, int N>
__device__ inline void swiglu_forward(const SwigluArgs& a) {
  const long long row = blockIdx.x;
  const T* const gate = static_cast<const T*>(a.gate) + row * a.gate_stride;
  const T* const up = static_cast<const T*>(a.up) + row * a.up_stride;
  T* const output = static_cast<T*>(a.output) + row * a.size;
  for (int at = threadIdx.x * N; at < a.size; at += blockDim.x * N) {
    float g[N], u[N];
    load<N>(gate + at, g);
    load<N>(up + at, u);
#pragma unroll
    for (int i = 0; i < N; ++i) g[i] = g[i] * sigmoid(g[i]) * u[i];
    store<N>(output + at, g);
  }
}

template <typename T, int N>
__device__ inline void swiglu_backward(const SwigluBackwardArgs& a) {
  const long long row = blockIdx.x;
  const T* const grad = static_cast<const T*>(a.grad) + row * a.grad_stride;
  const T* const gate = static_cast<const T*>(a.gate) + row * a.gate_stride;
  const T* const up = static_cast<const T*>(a.up) + row * a.up_stride;
  T* const grad_gate = static_cast<T*>(a.grad_gate) + row * a.output_stride;
  T* const grad_up = static_cast<T*>(a.grad_up) + row * a.output_stride;
  for (int at = threadIdx.x * N; at < a.size; at += blockDim.x * N) {
    float d[N], g[N], u[N];
    load<N>(grad + at, d);
    load<N>(gate + at, g);
    load<N>(up + at, u);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float s = sigmoid(g[i]), ds = d[i] * s, x = g[i];
      g[i] = ds * u[i] * (1.0f + x * (1.0f - s));
      u[i] = ds * x;
    }
    store<N>(grad_gate + at, g);
    store<N>(grad_up + at, u);
  }
}
