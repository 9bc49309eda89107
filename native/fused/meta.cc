// Kernels for tensors without memory (device meta), on which `torchforge simulate` runs a step: results have shapes and no
// values. They allocate what the kernels allocate that they stand for, so that counting allocations measures the step: those
// of the CPU, or with forge::meta_stands_for("accelerator") the compositions that other devices run; the two are counted
// apart. A few of libtorch's own operators are here, too, whose kernels for meta tensors are in Python.
// Where a step asks for values it is told, after meta_stands_for alone, that a mask is true everywhere (all rows have a label)
// and that a number is NaN, or 0 for a whole one; else such a question is an error, as in PyTorch.
#include "../core/memory.h"
#include "fused.h"
#include "rms_norm_kernel.h"

#include <atomic>

namespace forge {
namespace {

std::atomic<bool> like_cpu{true}, simulating{false};

void stands_for(c10::string_view device) {
  TORCH_CHECK(device == "cpu" || device == "accelerator", "meta_stands_for: expected cpu or accelerator, found ", device);
  like_cpu = device == "cpu";
  torchforge::setMetaMemory(like_cpu ? torchforge::MetaMemory::main : torchforge::MetaMemory::accelerator);
  simulating = true;
}

/// Where an accelerator runs the composition of libtorch's operators.
const c10::DispatchKeySet composed(c10::DispatchKey::CUDA);

std::tuple<Tensor, Tensor> norm_forward(const Tensor& x, const std::optional<Tensor>& weight, double eps) {
  rms::check("rms_norm", x, weight.value_or(Tensor()));
  auto shape = x.sizes().vec();
  shape.back() = 1;
  return {at::empty(x.sizes(), x.options()), at::empty(shape, x.options().dtype(acc_type(x.scalar_type())))};
}

std::tuple<Tensor, Tensor> norm_backward(const Tensor&, const Tensor& x, const Tensor&, const std::optional<Tensor>&,
                                         bool need_input, bool need_weight) {
  return {need_input ? at::empty(x.sizes(), x.options()) : Tensor(), need_weight ? at::empty({x.size(-1)}, x.options()) : Tensor()};
}

Tensor swiglu_forward(const Tensor& gate, const Tensor&) {
  return at::empty(gate.sizes(), gate.options());
}

std::tuple<Tensor, Tensor> swiglu_backward(const Tensor&, const Tensor& gate, const Tensor& up) {
  return {at::empty(gate.sizes(), gate.options()), at::empty(up.sizes(), up.options())};
}

using Rotate = std::vector<Tensor>(at::TensorList, const Tensor&, const Tensor&, const std::optional<Tensor>&, bool);
std::vector<Tensor> rotate(at::TensorList xs, const Tensor& cos, const Tensor& sin, const std::optional<Tensor>& positions,
                           bool inverse) {
  static const auto handle = op<Rotate>("forge::rotary_apply");
  if (!like_cpu) return handle.redispatch(composed, xs, cos, sin, positions, inverse);
  std::vector<Tensor> out;
  for (const auto& x : xs) out.push_back(at::empty(x.sizes(), x.options()));
  return out;
}

/// Attention in documents of any kind: output and log-sum-exp are kept, and nothing of size T x T outlives a block, be it the
/// kernel of the CPU or flash attention.
struct Attention : torch::autograd::Function<Attention> {
  static Tensor forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& v) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const auto wide = q.options().dtype(acc_type(q.scalar_type()));
    auto out = at::empty(q.sizes(), q.options()), lse = at::empty({q.size(1), q.size(0)}, wide);
    ctx->save_for_backward({q, k, v, out, lse});
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list&) {
    const auto saved = ctx->get_saved_variables();
    at::AutoDispatchBelowADInplaceOrView guard;
    variable_list out;
    for (int i = 0; i < 3; ++i) out.push_back(at::empty(saved[i].sizes(), saved[i].options()));
    return out;
  }
};

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v) {
  TORCH_CHECK(q.is_meta() && q.dim() == 3 && k.dim() == 3 && k.sizes() == v.sizes(),
              "meta_attention: expected meta tensors q [T, H, d], k and v [T, K, d], found ", q.sizes(), ", ", k.sizes(), " and ",
              v.sizes(), " on ", q.device());
  return Attention::apply(q, k, v);
}

Tensor sum_of_squares(at::TensorList tensors) {
  TORCH_CHECK(!tensors.empty(), "sum_of_squares: expected at least one tensor");
  return at::empty({}, tensors[0].options().dtype(at::kDouble));
}

/// In place, and without a temporary: both the kernel of the CPU and the fused one of devices.
void adamw(at::TensorList, at::TensorList, at::TensorList, at::TensorList, int64_t, double, double, double, double, double,
           const std::optional<Tensor>&, bool) {}

// libtorch's own.

Tensor index_select(const Tensor& self, int64_t dim, const Tensor& index) {
  auto shape = self.sizes().vec();
  const auto at = dim < 0 ? dim + self.dim() : dim;
  shape.at(at) = index.numel();
  return at::empty(shape, self.options());
}

Tensor embedding_backward(const Tensor& grad, const Tensor&, int64_t rows, int64_t, bool) {
  return at::empty({rows, grad.size(-1)}, grad.options());
}

Tensor& abs_out(const Tensor& self, Tensor& out) {
  out.resize_(self.sizes());
  return out;
}

void require_simulation(const char* name) {
  TORCH_CHECK(simulating, name, ": a tensor of the device meta has no values");
}

Tensor nonzero(const Tensor& self) {
  require_simulation("nonzero");
  return at::empty({self.numel(), self.dim()}, self.options().dtype(at::kLong));
}

at::Scalar item(const Tensor& self) {
  require_simulation("item");
  if (self.is_floating_point()) return std::numeric_limits<double>::quiet_NaN();
  return int64_t{0};
}

/// Logits that the CPU's plan holds at once (linear_cross_entropy.cc).
int64_t chunk_of(int64_t count, int64_t vocabulary, int64_t chunk) {
  if (chunk > 0) return std::min(chunk, count * vocabulary);
  return std::min<int64_t>(count * vocabulary / 15, int64_t{1} << 26);
}

/// The CPU's plan holds a chunk of logits, the labelled rows, their gradients and the weight's.
using CrossEntropy = std::tuple<Tensor, Tensor, Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, int64_t, int64_t,
                                                                double, const std::optional<Tensor>&, bool, bool);
std::tuple<Tensor, Tensor, Tensor, Tensor> cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& labels,
                                                         int64_t ignored, int64_t chunk, double scale,
                                                         const std::optional<Tensor>& token_weights, bool need_hidden,
                                                         bool need_weight) {
  static const auto handle = op<CrossEntropy>("forge::linear_cross_entropy_forward");
  if (!like_cpu)
    return handle.redispatch(composed, hidden, weight, labels, ignored, chunk, scale, token_weights, need_hidden, need_weight);
  const auto wide = hidden.options().dtype(acc_type(hidden.scalar_type()));
  const auto rows = at::empty(hidden.sizes(), wide);
  Tensor grad_hidden, grad_weight, grad_rows;
  if (need_hidden) grad_rows = at::empty(hidden.sizes(), wide);
  if (need_weight) grad_weight = at::empty(weight.sizes(), weight.options());
  (void)at::empty({chunk_of(labels.numel(), weight.size(0), chunk)}, wide);
  if (need_hidden) grad_hidden = at::empty(hidden.sizes(), hidden.options());
  return {at::empty({}, wide), at::empty({}, labels.options()), grad_hidden, grad_weight};
}

/// The same chunk of logits, and the result; on an accelerator the composition's.
using LogProbabilities = Tensor(const Tensor&, const Tensor&, const Tensor&, int64_t, int64_t);
Tensor log_probabilities(const Tensor& hidden, const Tensor& weight, const Tensor& labels, int64_t ignored, int64_t chunk) {
  static const auto handle = op<LogProbabilities>("forge::linear_log_probabilities");
  if (!like_cpu) return handle.redispatch(composed, hidden, weight, labels, ignored, chunk);
  const auto wide = hidden.options().dtype(acc_type(hidden.scalar_type()));
  const auto rows = at::empty(hidden.sizes(), wide);
  (void)at::empty({chunk_of(labels.numel(), weight.size(0), chunk)}, wide);
  return at::empty(labels.sizes(), wide);
}

}  // namespace

bool meta_is_cpu() { return like_cpu; }

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def("meta_stands_for(str device) -> ()", stands_for);
  // The Function records the graph itself, and without grad mode it is just the call.
  m.def("meta_attention(Tensor q, Tensor k, Tensor v) -> Tensor", attention);
}
TORCH_LIBRARY_IMPL(forge, Meta, m) {
  m.impl("rms_norm_forward", norm_forward);
  m.impl("rms_norm_backward", norm_backward);
  m.impl("swiglu_forward", swiglu_forward);
  m.impl("swiglu_backward", swiglu_backward);
  m.impl("rotary_apply", rotate);
  m.impl("sum_of_squares", sum_of_squares);
  m.impl("adamw_", adamw);
  m.impl("linear_cross_entropy_forward", cross_entropy);
  m.impl("linear_log_probabilities", log_probabilities);
}
TORCH_LIBRARY_IMPL(aten, Meta, m) {
  m.impl("index_select", index_select);
  m.impl("embedding_dense_backward", embedding_backward);
  m.impl("abs.out", abs_out);
  m.impl("nonzero", nonzero);
  m.impl("_local_scalar_dense", item);
}

}  // namespace forge
