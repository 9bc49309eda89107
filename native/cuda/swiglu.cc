// forge::swiglu on CUDA devices, in float32 and bfloat16, on two tensors and on one that holds both. Others take the composition.
#include "kernels/args.h"
#include "rows.h"
#include "runtime.h"

namespace forge::swiglu_cuda {
namespace {

using Binary = Tensor(const Tensor&, const Tensor&);
using Backward = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&);

constexpr int kThreads = 256;

bool fits(const Tensor& gate) {
  return cuda::usable(gate) && gate.dim() >= 1 && cuda::has_type(gate);
}

bool like(const Tensor& t, const Tensor& x) {
  return t.sizes() == x.sizes() && t.scalar_type() == x.scalar_type() && t.device() == x.device();
}

template <typename Args>
void launch(const char* function, const char* name, const Rows& gate, bool aligned, const Args& args) {
  const int width = aligned && gate.size % cuda::kPack == 0 ? cuda::kPack : 1;
  const auto instance = std::string(function) + "<" + cuda::type_name(gate.tensor.scalar_type()) + ", " + std::to_string(width) + ">";
  const auto threads = std::min<int64_t>(kThreads, cuda::whole_warps(gate.size / width));
  cuda::launch({"swiglu", instance, name, kThreads}, gate.count, threads, args, gate.tensor);
}

Tensor run_forward(const Rows& gate, const Rows& up, at::IntArrayRef shape) {
  const auto out = at::empty(shape, gate.tensor.options());
  const SwigluArgs args{
      .gate = cuda::data(gate.tensor),
      .up = cuda::data(up.tensor),
      .output = cuda::data(out),
      .gate_stride = gate.stride,
      .up_stride = up.stride,
      .rows = gate.count,
      .size = static_cast<int>(gate.size),
  };
  launch("swiglu_forward", "SwigluArgs", gate, cuda::is_aligned(gate) && cuda::is_aligned(up), args);
  return out;
}

/// Rows of the gradients lie `stride` apart.
void run_backward(const Rows& grad, const Rows& gate, const Rows& up, const Tensor& dgate, const Tensor& dup, int64_t stride) {
  const SwigluBackwardArgs args{
      .grad = cuda::data(grad.tensor),
      .gate = cuda::data(gate.tensor),
      .up = cuda::data(up.tensor),
      .grad_gate = cuda::data(dgate),
      .grad_up = cuda::data(dup),
      .grad_stride = grad.stride,
      .gate_stride = gate.stride,
      .up_stride = up.stride,
      .output_stride = stride,
      .rows = gate.count,
      .size = static_cast<int>(gate.size),
  };
  const bool aligned = cuda::is_aligned(grad) && cuda::is_aligned(gate) && cuda::is_aligned(up) && cuda::is_aligned(dgate) &&
                       cuda::is_aligned(dup);
  launch("swiglu_backward", "SwigluBackwardArgs", gate, aligned, args);
}

Tensor forward(const Tensor& gate, const Tensor& up) {
  static const auto handle = op<Binary>("forge::swiglu_forward");
  if (!fits(gate) || !like(up, gate)) return handle.redispatch(cuda::composed, gate, up);
  return run_forward(Rows(gate), Rows(up), gate.sizes());
}

std::tuple<Tensor, Tensor> backward(const Tensor& grad, const Tensor& gate, const Tensor& up) {
  static const auto handle = op<Backward>("forge::swiglu_backward");
  if (!fits(gate) || !like(up, gate) || !like(grad, gate)) return handle.redispatch(cuda::composed, grad, gate, up);
  const auto dgate = at::empty(gate.sizes(), gate.options()), dup = at::empty(up.sizes(), up.options());
  run_backward(Rows(grad), Rows(gate), Rows(up), dgate, dup, gate.size(-1));
  return {dgate, dup};
}

bool fits_joined(const Tensor& joined) {
  return fits(joined) && joined.size(-1) % 2 == 0;
}

Tensor joined_forward(const Tensor& joined) {
  static const auto handle = op<Tensor(const Tensor&)>("forge::swiglu_joined_forward");
  if (!fits_joined(joined)) return handle.redispatch(cuda::composed, joined);
  auto shape = joined.sizes().vec();
  const auto n = shape.back() /= 2;
  return run_forward(Rows(joined.narrow(-1, 0, n)), Rows(joined.narrow(-1, n, n)), shape);
}

Tensor joined_backward(const Tensor& grad, const Tensor& joined) {
  static const auto handle = op<Binary>("forge::swiglu_joined_backward");
  if (!fits_joined(joined) || grad.scalar_type() != joined.scalar_type()) return handle.redispatch(cuda::composed, grad, joined);
  const auto n = joined.size(-1) / 2;
  const auto out = at::empty(joined.sizes(), joined.options());
  run_backward(Rows(grad), Rows(joined.narrow(-1, 0, n)), Rows(joined.narrow(-1, n, n)), out.narrow(-1, 0, n), out.narrow(-1, n, n), 2 * n);
  return out;
}

}  // namespace

FORGE_CUDA_IMPL(cuda_swiglu, m) {
  m.impl("swiglu_forward", forward);
  m.impl("swiglu_backward", backward);
  m.impl("swiglu_joined_forward", joined_forward);
  m.impl("swiglu_joined_backward", joined_backward);
}

}  // namespace forge::swiglu_cuda
