// forge::rms_norm: y = x / sqrt(mean(x^2) + eps) * weight over the last dimension, statistics in fp32.
// Backward recomputes xhat from the input and the saved reciprocal root: one extra number a row is kept.
#include "rms_norm_kernel.h"

#include <ATen/ops/_fused_rms_norm.h>
#include <ATen/ops/_fused_rms_norm_backward.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/rsqrt.h>

namespace forge {
namespace {

using Forward = std::tuple<Tensor, Tensor>(const Tensor&, const std::optional<Tensor>&, double);
using Backward = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, const std::optional<Tensor>&,
                                            bool, bool);

std::tuple<Tensor, Tensor> forward_cpu(const Tensor& x, const std::optional<Tensor>& weight, double eps) {
  const auto w = weight.value_or(Tensor());
  rms::check("rms_norm", x, w);
  const Rows in(x);
  const auto wc = w.defined() ? w.contiguous() : w;
  auto y = at::empty(x.sizes(), x.options());
  auto shape = x.sizes().vec();
  shape.back() = 1;
  auto rstd = at::empty(shape, x.options().dtype(acc_type(x.scalar_type())));
  FORGE_FLOATING(x.scalar_type(), "rms_norm", [&] {
    const auto* wp = wc.defined() ? wc.const_data_ptr<scalar_t>() : nullptr;
    auto* yp = y.mutable_data_ptr<scalar_t>();
    auto* rp = rstd.mutable_data_ptr<Acc<scalar_t>>();
    at::parallel_for(0, in.count, rows_grain(in.size), [&](int64_t begin, int64_t end) {
      for (auto i = begin; i < end; ++i) {
        const auto* row = in.row<scalar_t>(i);
        rp[i] = rms::reciprocal_rms(row, in.size, eps);
        rms::scale_row(row, wp, rp[i], yp + i * in.size, in.size);
      }
    });
  });
  return {y, rstd};
}

std::tuple<Tensor, Tensor> backward_cpu(const Tensor& grad, const Tensor& x, const Tensor& rstd,
                                        const std::optional<Tensor>& weight, bool need_input, bool need_weight) {
  return rms::backward_cpu(grad, x, rstd, weight.value_or(Tensor()), Tensor(), need_input, need_weight);
}

/// Whether libtorch's own kernels can do it; they exist for CUDA.
bool has_kernel(const Tensor& x, const Tensor& weight) {
  return x.is_cuda() && x.scalar_type() != at::kDouble && x.numel() > 0 &&
         (!weight.defined() || weight.scalar_type() == x.scalar_type());
}

std::tuple<Tensor, Tensor> forward_composite(const Tensor& x, const std::optional<Tensor>& weight, double eps) {
  const auto w = weight.value_or(Tensor());
  rms::check("rms_norm", x, w);
  if (has_kernel(x, w)) return at::_fused_rms_norm(x, {x.size(-1)}, weight, eps);
  const auto acc = acc_type(x.scalar_type());
  const auto wide = x.to(acc);
  auto rstd = (wide * wide).mean(-1, true).add(eps).rsqrt();
  auto y = wide * rstd;
  if (w.defined()) y = y * w;
  return {y.to(x.scalar_type()), rstd};
}

std::tuple<Tensor, Tensor> backward_composite(const Tensor& grad, const Tensor& x, const Tensor& rstd,
                                              const std::optional<Tensor>& weight, bool need_input, bool need_weight) {
  if (has_kernel(x, weight.value_or(Tensor())) && grad.scalar_type() == x.scalar_type()) {
    return at::_fused_rms_norm_backward(grad.contiguous(), x, {x.size(-1)}, rstd, weight, {need_input, need_weight});
  }
  const auto acc = acc_type(x.scalar_type());
  const auto g = grad.to(acc);
  const auto xhat = x.to(acc) * rstd;
  const auto gw = weight ? g * *weight : g;
  Tensor dx, dweight;
  if (need_input) dx = ((gw - xhat * (gw * xhat).mean(-1, true)) * rstd).to(x.scalar_type());
  if (need_weight) dweight = (g * xhat).reshape({-1, x.size(-1)}).sum(0).to(x.scalar_type());
  return {dx, dweight};
}

std::tuple<Tensor, Tensor> call_forward(const Tensor& x, const std::optional<Tensor>& weight, double eps) {
  static const auto handle = op<Forward>("forge::rms_norm_forward");
  return handle.call(x, weight, eps);
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const std::optional<Tensor>& weight, double eps) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [y, rstd] = call_forward(x, weight, eps);
    ctx->save_for_backward({x, weight.value_or(Tensor()), rstd});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    static const auto handle = op<Backward>("forge::rms_norm_backward");
    const auto saved = ctx->get_saved_variables();
    const auto& weight = saved[1];
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [dx, dweight] =
        handle.call(grads[0], saved[0], saved[2], weight.defined() ? std::optional<Tensor>(weight) : std::nullopt,
                    ctx->needs_input_grad(0), weight.defined() && ctx->needs_input_grad(1));
    return {dx, dweight, Tensor()};
  }
};

Tensor rms_norm_autograd(const Tensor& x, const std::optional<Tensor>& weight, double eps) {
  return RmsNorm::apply(x, weight, eps);
}

Tensor rms_norm(const Tensor& x, const std::optional<Tensor>& weight, double eps) {
  return std::get<0>(call_forward(x, weight, eps));
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def("rms_norm(Tensor input, Tensor? weight=None, float eps=1e-6) -> Tensor");
  m.def("rms_norm_forward(Tensor input, Tensor? weight, float eps) -> (Tensor, Tensor)");
  m.def(
      "rms_norm_backward(Tensor grad, Tensor input, Tensor rstd, Tensor? weight, bool need_input, bool need_weight)"
      " -> (Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(forge, CPU, m) {
  m.impl("rms_norm_forward", forward_cpu);
  m.impl("rms_norm_backward", backward_cpu);
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  m.impl("rms_norm", rms_norm);
  m.impl("rms_norm_forward", forward_composite);
  m.impl("rms_norm_backward", backward_composite);
}
TORCH_LIBRARY_IMPL(forge, Autograd, m) {
  m.impl("rms_norm", rms_norm_autograd);
}

}  // namespace forge
