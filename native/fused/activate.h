// SwiGLU's activation, silu(gate) * up, and its gradient as other fused operators call them: on every device the kernel that
// swiglu.cc, or a composition, registers there.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <tuple>

namespace forge {

inline at::Tensor activate(const at::Tensor& gate, const at::Tensor& up) {
  static const auto handle = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("forge::swiglu_forward", "")
                                 .typed<at::Tensor(const at::Tensor&, const at::Tensor&)>();
  return handle.call(gate, up);
}

/// Of gate and up.
inline std::tuple<at::Tensor, at::Tensor> activate_backward(const at::Tensor& grad, const at::Tensor& gate,
                                                            const at::Tensor& up) {
  using Backward = std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&);
  static const auto handle =
      c10::Dispatcher::singleton().findSchemaOrThrow("forge::swiglu_backward", "").typed<Backward>();
  return handle.call(grad, gate, up);
}

}  // namespace forge
