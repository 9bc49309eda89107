// A step of AdamW over many tensors in one pass: see native/fused/adamw.cc, whose order of operations this is.
#pragma once

#include "common.cuh"

template <int N, typename P, typename G, typename M>
__device__ inline void adamw_elements(const AdamwArgs& a, float scale, P* param, const G* grad, M* exp_avg, M* exp_avg_sq) {
  float p[N], g[N], m[N], v[N];
  load<N>(param, p);
  load<N>(grad, g);
  load<N>(exp_avg, m);
  load<N>(exp_avg_sq, v);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float d = g[i] * scale;
    m[i] = fmaf(d - m[i], a.new1, m[i]);
    v[i] = fmaf(v[i], a.old2, d * d * a.new2);
    const float denominator = fmaf(sqrtf(v[i]), a.inverse_root, a.eps);
    p[i] = fmaf(a.step_size, m[i] / denominator, p[i] * a.keep);
  }
  store<N>(param, p);
  store<N>(exp_avg, m);
  store<N>(exp_avg_sq, v);
}

/// P, G and M: types of parameters, gradients and moments.
template <typename P, typename G, typename M>
__device__ inline void adamw(const AdamwArgs& a) {
  constexpr int N = 8;
  const int t = tensor_of_block(a.first_block, a.count);
  const long long start = static_cast<long long>(blockIdx.x - a.first_block[t]) * kBlockElements;
  const long long rest = a.size[t] - start;
  const int count = rest < kBlockElements ? static_cast<int>(rest) : kBlockElements;
  P* const p = static_cast<P*>(a.param[t]) + start;
  const G* const g = static_cast<const G*>(a.grad[t]) + start;
  M* const m = static_cast<M*>(a.exp_avg[t]) + start;
  M* const v = static_cast<M*>(a.exp_avg_sq[t]) + start;
  const float scale = a.grad_scale == nullptr ? a.sign : a.sign * *a.grad_scale;
  const bool wide = is_aligned(p) && is_aligned(g) && is_aligned(m) && is_aligned(v);
  const int whole = wide ? count / N * N : 0;
  for (int i = threadIdx.x * N; i < whole; i += blockDim.x * N) adamw_elements<N>(a, scale, p + i, g + i, m + i, v + i);
  for (int i = whole + threadIdx.x; i < count; i += blockDim.x) adamw_elements<1>(a, scale, p + i, g + i, m + i, v + i);
}
