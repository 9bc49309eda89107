// Collectives with a gradient. Each rank's loss is taken as its own: the gradient of a collective is that of the sum of
// all ranks' losses, as in torch.distributed.nn. So: sum <-> sum, gather <-> reduce-scatter, all-to-all <-> all-to-all
// with the splits swapped. The two *_region operators are tensor parallelism's f and g (Megatron-LM, section 3), where
// every rank has the same loss and it counts once. Our own and not _c10d_functional_autograd's: that has no all-reduce,
// and a failure in its backward pass names neither rank nor group.
#include "operators.h"

#include <torch/csrc/autograd/custom_function.h>

namespace torchforge::comm {

namespace {
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using at::Tensor;

struct AllReduce : Function<AllReduce> {
  static Tensor forward(AutogradContext* context, const Tensor& input, std::string op, std::string group) {
    context->saved_data["op"] = op;
    context->saved_data["group"] = group;
    return allReduceNow(input, op, group, "allReduce (differentiable)");
  }
  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    return {allReduceNow(grads[0], context->saved_data["op"].toStringRef(), context->saved_data["group"].toStringRef(),
                         "allReduce (backward)"),
            Tensor(), Tensor()};
  }
};

struct CopyToRegion : Function<CopyToRegion> {
  static Tensor forward(AutogradContext* context, const Tensor& input, std::string group) {
    context->saved_data["group"] = group;
    return input.view_as(input);
  }
  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    return {allReduceNow(grads[0], "sum", context->saved_data["group"].toStringRef(), "copyToRegion (backward)"), Tensor()};
  }
};

struct ReduceFromRegion : Function<ReduceFromRegion> {
  static Tensor forward(AutogradContext*, const Tensor& input, std::string group) {
    return allReduceNow(input, "sum", group, "reduceFromRegion");
  }
  static variable_list backward(AutogradContext*, const variable_list& grads) { return {grads[0], Tensor()}; }
};

struct AllGather : Function<AllGather> {
  static Tensor forward(AutogradContext* context, const Tensor& input, std::string group) {
    context->saved_data["group"] = group;
    context->saved_data["shape"] = input.sizes().vec();
    return allGatherNow(input, group, "allGather (differentiable)");
  }
  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    return {reduceScatterNow(grads[0], "sum", context->saved_data["group"].toStringRef(), "allGather (backward)")
                .view(context->saved_data["shape"].toIntVector()),
            Tensor()};
  }
};

struct ReduceScatter : Function<ReduceScatter> {
  static Tensor forward(AutogradContext* context, const Tensor& input, std::string op, std::string group, int64_t size) {
    TORCH_CHECK(op == "sum" || op == "avg", "reduceScatter is differentiable for sum and avg, got \"", op, "\"");
    context->saved_data["scale"] = op == "avg" ? 1.0 / static_cast<double>(size) : 1.0;
    context->saved_data["group"] = group;
    return reduceScatterNow(input, op, group, "reduceScatter (differentiable)");
  }
  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    Tensor grad = allGatherNow(grads[0], context->saved_data["group"].toStringRef(), "reduceScatter (backward)");
    const double scale = context->saved_data["scale"].toDouble();
    if (scale != 1.0) grad.mul_(scale);
    return {grad, Tensor(), Tensor(), Tensor()};
  }
};

struct AllToAll : Function<AllToAll> {
  static Tensor forward(AutogradContext* context, const Tensor& input, std::vector<int64_t> outputSplits,
                        std::vector<int64_t> inputSplits, std::string group) {
    context->saved_data["output_splits"] = outputSplits;
    context->saved_data["input_splits"] = inputSplits;
    context->saved_data["group"] = group;
    return allToAllNow(input, outputSplits, inputSplits, group, "allToAll (differentiable)");
  }
  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto outputSplits = context->saved_data["input_splits"].toIntVector();
    const auto inputSplits = context->saved_data["output_splits"].toIntVector();
    return {allToAllNow(grads[0], outputSplits, inputSplits, context->saved_data["group"].toStringRef(), "allToAll (backward)"),
            Tensor(), Tensor(), Tensor()};
  }
};

Tensor allReduce(const Tensor& input, std::string op, std::string group) {
  TORCH_CHECK(op == "sum" || op == "avg", "allReduce is differentiable for sum and avg, got \"", op, "\"");
  return AllReduce::apply(input, op, group);
}
Tensor copyToRegion(const Tensor& input, std::string group) { return CopyToRegion::apply(input, group); }
Tensor reduceFromRegion(const Tensor& input, std::string group) { return ReduceFromRegion::apply(input, group); }
Tensor allGather(const Tensor& input, std::string group) { return AllGather::apply(input, group); }
Tensor reduceScatter(const Tensor& input, std::string op, std::string group, int64_t size) {
  return ReduceScatter::apply(input, op, group, size);
}
Tensor allToAll(const Tensor& input, at::IntArrayRef outputSplits, at::IntArrayRef inputSplits, std::string group) {
  return AllToAll::apply(input, outputSplits.vec(), inputSplits.vec(), group);
}
}  // namespace

void defineDifferentiable(torch::Library& m) {
  // CompositeImplicitAutograd: the Function records the graph itself, and without grad mode it is just the call.
  m.def("all_reduce(Tensor input, str op, str group) -> Tensor", allReduce);
  m.def("copy_to_region(Tensor input, str group) -> Tensor", copyToRegion);
  m.def("reduce_from_region(Tensor input, str group) -> Tensor", reduceFromRegion);
  m.def("all_gather(Tensor input, str group) -> Tensor", allGather);
  m.def("reduce_scatter(Tensor input, str op, str group, int group_size) -> Tensor", reduceScatter);
  m.def("all_to_all(Tensor input, int[] output_splits, int[] input_splits, str group) -> Tensor", allToAll);
}

}  // namespace torchforge::comm
