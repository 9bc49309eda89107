// Calling any operator of libtorch's dispatcher. An operator is looked up once; its schema becomes a list of argument
// kinds. Common signatures are called unboxed (no IValue, no list allocation), all others boxed.
#pragma once
#include "values.h"

#include <ATen/core/dispatch/Dispatcher.h>

namespace torchforge {

enum class Kind : uint8_t {
  Tensor, OptTensor, Int, OptInt, Float, OptFloat, Bool, OptBool, Scalar, OptScalar, IntList, OptIntList, FloatList,
  OptFloatList, BoolList, TensorList, OptTensorList, ScalarList, Str, OptStr, Device, OptDevice, Generator, Any,
};

class Arguments;

struct Operator {
  std::string name;
  c10::OperatorHandle handle;
  std::vector<Kind> arguments;
  std::vector<std::string> argumentNames;
  // An in-place operator: its result is its first argument, so no second handle is made for it.
  bool returnsSelf = false;
  // Set where libtorch crashes on some arguments instead of raising an error (guards.cc): raises it.
  void (*guard)(const Arguments&) = nullptr;
  // Whether it has no kernel for tensors in oneDNN's own layout, and must not get any.
  bool refusesOpaque = false;
  // Set where the signature has an unboxed caller.
  void (*unboxed)(const Operator&, Reader&, Writer&) = nullptr;
};

// The operator's number. `layout` is how its caller writes arguments and reads results ("T S:1", one of dispatch.cc): an
// error where this libtorch's schema is another. Empty: the caller goes by the schema itself.
uint32_t findOperator(Env& env, const std::string& name, const std::string& overload, const std::string& layout);

// Reads the arguments of operator `id` from the buffer (after slot 0) and leaves the results in it.
napi_value callOperator(Env& env) noexcept;

// One argument, from the buffer.
c10::IValue readArgument(Reader& in, Kind kind, const std::string& name);

// Sets `op.guard` for the operators that need one.
void chooseGuard(Operator& op);

// Sets `op.unboxed` if its C++ signature is among the common ones.
void chooseUnboxed(Operator& op);

}  // namespace torchforge
