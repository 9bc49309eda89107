// Checks ahead of a call, for operators of libtorch that end the process on some arguments instead of raising an error
// (guards.cc). Each says what was expected and what was found.
#pragma once
#include "dispatch.h"

#include <ATen/ATen.h>

#include <string_view>
#include <utility>

namespace torchforge {

// The arguments of one call, by the names of the schema.
class Arguments {
 public:
  Arguments(const Operator& op, const std::vector<c10::IValue>& values) : op_(op), values_(values) {}

  const char* operation() const { return op_.name.c_str(); }
  bool has(const char* name) const { return op_.handle.schema().argumentIndexWithName(name).has_value(); }
  const c10::IValue& operator[](const char* name) const {
    const auto at = op_.handle.schema().argumentIndexWithName(name);
    TORCH_INTERNAL_ASSERT(at.has_value(), op_.name, " has no argument ", name);
    return values_[*at];
  }
  at::Tensor tensor(const char* name) const { return (*this)[name].toTensor(); }
  // Undefined where none was given.
  at::Tensor optional(const char* name) const {
    const c10::IValue& value = (*this)[name];
    return value.isTensor() ? value.toTensor() : at::Tensor();
  }
  int64_t integer(const char* name) const { return (*this)[name].toInt(); }
  std::vector<int64_t> integers(const char* name) const { return (*this)[name].toIntVector(); }
  const std::vector<c10::IValue>& values() const { return values_; }
  const Operator& op() const { return op_; }

  template <class... Text>
  void expect(bool holds, const Text&... text) const {
    TORCH_CHECK(holds, op_.name, ": expected ", text...);
  }
  // An ordinary tensor in memory, without layouts that kernels would have to know.
  void strided(const char* name) const {
    const at::Tensor t = optional(name);
    expect(!t.defined() || t.layout() == c10::kStrided, name, " to be a strided tensor, found ", layoutOf(t));
  }
  void shape(const char* name, at::IntArrayRef sizes) const {
    const at::Tensor t = optional(name);
    strided(name);
    expect(!t.defined() || t.sizes() == sizes, name, " of shape ", sizes, ", found ", shapeOf(t));
  }
  void elements(const char* name, int64_t count) const {
    const at::Tensor t = optional(name);
    strided(name);
    expect(!t.defined() || t.numel() == count, name, " of ", count, " elements, found ", shapeOf(t));
  }
  // For kernels that read memory in a row.
  void contiguous(const char* name) const {
    const at::Tensor t = optional(name);
    strided(name);
    expect(!t.defined() || t.is_contiguous() || t.is_contiguous(t.suggest_memory_format()), name, " to be contiguous, found strides ",
           t.defined() ? t.strides() : at::IntArrayRef(), " for ", shapeOf(t));
  }
  void sameDtype(const char* name, const char* other) const {
    const at::Tensor a = optional(name), b = optional(other);
    expect(!a.defined() || !b.defined() || a.scalar_type() == b.scalar_type(), name, " and ", other, " of one dtype, found ",
           a.defined() ? c10::toString(a.scalar_type()) : "none", " and ", b.defined() ? c10::toString(b.scalar_type()) : "none");
  }
  void dtype(const char* name, at::ScalarType type) const {
    const at::Tensor t = optional(name);
    expect(!t.defined() || t.scalar_type() == type, name, " of dtype ", c10::toString(type), ", found ",
           t.defined() ? c10::toString(t.scalar_type()) : "none");
  }
  // All values from `least` to below `limit`. Looks at them, where they have memory that this thread can read.
  void values(const char* name, int64_t least, int64_t limit) const {
    const at::Tensor t = optional(name);
    if (!t.defined() || t.numel() == 0 || !t.device().is_cpu()) return;
    const auto [low, high] = at::aminmax(t.detach().to(at::kLong));
    const int64_t from = low.item<int64_t>(), to = high.item<int64_t>();
    expect(from >= least && to < limit, "the values of ", name, " from ", least, " to ", limit - 1, ", found ", from, " to ", to);
  }

  static std::string shapeOf(const at::Tensor& t) {
    return t.defined() ? c10::str(t.sizes()) : std::string("none");
  }
  static std::string layoutOf(const at::Tensor& t) { return t.defined() ? c10::str(t.layout()) : std::string("none"); }

 private:
  const Operator& op_;
  const std::vector<c10::IValue>& values_;
};

using Guard = void (*)(const Arguments&);
using GuardTable = std::vector<std::pair<std::string_view, Guard>>;

// query, key, value and attn_mask as kernels of attention take them.
void checkAttention(const Arguments& in);

// Lists of operators that go through several at once.
void checkForeach(const Arguments& in);

// By operator name, with its overload or without.
const GuardTable& forwardGuards();
const GuardTable& backwardGuards();

}  // namespace torchforge
