// forge::quantized_linear: x @ W^T, where W [O, I] is stored in fewer bits (quantized.h). It becomes numbers of x's type some rows
// at a time, which stay in the processor's cache, for x @ W^T and, some columns at a time, for the gradient g @ W: every number
// is summed by one product, as with the whole matrix. W itself has no gradient. Other devices make the whole matrix.
#include "products.h"
#include "quantized.h"

#include <ATen/ATen.h>

namespace forge {
namespace {

/// Numbers of W at a time: 4 MiB in fp32.
constexpr int64_t kMostNumbers = int64_t{1} << 20;

/// How many rows or columns of so many numbers each: whole blocks, so that no block is read twice.
int64_t some_of(int64_t all, int64_t numbers_each) {
  const int64_t most = std::max<int64_t>(1, kMostNumbers / std::max<int64_t>(1, numbers_each) / kBlock) * kBlock;
  return std::min(all, most);
}

bool in_parts(const Tensor& x) { return x.is_cpu() || (x.is_meta() && meta_is_cpu()); }

Tensor forward_of(const Tensor& x, const Tensor& rows, Quantization q) {
  const int64_t outputs = rows.size(0), inputs = x.size(1);
  const int64_t step = in_parts(x) ? some_of(outputs, inputs) : outputs;
  const auto part = [&](int64_t at, int64_t count) {
    return times_transposed(x, dequantize(rows, q, inputs, x.scalar_type(), at, count, 0, inputs));
  };
  if (step >= outputs) return part(0, outputs);
  auto out = at::empty({x.size(0), outputs}, x.options());
  for (int64_t at = 0; at < outputs; at += step) {
    const int64_t count = std::min(step, outputs - at);
    out.narrow(1, at, count).copy_(part(at, count));
  }
  return out;
}

Tensor backward_of(const Tensor& grad, const Tensor& rows, Quantization q, int64_t inputs) {
  const int64_t outputs = rows.size(0);
  const int64_t step = in_parts(grad) ? some_of(inputs, outputs) : inputs;
  const auto part = [&](int64_t at, int64_t count) {
    return times(grad, dequantize(rows, q, inputs, grad.scalar_type(), 0, outputs, at, count));
  };
  if (step >= inputs) return part(0, inputs);
  auto out = at::empty({grad.size(0), inputs}, grad.options());
  for (int64_t at = 0; at < inputs; at += step) {
    const int64_t count = std::min(step, inputs - at);
    out.narrow(1, at, count).copy_(part(at, count));
  }
  return out;
}

struct QuantizedLinear : torch::autograd::Function<QuantizedLinear> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& rows, int64_t format) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({rows});
    ctx->saved_data["inputs"] = x.size(1);
    ctx->saved_data["format"] = format;
    return forward_of(x, rows, static_cast<Quantization>(format));
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto rows = ctx->get_saved_variables()[0];
    const auto q = static_cast<Quantization>(ctx->saved_data["format"].toInt());
    at::AutoDispatchBelowADInplaceOrView guard;
    const bool needed = ctx->needs_input_grad(0);
    return {needed ? backward_of(grads[0].contiguous(), rows, q, ctx->saved_data["inputs"].toInt()) : Tensor(), Tensor(), Tensor()};
  }
};

void check(const Tensor& x, const Tensor& rows, Quantization q) {
  TORCH_CHECK(x.dim() == 2, "quantized_linear: expected x of shape [T, I], found ", x.sizes());
  TORCH_CHECK(rows.dim() == 2 && rows.scalar_type() == at::kByte && rows.size(1) == row_bytes(q, x.size(1)),
              "quantized_linear: expected rows of ", row_bytes(q, x.size(1)), " bytes for ", x.size(1), " columns, found ",
              rows.sizes(), " of ", rows.scalar_type());
}

Tensor quantized_linear_autograd(const Tensor& x, const Tensor& rows, c10::string_view format) {
  const auto q = quantization_of(format);
  check(x, rows, q);
  return QuantizedLinear::apply(x, rows, static_cast<int64_t>(q));
}

Tensor quantized_linear(const Tensor& x, const Tensor& rows, c10::string_view format) {
  const auto q = quantization_of(format);
  check(x, rows, q);
  return forward_of(x, rows, q);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) { m.def("quantized_linear(Tensor x, Tensor rows, str format) -> Tensor"); }
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) { m.impl("quantized_linear", quantized_linear); }
TORCH_LIBRARY_IMPL(forge, Autograd, m) { m.impl("quantized_linear", quantized_linear_autograd); }

}  // namespace forge
