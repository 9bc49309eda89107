// Operators of libtorch that end the process on some arguments instead of raising an error: what is missing there is
// checked here, ahead of the call. Found by test/fuzz.test.ts, which passes over none of them.
#include "dispatch.h"

#include <string_view>
#include <unordered_map>

namespace torchforge {
namespace {

using Arguments = std::vector<c10::IValue>;

// Kernels that trust their caller throughout. What calls them inside libtorch does so with fitting arguments; from
// TypeScript the public operator is to be called (lstm_cell, native_layer_norm …).
void refuse(const Operator& op, const Arguments&) {
  TORCH_CHECK(false, op.name, " is an inner kernel of libtorch that doesn't check its arguments; call the public operator instead");
}

// _weight_norm(v, g, dim)
void weightNorm(const Operator& op, const Arguments& in) {
  const at::Tensor v = in[0].toTensor(), g = in[1].toTensor();
  const int64_t dim = in[2].toInt();
  TORCH_CHECK(v.dim() >= 2 && v.numel() > 0 && (dim == 0 || dim == v.dim() - 1), op.name,
              ": expected a tensor with elements and two or more dimensions, and dim to be the first or the last");
  TORCH_CHECK(g.numel() == v.size(dim) && g.scalar_type() == v.scalar_type(), op.name, ": expected g with ", v.size(dim),
              " elements of v's dtype");
}

// native_group_norm(input, weight, bias, N, C, HxW, group, eps)
void groupNorm(const Operator& op, const Arguments& in) {
  TORCH_CHECK(in[6].toInt() > 0, op.name, ": expected one or more groups, found ", in[6].toInt());
}

// native_batch_norm_backward(grad_out, input, …)
void batchNormBackward(const Operator& op, const Arguments& in) {
  const at::Tensor grad = in[0].toTensor(), input = in[1].toTensor();
  TORCH_CHECK(input.dim() >= 2 && input.numel() > 0 && grad.sizes() == input.sizes(), op.name,
              ": expected an input with elements and two or more dimensions, and a gradient of its shape");
}

const std::unordered_map<std::string_view, void (*)(const Operator&, const Arguments&)> kGuards = {
    {"aten::quantized_lstm_cell", refuse},
    {"aten::quantized_gru_cell", refuse},
    {"aten::quantized_rnn_relu_cell", refuse},
    {"aten::quantized_rnn_tanh_cell", refuse},
    {"aten::_weight_norm_interface", refuse},
    {"aten::_weight_norm_interface_backward", refuse},
    {"aten::_weight_norm_differentiable_backward", refuse},
    {"aten::_weight_norm", weightNorm},
    {"aten::native_group_norm", groupNorm},
    {"aten::native_batch_norm_backward", batchNormBackward},
};

}  // namespace

void chooseGuard(Operator& op) {
  const std::string_view name = op.name;
  const auto found = kGuards.find(name.substr(0, name.find('.', 6)));
  if (found != kGuards.end()) op.guard = found->second;
}

}  // namespace torchforge
