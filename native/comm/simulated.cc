// A process group of one process: the others aren't there, and every call is done at once, leaving what it should fill as it
// was. It counts calls and bytes by group and kind, for `torchforge simulate`, which runs the step of one rank of many on
// tensors without memory. Whoever needs the values of others gets wrong ones.
#include "simulated.h"

#include "../core/memory.h"

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/library.h>

#include <map>

namespace torchforge::comm {

namespace {
using Tensors = std::vector<at::Tensor>;

struct Counts {
  std::mutex mutex;
  std::map<std::pair<std::string, std::string>, SimulatedCalls> calls;
};
Counts& counts() {
  static auto* instance = new Counts;
  return *instance;
}

int64_t bytesOf(at::TensorList tensors) {
  int64_t sum = 0;
  for (const auto& tensor : tensors) sum += static_cast<int64_t>(tensor.nbytes());
  return sum;
}

// Waited for before another tensor was made: nothing was computed meanwhile.
class SimulatedWork final : public c10d::Work {
 public:
  SimulatedWork(SimulatedCalls& calls, int64_t bytes) : calls_(calls), bytes_(bytes), begun_(metaAllocations()) {}
  bool isCompleted() override { return true; }
  bool isSuccess() const override { return true; }
  bool wait(std::chrono::milliseconds) override {
    std::lock_guard lock(counts().mutex);
    if (!waited_ && metaAllocations() == begun_) calls_.waitedBytes += bytes_;
    waited_ = true;
    return true;
  }

 private:
  SimulatedCalls& calls_;
  const int64_t bytes_, begun_;
  bool waited_ = false;
};

class Simulated final : public c10d::Backend {
 public:
  Simulated(std::string group, int rank, int size) : Backend(rank, size), group_(std::move(group)) {}
  const std::string getBackendName() const override { return "simulated"; }

  using W = c10::intrusive_ptr<c10d::Work>;
  W broadcast(Tensors& tensors, const c10d::BroadcastOptions&) override { return count("broadcast", tensors); }
  W allreduce(Tensors& tensors, const c10d::AllreduceOptions&) override { return count("all-reduce", tensors); }
  W allreduce_coalesced(Tensors& tensors, const c10d::AllreduceCoalescedOptions&) override { return count("all-reduce", tensors); }
  W reduce(Tensors& tensors, const c10d::ReduceOptions&) override { return count("reduce", tensors); }
  W allgather(std::vector<Tensors>&, Tensors& inputs, const c10d::AllgatherOptions&) override { return count("all-gather", inputs); }
  W _allgather_base(at::Tensor&, at::Tensor& input, const c10d::AllgatherOptions&) override { return count("all-gather", input); }
  W _reduce_scatter_base(at::Tensor&, at::Tensor& input, const c10d::ReduceScatterOptions&) override {
    return count("reduce-scatter", input);
  }
  W alltoall_base(at::Tensor&, at::Tensor& input, std::vector<int64_t>&, std::vector<int64_t>& splits,
                  const c10d::AllToAllOptions&) override {
    const int64_t rows = input.dim() == 0 ? 0 : input.size(0);
    const int64_t own = splits.empty() ? rows / getSize() : splits.at(getRank());
    return count("all-to-all", input, rows == 0 ? 0 : static_cast<int64_t>(input.nbytes()) / rows * own);
  }
  W alltoall(Tensors&, Tensors& inputs, const c10d::AllToAllOptions&) override {
    return count("all-to-all", inputs, static_cast<int64_t>(inputs.at(getRank()).nbytes()));
  }
  W send(Tensors& tensors, int, int) override { return count("send", tensors); }
  W recv(Tensors& tensors, int, int) override { return count("receive", tensors); }
  W barrier(const c10d::BarrierOptions&) override { return count("barrier", at::TensorList()); }

 private:
  W count(const char* kind, at::TensorList inputs, int64_t own = 0) {
    std::lock_guard lock(counts().mutex);
    auto& calls = counts().calls[{group_, kind}];
    calls.group = group_;
    calls.kind = kind;
    ++calls.calls;
    const int64_t bytes = bytesOf(inputs) - own;
    calls.bytes += bytes;
    return c10::make_intrusive<SimulatedWork>(calls, bytes);
  }
  const std::string group_;
};

// c10d's operators have no kernels for meta tensors. Those of the CPU hand the call to the group's backend for CPU tensors.
void asOnCpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
}
}  // namespace

c10::intrusive_ptr<c10d::Backend> createSimulated(const std::string& group, int rank, int size) {
  return c10::make_intrusive<Simulated>(group, rank, size);
}

std::vector<SimulatedCalls> takeSimulatedCalls() {
  std::lock_guard lock(counts().mutex);
  std::vector<SimulatedCalls> taken;
  for (auto& [key, calls] : counts().calls) {
    taken.push_back(calls);
    // Not erased: a call in flight may still look at it.
    calls = {};
  }
  return taken;
}

TORCH_LIBRARY_IMPL(c10d, Meta, m) {
  for (const char* name : {"broadcast_", "allreduce_", "allreduce_coalesced_", "reduce_", "allgather_", "_allgather_base_",
                           "_reduce_scatter_base_", "alltoall_base_", "alltoall_", "send", "recv_"}) {
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&asOnCpu>());
  }
}

}  // namespace torchforge::comm
