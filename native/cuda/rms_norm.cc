// forge::rms_norm and forge::add_rms_norm on CUDA devices, in float32 and bfloat16. What kernels don't have takes the composition.
#include "kernels/args.h"
#include "rows.h"
#include "runtime.h"

namespace forge::rms_norm_cuda {
namespace {

using Forward = std::tuple<Tensor, Tensor>(const Tensor&, const std::optional<Tensor>&, double);
using Backward = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, const std::optional<Tensor>&, bool, bool);
using AddForward = std::tuple<Tensor, Tensor, Tensor>(const Tensor&, const Tensor&, const std::optional<Tensor>&, double);
using AddBackward = std::tuple<Tensor, Tensor>(const std::optional<Tensor>&, const std::optional<Tensor>&, const Tensor&, const Tensor&,
                                               const std::optional<Tensor>&, bool, bool);

constexpr int kThreads = 512;

/// How a row lies in a block's registers. No threads: it doesn't.
struct Layout {
  int width = 0, packs = 0;
  int64_t threads = 0;
};

Layout layout_of(int64_t size, bool aligned) {
  if (aligned && size % cuda::kPack == 0) {
    const auto threads = std::min<int64_t>(kThreads, cuda::whole_warps(size / cuda::kPack));
    for (const int packs : {1, 2, 4}) {
      if (threads * packs * cuda::kPack >= size) return {cuda::kPack, packs, threads};
    }
  }
  constexpr int packs = 16;
  const auto threads = cuda::whole_warps((size + packs - 1) / packs);
  if (threads > kThreads) return {};
  return {1, packs, threads};
}

cuda::Kernel kernel_of(const char* function, const char* args, const Tensor& x, const Layout& layout) {
  return {"rms_norm",
          std::string(function) + "<" + cuda::type_name(x.scalar_type()) + ", " + std::to_string(layout.width) + ", " +
              std::to_string(layout.packs) + ">",
          args, kThreads};
}

bool like(const Tensor& t, const Tensor& x) {
  return t.scalar_type() == x.scalar_type() && t.device() == x.device();
}

bool fits(const Tensor& x, const Tensor& weight) {
  return cuda::usable(x) && x.dim() >= 1 && cuda::has_type(x) &&
         (!weight.defined() || (weight.dim() == 1 && weight.size(0) == x.size(-1) && like(weight, x)));
}

/// The statistics' shape: one number a row.
Tensor numbers_of_rows(const Tensor& x) {
  auto shape = x.sizes().vec();
  shape.back() = 1;
  return at::empty(shape, x.options().dtype(at::kFloat));
}

/// Sum (undefined without a residual), output and rstd; nothing where there is no kernel.
std::optional<std::tuple<Tensor, Tensor, Tensor>> run_forward(const Tensor& x, const Tensor& residual, const Tensor& weight, double eps) {
  const Rows in(x);
  std::optional<Rows> past;
  if (residual.defined()) past.emplace(residual);
  const auto w = weight.defined() ? weight.contiguous() : weight;
  const auto layout = layout_of(in.size, cuda::is_aligned(in) && (!past || cuda::is_aligned(*past)) && cuda::is_aligned(w));
  if (layout.threads == 0) return std::nullopt;
  const auto y = at::empty(x.sizes(), x.options());
  const auto sum = past ? at::empty(x.sizes(), x.options()) : Tensor();
  const auto rstd = numbers_of_rows(x);
  const RmsForwardArgs args{
      .input = cuda::data(in.tensor),
      .residual = past ? cuda::data(past->tensor) : nullptr,
      .weight = cuda::data(w),
      .sum = cuda::data(sum),
      .output = cuda::data(y),
      .rstd = cuda::data<float>(rstd),
      .input_stride = in.stride,
      .residual_stride = past ? past->stride : 0,
      .rows = in.count,
      .size = static_cast<int>(in.size),
      .eps = static_cast<float>(eps),
  };
  cuda::launch(kernel_of("rms_norm_forward", "RmsForwardArgs", x, layout), in.count, layout.threads, args, x);
  return std::tuple(sum, y, rstd);
}

/// Gradients of input and weight, those that are asked for; nothing where there is no kernel.
std::optional<std::tuple<Tensor, Tensor>> run_backward(const Tensor& grad, const Tensor& x, const Tensor& rstd, const Tensor& weight,
                                                       const Tensor& extra, bool need_input, bool need_weight) {
  const Rows g(grad), in(x);
  std::optional<Rows> past;
  if (extra.defined()) past.emplace(extra);
  const auto w = weight.defined() ? weight.contiguous() : weight;
  const auto r = rstd.contiguous();
  const auto layout =
      layout_of(in.size, cuda::is_aligned(g) && cuda::is_aligned(in) && (!past || cuda::is_aligned(*past)) && cuda::is_aligned(w));
  if (layout.threads == 0) return std::nullopt;
  // Enough blocks for each multiprocessor's threads, and no more: each leaves a row of the weight's gradient.
  const auto blocks = std::min<int64_t>(in.count, cuda::multiprocessors(x) * std::min<int64_t>(16, 2048 / layout.threads));
  const auto dx = need_input ? at::empty(x.sizes(), x.options()) : Tensor();
  const auto partial = need_weight ? at::empty({blocks, in.size}, x.options().dtype(at::kFloat)) : Tensor();
  const RmsBackwardArgs args{
      .grad = cuda::data(g.tensor),
      .input = cuda::data(in.tensor),
      .weight = cuda::data(w),
      .extra = past ? cuda::data(past->tensor) : nullptr,
      .rstd = cuda::data<float>(r),
      .grad_input = cuda::data(dx),
      .partial = cuda::data<float>(partial),
      .grad_stride = g.stride,
      .input_stride = in.stride,
      .extra_stride = past ? past->stride : 0,
      .rows = in.count,
      .size = static_cast<int>(in.size),
  };
  if (need_input || need_weight) cuda::launch(kernel_of("rms_norm_backward", "RmsBackwardArgs", x, layout), blocks, layout.threads, args, x);
  return std::tuple(dx, need_weight ? partial.sum(0).to(x.scalar_type()) : Tensor());
}

std::tuple<Tensor, Tensor> forward(const Tensor& x, const std::optional<Tensor>& weight, double eps) {
  static const auto handle = op<Forward>("forge::rms_norm_forward");
  const auto w = weight.value_or(Tensor());
  if (fits(x, w)) {
    if (const auto out = run_forward(x, Tensor(), w, eps)) return {std::get<1>(*out), std::get<2>(*out)};
  }
  return handle.redispatch(cuda::composed, x, weight, eps);
}

std::tuple<Tensor, Tensor> backward(const Tensor& grad, const Tensor& x, const Tensor& rstd, const std::optional<Tensor>& weight,
                                    bool need_input, bool need_weight) {
  static const auto handle = op<Backward>("forge::rms_norm_backward");
  const auto w = weight.value_or(Tensor());
  if (fits(x, w) && like(grad, x) && rstd.scalar_type() == at::kFloat) {
    if (const auto out = run_backward(grad, x, rstd, w, Tensor(), need_input, need_weight)) return *out;
  }
  return handle.redispatch(cuda::composed, grad, x, rstd, weight, need_input, need_weight);
}

std::tuple<Tensor, Tensor, Tensor> add_forward(const Tensor& x, const Tensor& residual, const std::optional<Tensor>& weight, double eps) {
  static const auto handle = op<AddForward>("forge::add_rms_norm_forward");
  const auto w = weight.value_or(Tensor());
  if (fits(x, w) && residual.sizes() == x.sizes() && like(residual, x)) {
    if (const auto out = run_forward(x, residual, w, eps)) return {std::get<1>(*out), std::get<0>(*out), std::get<2>(*out)};
  }
  return handle.redispatch(cuda::composed, x, residual, weight, eps);
}

std::tuple<Tensor, Tensor> add_backward(const std::optional<Tensor>& grad, const std::optional<Tensor>& grad_sum, const Tensor& sum,
                                        const Tensor& rstd, const std::optional<Tensor>& weight, bool need_input, bool need_weight) {
  static const auto handle = op<AddBackward>("forge::add_rms_norm_backward");
  const auto w = weight.value_or(Tensor());
  const auto extra = grad_sum.value_or(Tensor());
  if (grad && fits(sum, w) && like(*grad, sum) && (!extra.defined() || like(extra, sum)) && rstd.scalar_type() == at::kFloat) {
    if (const auto out = run_backward(*grad, sum, rstd, w, extra, need_input, need_weight)) return *out;
  }
  return handle.redispatch(cuda::composed, grad, grad_sum, sum, rstd, weight, need_input, need_weight);
}

}  // namespace

FORGE_CUDA_IMPL(cuda_rms_norm, m) {
  m.impl("rms_norm_forward", forward);
  m.impl("rms_norm_backward", backward);
  m.impl("add_rms_norm_forward", add_forward);
  m.impl("add_rms_norm_backward", add_backward);
}

}  // namespace forge::rms_norm_cuda
