// forge::norm_linear: y_i = rms_norm(x) @ W_i^T + b_i for several projections of one input (q, k, v; gate, up).
// What is kept for backward is x and one number a row: the normalized input is made again there, which costs a pass over
// x and saves a [T, D] tensor for every layer. The projections' gradients are summed into one buffer by the products
// themselves. Composed of other operators, so every device has it.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "products.h"

namespace forge {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::tuple<Tensor, Tensor> norm_forward(const Tensor& x, const Tensor& weight, double eps) {
  static const auto handle =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("forge::rms_norm_forward", "")
          .typed<std::tuple<Tensor, Tensor>(const Tensor&, const std::optional<Tensor>&, double)>();
  return handle.call(x, weight, eps);
}

std::tuple<Tensor, Tensor> norm_backward(const Tensor& grad, const Tensor& x, const Tensor& rstd, const Tensor& weight,
                                         bool need_input, bool need_weight) {
  static const auto handle = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("forge::rms_norm_backward", "")
                                 .typed<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&,
                                                                   const std::optional<Tensor>&, bool, bool)>();
  return handle.call(grad, x, rstd, weight, need_input, need_weight);
}

void check(const Tensor& x, at::TensorList weights, at::TensorList biases) {
  TORCH_CHECK(x.dim() == 2, "norm_linear: expected x of shape [T, D], found ", x.sizes());
  TORCH_CHECK(!weights.empty(), "norm_linear: expected at least one weight");
  TORCH_CHECK(biases.empty() || biases.size() == weights.size(), "norm_linear: expected no biases or as many as weights (",
              weights.size(), "), found ", biases.size());
  for (const Tensor& w : weights) {
    TORCH_CHECK(w.dim() == 2 && w.size(1) == x.size(1), "norm_linear: expected weights of shape [O, ", x.size(1), "], found ",
                w.sizes());
  }
}

std::vector<Tensor> project(const Tensor& normed, at::TensorList weights, at::TensorList biases) {
  std::vector<Tensor> out;
  out.reserve(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    out.push_back(biases.empty() ? times_transposed(normed, weights[i]) : add_times_transposed(biases[i], normed, weights[i]));
  }
  return out;
}

struct NormLinear : torch::autograd::Function<NormLinear> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x, const Tensor& norm_weight, at::TensorList weights,
                               at::TensorList biases, double eps) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [normed, rstd] = norm_forward(x, norm_weight, eps);
    variable_list saved{x, norm_weight, rstd};
    saved.insert(saved.end(), weights.begin(), weights.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["eps"] = eps;
    ctx->saved_data["biases"] = static_cast<int64_t>(biases.size());
    ctx->set_materialize_grads(false);
    return project(normed, weights, biases);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &norm_weight = saved[1], &rstd = saved[2];
    const size_t count = saved.size() - 3;
    const auto biases = static_cast<size_t>(ctx->saved_data["biases"].toInt());
    at::AutoDispatchBelowADInplaceOrView guard;
    // One gradient a variable (x, norm_weight, weights, biases), and one for eps.
    variable_list out(2 + count + biases + 1);
    const bool need_x = ctx->needs_input_grad(0), need_norm = ctx->needs_input_grad(1);
    Tensor normed, grad_normed;
    for (size_t i = 0; i < count; ++i) {
      if (!grads[i].defined()) continue;
      if (ctx->needs_input_grad(2 + i)) {
        if (!normed.defined()) normed = std::get<0>(norm_forward(x, norm_weight, ctx->saved_data["eps"].toDouble()));
        out[2 + i] = transposed_times(grads[i], normed);
      }
      if (biases > 0 && ctx->needs_input_grad(2 + count + i)) out[2 + count + i] = grads[i].sum(0);
      if (need_x || need_norm) {
        const Tensor& w = saved[3 + i];
        grad_normed = grad_normed.defined() ? add_times(grad_normed, grads[i], w) : times(grads[i], w);
      }
    }
    if (grad_normed.defined()) std::tie(out[0], out[1]) = norm_backward(grad_normed, x, rstd, norm_weight, need_x, need_norm);
    return out;
  }
};

std::vector<Tensor> norm_linear_autograd(const Tensor& x, const Tensor& norm_weight, at::TensorList weights,
                                         at::TensorList biases, double eps) {
  check(x, weights, biases);
  return NormLinear::apply(x, norm_weight, weights, biases, eps);
}

std::vector<Tensor> norm_linear(const Tensor& x, const Tensor& norm_weight, at::TensorList weights, at::TensorList biases,
                                double eps) {
  check(x, weights, biases);
  return project(std::get<0>(norm_forward(x, norm_weight, eps)), weights, biases);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def("norm_linear(Tensor x, Tensor norm_weight, Tensor[] weights, Tensor[] biases, float eps) -> Tensor[]");
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) { m.impl("norm_linear", norm_linear); }
TORCH_LIBRARY_IMPL(forge, Autograd, m) { m.impl("norm_linear", norm_linear_autograd); }

}  // namespace forge
