// What one JavaScript environment (the main thread or a worker_thread) owns: its argument buffer, its tensor handles
// and its table of operators. Nothing here is shared between threads; an Env is only touched by its own thread.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/core/Generator.h>
#include <node_api.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace torchforge {

struct Operator;

// Doubles shared with TypeScript: arguments go in, results come back, with no per-argument Node-API call.
constexpr size_t kBufferSlots = 1 << 16;
// Slots after them that hold no arguments. The first: whether a scope is open in TypeScript.
constexpr size_t kControlSlots = 8;

// A tensor as TypeScript knows it: slot index + 2^24 * generation, exact in a double. A stale or forged number never
// reaches memory: the generation doesn't match. Zero is "no tensor".
class Handles {
 public:
  double add(at::Tensor tensor);
  // nullptr when the handle isn't alive.
  const at::Tensor* find(double handle) const {
    if (!(handle >= 1 && handle < 9007199254740992.0)) return nullptr;
    const uint64_t bits = static_cast<uint64_t>(handle);
    const uint32_t index = bits & kIndexMask;
    if (index >= slots_.size()) return nullptr;
    const Slot& slot = slots_[index];
    return slot.alive && slot.generation == (bits >> kIndexBits) ? &slot.tensor : nullptr;
  }
  bool release(double handle);
  size_t live() const { return live_; }

 private:
  static constexpr int kIndexBits = 24;
  static constexpr uint64_t kIndexMask = (1 << kIndexBits) - 1;
  struct Slot {
    at::Tensor tensor;
    uint32_t generation = 1;
    bool alive = false;
  };
  std::vector<Slot> slots_{1};  // slot 0 is never used, so that no handle is 0
  std::vector<uint32_t> free_;
  size_t live_ = 0;
};

// References to ArrayBuffers whose tensors died, perhaps on an autograd thread; dropped on the Env's thread later. It
// outlives the Env: a tensor on a worker's memory may die after the worker's environment.
class DeadReferences {
 public:
  void add(napi_ref ref) {
    std::lock_guard lock(mutex_);
    refs_.push_back(ref);
    any_.store(true, std::memory_order_release);
  }
  bool any() const { return any_.load(std::memory_order_acquire); }
  // On the Env's thread only.
  void drop(napi_env napi) {
    std::lock_guard lock(mutex_);
    for (napi_ref ref : refs_) napi_delete_reference(napi, ref);
    refs_.clear();
    any_.store(false, std::memory_order_release);
  }

 private:
  std::mutex mutex_;
  std::vector<napi_ref> refs_;
  std::atomic<bool> any_{false};
};

struct Env {
  napi_env napi = nullptr;
  std::vector<double> buffer = std::vector<double>(kBufferSlots + kControlSlots);
  Handles handles;
  std::vector<Operator*> operators;
  std::unordered_map<std::string, uint32_t> operatorIds;
  std::vector<std::string> strings;
  std::unordered_map<std::string, uint32_t> stringIds;
  std::vector<at::Generator> generators;
  std::vector<void*> inferenceGuards;
  int64_t reportedBytes = 0;  // what V8 was told through napi_adjust_external_memory

  std::shared_ptr<DeadReferences> deadReferences = std::make_shared<DeadReferences>();

  ~Env();
};

// The environment of this thread.
Env& env();

}  // namespace torchforge
