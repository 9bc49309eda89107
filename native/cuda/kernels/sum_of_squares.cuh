// The sum of squares of each block's part of many tensors, in fp64: exact for every finite fp32 number.
#pragma once

#include "common.cuh"

template <typename T>
__device__ inline void sum_of_squares(const SquaresArgs& a) {
  constexpr int N = 8;
  const int t = tensor_of_block(a.first_block, a.count);
  const long long start = static_cast<long long>(blockIdx.x - a.first_block[t]) * kBlockElements;
  const long long rest = a.size[t] - start;
  const int count = rest < kBlockElements ? static_cast<int>(rest) : kBlockElements;
  const T* const data = static_cast<const T*>(a.data[t]) + start;
  const int whole = is_aligned(data) ? count / N * N : 0;
  double sum = 0;
  for (int i = threadIdx.x * N; i < whole; i += blockDim.x * N) {
    float x[N];
    load<N>(data + i, x);
#pragma unroll
    for (int j = 0; j < N; ++j) sum += static_cast<double>(x[j]) * static_cast<double>(x[j]);
  }
  for (int i = whole + threadIdx.x; i < count; i += blockDim.x) {
    const double x = to_float(data[i]);
    sum += x * x;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) a.partial[blockIdx.x] = sum;
}
