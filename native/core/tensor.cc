// Tensors seen from TypeScript: making them from JavaScript's memory, reading them, their metadata and storage.
#include "functions.h"

#include <ATen/ATen.h>
#include <torch/version.h>

namespace torchforge {

napi_value tensorMeta(Env& env) {
  return guarded(env.napi, "tensor", [&]() -> napi_value {
    Reader in(env);
    const at::Tensor t = in.tensor("tensor");
    Writer out(env);
    out.number(static_cast<double>(t.scalar_type()));
    out.number(static_cast<double>(t.device().type()));
    out.number(t.device().index());
    out.number(static_cast<double>(t.layout()));
    const bool strided = t.layout() == c10::kStrided;
    out.number((t.requires_grad() ? 1 : 0) | (t.is_leaf() ? 2 : 0) | (strided && t.is_contiguous() ? 4 : 0) |
               (t.is_inference() ? 8 : 0) | (t.is_conj() ? 16 : 0) | (t.is_neg() ? 32 : 0));
    out.number(static_cast<double>(t.dim()));
    for (int64_t size : t.sizes()) out.number(static_cast<double>(size));
    for (int64_t i = 0; i < t.dim(); ++i) out.number(strided ? static_cast<double>(t.stride(i)) : 0);
    out.number(strided ? static_cast<double>(t.storage_offset()) : 0);
    out.number(static_cast<double>(t.numel()));
    out.number(static_cast<double>(t.element_size()));
    return nullptr;
  });
}

napi_value tensorItem(Env& env) {
  return guarded(env.napi, "item", [&]() -> napi_value {
    Reader in(env);
    const at::Tensor t = in.tensor("self");
    TORCH_CHECK(!t.is_complex(), "item() of a complex tensor: take t.real().item() and t.imag().item()");
    Writer(env).scalar(t.item());
    return nullptr;
  });
}

// from(data: ArrayBufferView, share: boolean); buffer: dtype, dims. The data's bytes are the tensor's, in C order.
napi_value tensorFrom(Env& env, napi_value data, bool share) {
  return guarded(env.napi, "fromTypedArray", [&]() -> napi_value {
    Reader in(env);
    const auto type = static_cast<at::ScalarType>(in.integer());
    const size_t dims = in.count();
    std::vector<int64_t> sizes(dims);
    int64_t elements = 1;
    for (auto& size : sizes) {
      size = in.integer();
      TORCH_CHECK(size >= 0 && size < (int64_t{1} << 40), "a dimension of size ", size);
      TORCH_CHECK(!__builtin_mul_overflow(elements, size, &elements) && elements < (int64_t{1} << 40), "too many elements");
    }
    TORCH_CHECK(static_cast<int>(type) >= 0 && type < at::ScalarType::NumOptions, "unknown dtype");
    void* bytes = nullptr;
    size_t length = 0;
    napi_value arraybuffer = nullptr;
    bool isTyped = false, isData = false;
    napi_is_typedarray(env.napi, data, &isTyped);
    napi_is_dataview(env.napi, data, &isData);
    if (isTyped) {
      napi_typedarray_type kind;
      size_t offset, count;
      checkNapi(napi_get_typedarray_info(env.napi, data, &kind, &count, &bytes, &arraybuffer, &offset), "typedarray_info");
      constexpr size_t widths[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 2};
      TORCH_CHECK(static_cast<size_t>(kind) < std::size(widths), "unknown typed array");
      length = count * widths[kind];
    } else if (isData) {
      size_t offset;
      checkNapi(napi_get_dataview_info(env.napi, data, &length, &bytes, &arraybuffer, &offset), "dataview_info");
    } else {
      throw std::runtime_error("expected a typed array");
    }
    const auto options = at::TensorOptions().dtype(type);
    const size_t needed = static_cast<size_t>(elements) * c10::elementSize(type);
    TORCH_CHECK(length == needed, "shape ", at::IntArrayRef(sizes), " of ", c10::toString(type), " needs ", needed,
                " bytes, the data has ", length);
    at::Tensor tensor;
    if (share && needed > 0) {
      TORCH_CHECK(reinterpret_cast<size_t>(bytes) % c10::elementSize(type) == 0, "the data isn't aligned for ", c10::toString(type));
      napi_ref ref;
      checkNapi(napi_create_reference(env.napi, arraybuffer, 1, &ref), "create_reference");
      tensor = at::from_blob(bytes, sizes, [dead = env.deadReferences, ref](void*) { dead->add(ref); }, options);
      tensor.storage().unsafeGetStorageImpl()->set_resizable(false);
    } else {
      tensor = at::empty(sizes, options);
      if (needed > 0) std::memcpy(tensor.mutable_data_ptr(), bytes, needed);
    }
    Writer(env).tensor(std::move(tensor));
    return nullptr;
  });
}

// Some gradients are tensors of zeros that have no memory.
static at::Tensor withMemory(const at::Tensor& t) { return t._is_zerotensor() ? t.clone() : t; }

// The tensor's memory as an ArrayBuffer, without a copy: writes on one side show on the other.
napi_value tensorBytes(Env& env) {
  napi_value result = nullptr;
  napi_value error = guarded(env.napi, "toTypedArray", [&]() -> napi_value {
    Reader in(env);
    const at::Tensor t = withMemory(in.tensor("self"));
    TORCH_CHECK(t.device().is_cpu() && t.layout() == c10::kStrided && t.is_contiguous(), "expected a contiguous CPU tensor");
    TORCH_CHECK(!t.is_conj() && !t.is_neg(), "expected a tensor without lazy conjugation or negation");
    const size_t bytes = t.nbytes();
    if (bytes == 0) {
      void* unused;
      checkNapi(napi_create_arraybuffer(env.napi, 0, &unused, &result), "create_arraybuffer");
      return nullptr;
    }
    // As PyTorch does for numpy(): storage that JavaScript sees may not move.
    t.storage().unsafeGetStorageImpl()->set_resizable(false);
    // The storage, not the tensor: set_() can give a tensor other storage.
    auto* kept = new c10::Storage(t.storage());
    const napi_status status = napi_create_external_arraybuffer(
        env.napi, t.mutable_data_ptr(), bytes, [](napi_env, void*, void* hint) { delete static_cast<c10::Storage*>(hint); }, kept, &result);
    if (status != napi_ok) {
      delete kept;
      checkNapi(status, "create_external_arraybuffer");
    }
    return nullptr;
  });
  return error != nullptr ? error : result;
}

// Copies bytes of JavaScript into a contiguous CPU tensor (toTensor) or out of it; buffer: handle, byte offset in it.
napi_value tensorCopyBytes(Env& env, napi_value data, bool toTensor) {
  return guarded(env.napi, "copyBytes", [&]() -> napi_value {
    Reader in(env);
    const at::Tensor t = toTensor ? in.tensor("self") : withMemory(in.tensor("self"));
    TORCH_CHECK(!t._is_zerotensor(), "expected a tensor with memory: this one of zeros has none, take clone()");
    const int64_t offset = in.integer();
    TORCH_CHECK(t.device().is_cpu() && t.layout() == c10::kStrided && t.is_contiguous(), "expected a contiguous CPU tensor");
    void* bytes;
    size_t length, start;
    napi_typedarray_type kind;
    napi_value arraybuffer;
    checkNapi(napi_get_typedarray_info(env.napi, data, &kind, &length, &bytes, &arraybuffer, &start), "typedarray_info");
    TORCH_CHECK(kind == napi_uint8_array, "expected a Uint8Array");
    TORCH_CHECK(offset >= 0 && static_cast<size_t>(offset) + length <= t.nbytes(), "bytes ", offset, " to ",
                offset + static_cast<int64_t>(length), " of a tensor of ", t.nbytes(), " bytes");
    if (length == 0) return nullptr;
    auto* mine = static_cast<char*>(t.mutable_data_ptr()) + offset;
    if (toTensor) {
      std::memcpy(mine, bytes, length);
      t.unsafeGetTensorImpl()->bump_version();
    } else {
      std::memcpy(bytes, mine, length);
    }
    return nullptr;
  });
}

// Stands in for the memory of a storage that was resized to nothing: how large it was. Tensors that look at the storage
// count on that size, so less than that would let them read beyond it.
struct Emptied {
  size_t bytes;
  static void drop(void* context) { delete static_cast<Emptied*>(context); }
};

#if TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < 13
// These can mark a storage and not take it back: the flag is private, and an explicit instantiation may name it.
template <bool c10::StorageImpl::*flag>
struct Unmark {
  friend void unmark(c10::StorageImpl& storage) { storage.*flag = false; }
};
void unmark(c10::StorageImpl& storage);
template struct Unmark<&c10::StorageImpl::throw_on_immutable_data_ptr_>;
#else
static void unmark(c10::StorageImpl& storage) { storage.clear_data_ptr_access_error_msg_(); }
#endif

// Operators read an emptied storage's null pointer unless the storage says that it has none: then they raise an error.
static void markEmptied(c10::StorageImpl* storage, bool emptied) {
  if (!emptied) return unmark(*storage);
  storage->release_data_and_set_meta_custom_data_ptr_error_msg_(
      "this tensor has no memory: its storage was resized to 0 bytes (storage.resize_); resize it back before using it");
}

napi_value storageResize(Env& env) {
  return guarded(env.napi, "storageResize", [&]() -> napi_value {
    Reader in(env);
    const at::Tensor t = in.tensor("self");
    const int64_t bytes = in.integer();
    TORCH_CHECK(bytes >= 0, "expected a size of 0 or more bytes, found ", bytes);
    c10::StorageImpl* storage = t.storage().unsafeGetStorageImpl();
    TORCH_CHECK(storage->resizable(), "this storage can't be resized: its memory is shared with JavaScript (toTypedArray) or not owned");
    const size_t now = storage->nbytes(), wanted = static_cast<size_t>(bytes);
    if (wanted == now) return nullptr;
    TORCH_CHECK(storage->allocator() != nullptr, "this storage can't be resized: libtorch doesn't own its memory");
    if (wanted == 0) {
      auto* before = new Emptied{now};
      storage->set_data_ptr_noswap(c10::DataPtr(nullptr, before, &Emptied::drop, storage->device()));
      storage->set_nbytes(0);
      markEmptied(storage, true);
      return nullptr;
    }
    if (now == 0) markEmptied(storage, false);
    const auto* emptied = storage->data_ptr().cast_context<Emptied>(&Emptied::drop);
    const size_t least = emptied != nullptr ? emptied->bytes : now;
    if (wanted < least && emptied != nullptr) markEmptied(storage, true);
    TORCH_CHECK(wanted >= least, "a storage of ", least, " bytes can be resized to 0 or to at least as many bytes, not to ", wanted,
                ": tensors that share it would reach beyond it");
    TORCH_CHECK(now == 0 || t.device().is_cpu(), "on ", t.device(), " a storage can only be resized to or from 0 bytes");
    c10::DataPtr fresh;
    try {
      fresh = storage->allocator()->allocate(wanted);
    } catch (...) {
      if (emptied != nullptr) markEmptied(storage, true);
      throw;
    }
    if (now > 0) std::memcpy(fresh.get(), storage->data(), now);
    storage->set_data_ptr_noswap(std::move(fresh));
    storage->set_nbytes(wanted);
    return nullptr;
  });
}

napi_value storageInfo(Env& env) {
  return guarded(env.napi, "storage", [&]() -> napi_value {
    Reader in(env);
    const at::Tensor t = in.tensor("self");
    const c10::Storage storage = t.storage();
    Writer out(env);
    out.number(static_cast<double>(storage.nbytes()));
    out.number(static_cast<double>(reinterpret_cast<uintptr_t>(storage.unsafeGetStorageImpl())));
    out.number(static_cast<double>(storage.use_count()));
    return nullptr;
  });
}

}  // namespace torchforge
