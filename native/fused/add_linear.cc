// forge::add_linear: base + x @ W^T, the end of attention and of the feed-forward part, with the faster of the machine's
// matrix products in both directions. Composed of other operators, so every device has it.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "products.h"

namespace forge {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const Tensor& base, const Tensor& x, const Tensor& weight) {
  TORCH_CHECK(x.dim() == 2, "add_linear: expected x of shape [T, I], found ", x.sizes());
  TORCH_CHECK(weight.dim() == 2 && weight.size(1) == x.size(1), "add_linear: expected a weight of shape [D, ", x.size(1),
              "], found ", weight.sizes());
  TORCH_CHECK(base.dim() == 2 && base.size(0) == x.size(0) && base.size(1) == weight.size(0),
              "add_linear: expected a base of shape [", x.size(0), ", ", weight.size(0), "], found ", base.sizes());
}

struct AddLinear : torch::autograd::Function<AddLinear> {
  static Tensor forward(AutogradContext* ctx, const Tensor& base, const Tensor& x, const Tensor& weight) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({x, weight});
    return add_times_transposed(base, x, weight);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor& grad = grads[0];
    at::AutoDispatchBelowADInplaceOrView guard;
    return {grad, ctx->needs_input_grad(1) ? times(grad, saved[1]) : Tensor(),
            ctx->needs_input_grad(2) ? transposed_times(grad, saved[0]) : Tensor()};
  }
};

Tensor add_linear_autograd(const Tensor& base, const Tensor& x, const Tensor& weight) {
  check(base, x, weight);
  return AddLinear::apply(base, x, weight);
}

Tensor add_linear(const Tensor& base, const Tensor& x, const Tensor& weight) {
  check(base, x, weight);
  return add_times_transposed(base, x, weight);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) { m.def("add_linear(Tensor base, Tensor x, Tensor weight) -> Tensor"); }
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) { m.impl("add_linear", add_linear); }
TORCH_LIBRARY_IMPL(forge, Autograd, m) { m.impl("add_linear", add_linear_autograd); }

}  // namespace forge
