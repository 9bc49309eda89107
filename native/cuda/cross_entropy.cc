// forge::cross_entropy_: the loss of each row of logits, and in their place its gradient. A step of linear_cross_entropy off the
// CPU: one kernel on CUDA devices, libtorch's operators elsewhere.
#include "kernels/args.h"
#include "rows.h"
#include "runtime.h"

#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/full.h>

namespace forge::cross_entropy_cuda {
namespace {

using CrossEntropy = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, double, bool);

void check(const Tensor& logits, const Tensor& labels, const std::optional<Tensor>& weights) {
  const char* name = "cross_entropy_";
  TORCH_CHECK(logits.dim() == 2 && logits.is_floating_point() && logits.size(1) > 0, name,
              ": expected floating-point logits [rows, vocabulary], found ", logits.scalar_type(), " ", logits.sizes());
  TORCH_CHECK(labels.dim() == 1 && labels.size(0) == logits.size(0) && labels.scalar_type() == at::kLong &&
                  labels.device() == logits.device(),
              name, ": expected ", logits.size(0), " int64 labels on ", logits.device(), ", found ", labels.scalar_type(), " ", labels.sizes(),
              " on ", labels.device());
  TORCH_CHECK(!weights || (weights->sizes() == labels.sizes() && weights->device() == logits.device()), name,
              ": expected a weight for each label on ", logits.device(), ", found ", weights->sizes(), " on ", weights->device());
}

Tensor composition(const Tensor& logits, const Tensor& labels, const std::optional<Tensor>& weights, double scale, bool need_grad) {
  check(logits, labels, weights);
  const auto type = acc_type(logits.scalar_type());
  const auto label = labels.unsqueeze(1);
  auto p = at::_log_softmax(logits.to(type), 1, false);
  auto losses = p.gather(1, label).squeeze(1).neg();
  if (weights) losses.mul_(weights->to(type));
  if (!need_grad) return losses;
  p.exp_();
  p.scatter_add_(1, label, at::full(label.sizes(), -1.0, p.options()));
  p.mul_(scale);
  if (weights) p.mul_(weights->to(type).unsqueeze(1));
  logits.copy_(p);
  return losses;
}

constexpr int kThreads = 1024;

Tensor kernel(const Tensor& logits, const Tensor& labels, const std::optional<Tensor>& weights, double scale, bool need_grad) {
  static const auto handle = op<CrossEntropy>("forge::cross_entropy_");
  check(logits, labels, weights);
  if (!cuda::usable(logits) || !cuda::has_type(logits) || !logits.is_contiguous()) {
    return handle.redispatch(cuda::composed, logits, labels, weights, scale, need_grad);
  }
  const auto ids = labels.contiguous();
  const auto w = weights ? weights->to(at::kFloat).contiguous() : Tensor();
  const auto losses = at::empty(labels.sizes(), logits.options().dtype(at::kFloat));
  const CrossEntropyArgs args{
      .logits = cuda::data(logits),
      .labels = cuda::data<long long>(ids),
      .weights = cuda::data<float>(w),
      .losses = cuda::data<float>(losses),
      .rows = logits.size(0),
      .size = static_cast<int>(logits.size(1)),
      .gradient = need_grad,
      .scale = static_cast<float>(scale),
  };
  const int width = logits.size(1) % cuda::kPack == 0 && cuda::is_aligned(logits) ? cuda::kPack : 1;
  const auto instance = std::string("cross_entropy<") + cuda::type_name(logits.scalar_type()) + ", " + std::to_string(width) + ">";
  const auto threads = std::min<int64_t>(kThreads, cuda::whole_warps(logits.size(1) / width));
  cuda::launch({"cross_entropy", instance, "CrossEntropyArgs", kThreads}, logits.size(0), threads, args, logits);
  return losses;
}

using Weights = std::optional<Tensor>;
using Linear = std::tuple<Tensor, Tensor, Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, int64_t, int64_t, double,
                                                          const Weights&, bool, bool);
using LogProbabilities = Tensor(const Tensor&, const Tensor&, const Tensor&, int64_t, int64_t);

/// An emulated device has compositions where the CPU has kernels.
void emulate_linear(torch::Library& m) {
  m.impl("linear_cross_entropy_forward", [](const Tensor& hidden, const Tensor& weight, const Tensor& labels, int64_t ignored, int64_t chunk,
                                            double scale, const Weights& weights, bool need_hidden, bool need_weight) {
    return op<Linear>("forge::linear_cross_entropy_forward")
        .redispatch(cuda::composed, hidden, weight, labels, ignored, chunk, scale, weights, need_hidden, need_weight);
  });
  m.impl("linear_log_probabilities",
         [](const Tensor& hidden, const Tensor& weight, const Tensor& labels, int64_t ignored, int64_t chunk) {
           return op<LogProbabilities>("forge::linear_log_probabilities").redispatch(cuda::composed, hidden, weight, labels, ignored, chunk);
         });
}
[[maybe_unused]] const bool noted = cuda::emulated(emulate_linear);

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def("cross_entropy_(Tensor(a!) logits, Tensor labels, Tensor? weights, float scale, bool need_grad) -> Tensor");
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  m.impl("cross_entropy_", composition);
}
TORCH_LIBRARY_IMPL(forge, Meta, m) {
  m.impl("cross_entropy_", kernel);
}
FORGE_CUDA_IMPL(cuda_cross_entropy, m) {
  m.impl("cross_entropy_", kernel);
}

}  // namespace forge::cross_entropy_cuda
