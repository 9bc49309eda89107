// forge::swiglu_linear: residual + (silu(gate) * up) @ W^T. Kept for backward are gate and up; the product of the two is
// made again there, which costs one elementwise pass and saves a [T, I] tensor for every layer. The residual is added by
// the matrix product itself. Composed of other operators, so every device has it.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "activate.h"
#include "products.h"

namespace forge {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const Tensor& gate, const Tensor& up, const Tensor& weight, const Tensor& residual) {
  TORCH_CHECK(gate.dim() == 2 && gate.sizes() == up.sizes(), "swiglu_linear: expected gate and up of one shape [T, I], found ",
              gate.sizes(), " and ", up.sizes());
  TORCH_CHECK(weight.dim() == 2 && weight.size(1) == gate.size(1), "swiglu_linear: expected a weight of shape [D, ",
              gate.size(1), "], found ", weight.sizes());
  TORCH_CHECK(residual.dim() == 2 && residual.size(0) == gate.size(0) && residual.size(1) == weight.size(0),
              "swiglu_linear: expected a residual of shape [", gate.size(0), ", ", weight.size(0), "], found ", residual.sizes());
}

struct SwigluLinear : torch::autograd::Function<SwigluLinear> {
  static Tensor forward(AutogradContext* ctx, const Tensor& gate, const Tensor& up, const Tensor& weight,
                        const Tensor& residual) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({gate, up, weight});
    return add_times_transposed(residual, activate(gate, up), weight);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor& grad = grads[0];
    at::AutoDispatchBelowADInplaceOrView guard;
    variable_list out(4);
    if (ctx->needs_input_grad(2)) out[2] = transposed_times(grad, activate(saved[0], saved[1]));
    if (ctx->needs_input_grad(0) || ctx->needs_input_grad(1)) {
      std::tie(out[0], out[1]) = activate_backward(times(grad, saved[2]), saved[0], saved[1]);
    }
    out[3] = grad;
    return out;
  }
};

Tensor swiglu_linear_autograd(const Tensor& gate, const Tensor& up, const Tensor& weight, const Tensor& residual) {
  check(gate, up, weight, residual);
  return SwigluLinear::apply(gate, up, weight, residual);
}

Tensor swiglu_linear(const Tensor& gate, const Tensor& up, const Tensor& weight, const Tensor& residual) {
  check(gate, up, weight, residual);
  return add_times_transposed(residual, activate(gate, up), weight);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def("swiglu_linear(Tensor gate, Tensor up, Tensor weight, Tensor residual) -> Tensor");
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) { m.impl("swiglu_linear", swiglu_linear); }
TORCH_LIBRARY_IMPL(forge, Autograd, m) { m.impl("swiglu_linear", swiglu_linear_autograd); }

}  // namespace forge
