#include "env.h"

#include "dispatch.h"

#include <c10/core/InferenceMode.h>

namespace torchforge {

double Handles::add(at::Tensor tensor) {
  uint32_t index;
  if (free_.empty()) {
    index = slots_.size();
    if (index > kIndexMask) throw std::runtime_error("more than 16,777,215 tensors are alive");
    slots_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  Slot& slot = slots_[index];
  slot.tensor = std::move(tensor);
  slot.alive = true;
  ++live_;
  return static_cast<double>(index | (static_cast<uint64_t>(slot.generation) << kIndexBits));
}

bool Handles::release(double handle) {
  if (find(handle) == nullptr) return false;
  const uint32_t index = static_cast<uint64_t>(handle) & kIndexMask;
  Slot& slot = slots_[index];
  slot.alive = false;
  // The tensor's destructor may be long; the slot is consistent before it runs.
  at::Tensor dead = std::move(slot.tensor);
  slot.tensor = at::Tensor();
  --live_;
  // A slot that ran out of generations retires, so that an old handle never comes alive again.
  if (++slot.generation < (1u << 28)) free_.push_back(index);
  return true;
}

static thread_local Env* current = nullptr;

Env& env() {
  if (current == nullptr) current = new Env();
  return *current;
}

Env::~Env() {
  for (auto it = inferenceGuards.rbegin(); it != inferenceGuards.rend(); ++it) {
    delete static_cast<c10::InferenceMode*>(*it);
  }
  for (Operator* op : operators) delete op;
  if (current == this) current = nullptr;
}

}  // namespace torchforge
