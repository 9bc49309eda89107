// How kernels take rows: data of tensors, and whether packs of several elements may be read from them.
#pragma once

#include "../fused/fused.h"
#include "runtime.h"

#include <initializer_list>

namespace forge::cuda {

/// A tensor's memory, null for one that isn't defined. (libtorch's typed accessors refuse meta tensors.)
template <typename T = void>
T* data(const at::Tensor& t) {
  return t.defined() ? static_cast<T*>(t.mutable_data_ptr()) : nullptr;
}

/// Elements of a pack: what bf16 reads with 16 bytes.
constexpr int kPack = 8;

inline bool is_aligned(const at::Tensor& t) {
  return !t.defined() || reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0;
}

/// Whether each row starts where a pack may.
inline bool is_aligned(const Rows& rows) {
  return is_aligned(rows.tensor) && (rows.count <= 1 || rows.stride * rows.tensor.element_size() % 16 == 0);
}

inline int64_t whole_warps(int64_t threads) {
  return std::max<int64_t>(1, (threads + 31) / 32) * 32;
}

/// Whether kernels have this type, and rows of this length.
inline bool has_type(const at::Tensor& t) {
  return type_name(t.scalar_type()) != nullptr && t.numel() > 0 && t.size(-1) <= (int64_t{1} << 30);
}

}  // namespace forge::cuda
