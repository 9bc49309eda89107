// Lists of tensors in as few launches as their arguments allow.
#pragma once

#include "kernels/args.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

namespace forge::cuda {

inline int64_t blocks_of(const at::Tensor& t) {
  return (t.numel() + kBlockElements - 1) / kBlockElements;
}

/// Calls `fill(slot, index)` for each tensor that isn't empty and `flush(count, blocks)` for each full launch. Sets sizes and first
/// blocks.
/// @param blocks_of_tensor how many blocks a tensor takes
template <int kMost, typename Args, typename Fill, typename Flush, typename Blocks = int64_t (*)(const at::Tensor&)>
void in_launches(at::TensorList tensors, Args& args, const Fill& fill, const Flush& flush, const Blocks& blocks_of_tensor = blocks_of) {
  int slot = 0;
  int64_t blocks = 0;
  const auto end = [&] {
    args.count = slot;
    if (slot > 0) flush(blocks);
    slot = 0;
    blocks = 0;
  };
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].numel() == 0) continue;
    args.size[slot] = tensors[i].numel();
    args.first_block[slot] = static_cast<unsigned>(blocks);
    fill(slot, i);
    blocks += blocks_of_tensor(tensors[i]);
    if (++slot == kMost) end();
  }
  end();
}

}  // namespace forge::cuda
