// Reading arguments from the buffer and writing results to it. The reader never passes the end of the buffer, and
// every number is checked before it becomes an index, a handle, or an integer.
#pragma once
#include "env.h"
#include "errors.h"

#include <ATen/core/ivalue.h>
#include <c10/core/Scalar.h>

#include <bit>
#include <cmath>

namespace torchforge {

enum class ScalarTag { Int = 0, Double = 1, Bool = 2, BigInt = 3, BigUint = 4 };

class Reader {
 public:
  // @param refusesOpaque no tensor may be in oneDNN's own layout
  explicit Reader(Env& env, bool refusesOpaque = false)
      : env_(env), at_(env.buffer.data()), end_(at_ + kBufferSlots), refusesOpaque_(refusesOpaque) {}

  double number() {
    if (at_ >= end_) throw std::runtime_error("the argument buffer ended early");
    return *at_++;
  }
  int64_t integer() {
    const double value = number();
    if (!(std::abs(value) <= 9223372036854774784.0) || value != std::trunc(value)) throw std::runtime_error("expected an integer");
    return static_cast<int64_t>(value);
  }
  bool boolean() { return number() != 0; }
  size_t count() {
    const double value = number();
    if (!(value >= 0 && value <= static_cast<double>(end_ - at_)) || value != std::trunc(value)) throw std::runtime_error("expected a count");
    return static_cast<size_t>(value);
  }
  bool present() { return number() != 0; }
  const at::Tensor& tensor(const char* name) {
    const double handle = number();
    const at::Tensor* found = env_.handles.find(handle);
    if (found == nullptr) throw StaleHandle(handle, name);
    if (refusesOpaque_ && found->is_mkldnn()) {
      throw std::runtime_error(std::string(name) + ": expected a strided or sparse tensor, found one in oneDNN's layout, which this operator has no kernel for; take toDense()");
    }
    return *found;
  }
  std::optional<at::Tensor> optionalTensor(const char* name) {
    if (at_ < end_ && *at_ == 0) {
      ++at_;
      return std::nullopt;
    }
    return tensor(name);
  }
  c10::Scalar scalar() {
    const int64_t tag = integer();
    const double value = number();
    switch (static_cast<ScalarTag>(tag)) {
      case ScalarTag::Int: return c10::Scalar(static_cast<int64_t>(value));
      case ScalarTag::Double: return c10::Scalar(value);
      case ScalarTag::Bool: return c10::Scalar(value != 0);
      case ScalarTag::BigInt: return c10::Scalar(std::bit_cast<int64_t>(value));
      case ScalarTag::BigUint: return c10::Scalar(std::bit_cast<uint64_t>(value));
    }
    throw std::runtime_error("expected a scalar");
  }
  const std::string& string() {
    const int64_t id = integer();
    if (id < 0 || id >= static_cast<int64_t>(env_.strings.size())) throw std::runtime_error("expected an interned string");
    return env_.strings[id];
  }
  c10::Device device() {
    const int64_t type = integer(), index = integer();
    if (type < 0 || type >= static_cast<int64_t>(c10::DeviceType::COMPILE_TIME_MAX_DEVICE_TYPES) || index < -1 || index > 127) {
      throw std::runtime_error("expected a device");
    }
    return c10::Device(static_cast<c10::DeviceType>(type), static_cast<c10::DeviceIndex>(index));
  }
  at::Generator generator() {
    const int64_t id = integer();
    if (id < 1 || id > static_cast<int64_t>(env_.generators.size())) throw std::runtime_error("expected a generator");
    return env_.generators[id - 1];
  }

 private:
  Env& env_;
  const double* at_;
  const double* end_;
  bool refusesOpaque_;
};

class Writer {
 public:
  explicit Writer(Env& env) : env_(env), at_(env.buffer.data()), end_(at_ + kBufferSlots) {}

  // Before anything is written: results that don't fit would leave tensors that nobody owns.
  void reserve(size_t slots) const {
    if (slots > static_cast<size_t>(end_ - at_)) throw std::runtime_error("the result is too large for the argument buffer");
  }
  void number(double value) {
    if (at_ >= end_) throw std::runtime_error("the result is too large for the argument buffer");
    *at_++ = value;
  }
  void tensor(at::Tensor tensor) { number(tensor.defined() ? env_.handles.add(std::move(tensor)) : 0); }
  void scalar(const c10::Scalar& value) {
    if (value.isBoolean()) {
      number(static_cast<double>(ScalarTag::Bool));
      number(value.toBool());
    } else if (value.isIntegral(false) && value.isUnsigned() && value.toUInt64() > static_cast<uint64_t>(INT64_MAX)) {
      number(static_cast<double>(ScalarTag::BigUint));
      number(std::bit_cast<double>(value.toUInt64()));
    } else if (value.isIntegral(false)) {
      integer(value.toLong());
    } else {
      number(static_cast<double>(ScalarTag::Double));
      number(value.toDouble());
    }
  }
  // Tag and value: beyond 2^53 the bits of an int64, which TypeScript reads as a bigint.
  void integer(int64_t value) {
    if (std::abs(static_cast<double>(value)) <= 9007199254740991.0) {
      number(static_cast<double>(ScalarTag::Int));
      number(static_cast<double>(value));
    } else {
      number(static_cast<double>(ScalarTag::BigInt));
      number(std::bit_cast<double>(value));
    }
  }

 private:
  Env& env_;
  double* at_;
  double* end_;
};

}  // namespace torchforge
