// A step of AdamW or Adam over many tensors whose parameters or moments have fewer bits than it is computed in: bf16, rounded to
// the nearest or at random, and moments as 8-bit codes with a scale a block (codes.h). See native/fused/adamw_narrow.cc, whose
// order of operations this is.
#pragma once

#include "codes.h"
#include "common.cuh"

/// A moment as codes: int8 with a sign, or not.
struct codes {};

template <bool kSigned>
__device__ inline float from_code(const void* at, long long i) {
  if (kSigned) {
    const int code = static_cast<const signed char*>(at)[i];
    const float size = decoded<true>(code < 0 ? -code : code);
    return code < 0 ? -size : size;
  }
  return decoded<false>(static_cast<const unsigned char*>(at)[i]);
}

template <typename T>
__device__ inline T rounded(const NarrowArgs& a, float x, unsigned random);
template <>
__device__ inline float rounded<float>(const NarrowArgs&, float x, unsigned) {
  return x;
}
template <>
__device__ inline bf16 rounded<bf16>(const NarrowArgs& a, float x, unsigned random) {
  return a.stochastic ? bf16{stochastic_bf16(__float_as_uint(x), random & 0xffffu)} : from_float<bf16>(x);
}

struct Moments {
  float m, v;
};

/// The new parameter and moments of one element.
template <typename P>
__device__ inline Moments narrow_step(const NarrowArgs& a, float scale, P* p, float g, Moments old, unsigned random) {
  const float before = to_float(*p);
  const float d = fmaf(before, a.decay, g * scale);
  const float m = fmaf(d - old.m, a.new1, old.m);
  const float v = fmaf(old.v, a.old2, d * d * a.new2);
  const float denominator = fmaf(sqrtf(v), a.inverse_root, a.eps);
  *p = rounded<P>(a, fmaf(a.step_size, m / denominator, before * a.keep), random);
  return {m, v};
}

template <typename P, typename G, typename M>
struct Narrow {
  /// Elements in any order, as many of a block as in native/cuda/kernels/adamw.cuh.
  static __device__ inline void run(const NarrowArgs& a, int t, unsigned block, float scale) {
    const long long start = static_cast<long long>(block) * kBlockElements;
    const long long rest = a.size[t] - start;
    const int count = rest < kBlockElements ? static_cast<int>(rest) : kBlockElements;
    P* const p = static_cast<P*>(a.param[t]) + start;
    const G* const g = static_cast<const G*>(a.grad[t]) + start;
    M* const m = static_cast<M*>(a.exp_avg[t]) + start;
    M* const v = static_cast<M*>(a.exp_avg_sq[t]) + start;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
      const unsigned random = random_of(a.key[t], a.offset[t] + static_cast<unsigned>(start + i));
      const Moments out = narrow_step(a, scale, p + i, to_float(g[i]), Moments{to_float(m[i]), to_float(v[i])}, random);
      m[i] = rounded<M>(a, out.m, random >> 16);
      v[i] = rounded<M>(a, out.v, mixed(random));
    }
  }
};

template <typename P, typename G>
struct Narrow<P, G, codes> {
  /// A warp for a block of codes: its lanes find the largest together.
  static __device__ inline void run(const NarrowArgs& a, int t, unsigned block, float scale) {
    constexpr int kEach = kCodeBlock / 32;
    const unsigned lane = threadIdx.x & 31u;
    const int columns = a.columns[t];
    const int in_row = code_blocks_of_row(columns);
    const long long all = a.size[t] / columns * in_row;
    P* const p = static_cast<P*>(a.param[t]);
    const G* const g = static_cast<const G*>(a.grad[t]);
    signed char* const m = static_cast<signed char*>(a.exp_avg[t]);
    unsigned char* const v = static_cast<unsigned char*>(a.exp_avg_sq[t]);
    constexpr int kBlocks = kBlockElements / kCodeBlock;
    for (unsigned k = threadIdx.x >> 5; k < kBlocks; k += blockDim.x >> 5) {
      const long long at = static_cast<long long>(block) * kBlocks + k;
      if (at >= all) break;
      const int in = static_cast<int>(at % in_row);
      const int column = code_block_start(columns, in);
      const long long start = at / in_row * columns + column;
      const int count = code_block_start(columns, in + 1) - column;
      const float m_scale = a.scale[t][at], v_scale = a.sq_scale[t][at];
      Moments out[kEach];
      float m_most = 0.f, v_most = 0.f;
#pragma unroll
      for (int j = 0; j < kEach; ++j) {
        out[j] = {0.f, 0.f};
        const int i = static_cast<int>(lane) + 32 * j;
        if (i >= count) continue;
        const long long e = start + i;
        const unsigned random = random_of(a.key[t], a.offset[t] + static_cast<unsigned>(e));
        const Moments old{from_code<true>(m, e) * m_scale, from_code<false>(v, e) * v_scale};
        out[j] = narrow_step(a, scale, p + e, to_float(g[e]), old, random);
        m_most = fmaxf(m_most, fabsf(out[j].m));
        v_most = fmaxf(v_most, out[j].v);
      }
      for (int offset = 16; offset > 0; offset >>= 1) {
        m_most = fmaxf(m_most, __shfl_xor_sync(kAllLanes, m_most, offset));
        v_most = fmaxf(v_most, __shfl_xor_sync(kAllLanes, v_most, offset));
      }
      const float m_to = to_codes<true>(m_most), v_to = to_codes<false>(v_most);
#pragma unroll
      for (int j = 0; j < kEach; ++j) {
        const int i = static_cast<int>(lane) + 32 * j;
        if (i >= count) continue;
        const int code = encoded<true>(fabsf(out[j].m) * m_to);
        m[start + i] = static_cast<signed char>(out[j].m < 0.f ? -code : code);
        v[start + i] = static_cast<unsigned char>(encoded<false>(out[j].v * v_to));
      }
      if (lane == 0) {
        a.scale[t][at] = m_most;
        a.sq_scale[t][at] = v_most;
      }
    }
  }
};

/// P, G and M: types of parameters, gradients and moments.
template <typename P, typename G, typename M>
__device__ inline void adamw_narrow(const NarrowArgs& a) {
  const int t = tensor_of_block(a.first_block, a.count);
  const float scale = a.grad_scale == nullptr ? a.sign : a.sign * *a.grad_scale;
  Narrow<P, G, M>::run(a, t, blockIdx.x - a.first_block[t], scale);
}
