// The collectives as operators of libtorch's dispatcher, namespace forge_comm, so that TypeScript calls them as it calls
// any other operator. In-place ones start the call and return its number (work.h); the ones without an underscore at
// the end wait. Ranks are those of the group. Not here: the checks that name a user's mistake (src/comm/checks.ts).
#include "operators.h"
#include "work.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/library.h>

#include <atomic>
#include <limits>
#include <numeric>

// _allgather_base and its kin have new names in 2.13, which 2.9 lacks.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace torchforge::comm {

namespace {
using at::Tensor;
using Tensors = std::vector<Tensor>;
using c10d::ReduceOp;

ReduceOp reduceOp(const std::string& name) {
  if (name == "sum") return ReduceOp::SUM;
  if (name == "avg") return ReduceOp::AVG;
  if (name == "product") return ReduceOp::PRODUCT;
  if (name == "min") return ReduceOp::MIN;
  if (name == "max") return ReduceOp::MAX;
  TORCH_CHECK(false, "reduce operation must be sum, avg, product, min or max, got \"", name, "\"");
}

// Gloo moves eight dtypes; the others (float8, int16, complex ...) travel as bytes.
Tensor movable(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat: case at::kDouble: case at::kHalf: case at::kBFloat16:
    case at::kChar: case at::kByte: case at::kBool: case at::kInt: case at::kLong:
      return tensor;
    default:
      return tensor.reshape({-1}).view(at::kByte);
  }
}
Tensors movable(at::TensorList tensors) {
  Tensors result;
  for (const auto& tensor : tensors) result.push_back(movable(tensor));
  return result;
}

std::chrono::milliseconds limit(const Group& group, int64_t timeoutMs) {
  return timeoutMs > 0 ? std::chrono::milliseconds(timeoutMs) : group.timeout();
}

// Starts a collective. `start` gets the c10d group and the time-out; `keep` are the tensors that must stay alive.
template <class F>
std::shared_ptr<Work> launch(const std::string& groupName, const char* operation, int64_t timeoutMs, const Traced& traced,
                             Tensors keep, F start, std::function<void()> finish = nullptr) {
  auto group = Group::find(groupName);
  group->requireUsable(operation);
  const auto timeout = limit(*group, timeoutMs);
  at::AutoDispatchBelowAutograd guard;
  const Group::Begun begun = group->begin(operation, traced);
  try {
    return std::make_shared<Work>(group, operation, begun, true, timeout, start(group->c10d(), timeout), std::move(keep),
                                  std::move(finish));
  } catch (const c10::Error& error) {
    TORCH_CHECK(false, group->refuse(operation, begun, error.what_without_backtrace()));
  }
}

// Gloo moves main memory: a device's tensors go by way of it. Its own kernels for devices lack half of the calls.
std::atomic<bool> stagesAll{false};

// The tensors of one call as its backend takes them: themselves, or copies in main memory, whose results come back when it is done.
class Staged {
 public:
  Staged(const std::string& group, const Tensor& example)
      : needed_(Group::find(group)->options().backend == "gloo" && !example.is_meta() && (stagesAll || !example.device().is_cpu())) {}

  Tensor in(const Tensor& tensor) const {
    if (!needed_) return tensor;
    at::AutoDispatchBelowAutograd guard;
    return tensor.to(tensor.options().device(at::kCPU), /*non_blocking=*/false, /*copy=*/true);
  }
  // One that the call writes to, or both reads and writes.
  Tensor out(const Tensor& tensor) {
    const Tensor host = in(tensor);
    if (needed_) results_.emplace_back(tensor, host);
    return host;
  }
  Tensors in(at::TensorList tensors) const {
    Tensors hosts;
    for (const auto& tensor : tensors) hosts.push_back(in(tensor));
    return hosts;
  }
  Tensors out(at::TensorList tensors) {
    Tensors hosts;
    for (const auto& tensor : tensors) hosts.push_back(out(tensor));
    return hosts;
  }
  // What is left to do when the data is there, after `before`.
  std::function<void()> finish(std::function<void()> before = nullptr) const {
    if (!needed_) return before;
    return [before, results = results_] {
      if (before) before();
      at::AutoDispatchBelowAutograd guard;
      for (const auto& [tensor, host] : results) tensor.copy_(host);
    };
  }

 private:
  const bool needed_;
  std::vector<std::pair<Tensor, Tensor>> results_;
};

template <class Options>
Options withTimeout(std::chrono::milliseconds timeout) {
  Options options;
  options.timeout = timeout;
  return options;
}

std::shared_ptr<Work> startAllReduce(const Tensors& given, const std::string& op, const std::string& group, int64_t timeoutMs,
                                     const char* operation) {
  const Traced traced{.inputs = given, .outputs = given, .reduceOp = op};
  TORCH_CHECK(!given.empty(), operation, ": expected at least one tensor");
  Staged staged(group, given[0]);
  Tensors tensors = staged.out(given);
  return launch(group, operation, timeoutMs, traced, tensors, [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
    if (tensors.size() == 1) {
      auto options = withTimeout<c10d::AllreduceOptions>(timeout);
      options.reduceOp = reduceOp(op);
      return pg.allreduce(tensors, options);
    }
    auto options = withTimeout<c10d::AllreduceCoalescedOptions>(timeout);
    options.reduceOp = reduceOp(op);
    return pg.allreduce_coalesced(tensors, options);
  }, staged.finish());
}

std::shared_ptr<Work> startAllGatherInto(const Tensor& output, const Tensor& input, const std::string& group,
                                         int64_t timeoutMs, const char* operation) {
  const int64_t size = Group::find(group)->size();
  TORCH_CHECK(output.numel() == input.numel() * size && input.scalar_type() == output.scalar_type(), operation, ": output ",
              output.sizes(), " is not ", size, " times input ", input.sizes(), ", or not of its dtype");
  Staged staged(group, input);
  Tensor out = movable(staged.out(output)), in = movable(staged.in(input));
  const Traced traced{.inputs = input, .outputs = output};
  return launch(group, operation, timeoutMs, traced, {out, in}, [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
    return pg._allgather_base(out, in, withTimeout<c10d::AllgatherOptions>(timeout));
  }, staged.finish());
}

// Gloo has no reduce-scatter: PyTorch all-reduces the whole input and takes a slice. An all-to-all and a local sum move
// half of that, and add up in float32 (float64 for float64) in the order of the ranks, rounding half types only once.
std::shared_ptr<Work> startReduceScatter(const Tensor& output, const Tensor& wanted, const std::string& op,
                                         const std::string& group, int64_t timeoutMs, const char* operation) {
  const ReduceOp reduce = reduceOp(op);
  const int64_t size = Group::find(group)->size();
  TORCH_CHECK(wanted.numel() == output.numel() * size && wanted.scalar_type() == output.scalar_type(), operation, ": input ",
              wanted.sizes(), " is not ", size, " times output ", output.sizes(), ", or not of its dtype");
  const Traced traced{.inputs = wanted, .outputs = output, .reduceOp = op};
  Staged staged(group, wanted);
  const Tensor input = staged.in(wanted);
  // Meta tensors stand for those that the group's backend is for.
  const bool isHosts = input.is_meta() ? Group::find(group)->blocking() : input.device().is_cpu();
  if (!isHosts) {
    Tensor out = output, in = input;
    return launch(group, operation, timeoutMs, traced, {out, in}, [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
      auto options = withTimeout<c10d::ReduceScatterOptions>(timeout);
      options.reduceOp = reduce;
      return pg._reduce_scatter_base(out, in, options);
    });
  }
  Tensor received = at::empty({size, output.numel()}, input.options());
  Tensor flat = input.reshape({size, output.numel()});
  Tensor out = staged.out(output);
  auto finish = [received, out, reduce]() mutable {
    at::AutoDispatchBelowAutograd guard;
    const auto type = out.scalar_type();
    const bool half = type == at::kHalf || type == at::kBFloat16;
    Tensor result;
    switch (reduce) {
      case ReduceOp::MIN: result = received.amin(0); break;
      case ReduceOp::MAX: result = received.amax(0); break;
      case ReduceOp::PRODUCT: result = received.prod(0, false, half ? at::kFloat : type); break;
      default: {
        // One row after the other: the sum's order, and so its bits, don't depend on vectorization.
        result = received[0].to(half ? at::kFloat : type, false, true);
        for (int64_t i = 1; i < received.size(0); ++i) result.add_(received[i]);
        if (reduce == ReduceOp::AVG) result.div_(static_cast<double>(received.size(0)));
      }
    }
    out.view(-1).copy_(result);
  };
  return launch(
      group, operation, timeoutMs, traced, {received, flat, out},
      [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
        std::vector<int64_t> equal;
        return pg.alltoall_base(received, flat, equal, equal, withTimeout<c10d::AllToAllOptions>(timeout));
      },
      staged.finish(finish));
}

void requireSplits(const char* operation, at::IntArrayRef splits, int64_t rows, const std::string& group) {
  const int64_t size = Group::find(group)->size();
  if (splits.empty()) {
    TORCH_CHECK(rows % size == 0, operation, ": ", rows, " rows don't divide among ", size, " ranks");
    return;
  }
  int64_t sum = 0;
  for (int64_t split : splits) {
    // Each is checked against the rows, so that the sum can't overflow.
    TORCH_CHECK(split >= 0 && split <= rows, operation, ": split sizes ", splits, " don't fit ", rows, " rows");
    sum += split;
  }
  TORCH_CHECK(static_cast<int64_t>(splits.size()) == size && sum == rows, operation, ": split sizes ", splits, " don't fit ", rows,
              " rows and ", size, " ranks");
}

std::shared_ptr<Work> startAllToAllSingle(const Tensor& output, const Tensor& input, at::IntArrayRef outputSplits,
                                          at::IntArrayRef inputSplits, const std::string& group, int64_t timeoutMs,
                                          const char* operation) {
  // Splits count rows, so byte tensors keep their first dimension.
  auto rows = [](const Tensor& tensor) {
    const Tensor moved = movable(tensor);
    return moved.is_same(tensor) ? tensor : moved.view({tensor.size(0), tensor.size(0) == 0 ? 0 : moved.numel() / tensor.size(0)});
  };
  TORCH_CHECK(output.dim() > 0 && input.dim() > 0, operation, " needs tensors of at least one dimension");
  TORCH_CHECK(output.scalar_type() == input.scalar_type(), operation, ": output and input differ in dtype");
  TORCH_CHECK(output.sizes().slice(1) == input.sizes().slice(1), operation, ": rows of output ", output.sizes(), " and input ",
              input.sizes(), " differ in shape");
  requireSplits(operation, outputSplits, output.size(0), group);
  requireSplits(operation, inputSplits, input.size(0), group);
  Staged staged(group, input);
  Tensor out = rows(staged.out(output)), in = rows(staged.in(input));
  const Traced traced{
      .inputs = input, .outputs = output, .inputSplits = inputSplits, .outputSplits = outputSplits};
  return launch(group, operation, timeoutMs, traced, {out, in}, [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
    auto outputs = outputSplits.vec(), inputs = inputSplits.vec();
    return pg.alltoall_base(out, in, outputs, inputs, withTimeout<c10d::AllToAllOptions>(timeout));
  }, staged.finish());
}

int64_t allReduceInPlace(const Tensor& tensor, std::string op, std::string group, int64_t timeoutMs) {
  return addWork(startAllReduce({tensor}, op, group, timeoutMs, "allReduce"));
}
int64_t allReduceList(at::TensorList tensors, std::string op, std::string group, int64_t timeoutMs) {
  return addWork(startAllReduce(tensors.vec(), op, group, timeoutMs, "allReduceCoalesced"));
}
int64_t broadcastInPlace(const Tensor& tensor, int64_t source, std::string group, int64_t timeoutMs) {
  Staged staged(group, tensor);
  Tensors tensors{movable(staged.out(tensor))};
  const Traced traced{.inputs = tensor, .outputs = tensor, .peer = source};
  return addWork(launch(group, "broadcast", timeoutMs, traced, tensors, [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
    auto options = withTimeout<c10d::BroadcastOptions>(timeout);
    options.rootRank = source;
    return pg.broadcast(tensors, options);
  }, staged.finish()));
}
int64_t reduceInPlace(const Tensor& tensor, int64_t destination, std::string op, std::string group, int64_t timeoutMs) {
  Staged staged(group, tensor);
  Tensors tensors{staged.out(tensor)};
  const Traced traced{.inputs = tensor, .outputs = tensor, .reduceOp = op, .peer = destination};
  return addWork(launch(group, "reduce", timeoutMs, traced, tensors, [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
    auto options = withTimeout<c10d::ReduceOptions>(timeout);
    options.reduceOp = reduceOp(op);
    options.rootRank = destination;
    return pg.reduce(tensors, options);
  }, staged.finish()));
}
int64_t allGatherInto(const Tensor& output, const Tensor& input, std::string group, int64_t timeoutMs) {
  return addWork(startAllGatherInto(output, input, group, timeoutMs, "allGatherIntoTensor"));
}
int64_t allGatherList(at::TensorList outputs, const Tensor& input, std::string group, int64_t timeoutMs) {
  Staged staged(group, input);
  std::vector<Tensors> out{movable(staged.out(outputs))};
  Tensors in{movable(staged.in(input))}, keep = out[0];
  keep.push_back(in[0]);
  const Traced traced{.inputs = input, .outputs = outputs};
  return addWork(launch(group, "allGather", timeoutMs, traced, keep, [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
    return pg.allgather(out, in, withTimeout<c10d::AllgatherOptions>(timeout));
  }, staged.finish()));
}
int64_t reduceScatterInto(const Tensor& output, const Tensor& input, std::string op, std::string group, int64_t timeoutMs) {
  return addWork(startReduceScatter(output, input, op, group, timeoutMs, "reduceScatterTensor"));
}
int64_t allToAllSingle(const Tensor& output, const Tensor& input, at::IntArrayRef outputSplits, at::IntArrayRef inputSplits,
                       std::string group, int64_t timeoutMs) {
  return addWork(startAllToAllSingle(output, input, outputSplits, inputSplits, group, timeoutMs, "allToAllSingle"));
}
int64_t allToAllList(at::TensorList outputs, at::TensorList inputs, std::string group, int64_t timeoutMs) {
  const size_t size = Group::find(group)->size();
  TORCH_CHECK(outputs.size() == size && inputs.size() == size, "allToAll needs ", size, " inputs and outputs, one for each rank");
  for (size_t i = 0; i < size; ++i) {
    TORCH_CHECK(outputs[i].is_contiguous() && outputs[i].scalar_type() == inputs[0].scalar_type() &&
                    inputs[i].scalar_type() == inputs[0].scalar_type(),
                "allToAll needs contiguous outputs, and one dtype");
  }
  const Traced traced{.inputs = inputs, .outputs = outputs};
  Staged staged(group, inputs[0]);
  const Tensors sources = staged.in(inputs);
  if (!sources[0].device().is_cpu()) {
    Tensors out = outputs.vec(), in = inputs.vec(), keep = out;
    keep.insert(keep.end(), in.begin(), in.end());
    return addWork(launch(group, "allToAll", timeoutMs, traced, keep, [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
      return pg.alltoall(out, in, withTimeout<c10d::AllToAllOptions>(timeout));
    }));
  }
  // Gloo's takes equal shapes only: so in one piece, with split sizes.
  Tensors out = movable(staged.out(outputs)), in = movable(sources);
  std::vector<int64_t> outputSplits, inputSplits;
  for (auto& tensor : out) outputSplits.push_back(tensor.numel());
  for (auto& tensor : in) {
    inputSplits.push_back(tensor.numel());
    tensor = tensor.reshape({-1});
  }
  Tensor sent = at::cat(in);
  Tensor received = at::empty({std::accumulate(outputSplits.begin(), outputSplits.end(), int64_t{0})}, sent.options());
  auto finish = [received, out, outputSplits]() mutable {
    at::AutoDispatchBelowAutograd guard;
    const Tensors parts = received.split_with_sizes(outputSplits);
    for (size_t i = 0; i < out.size(); ++i) out[i].view(-1).copy_(parts[i]);
  };
  return addWork(launch(
      group, "allToAll", timeoutMs, traced, {sent, received},
      [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
        return pg.alltoall_base(received, sent, outputSplits, inputSplits, withTimeout<c10d::AllToAllOptions>(timeout));
      },
      staged.finish(finish)));
}
int64_t gatherList(at::TensorList outputs, const Tensor& input, int64_t destination, std::string group, int64_t timeoutMs) {
  Staged staged(group, input);
  std::vector<Tensors> out;
  if (!outputs.empty()) out.push_back(movable(staged.out(outputs)));
  Tensors in{movable(staged.in(input))}, keep = out.empty() ? Tensors() : out[0];
  keep.push_back(in[0]);
  const Traced traced{.inputs = input, .outputs = outputs, .peer = destination};
  return addWork(launch(group, "gather", timeoutMs, traced, keep, [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
    auto options = withTimeout<c10d::GatherOptions>(timeout);
    options.rootRank = destination;
    return pg.gather(out, in, options);
  }, staged.finish()));
}
int64_t scatterList(const Tensor& output, at::TensorList inputs, int64_t source, std::string group, int64_t timeoutMs) {
  Staged staged(group, output);
  std::vector<Tensors> in;
  if (!inputs.empty()) in.push_back(movable(staged.in(inputs)));
  Tensors out{movable(staged.out(output))}, keep = in.empty() ? Tensors() : in[0];
  keep.push_back(out[0]);
  const Traced traced{.inputs = inputs, .outputs = output, .peer = source};
  return addWork(launch(group, "scatter", timeoutMs, traced, keep, [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
    auto options = withTimeout<c10d::ScatterOptions>(timeout);
    options.rootRank = source;
    return pg.scatter(out, in, options);
  }, staged.finish()));
}
int64_t barrierStart(std::string group, int64_t timeoutMs) {
  return addWork(launch(group, "barrier", timeoutMs, {}, {}, [&](c10d::ProcessGroup& pg, std::chrono::milliseconds timeout) {
    return pg.barrier(withTimeout<c10d::BarrierOptions>(timeout));
  }));
}

// `peer` below 0, for a receive: any rank.
template <class F>
int64_t pointToPoint(const Tensor& tensor, int64_t peer, int64_t tag, const std::string& groupName, const char* operation,
                     bool receives, int64_t timeoutMs, F start) {
  auto group = Group::find(groupName);
  group->requireUsable(operation);
  // Gloo indexes its connections by the rank, unchecked.
  TORCH_CHECK(peer < group->size() && peer != group->rank(), operation, ": no rank ", peer, " to talk to in group \"", groupName,
              "\" of ", group->size(), " ranks");
  TORCH_CHECK(tag >= 0 && tag <= std::numeric_limits<int32_t>::max(), operation, ": tag ", tag, " is out of range");
  at::AutoDispatchBelowAutograd guard;
  Staged staged(groupName, tensor);
  Tensors tensors{movable(receives ? staged.out(tensor) : staged.in(tensor))};
  auto inner = start(group->c10d(), tensors);
  Traced traced{.peer = peer, .tag = tag};
  (receives ? traced.outputs : traced.inputs) = tensor;
  const Group::Begun begun = group->beginPointToPoint(operation, traced);
  const auto timeout = limit(*group, timeoutMs);
  return addWork(std::make_shared<Work>(std::move(group), operation, begun, false, timeout, std::move(inner),
                                        std::move(tensors), staged.finish()));
}
int64_t sendStart(const Tensor& tensor, int64_t destination, int64_t tag, std::string group, int64_t timeoutMs) {
  TORCH_CHECK(destination >= 0, "send: no rank ", destination);
  return pointToPoint(tensor, destination, tag, group, "send", false, timeoutMs, [&](c10d::ProcessGroup& pg, Tensors& tensors) {
    return pg.send(tensors, static_cast<int>(destination), static_cast<int>(tag));
  });
}
int64_t receiveStart(const Tensor& tensor, int64_t source, int64_t tag, std::string group, int64_t timeoutMs) {
  return pointToPoint(tensor, source, tag, group, "recv", true, timeoutMs, [&](c10d::ProcessGroup& pg, Tensors& tensors) {
    return source < 0 ? pg.recvAnysource(tensors, static_cast<int>(tag))
                      : pg.recv(tensors, static_cast<int>(source), static_cast<int>(tag));
  });
}
// For tests without a GPU: tensors of the CPU go the way of a device's.
void stageAll(bool on) { stagesAll = on; }
}  // namespace

std::shared_ptr<Work> startAllToAll(const Tensor& output, const Tensor& input, at::IntArrayRef outputSplits,
                                    at::IntArrayRef inputSplits, const std::string& group, const char* operation) {
  return startAllToAllSingle(output, input, outputSplits, inputSplits, group, -1, operation);
}

Tensor allReduceNow(const Tensor& input, const std::string& op, const std::string& group, const char* operation) {
  at::AutoDispatchBelowAutograd guard;
  Tensor output = input.clone(at::MemoryFormat::Contiguous);
  startAllReduce({output}, op, group, -1, operation)->waitOrThrow();
  return output;
}

Tensor allGatherNow(const Tensor& input, const std::string& group, const char* operation) {
  at::AutoDispatchBelowAutograd guard;
  auto shape = input.sizes().vec();
  if (shape.empty()) shape.push_back(1);
  shape[0] *= Group::find(group)->size();
  Tensor output = at::empty(shape, input.options());
  startAllGatherInto(output, input.contiguous(), group, -1, operation)->waitOrThrow();
  return output;
}

Tensor reduceScatterNow(const Tensor& input, const std::string& op, const std::string& group, const char* operation) {
  at::AutoDispatchBelowAutograd guard;
  auto shape = input.sizes().vec();
  const int64_t size = Group::find(group)->size();
  TORCH_CHECK(!shape.empty() && shape[0] % size == 0, operation, ": the first dimension of ", input.sizes(),
              " doesn't divide by the group's ", size, " ranks");
  shape[0] /= size;
  Tensor output = at::empty(shape, input.options());
  startReduceScatter(output, input.contiguous(), op, group, -1, operation)->waitOrThrow();
  return output;
}

Tensor allToAllNow(const Tensor& input, at::IntArrayRef outputSplits, at::IntArrayRef inputSplits, const std::string& group,
                   const char* operation) {
  at::AutoDispatchBelowAutograd guard;
  auto shape = input.sizes().vec();
  if (!outputSplits.empty()) shape.at(0) = std::accumulate(outputSplits.begin(), outputSplits.end(), int64_t{0});
  Tensor output = at::empty(shape, input.options());
  startAllToAllSingle(output, input.contiguous(), outputSplits, inputSplits, group, -1, operation)->waitOrThrow();
  return output;
}

TORCH_LIBRARY(forge_comm, m) {
  const auto composite = c10::DispatchKey::CompositeExplicitAutograd;
  m.def("all_reduce_(Tensor(a!) tensor, str op, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, allReduceInPlace));
  m.def("all_reduce_coalesced_(Tensor(a!)[] tensors, str op, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, allReduceList));
  m.def("broadcast_(Tensor(a!) tensor, int src, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, broadcastInPlace));
  m.def("reduce_(Tensor(a!) tensor, int dst, str op, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, reduceInPlace));
  m.def("all_gather_into_tensor_(Tensor(a!) output, Tensor input, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, allGatherInto));
  m.def("all_gather_(Tensor(a!)[] outputs, Tensor input, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, allGatherList));
  m.def("reduce_scatter_tensor_(Tensor(a!) output, Tensor input, str op, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, reduceScatterInto));
  m.def("all_to_all_single_(Tensor(a!) output, Tensor input, int[] output_splits, int[] input_splits, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, allToAllSingle));
  m.def("all_to_all_(Tensor(a!)[] outputs, Tensor[] inputs, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, allToAllList));
  m.def("gather_(Tensor(a!)[] outputs, Tensor input, int dst, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, gatherList));
  m.def("scatter_(Tensor(a!) output, Tensor[] inputs, int src, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, scatterList));
  m.def("barrier_(str group, int timeout_ms=-1) -> int", torch::dispatch(composite, barrierStart));
  m.def("send_(Tensor tensor, int dst, int tag, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, sendStart));
  m.def("recv_(Tensor(a!) tensor, int src, int tag, str group, int timeout_ms=-1) -> int", torch::dispatch(composite, receiveStart));
  m.def("stage_all(bool on) -> ()", stageAll);
  defineDifferentiable(m);
}

}  // namespace torchforge::comm
