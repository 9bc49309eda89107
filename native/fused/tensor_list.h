// Work on a list of tensors as one long array cut into chunks of a fixed size, so that threads share big and small
// tensors evenly and a reduction's order depends on neither. Shared by the optimizer and the gradient norm.
#pragma once

#include "fused.h"

namespace forge {

/// Elements that one task handles: large enough to pay for its start, small enough to share out.
constexpr int64_t kChunk = 16384;

struct Chunk {
  int64_t tensor;
  int64_t start;
  int64_t size;
};

inline std::vector<Chunk> chunks_of(at::TensorList tensors) {
  std::vector<Chunk> chunks;
  for (const auto t : c10::irange(tensors.size())) {
    const auto n = tensors[t].numel();
    for (int64_t start = 0; start < n; start += kChunk) {
      chunks.push_back({static_cast<int64_t>(t), start, std::min(kChunk, n - start)});
    }
  }
  return chunks;
}

/// Runs `f(chunk index)` for all chunks, in threads when there are several.
template <typename F>
inline void for_chunks(const std::vector<Chunk>& chunks, const F& f) {
  at::parallel_for(0, static_cast<int64_t>(chunks.size()), kGrain / kChunk, [&](int64_t begin, int64_t end) {
    for (auto i = begin; i < end; ++i) f(i);
  });
}

/// Whether every element of memory between the first and the last belongs to the tensor, in some order.
inline bool is_dense(const Tensor& t) {
  return t.is_non_overlapping_and_dense();
}

/// In-place kernels say themselves that they wrote, so that autograd finds stale saved tensors.
inline void wrote_to(const Tensor& t) {
  if (!t.is_inference()) t.unsafeGetTensorImpl()->bump_version();
}

}  // namespace forge
