// forge::linear: x @ W^T + b with the faster of the machine's matrix products in both directions (products.h), for products
// that nothing is fused with. forge::linear_weight_gradient is g^T @ x by itself, for gradients that are made without a graph.
// Composed of other operators, so every device has them.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "products.h"

namespace forge {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  TORCH_CHECK(x.dim() == 2, "linear: expected x of shape [T, I], found ", x.sizes());
  TORCH_CHECK(weight.dim() == 2 && weight.size(1) == x.size(1), "linear: expected a weight of shape [O, ", x.size(1),
              "], found ", weight.sizes());
  TORCH_CHECK(!bias || (bias->dim() == 1 && bias->size(0) == weight.size(0)), "linear: expected a bias of shape [",
              weight.size(0), "], found ", bias ? bias->sizes() : at::IntArrayRef());
}

Tensor product(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  return bias ? add_times_transposed(*bias, x, weight) : times_transposed(x, weight);
}

struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({x, weight});
    ctx->saved_data["bias"] = bias.has_value();
    return product(x, weight, bias);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor& grad = grads[0];
    at::AutoDispatchBelowADInplaceOrView guard;
    return {ctx->needs_input_grad(0) ? times(grad, saved[1]) : Tensor(),
            ctx->needs_input_grad(1) ? transposed_times(grad, saved[0]) : Tensor(),
            ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2) ? grad.sum(0) : Tensor()};
  }
};

Tensor linear_autograd(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  check(x, weight, bias);
  return Linear::apply(x, weight, bias);
}

Tensor linear(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  check(x, weight, bias);
  return product(x, weight, bias);
}

Tensor weight_gradient(const Tensor& grad, const Tensor& x) {
  TORCH_CHECK(grad.dim() == 2 && x.dim() == 2 && grad.size(0) == x.size(0),
              "linear_weight_gradient: expected a gradient [T, O] and x [T, I], found ", grad.sizes(), " and ", x.sizes());
  return transposed_times(grad, x);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def("linear(Tensor x, Tensor weight, Tensor? bias=None) -> Tensor");
  m.def("linear_weight_gradient(Tensor grad, Tensor x) -> Tensor");
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  m.impl("linear", linear);
  m.impl("linear_weight_gradient", weight_gradient);
}
TORCH_LIBRARY_IMPL(forge, Autograd, m) { m.impl("linear", linear_autograd); }

}  // namespace forge
