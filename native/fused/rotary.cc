// forge::rotary_embedding: rotates pairs (x[i], x[i + R/2]) of each head by position-dependent angles, the half-rotation
// layout of Llama in Transformers (Su et al. 2021, https://arxiv.org/abs/2104.09864):
//   y1 = x1 * cos - x2 * sin;  y2 = x2 * cos + x1 * sin
// Queries and keys in one pass, with no rotated or concatenated temporaries. Backward is the rotation by the negative
// angle and saves nothing but the tables. Tables hold half a head ([P, R/2]); dimensions from R on are copied (partial
// rotary embeddings).
#include "fused.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

namespace forge {
namespace {

using Apply = std::vector<Tensor>(at::TensorList, const Tensor&, const Tensor&, const std::optional<Tensor>&, bool);

struct Shape {
  int64_t batch, tokens, half;
};

Shape check(at::TensorList xs, const Tensor& cos, const Tensor& sin, const std::optional<Tensor>& positions) {
  TORCH_CHECK(!xs.empty(), "rotary_embedding: expected at least one tensor to rotate");
  TORCH_CHECK(cos.dim() == 2 && cos.sizes() == sin.sizes() && cos.device() == sin.device(),
              "rotary_embedding: cos and sin must be two tables of shape [positions, rotary dim / 2], found ",
              cos.sizes(), " and ", sin.sizes());
  const auto& first = xs[0];
  for (const auto& x : xs) {
    TORCH_CHECK(x.dim() == 4 && x.is_floating_point(),
                "rotary_embedding: expected floating-point tensors of shape [batch, tokens, heads, head dim], found ",
                x.scalar_type(), " of shape ", x.sizes());
    TORCH_CHECK(x.size(0) == first.size(0) && x.size(1) == first.size(1) && x.scalar_type() == first.scalar_type() &&
                    x.device() == first.device() && x.device() == cos.device(),
                "rotary_embedding: query and key must agree in batch, tokens, dtype and device, found ",
                first.scalar_type(), " ", first.sizes(), " and ", x.scalar_type(), " ", x.sizes());
    TORCH_CHECK(2 * cos.size(1) <= x.size(3), "rotary_embedding: tables of ", cos.size(1),
                " angles rotate 2x as many dimensions, but the heads have only ", x.size(3));
  }
  if (positions) {
    const auto& p = *positions;
    const bool one_row = p.dim() == 1 || (p.dim() == 2 && p.size(0) == 1);
    TORCH_CHECK((one_row || (p.dim() == 2 && p.size(0) == first.size(0))) && p.size(-1) == first.size(1),
                "rotary_embedding: expected position ids of shape [", first.size(1), "] or [", first.size(0), ", ",
                first.size(1), "], found ", p.sizes());
    TORCH_CHECK(at::isIntegralType(p.scalar_type(), false), "rotary_embedding: position ids must be integers, found ",
                p.scalar_type());
  } else {
    TORCH_CHECK(first.size(1) <= cos.size(0), "rotary_embedding: ", first.size(1),
                " tokens need as many positions, but the tables have ", cos.size(0));
  }
  return {first.size(0), first.size(1), cos.size(1)};
}

template <bool kInverse, typename T>
void rotate(const T* x, T* y, const Acc<T>* cos, const Acc<T>* sin, int64_t half, int64_t dim) {
  each<T>(half, [&](int64_t i, auto k) {
    const auto a = load(x + i, k);
    const auto b = load(x + half + i, k);
    const auto c = load_acc<T>(cos + i, k);
    auto s = load_acc<T>(sin + i, k);
    if constexpr (kInverse) s = Wide<T>() - s;
    store(a * c - b * s, y + i, k);
    store(fma(a, s, b * c), y + half + i, k);
  });
  if (2 * half < dim) std::memcpy(static_cast<void*>(y + 2 * half), x + 2 * half, (dim - 2 * half) * sizeof(T));
}

std::vector<Tensor> apply_cpu(at::TensorList xs, const Tensor& cos, const Tensor& sin,
                              const std::optional<Tensor>& positions, bool inverse) {
  const auto [batch, tokens, half] = check(xs, cos, sin, positions);
  const auto acc = acc_type(xs[0].scalar_type());
  const auto c = cos.to(acc).contiguous();
  const auto s = sin.to(acc).contiguous();
  Tensor ids;
  const int64_t* id = nullptr;
  int64_t id_stride = 0;
  if (positions) {
    ids = positions->to(at::kLong).contiguous();
    id = ids.const_data_ptr<int64_t>();
    id_stride = ids.dim() == 2 && ids.size(0) > 1 ? tokens : 0;
  }
  std::vector<Tensor> in, out;
  int64_t work = 0;
  for (const auto& x : xs) {
    in.push_back(x.stride(3) == 1 || x.size(3) == 1 ? x : x.contiguous());
    out.push_back(at::empty(x.sizes(), x.options()));
    work += x.size(2) * x.size(3);
  }
  const auto limit = c.size(0);
  FORGE_FLOATING(xs[0].scalar_type(), "rotary_embedding", [&] {
    const auto* cp = c.const_data_ptr<Acc<scalar_t>>();
    const auto* sp = s.const_data_ptr<Acc<scalar_t>>();
    at::parallel_for(0, batch * tokens, rows_grain(work), [&](int64_t begin, int64_t end) {
      for (auto i = begin; i < end; ++i) {
        const auto b = i / tokens;
        const auto t = i % tokens;
        const auto p = id ? id[b * id_stride + t] : t;
        TORCH_CHECK_INDEX(p >= 0 && p < limit, "rotary_embedding: position id ", p, " at token ", t,
                          " is outside the tables of ", limit, " positions");
        for (const auto n : c10::irange(in.size())) {
          const auto& x = in[n];
          const auto heads = x.size(2);
          const auto dim = x.size(3);
          const auto* from = static_cast<const scalar_t*>(x.const_data_ptr()) + b * x.stride(0) + t * x.stride(1);
          auto* to = static_cast<scalar_t*>(out[n].mutable_data_ptr()) + i * heads * dim;
          for (const auto h : c10::irange(heads)) {
            if (inverse) {
              rotate<true>(from + h * x.stride(2), to + h * dim, cp + p * half, sp + p * half, half, dim);
            } else {
              rotate<false>(from + h * x.stride(2), to + h * dim, cp + p * half, sp + p * half, half, dim);
            }
          }
        }
      }
    });
  });
  return out;
}

std::vector<Tensor> apply_composite(at::TensorList xs, const Tensor& cos, const Tensor& sin,
                                    const std::optional<Tensor>& positions, bool inverse) {
  const auto [batch, tokens, half] = check(xs, cos, sin, positions);
  const auto acc = acc_type(xs[0].scalar_type());
  auto c = cos.to(acc);
  auto s = sin.to(acc);
  if (positions) {
    const auto ids = positions->to(at::kLong);
    auto shape = ids.sizes().vec();
    shape.push_back(half);
    c = c.index_select(0, ids.flatten()).reshape(shape);
    s = s.index_select(0, ids.flatten()).reshape(shape);
  } else {
    c = c.narrow(0, 0, tokens);
    s = s.narrow(0, 0, tokens);
  }
  c = c.unsqueeze(-2);
  s = inverse ? -s.unsqueeze(-2) : s.unsqueeze(-2);
  std::vector<Tensor> out;
  for (const auto& x : xs) {
    const auto dim = x.size(3);
    const auto a = x.narrow(3, 0, half).to(acc);
    const auto b = x.narrow(3, half, half).to(acc);
    out.push_back(at::cat({(a * c - b * s).to(x.scalar_type()), (b * c + a * s).to(x.scalar_type()),
                           x.narrow(3, 2 * half, dim - 2 * half)},
                          3));
  }
  return out;
}

std::vector<Tensor> call(at::TensorList xs, const Tensor& cos, const Tensor& sin,
                         const std::optional<Tensor>& positions, bool inverse) {
  static const auto handle = op<Apply>("forge::rotary_apply");
  return handle.call(xs, cos, sin, positions, inverse);
}

struct Rotary : torch::autograd::Function<Rotary> {
  static variable_list forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& cos,
                               const Tensor& sin, const std::optional<Tensor>& positions) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({cos, sin, positions.value_or(Tensor())});
    ctx->set_materialize_grads(false);
    return call({q, k}, cos, sin, positions, false);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    at::AutoDispatchBelowADInplaceOrView guard;
    std::vector<Tensor> wanted;
    for (const auto& g : grads) {
      if (g.defined()) wanted.push_back(g);
    }
    variable_list out(5);
    if (wanted.empty()) return out;
    const auto positions = saved[2].defined() ? std::optional<Tensor>(saved[2]) : std::nullopt;
    auto rotated = call(wanted, saved[0], saved[1], positions, true);
    size_t next = 0;
    for (const auto i : c10::irange(grads.size())) {
      if (grads[i].defined()) out[i] = rotated[next++];
    }
    return out;
  }
};

std::tuple<Tensor, Tensor> rotary_autograd(const Tensor& q, const Tensor& k, const Tensor& cos, const Tensor& sin,
                                           const std::optional<Tensor>& positions) {
  TORCH_CHECK(!cos.requires_grad() && !sin.requires_grad(),
              "rotary_embedding: cos and sin are tables without gradients; detach them");
  auto out = Rotary::apply(q, k, cos, sin, positions);
  return {out[0], out[1]};
}

std::tuple<Tensor, Tensor> rotary(const Tensor& q, const Tensor& k, const Tensor& cos, const Tensor& sin,
                                  const std::optional<Tensor>& positions) {
  auto out = call({q, k}, cos, sin, positions, false);
  return {out[0], out[1]};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def(
      "rotary_embedding(Tensor query, Tensor key, Tensor cos, Tensor sin, Tensor? position_ids=None)"
      " -> (Tensor, Tensor)");
  m.def("rotary_apply(Tensor[] tensors, Tensor cos, Tensor sin, Tensor? position_ids, bool inverse) -> Tensor[]");
}
TORCH_LIBRARY_IMPL(forge, CPU, m) {
  m.impl("rotary_apply", apply_cpu);
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  m.impl("rotary_embedding", rotary);
  m.impl("rotary_apply", apply_composite);
}
TORCH_LIBRARY_IMPL(forge, Autograd, m) {
  m.impl("rotary_embedding", rotary_autograd);
}

}  // namespace forge
