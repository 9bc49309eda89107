// forge::sum_of_squares, forge::grad_norm, forge::clip_grad_norm_ and forge::clip_coefficient: the global 2-norm of a
// list of tensors in one pass, squares summed in fp64 in an order that doesn't depend on the number of threads, and
// clipping by it as torch.nn.utils.clip_grad_norm_ does: times min(1, max_norm / (norm + 1e-6)).
// A sharded run sums `sum_of_squares` over its ranks, and hands `clip_coefficient` to adamw_ as grad_scale.
#include "tensor_list.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>

namespace forge {
namespace {

void check(at::TensorList tensors) {
  for (const auto i : c10::irange(tensors.size())) {
    TORCH_CHECK(tensors[i].is_floating_point(), "gradient norm: tensor ", i, " is ", tensors[i].scalar_type(),
                ", not floating point");
    TORCH_CHECK(tensors[i].device() == tensors[0].device(), "gradient norm: tensors are on ", tensors[0].device(),
                " and ", tensors[i].device(), "; take the sum of squares of each device's, and add them");
  }
}

/// Squares of a stretch in fp64: exact for every finite fp32 number. Eight chains of adds, for the vectorizer.
template <typename T>
double exact_squares(const T* p, int64_t n) {
  constexpr int64_t lanes = 8;
  double sums[lanes] = {};
  const auto square = [&](int64_t i) {
    const auto x = static_cast<double>(static_cast<Acc<T>>(p[i]));
    return x * x;
  };
  const auto whole = n / lanes * lanes;
  for (int64_t i = 0; i < whole; i += lanes) {
    for (int64_t j = 0; j < lanes; ++j) sums[j] += square(i + j);
  }
  double total = 0;
  for (int64_t j = 0; j < n - whole; ++j) total += square(whole + j);
  for (const auto sum : sums) total += sum;
  return total;
}

/// Squares of a stretch: blocks in the accumulation type, their sums in fp64. A block whose sum is out of the range in
/// which fp32 squares are good (a gradient of 1e25 must not make the norm infinite) is done again in fp64.
template <typename T>
double squares(const T* p, int64_t n) {
  constexpr int64_t block = 8192;
  constexpr int64_t page = 1024;
  constexpr int64_t w = Wide<T>::size;
  double total = 0;
  int64_t i = 0;
  for (; i + block <= n; i += block) {
    Wide<T> a, b;
    // The processor's own prefetching ends at each page of memory: this fetches the start of the one after the next.
    for (auto start = i; start < i + block; start += page) {
      __builtin_prefetch(p + start + 2 * page);
#pragma GCC unroll 1
      for (auto j = start; j < start + page; j += 2 * w) {
        const auto u = Wide<T>::load(p + j);
        const auto v = Wide<T>::load(p + j + w);
        a = fma(u, u, a);
        b = fma(v, v, b);
      }
    }
    const double sum = (a + b).sum();
    total += (sum > 1e-20 && sum < 1e37) ? sum : exact_squares(p + i, block);
  }
  return total + exact_squares(p + i, n - i);
}

double total_cpu(at::TensorList tensors) {
  check(tensors);
  std::vector<Tensor> dense;
  dense.reserve(tensors.size());
  for (const auto& t : tensors) dense.push_back(is_dense(t) ? t : t.contiguous());
  const auto chunks = chunks_of(dense);
  std::vector<double> sums(chunks.size());
  for_chunks(chunks, [&](int64_t i) {
    const auto& c = chunks[i];
    const auto& t = dense[c.tensor];
    FORGE_FLOATING(t.scalar_type(), "sum_of_squares",
                   [&] { sums[i] = squares(t.const_data_ptr<scalar_t>() + c.start, c.size); });
  });
  double total = 0;
  for (const auto s : sums) total += s;
  return total;
}

Tensor scalar(double value, at::ScalarType type) {
  return at::full({}, value, at::TensorOptions().dtype(type));
}

Tensor sum_of_squares_cpu(at::TensorList tensors) {
  return scalar(total_cpu(tensors), at::kDouble);
}

Tensor grad_norm_cpu(at::TensorList tensors) {
  return scalar(std::sqrt(total_cpu(tensors)), at::kFloat);
}

constexpr double kEps = 1e-6;

template <typename T>
void scale(T* p, int64_t n, double factor) {
  const Wide<T> f(static_cast<Acc<T>>(factor));
  each<T>(n, [&](int64_t i, auto k) { store(load(p + i, k) * f, p + i, k); });
}

Tensor clip_grad_norm_cpu(at::TensorList grads, double max_norm) {
  const auto norm = std::sqrt(total_cpu(grads));
  const auto factor = max_norm / (norm + kEps);
  if (!(factor >= 1)) {  // also when it is NaN: clipping passes NaN on, as PyTorch's does
    bool dense = true;
    for (const auto& g : grads) dense = dense && is_dense(g);
    if (dense) {
      const auto chunks = chunks_of(grads);
      for_chunks(chunks, [&](int64_t i) {
        const auto& c = chunks[i];
        FORGE_FLOATING(grads[c.tensor].scalar_type(), "clip_grad_norm_", [&] {
          scale(grads[c.tensor].mutable_data_ptr<scalar_t>() + c.start, c.size, factor);
        });
      });
      for (const auto& g : grads) wrote_to(g);
    } else {
      at::_foreach_mul_(grads, factor);
    }
  }
  return scalar(norm, at::kFloat);
}

Tensor sum_of_squares_composite(at::TensorList tensors) {
  check(tensors);
  if (tensors.empty()) return scalar(0, at::kDouble);
  const auto type = tensors[0].scalar_type();
  if (std::all_of(tensors.begin(), tensors.end(), [&](const Tensor& t) { return t.scalar_type() == type; })) {
    // All norms in a few launches, where the device has many tensors in one.
    return at::stack(at::_foreach_norm(tensors, 2, acc_type(type))).to(at::kDouble).square().sum();
  }
  std::vector<Tensor> sums;
  sums.reserve(tensors.size());
  for (const auto& t : tensors) sums.push_back(t.to(acc_type(t.scalar_type())).square().sum(at::kDouble));
  return at::stack(sums).sum();
}

Tensor call_sum_of_squares(at::TensorList tensors) {
  static const auto handle = op<Tensor(at::TensorList)>("forge::sum_of_squares");
  return tensors.empty() ? sum_of_squares_composite(tensors) : handle.call(tensors);
}

Tensor grad_norm_composite(at::TensorList tensors) {
  return call_sum_of_squares(tensors).sqrt().to(at::kFloat);
}

Tensor clip_coefficient(const Tensor& norm, double max_norm) {
  return (max_norm / (norm + kEps)).clamp_max(1.0);
}

Tensor clip_grad_norm_composite(at::TensorList grads, double max_norm) {
  at::NoGradGuard no_grad;
  const auto norm = call_sum_of_squares(grads).sqrt().to(at::kFloat);
  if (!grads.empty()) at::_foreach_mul_(grads, clip_coefficient(norm, max_norm));
  return norm;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def("sum_of_squares(Tensor[] tensors) -> Tensor");
  m.def("grad_norm(Tensor[] tensors) -> Tensor");
  m.def("clip_coefficient(Tensor norm, float max_norm) -> Tensor");
  m.def("clip_grad_norm_(Tensor(a!)[] grads, float max_norm) -> Tensor");
}
TORCH_LIBRARY_IMPL(forge, CPU, m) {
  m.impl("sum_of_squares", sum_of_squares_cpu);
  m.impl("grad_norm", grad_norm_cpu);
  m.impl("clip_grad_norm_", clip_grad_norm_cpu);
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  m.impl("sum_of_squares", sum_of_squares_composite);
  m.impl("grad_norm", grad_norm_composite);
  m.impl("clip_coefficient", clip_coefficient);
  m.impl("clip_grad_norm_", clip_grad_norm_composite);
}

}  // namespace forge
