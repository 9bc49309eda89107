// Autograd is libtorch's own engine: graphs, modes and gradients are reached here, JavaScript never runs inside it.
#include "functions.h"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

namespace torchforge {

static std::vector<at::Tensor> readTensors(Reader& in, const char* name) {
  std::vector<at::Tensor> list(in.count());
  for (auto& t : list) {
    auto found = in.optionalTensor(name);
    if (found) t = *found;
  }
  return list;
}

// outputs, gradients (0 = ones), inputs (none = all leaves), retainGraph, createGraph
napi_value autogradBackward(Env& env) {
  return guarded(env.napi, "backward", [&]() -> napi_value {
    Reader in(env);
    const auto outputs = readTensors(in, "outputs");
    const auto gradients = readTensors(in, "gradOutputs");
    const auto inputs = readTensors(in, "inputs");
    const bool retain = in.boolean(), create = in.boolean();
    torch::autograd::backward(outputs, gradients, retain, create, inputs);
    return nullptr;
  });
}

// outputs, inputs, gradients, retainGraph, createGraph, allowUnused; leaves one handle an input (0 = unused)
napi_value autogradGrad(Env& env) {
  return guarded(env.napi, "grad", [&]() -> napi_value {
    Reader in(env);
    const auto outputs = readTensors(in, "outputs");
    const auto inputs = readTensors(in, "inputs");
    const auto gradients = readTensors(in, "gradOutputs");
    const bool retain = in.boolean(), create = in.boolean(), allowUnused = in.boolean();
    auto results = torch::autograd::grad(outputs, inputs, gradients, retain, create, allowUnused);
    Writer out(env);
    out.number(static_cast<double>(results.size()));
    for (auto& t : results) out.tensor(std::move(t));
    return nullptr;
  });
}

napi_value gradientGet(Env& env) {
  return guarded(env.napi, "grad", [&]() -> napi_value {
    Reader in(env);
    const at::Tensor t = in.tensor("self");
    Writer(env).tensor(t.grad());
    return nullptr;
  });
}

napi_value gradientSet(Env& env) {
  return guarded(env.napi, "grad", [&]() -> napi_value {
    Reader in(env);
    const at::Tensor t = in.tensor("self");
    const auto gradient = in.optionalTensor("grad");
    if (gradient) {
      TORCH_CHECK(gradient->sizes() == t.sizes(), "grad: expected shape ", t.sizes(), ", found ", gradient->sizes());
      TORCH_CHECK(gradient->scalar_type() == t.scalar_type(), "grad: expected dtype ", t.scalar_type(), ", found ", gradient->scalar_type());
      TORCH_CHECK(gradient->device() == t.device(), "grad: expected device ", t.device(), ", found ", gradient->device());
      TORCH_CHECK(gradient->unsafeGetTensorImpl() != t.unsafeGetTensorImpl(), "grad: a tensor can't be its own gradient");
      t.mutable_grad() = *gradient;
    } else {
      t.mutable_grad().reset();
    }
    return nullptr;
  });
}

napi_value requiresGradSet(Env& env) {
  return guarded(env.napi, "requiresGrad_", [&]() -> napi_value {
    Reader in(env);
    const at::Tensor t = in.tensor("self");
    const bool value = in.boolean();
    TORCH_CHECK(t.is_leaf() || value, "you can only change requiresGrad of leaf tensors; to use this tensor in a computation that shouldn't be differentiated, take detach()");
    TORCH_CHECK(!value || at::isFloatingType(t.scalar_type()) || at::isComplexType(t.scalar_type()),
                "only tensors of floating point and complex dtype can require gradients, this one is ", c10::toString(t.scalar_type()));
    t.set_requires_grad(value);
    return nullptr;
  });
}

napi_value retainGrad(Env& env) {
  return guarded(env.napi, "retainGrad", [&]() -> napi_value {
    Reader in(env);
    in.tensor("self").retain_grad();
    return nullptr;
  });
}

// Sets gradient mode; leaves what it was before.
napi_value gradModeSet(Env& env) {
  return guarded(env.napi, "gradMode", [&]() -> napi_value {
    Reader in(env);
    const double wanted = in.number();
    Writer(env).number(c10::GradMode::is_enabled());
    if (wanted >= 0) c10::GradMode::set_enabled(wanted != 0);
    return nullptr;
  });
}

napi_value inferenceModePush(Env& env) {
  return guarded(env.napi, "inferenceMode", [&]() -> napi_value {
    env.inferenceGuards.push_back(new c10::InferenceMode(true));
    return nullptr;
  });
}

napi_value inferenceModePop(Env& env) {
  return guarded(env.napi, "inferenceMode", [&]() -> napi_value {
    TORCH_CHECK(!env.inferenceGuards.empty(), "inferenceMode ended twice");
    delete static_cast<c10::InferenceMode*>(env.inferenceGuards.back());
    env.inferenceGuards.pop_back();
    return nullptr;
  });
}

napi_value tensorVersion(Env& env) {
  return guarded(env.napi, "version", [&]() -> napi_value {
    Reader in(env);
    const at::Tensor t = in.tensor("self");
    Writer(env).number(t.is_inference() ? -1 : static_cast<double>(t._version()));
    return nullptr;
  });
}

napi_value gradFnName(Env& env) {
  return guarded(env.napi, "gradFn", [&]() -> napi_value {
    Reader in(env);
    const auto& function = in.tensor("self").grad_fn();
    if (function == nullptr) return nullptr;
    std::string name = function->name();
    if (const size_t colons = name.rfind("::"); colons != std::string::npos) name = name.substr(colons + 2);
    napi_value value;
    checkNapi(napi_create_string_utf8(env.napi, name.data(), name.size(), &value), "create_string");
    return value;
  });
}

}  // namespace torchforge
