// forge::swiglu: silu(gate) * up, and forge::swiglu_joined, the same on one tensor [.., 2I] whose first half is the
// gate (Shazeer 2020, https://arxiv.org/abs/2002.05202). Computed in fp32. Backward needs only the inputs:
//   s = sigmoid(gate); dgate = g * up * s * (1 + gate * (1 - s)); dup = g * gate * s
#include "fused.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/sigmoid.h>

namespace forge {
namespace {

using Binary = Tensor(const Tensor&, const Tensor&);
using Backward = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&);

void check(const Tensor& gate, const Tensor& up) {
  TORCH_CHECK(gate.dim() >= 1 && gate.is_floating_point(),
              "swiglu: expected floating-point tensors of at least 1 dimension, found ", gate.scalar_type(),
              " of shape ", gate.sizes());
  TORCH_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type() && gate.device() == up.device(),
              "swiglu: gate and up must agree in shape, dtype and device, found ", gate.scalar_type(), " ",
              gate.sizes(), " on ", gate.device(), " and ", up.scalar_type(), " ", up.sizes(), " on ", up.device());
}

int64_t check_joined(const Tensor& joined) {
  TORCH_CHECK(joined.dim() >= 1 && joined.is_floating_point() && joined.size(-1) % 2 == 0,
              "swiglu_joined: expected a floating-point tensor with an even last dimension (gate, then up), found ",
              joined.scalar_type(), " of shape ", joined.sizes());
  return joined.size(-1) / 2;
}

template <typename T>
Wide<T> sigmoid(const Wide<T>& x) {
  const Wide<T> one(1);
  return one / (one + (Wide<T>() - x).exp());
}

/// A walk over n elements of `rows` rows. Rows that follow each other in every tensor are one long row, cut where the
/// threads part; otherwise threads get whole rows.
template <typename F>
void walk(int64_t rows, int64_t n, bool joined_up, const F& f) {
  if (joined_up) {
    at::parallel_for(0, rows * n, kGrain, [&](int64_t begin, int64_t end) { f(0, begin, end - begin); });
  } else {
    at::parallel_for(0, rows, rows_grain(n), [&](int64_t begin, int64_t end) {
      for (auto i = begin; i < end; ++i) f(i, 0, n);
    });
  }
}

Tensor forward_rows(const Rows& gate, const Rows& up, at::IntArrayRef shape) {
  const auto n = gate.size;
  auto out = at::empty(shape, gate.tensor.options());
  FORGE_FLOATING(out.scalar_type(), "swiglu", [&] {
    auto* op = out.mutable_data_ptr<scalar_t>();
    walk(gate.count, n, gate.stride == n && up.stride == n, [&](int64_t i, int64_t from, int64_t count) {
      const auto* g = gate.row<scalar_t>(i) + from;
      const auto* u = up.row<scalar_t>(i) + from;
      auto* o = op + i * n + from;
      each<scalar_t>(count, [&](int64_t j, auto k) {
        const auto x = load(g + j, k);
        store(x * sigmoid(x) * load(u + j, k), o + j, k);
      });
    });
  });
  return out;
}

/// Writes the gradients to dgate and dup, whose rows are `stride` apart.
void backward_rows(const Rows& grad, const Rows& gate, const Rows& up, void* dgate, void* dup, int64_t stride) {
  const auto n = gate.size;
  const bool joined_up = grad.stride == n && gate.stride == n && up.stride == n && stride == n;
  FORGE_FLOATING(gate.tensor.scalar_type(), "swiglu_backward", [&] {
    walk(gate.count, n, joined_up, [&](int64_t i, int64_t from, int64_t count) {
      const auto* d = grad.row<scalar_t>(i) + from;
      const auto* g = gate.row<scalar_t>(i) + from;
      const auto* u = up.row<scalar_t>(i) + from;
      auto* dg = static_cast<scalar_t*>(dgate) + i * stride + from;
      auto* du = static_cast<scalar_t*>(dup) + i * stride + from;
      const Wide<scalar_t> one(1);
      each<scalar_t>(count, [&](int64_t j, auto k) {
        const auto x = load(g + j, k);
        const auto s = sigmoid(x);
        const auto ds = load(d + j, k) * s;
        store(ds * load(u + j, k) * fma(x, one - s, one), dg + j, k);
        store(ds * x, du + j, k);
      });
    });
  });
}

Tensor forward_cpu(const Tensor& gate, const Tensor& up) {
  check(gate, up);
  return forward_rows(Rows(gate), Rows(up), gate.sizes());
}

std::tuple<Tensor, Tensor> backward_cpu(const Tensor& grad, const Tensor& gate, const Tensor& up) {
  const Rows d(grad), g(gate), u(up);
  auto dgate = at::empty(gate.sizes(), gate.options());
  auto dup = at::empty(up.sizes(), up.options());
  backward_rows(d, g, u, dgate.mutable_data_ptr(), dup.mutable_data_ptr(), g.size);
  return {dgate, dup};
}

Tensor joined_forward_cpu(const Tensor& joined) {
  const auto n = check_joined(joined);
  auto shape = joined.sizes().vec();
  shape.back() = n;
  return forward_rows(Rows(joined.narrow(-1, 0, n)), Rows(joined.narrow(-1, n, n)), shape);
}

Tensor joined_backward_cpu(const Tensor& grad, const Tensor& joined) {
  const auto n = check_joined(joined);
  auto out = at::empty(joined.sizes(), joined.options());
  auto* first = static_cast<char*>(out.mutable_data_ptr());
  backward_rows(Rows(grad), Rows(joined.narrow(-1, 0, n)), Rows(joined.narrow(-1, n, n)), first,
                first + n * out.element_size(), 2 * n);
  return out;
}

Tensor forward_composite(const Tensor& gate, const Tensor& up) {
  check(gate, up);
  const auto acc = acc_type(gate.scalar_type());
  const auto x = gate.to(acc);
  return (x * x.sigmoid() * up.to(acc)).to(gate.scalar_type());
}

std::tuple<Tensor, Tensor> backward_composite(const Tensor& grad, const Tensor& gate, const Tensor& up) {
  const auto acc = acc_type(gate.scalar_type());
  const auto x = gate.to(acc);
  const auto s = x.sigmoid();
  const auto ds = grad.to(acc) * s;
  auto dgate = ds * up.to(acc) * (1 + x * (1 - s));
  return {dgate.to(gate.scalar_type()), (ds * x).to(gate.scalar_type())};
}

Tensor joined_forward_composite(const Tensor& joined) {
  const auto n = check_joined(joined);
  return forward_composite(joined.narrow(-1, 0, n), joined.narrow(-1, n, n));
}

Tensor joined_backward_composite(const Tensor& grad, const Tensor& joined) {
  const auto n = check_joined(joined);
  auto [dgate, dup] = backward_composite(grad, joined.narrow(-1, 0, n), joined.narrow(-1, n, n));
  return at::cat({dgate, dup}, -1);
}

Tensor call_forward(const Tensor& gate, const Tensor& up) {
  static const auto handle = op<Binary>("forge::swiglu_forward");
  return handle.call(gate, up);
}

Tensor call_joined_forward(const Tensor& joined) {
  static const auto handle = op<Tensor(const Tensor&)>("forge::swiglu_joined_forward");
  return handle.call(joined);
}

struct Swiglu : torch::autograd::Function<Swiglu> {
  static Tensor forward(AutogradContext* ctx, const Tensor& gate, const Tensor& up) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({gate, up});
    return call_forward(gate, up);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    static const auto handle = op<Backward>("forge::swiglu_backward");
    const auto saved = ctx->get_saved_variables();
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [dgate, dup] = handle.call(grads[0], saved[0], saved[1]);
    return {dgate, dup};
  }
};

struct SwigluJoined : torch::autograd::Function<SwigluJoined> {
  static Tensor forward(AutogradContext* ctx, const Tensor& joined) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({joined});
    return call_joined_forward(joined);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    static const auto handle = op<Binary>("forge::swiglu_joined_backward");
    const auto saved = ctx->get_saved_variables();
    at::AutoDispatchBelowADInplaceOrView guard;
    return {handle.call(grads[0], saved[0])};
  }
};

Tensor swiglu_autograd(const Tensor& gate, const Tensor& up) {
  return Swiglu::apply(gate, up);
}

Tensor swiglu_joined_autograd(const Tensor& joined) {
  return SwigluJoined::apply(joined);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def("swiglu(Tensor gate, Tensor up) -> Tensor");
  m.def("swiglu_forward(Tensor gate, Tensor up) -> Tensor");
  m.def("swiglu_backward(Tensor grad, Tensor gate, Tensor up) -> (Tensor, Tensor)");
  m.def("swiglu_joined(Tensor joined) -> Tensor");
  m.def("swiglu_joined_forward(Tensor joined) -> Tensor");
  m.def("swiglu_joined_backward(Tensor grad, Tensor joined) -> Tensor");
}
TORCH_LIBRARY_IMPL(forge, CPU, m) {
  m.impl("swiglu_forward", forward_cpu);
  m.impl("swiglu_backward", backward_cpu);
  m.impl("swiglu_joined_forward", joined_forward_cpu);
  m.impl("swiglu_joined_backward", joined_backward_cpu);
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  m.impl("swiglu", call_forward);
  m.impl("swiglu_forward", forward_composite);
  m.impl("swiglu_backward", backward_composite);
  m.impl("swiglu_joined", call_joined_forward);
  m.impl("swiglu_joined_forward", joined_forward_composite);
  m.impl("swiglu_joined_backward", joined_backward_composite);
}
TORCH_LIBRARY_IMPL(forge, Autograd, m) {
  m.impl("swiglu", swiglu_autograd);
  m.impl("swiglu_joined", swiglu_joined_autograd);
}

}  // namespace forge
