// forge_comm::ring_attention: attention of a sequence that is cut among the ranks of a group. Each rank keeps its queries;
// blocks of keys and values pass from rank to rank, one hop a step, the next one under way while the present one is attended
// to. Partial results are merged by their log-sum-exp. Backward goes round again, the gradient of a block with it. Of a
// rank's keys and values nothing but its own block is kept from forward to backward.
// Which queries look at which keys at each step is the caller's: spans (fused/span_attention.h), `counts` of them a step.
// Source: Liu, Zaharia and Abbeel 2023, https://arxiv.org/abs/2310.01889; as in PyTorch the gradients travel in float32.
#include "../fused/span_attention.h"
#include "group.h"
#include "operators.h"
#include "work.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

namespace torchforge::comm {

namespace {
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using at::Tensor;

// A tensor on its way to the next rank, and the one of the same shape that comes from the rank before.
class Passing {
 public:
  Passing(const Tensor& sent, const std::string& groupName, const char* operation) : received_(at::empty_like(sent)) {
    const auto group = Group::find(groupName);
    const int64_t size = group->size(), rank = group->rank();
    std::vector<int64_t> out(size, 0), in(size, 0);
    in[(rank + 1) % size] = sent.numel();
    out[(rank + size - 1) % size] = sent.numel();
    work_ = startAllToAll(received_.view({-1}), sent.view({-1}), out, in, groupName, operation);
  }
  Tensor wait() {
    work_->waitOrThrow();
    return received_;
  }

 private:
  Tensor received_;
  std::shared_ptr<Work> work_;
};

// The spans of each step.
std::vector<std::vector<forge::Span>> stepsOf(at::IntArrayRef spans, at::IntArrayRef counts, int64_t queries, int64_t keys) {
  std::vector<std::vector<forge::Span>> steps;
  size_t at = 0;
  for (const int64_t count : counts) {
    TORCH_CHECK(count >= 0 && at + 5 * count <= spans.size(), "ringAttention: expected ", counts, " spans, found ",
                spans.size() / 5);
    steps.push_back(forge::read_spans(spans.slice(at, 5 * count), queries, keys));
    at += 5 * count;
  }
  TORCH_CHECK(at == spans.size(), "ringAttention: expected ", counts, " spans, found ", spans.size() / 5);
  return steps;
}

struct RingAttention : Function<RingAttention> {
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v, std::vector<int64_t> spans,
                        std::vector<int64_t> counts, double scale, int64_t window, std::string group) {
    TORCH_CHECK(static_cast<int64_t>(counts.size()) == Group::find(group)->size(), "ringAttention: expected a step for each of the ",
                Group::find(group)->size(), " ranks, found ", counts.size());
    at::AutoDispatchBelowADInplaceOrView guard;
    const auto [sum, lse] = forge::attention_start(q, k, v);
    const auto steps = stepsOf(spans, counts, q.size(0), k.size(0));
    Tensor block = at::stack({k, v});
    for (size_t step = 0; step < steps.size(); ++step) {
      std::optional<Passing> next;
      if (step + 1 < steps.size()) next.emplace(block, group, "ringAttention");
      forge::attend(sum, lse, q, block[0], block[1], steps[step], scale, window);
      if (next) block = next->wait();
    }
    const Tensor out = sum.to(q.scalar_type());
    context->save_for_backward({q, k, v, out, lse});
    context->saved_data["spans"] = std::move(spans);
    context->saved_data["counts"] = std::move(counts);
    context->saved_data["scale"] = scale;
    context->saved_data["window"] = window;
    context->saved_data["group"] = std::move(group);
    return out;
  }
  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3], &lse = saved[4];
    const auto& group = context->saved_data["group"].toStringRef();
    const auto spans = context->saved_data["spans"].toIntVector(), counts = context->saved_data["counts"].toIntVector();
    const auto scale = context->saved_data["scale"].toDouble();
    const auto window = context->saved_data["window"].toInt();
    at::AutoDispatchBelowADInplaceOrView guard;
    const auto steps = stepsOf(spans, counts, q.size(0), k.size(0));
    const Tensor dq = at::zeros(q.sizes(), lse.options());
    Tensor block = at::stack({k, v});
    std::optional<Passing> carried;
    for (size_t step = 0; step < steps.size(); ++step) {
      std::optional<Passing> next;
      if (step + 1 < steps.size()) next.emplace(block, group, "ringAttention (backward)");
      Tensor gradient = at::zeros(block.sizes(), lse.options());
      forge::attend_backward(dq, gradient[0], gradient[1], grads[0], q, block[0], block[1], out, lse, steps[step], scale, window);
      if (carried) gradient.add_(carried->wait());
      carried.emplace(gradient, group, "ringAttention (backward)");
      if (next) block = next->wait();
    }
    const Tensor own = carried->wait();
    const auto type = q.scalar_type();
    return {dq.to(type), own[0].to(type), own[1].to(type), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor ringAttention(const Tensor& q, const Tensor& k, const Tensor& v, at::IntArrayRef spans, at::IntArrayRef counts, double scale,
                     int64_t window, std::string group) {
  return RingAttention::apply(q, k, v, spans.vec(), counts.vec(), scale, window, group);
}
}  // namespace

TORCH_LIBRARY_FRAGMENT(forge_comm, m) {
  // As the other differentiable ones: the Function records the graph itself.
  m.def("ring_attention(Tensor q, Tensor k, Tensor v, int[] spans, int[] counts, float scale, int window, str group) -> Tensor",
        ringAttention);
}

}  // namespace torchforge::comm
