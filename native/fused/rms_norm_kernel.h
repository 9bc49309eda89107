// The row loops shared by forge::rms_norm and forge::add_rms_norm: forward and backward of
//   y = x / sqrt(mean(x^2) + eps) * weight      (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467)
// with statistics and products in fp32 (fp64 for doubles) and one rounding at the end. Not registered here.
#pragma once

#include "fused.h"

#include <cmath>

namespace forge::rms {

/// Reciprocal root of the mean square of a row.
template <typename T>
inline Acc<T> reciprocal_rms(const T* x, int64_t n, double eps) {
  Wide<T> a, b;
  constexpr int64_t w = Wide<T>::size;
  int64_t i = 0;
  for (; i + 2 * w <= n; i += 2 * w) {
    const auto u = Wide<T>::load(x + i);
    const auto v = Wide<T>::load(x + i + w);
    a = fma(u, u, a);
    b = fma(v, v, b);
  }
  each<T>(n - i, [&](int64_t j, auto k) {
    const auto u = load(x + i + j, k);
    a = fma(u, u, a);
  });
  const auto mean = (a + b).sum() / static_cast<Acc<T>>(n);
  return static_cast<Acc<T>>(1) / std::sqrt(mean + static_cast<Acc<T>>(eps));
}

/// y = x * rstd * weight (weight may be null)
template <typename T>
inline void scale_row(const T* x, const T* weight, Acc<T> rstd, T* y, int64_t n) {
  const Wide<T> r(rstd);
  if (weight) {
    each<T>(n, [&](int64_t i, auto k) { store(load(x + i, k) * r * load(weight + i, k), y + i, k); });
  } else {
    each<T>(n, [&](int64_t i, auto k) { store(load(x + i, k) * r, y + i, k); });
  }
}

/// dx = extra + rstd * (g*w - xhat * mean(g*w*xhat)) and dweight += g * xhat, where xhat = x * rstd.
/// `extra` (the gradient that reaches x past the norm), `weight`, `dx` and `dweight` may each be null.
template <bool kWeight, bool kExtra, bool kInput, bool kParam, typename T>
inline void backward_row(const T* g, const T* x, const T* weight, const T* extra, Acc<T> rstd, T* dx, Acc<T>* dweight,
                         int64_t n) {
  const Wide<T> r(rstd);
  const auto weighted = [&](int64_t i, auto k) {
    if constexpr (kWeight) return load(g + i, k) * load(weight + i, k);
    return load(g + i, k);
  };
  Wide<T> shift;  // -rstd * mean(g*w*xhat), to be added as a multiple of xhat
  if constexpr (kInput) {
    Wide<T> dot;
    each<T>(n, [&](int64_t i, auto k) { dot = fma(weighted(i, k), load(x + i, k), dot); });
    shift = Wide<T>(-rstd * rstd * dot.sum() / static_cast<Acc<T>>(n));
  }
  each<T>(n, [&](int64_t i, auto k) {
    const auto xhat = load(x + i, k) * r;
    if constexpr (kInput) {
      auto d = fma(weighted(i, k), r, shift * xhat);
      if constexpr (kExtra) d = d + load(extra + i, k);
      store(d, dx + i, k);
    }
    if constexpr (kParam) store_acc<T>(fma(load(g + i, k), xhat, load_acc<T>(dweight + i, k)), dweight + i, k);
  });
}

template <bool... kBound, typename F>
inline void with_flags(const F& f) {
  f.template operator()<kBound...>();
}
/// Turns run-time booleans into template arguments.
template <bool... kBound, typename F, typename... Rest>
inline void with_flags(const F& f, bool first, Rest... rest) {
  if (first) {
    with_flags<kBound..., true>(f, rest...);
  } else {
    with_flags<kBound..., false>(f, rest...);
  }
}

/// What an entry checks before a kernel may run.
inline void check(const char* name, const Tensor& x, const Tensor& weight) {
  TORCH_CHECK(x.dim() >= 1 && x.is_floating_point(), name,
              ": expected a floating-point tensor of at least 1 dimension, found ", x.scalar_type(), " of shape ",
              x.sizes());
  if (!weight.defined()) return;
  TORCH_CHECK(weight.dim() == 1 && weight.size(0) == x.size(-1), name, ": expected a weight of shape [", x.size(-1),
              "] for an input of shape ", x.sizes(), ", found ", weight.sizes());
  TORCH_CHECK(weight.scalar_type() == x.scalar_type(), name, ": input is ", x.scalar_type(), " but weight is ",
              weight.scalar_type(), "; convert one of them");
  TORCH_CHECK(weight.device() == x.device(), name, ": input is on ", x.device(), " but weight is on ",
              weight.device());
}

/// Gradients of input and weight on the CPU; those not asked for come back undefined.
inline std::tuple<Tensor, Tensor> backward_cpu(const Tensor& grad, const Tensor& x, const Tensor& rstd,
                                               const Tensor& weight, const Tensor& extra, bool need_input,
                                               bool need_weight) {
  Tensor dx, dweight;
  const Rows g(grad), in(x);
  const auto n = in.size;
  if (need_input) dx = at::empty(x.sizes(), x.options());
  std::optional<Rows> past;
  if (extra.defined()) past.emplace(extra);
  const auto w = weight.defined() ? weight.contiguous() : Tensor();
  const auto r = rstd.contiguous();
  FORGE_FLOATING(x.scalar_type(), "rms_norm_backward", [&] {
    using A = Acc<scalar_t>;
    const auto threads = at::get_num_threads();
    // one row of partial sums a thread, padded so that no two threads share a cache line
    const int64_t padded = (n + 31) / 32 * 32;
    std::vector<A> partial(need_weight ? threads * padded : 0, A(0));
    const auto* rp = r.const_data_ptr<A>();
    const auto* wp = w.defined() ? w.const_data_ptr<scalar_t>() : nullptr;
    auto* dxp = need_input ? dx.mutable_data_ptr<scalar_t>() : nullptr;
    at::parallel_for(0, in.count, rows_grain(n), [&](int64_t begin, int64_t end) {
      auto* dw = need_weight ? partial.data() + at::get_thread_num() * padded : nullptr;
      with_flags(
          [&]<bool kWeight, bool kExtra, bool kInput, bool kParam>() {
            for (auto i = begin; i < end; ++i) {
              backward_row<kWeight, kExtra, kInput, kParam>(
                  g.row<scalar_t>(i), in.row<scalar_t>(i), wp, kExtra ? past->row<scalar_t>(i) : nullptr, rp[i],
                  kInput ? dxp + i * n : nullptr, dw, n);
            }
          },
          wp != nullptr, past.has_value(), need_input, need_weight);
    });
    if (need_weight) {
      dweight = at::empty({n}, x.options());
      auto* out = dweight.mutable_data_ptr<scalar_t>();
      each<scalar_t>(n, [&](int64_t i, auto k) {
        Wide<scalar_t> total;
        for (const auto t : c10::irange(threads)) {
          total = total + load_acc<scalar_t>(partial.data() + t * padded + i, k);
        }
        store(total, out + i, k);
      });
    }
  });
  return {dx, dweight};
}

}  // namespace forge::rms
