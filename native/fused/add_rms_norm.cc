// forge::add_rms_norm: sum = input + residual; normed = rms_norm(sum). Returns (normed, sum): the residual stream goes
// on with `sum`. Backward adds the gradient that reaches `sum` past the norm inside the same loop.
#include "rms_norm_kernel.h"

#include <ATen/ops/add.h>
#include <ATen/ops/mul.h>

namespace forge::add_norm {
namespace {

using Forward = std::tuple<Tensor, Tensor, Tensor>(const Tensor&, const Tensor&, const std::optional<Tensor>&, double);
using Backward = std::tuple<Tensor, Tensor>(const std::optional<Tensor>&, const std::optional<Tensor>&, const Tensor&,
                                            const Tensor&, const std::optional<Tensor>&, bool, bool);
using NormForward = std::tuple<Tensor, Tensor>(const Tensor&, const std::optional<Tensor>&, double);
using NormBackward = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&,
                                                const std::optional<Tensor>&, bool, bool);

void check(const Tensor& x, const Tensor& residual, const Tensor& weight) {
  rms::check("add_rms_norm", x, weight);
  TORCH_CHECK(x.sizes() == residual.sizes() && x.scalar_type() == residual.scalar_type() &&
                  x.device() == residual.device(),
              "add_rms_norm: input and residual must agree in shape, dtype and device, found ", x.scalar_type(), " ",
              x.sizes(), " on ", x.device(), " and ", residual.scalar_type(), " ", residual.sizes(), " on ",
              residual.device());
}

std::tuple<Tensor, Tensor, Tensor> forward_cpu(const Tensor& x, const Tensor& residual,
                                               const std::optional<Tensor>& weight, double eps) {
  const auto w = weight.value_or(Tensor());
  check(x, residual, w);
  const Rows a(x), b(residual);
  const auto n = a.size;
  const auto wc = w.defined() ? w.contiguous() : w;
  auto y = at::empty(x.sizes(), x.options());
  auto sum = at::empty(x.sizes(), x.options());
  auto shape = x.sizes().vec();
  shape.back() = 1;
  auto rstd = at::empty(shape, x.options().dtype(acc_type(x.scalar_type())));
  FORGE_FLOATING(x.scalar_type(), "add_rms_norm", [&] {
    const auto* wp = wc.defined() ? wc.const_data_ptr<scalar_t>() : nullptr;
    auto* yp = y.mutable_data_ptr<scalar_t>();
    auto* sp = sum.mutable_data_ptr<scalar_t>();
    auto* rp = rstd.mutable_data_ptr<Acc<scalar_t>>();
    at::parallel_for(0, a.count, rows_grain(n), [&](int64_t begin, int64_t end) {
      for (auto i = begin; i < end; ++i) {
        const auto* ap = a.row<scalar_t>(i);
        const auto* bp = b.row<scalar_t>(i);
        auto* row = sp + i * n;
        each<scalar_t>(n, [&](int64_t j, auto k) { store(load(ap + j, k) + load(bp + j, k), row + j, k); });
        // the statistics are those of the sum as it was rounded, which is what the residual stream carries on
        rp[i] = rms::reciprocal_rms<scalar_t>(row, n, eps);
        rms::scale_row<scalar_t>(row, wp, rp[i], yp + i * n, n);
      }
    });
  });
  return {y, sum, rstd};
}

std::tuple<Tensor, Tensor> backward_cpu(const std::optional<Tensor>& grad, const std::optional<Tensor>& grad_sum,
                                        const Tensor& sum, const Tensor& rstd, const std::optional<Tensor>& weight,
                                        bool need_input, bool need_weight) {
  if (!grad) return {grad_sum.value_or(Tensor()), Tensor()};
  return rms::backward_cpu(*grad, sum, rstd, weight.value_or(Tensor()), grad_sum.value_or(Tensor()), need_input,
                           need_weight);
}

std::tuple<Tensor, Tensor, Tensor> forward_composite(const Tensor& x, const Tensor& residual,
                                                     const std::optional<Tensor>& weight, double eps) {
  static const auto norm = op<NormForward>("forge::rms_norm_forward");
  check(x, residual, weight.value_or(Tensor()));
  auto sum = x + residual;
  auto [y, rstd] = norm.call(sum, weight, eps);
  return {y, sum, rstd};
}

std::tuple<Tensor, Tensor> backward_composite(const std::optional<Tensor>& grad, const std::optional<Tensor>& grad_sum,
                                              const Tensor& sum, const Tensor& rstd,
                                              const std::optional<Tensor>& weight, bool need_input, bool need_weight) {
  static const auto norm = op<NormBackward>("forge::rms_norm_backward");
  if (!grad) return {grad_sum.value_or(Tensor()), Tensor()};
  auto [dx, dweight] = norm.call(*grad, sum, rstd, weight, need_input, need_weight);
  if (need_input && grad_sum) dx = dx + *grad_sum;
  return {dx, dweight};
}

std::optional<Tensor> maybe(const Tensor& t) {
  return t.defined() ? std::optional<Tensor>(t) : std::nullopt;
}

std::tuple<Tensor, Tensor, Tensor> call_forward(const Tensor& x, const Tensor& residual,
                                                const std::optional<Tensor>& weight, double eps) {
  static const auto handle = op<Forward>("forge::add_rms_norm_forward");
  return handle.call(x, residual, weight, eps);
}

struct AddRmsNorm : torch::autograd::Function<AddRmsNorm> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x, const Tensor& residual,
                               const std::optional<Tensor>& weight, double eps) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [y, sum, rstd] = call_forward(x, residual, weight, eps);
    ctx->save_for_backward({sum, weight.value_or(Tensor()), rstd});
    ctx->set_materialize_grads(false);
    return {y, sum};
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    static const auto handle = op<Backward>("forge::add_rms_norm_backward");
    if (!grads[0].defined() && !grads[1].defined()) return {Tensor(), Tensor(), Tensor(), Tensor()};
    const auto saved = ctx->get_saved_variables();
    const auto& weight = saved[1];
    const bool need_input = ctx->needs_input_grad(0) || ctx->needs_input_grad(1);
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [dx, dweight] = handle.call(maybe(grads[0]), maybe(grads[1]), saved[0], saved[2], maybe(weight), need_input,
                                     weight.defined() && ctx->needs_input_grad(2));
    return {dx, dx, dweight, Tensor()};
  }
};

std::tuple<Tensor, Tensor> add_rms_norm_autograd(const Tensor& x, const Tensor& residual,
                                                 const std::optional<Tensor>& weight, double eps) {
  auto out = AddRmsNorm::apply(x, residual, weight, eps);
  return {out[0], out[1]};
}

std::tuple<Tensor, Tensor> add_rms_norm(const Tensor& x, const Tensor& residual, const std::optional<Tensor>& weight,
                                        double eps) {
  auto [y, sum, rstd] = call_forward(x, residual, weight, eps);
  return {y, sum};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def("add_rms_norm(Tensor input, Tensor residual, Tensor? weight=None, float eps=1e-6) -> (Tensor, Tensor)");
  m.def(
      "add_rms_norm_forward(Tensor input, Tensor residual, Tensor? weight, float eps) -> (Tensor, Tensor, Tensor)");
  m.def(
      "add_rms_norm_backward(Tensor? grad, Tensor? grad_sum, Tensor sum, Tensor rstd, Tensor? weight, bool need_input,"
      " bool need_weight) -> (Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(forge, CPU, m) {
  m.impl("add_rms_norm_forward", forward_cpu);
  m.impl("add_rms_norm_backward", backward_cpu);
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  m.impl("add_rms_norm", add_rms_norm);
  m.impl("add_rms_norm_forward", forward_composite);
  m.impl("add_rms_norm_backward", backward_composite);
}
TORCH_LIBRARY_IMPL(forge, Autograd, m) {
  m.impl("add_rms_norm", add_rms_norm_autograd);
}

}  // namespace forge::add_norm
