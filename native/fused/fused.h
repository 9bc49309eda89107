// Shared by the fused operators: wide loads and stores that compute in fp32 (fp64 for doubles), row views of
// strided tensors, and the glue of autograd. Not an operator itself, and nothing in it is seen from TypeScript.
// Kernels assume what the operator's entry has checked: same device, matching shapes, a last dimension of stride 1.
#pragma once

#include "../cpu_capability.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/SmallVector.h>
#include <c10/util/irange.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace forge {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The type that a kernel computes in: fp32 for fp32, bf16 and fp16; fp64 for fp64.
template <typename T>
using Acc = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// What `Acc` is, as a dtype.
inline at::ScalarType acc_type(at::ScalarType t) {
  return t == at::kDouble ? at::kDouble : at::kFloat;
}

/// Whether tensors without memory (device meta) stand for the CPU's: see meta.cc.
bool meta_is_cpu();

/// exp within 1.2 units in the last place (Cephes' polynomial), inlined: faster than a call of libtorch's exact one, and
/// an order of magnitude closer than its `exp_u20`. Results below 2^-125 are zero; NaN stays NaN.
inline at::vec::Vectorized<float> exp_of(const at::vec::Vectorized<float>& x) {
  using V = at::vec::Vectorized<float>;
  const V low(-86.64f), high(88.72283f);
  const auto c = at::vec::maximum(at::vec::minimum(x, high), low);
  const auto n = (c * V(1.44269504f)).round();
  const auto r = at::vec::fmadd(n, V(2.12194440e-4f), at::vec::fmadd(n, V(-0.693359375f), c));
  auto y = at::vec::fmadd(r, V(1.9875691500e-4f), V(1.3981999507e-3f));
  y = at::vec::fmadd(y, r, V(8.3334519073e-3f));
  y = at::vec::fmadd(y, r, V(4.1665795894e-2f));
  y = at::vec::fmadd(y, r, V(1.6666665459e-1f));
  y = at::vec::fmadd(y, r, V(5.0000001201e-1f));
  y = at::vec::fmadd(y, r * r, r + V(1.0f));
  // times 2^n, by its exponent bits; in two steps, because 2^128 has none
  const auto bits = (at::vec::convert_to_int_of_same_size(n) + at::vec::Vectorized<int32_t>(126))
                    << at::vec::Vectorized<int32_t>(23);
  y = y * at::vec::cast<float>(bits) * V(2.0f);
  y = V::blendv(y, V(0.0f), x < low);
  return V::blendv(y, V(std::numeric_limits<float>::infinity()), x > high);
}

inline at::vec::Vectorized<double> exp_of(const at::vec::Vectorized<double>& x) {
  return x.exp();
}

/// NaN where one is.
template <typename A>
inline A larger(A a, A b) {
  return std::isnan(a) || a > b ? a : b;
}

/// Two vectors of the accumulation type, loaded from and stored to any floating type. Two of them, because one
/// vector of bf16 widens to two of fp32 and because two chains of adds hide the latency of one.
template <typename T>
struct Wide {
  using A = Acc<T>;
  using V = at::vec::Vectorized<A>;
  static constexpr int64_t size = 2 * V::size();
  V lo, hi;

  Wide() : lo(A(0)), hi(A(0)) {}
  explicit Wide(A value) : lo(value), hi(value) {}
  Wide(V l, V h) : lo(l), hi(h) {}

  static Wide load(const T* p) {
    if constexpr (std::is_same_v<T, A>) {
      return {V::loadu(p), V::loadu(p + V::size())};
    } else {
      auto [l, h] = at::vec::convert_to_float<T>(at::vec::Vectorized<T>::loadu(p));
      return {l, h};
    }
  }
  /// The first n elements of p; zeros after them.
  static Wide load(const T* p, int64_t n) {
    T buffer[size];
    std::memset(static_cast<void*>(buffer), 0, sizeof(buffer));
    std::memcpy(static_cast<void*>(buffer), p, n * sizeof(T));
    return load(buffer);
  }
  void store(T* p) const {
    if constexpr (std::is_same_v<T, A>) {
      lo.store(p);
      hi.store(p + V::size());
    } else {
      at::vec::convert_from_float<T>(lo, hi).store(p);
    }
  }
  void store(T* p, int64_t n) const {
    T buffer[size];
    store(buffer);
    std::memcpy(static_cast<void*>(p), buffer, n * sizeof(T));
  }
  A sum() const {
    A buffer[V::size()];
    (lo + hi).store(buffer);
    A total = 0;
    for (const auto i : c10::irange(V::size())) total += buffer[i];
    return total;
  }
  A max() const {
    A buffer[V::size()];
    at::vec::maximum(lo, hi).store(buffer);
    auto best = buffer[0];
    for (const auto b : buffer) best = larger(best, b);
    return best;
  }
  Wide operator+(const Wide& o) const { return {lo + o.lo, hi + o.hi}; }
  Wide operator-(const Wide& o) const { return {lo - o.lo, hi - o.hi}; }
  Wide operator*(const Wide& o) const { return {lo * o.lo, hi * o.hi}; }
  Wide operator/(const Wide& o) const { return {lo / o.lo, hi / o.hi}; }
  Wide exp() const { return {exp_of(lo), exp_of(hi)}; }
  Wide sqrt() const { return {lo.sqrt(), hi.sqrt()}; }
};

/// a * b + c
template <typename T>
inline Wide<T> fma(const Wide<T>& a, const Wide<T>& b, const Wide<T>& c) {
  return {at::vec::fmadd(a.lo, b.lo, c.lo), at::vec::fmadd(a.hi, b.hi, c.hi)};
}

/// Calls `body(offset, count)` for every stretch of `Wide<T>::size` elements of n; count is the full width but for
/// the last. `body` is a generic lambda whose second argument is a compile-time width or a run-time rest.
template <typename T, typename F>
inline void each(int64_t n, const F& body) {
  constexpr int64_t width = Wide<T>::size;
  int64_t i = 0;
  for (; i + width <= n; i += width) body(i, std::integral_constant<int64_t, width>{});
  if (i < n) body(i, n - i);
}

template <typename T, typename N>
inline Wide<T> load(const T* p, N n) {
  if constexpr (std::is_same_v<N, int64_t>) {
    return Wide<T>::load(p, n);
  } else {
    return Wide<T>::load(p);
  }
}

template <typename T, typename N>
inline void store(const Wide<T>& value, T* p, N n) {
  if constexpr (std::is_same_v<N, int64_t>) {
    value.store(p, n);
  } else {
    value.store(p);
  }
}

/// The largest of n numbers, n at least 1; NaN where one is.
template <typename A>
inline A max_of(const A* x, int64_t n) {
  constexpr int64_t width = Wide<A>::size;
  const auto whole = n / width * width;
  auto top = x[n - 1];
  if (whole > 0) {
    auto high = Wide<A>::load(x);
    for (int64_t j = width; j < whole; j += width) {
      const auto v = Wide<A>::load(x + j);
      high = {at::vec::maximum(high.lo, v.lo), at::vec::maximum(high.hi, v.hi)};
    }
    top = larger(top, high.max());
  }
  for (auto j = whole; j < n; ++j) top = larger(top, x[j]);
  return top;
}

/// The same from and to memory that already holds the accumulation type.
template <typename T, typename N>
inline Wide<T> load_acc(const Acc<T>* p, N n) {
  const auto v = load(p, n);
  return {v.lo, v.hi};
}
template <typename T, typename N>
inline void store_acc(const Wide<T>& value, Acc<T>* p, N n) {
  store(Wide<Acc<T>>(value.lo, value.hi), p, n);
}

/// A tensor seen as rows of a contiguous last dimension with one stride between them. Copies only a tensor whose
/// leading dimensions can't be walked with one stride.
struct Rows {
  Tensor tensor;
  int64_t count = 0;
  int64_t size = 0;
  int64_t stride = 0;

  explicit Rows(const Tensor& t) : tensor(t) {
    TORCH_CHECK(t.dim() >= 1, "expected a tensor of at least 1 dimension, found a scalar");
    size = t.size(-1);
    count = size == 0 ? 0 : t.numel() / size;
    stride = size;
    if (t.is_contiguous()) return;
    if (collapse()) return;
    tensor = t.contiguous();
    stride = size;
  }
  template <typename T>
  const T* row(int64_t i) const {
    return static_cast<const T*>(tensor.const_data_ptr()) + i * stride;
  }

 private:
  bool collapse() {
    if (size > 1 && tensor.stride(-1) != 1) return false;
    bool first = true;
    int64_t expected = 0;
    for (int64_t d = tensor.dim() - 2; d >= 0; --d) {
      if (tensor.size(d) == 1) continue;
      if (first) {
        stride = tensor.stride(d);
        first = false;
      } else if (tensor.stride(d) != expected) {
        return false;
      }
      expected = tensor.stride(d) * tensor.size(d);
    }
    return true;
  }
};

/// Elements of work below which a second thread costs more than it brings; libtorch uses the same number.
constexpr int64_t kGrain = 32768;

inline int64_t rows_grain(int64_t row_size) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, row_size));
}

/// The operator `forge::name` with the signature F, looked up once by each call site.
template <typename F>
inline c10::TypedOperatorHandle<F> op(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<F>();
}

inline bool wants_grad(const Tensor& t) {
  return t.defined() && t.requires_grad();
}

}  // namespace forge

/// Instantiates the body for the floating type of a tensor: fp64, fp32, bf16 or fp16, under the name `scalar_t`.
#define FORGE_FLOATING(TYPE, NAME, ...) \
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, TYPE, NAME, __VA_ARGS__)
