// The addon's entry: registers its functions. Each is a thin Node-API callback around one of functions.h.
#include "dispatch.h"
#include "functions.h"
#include "memory.h"

#include <ATen/Context.h>

#if __has_include("../comm/register.h")
#include "../comm/register.h"
#endif

namespace torchforge {

namespace {

// V8 learns how much memory hangs on its small Tensor objects, so that it collects them in time. Inside a scope nothing
// waits for a collection: reporting its temporaries would only make V8 collect for nothing.
void reportMemory(Env& env) {
  constexpr int64_t kStep = 16 << 20;
  if (env.buffer[kBufferSlots] != 0) return;
  const int64_t now = currentBytes();
  if (std::abs(now - env.reportedBytes) >= kStep) {
    int64_t total;
    napi_adjust_external_memory(env.napi, now - env.reportedBytes, &total);
    env.reportedBytes = now;
  }
}

template <napi_value (*function)(Env&)>
napi_value plain(napi_env, napi_callback_info) {
  return function(env());
}

napi_value call(napi_env, napi_callback_info) {
  Env& e = env();
  napi_value failure = callOperator(e);
  reportMemory(e);
  return failure;
}

struct CallbackArguments {
  napi_value values[3];
  CallbackArguments(napi_env env, napi_callback_info info) {
    size_t count = 3;
    checkNapi(napi_get_cb_info(env, info, &count, values, nullptr, nullptr), "get_cb_info");
  }
};

std::string text(napi_env env, napi_value value) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) throw std::runtime_error("expected a string");
  std::string out(length, '\0');
  checkNapi(napi_get_value_string_utf8(env, value, out.data(), length + 1, &length), "get_value_string");
  return out;
}

bool flag(napi_env env, napi_value value) {
  bool out = false;
  napi_get_value_bool(env, value, &out);
  return out;
}

// op(name, overload, layout): the operator's number in slot 0
napi_value op(napi_env napi, napi_callback_info info) {
  return guarded(napi, "op", [&]() -> napi_value {
    const CallbackArguments arguments(napi, info);
    Env& e = env();
    const auto [name, overload, layout] = arguments.values;
    Writer(e).number(findOperator(e, text(napi, name), text(napi, overload), text(napi, layout)));
    return nullptr;
  });
}

// intern(text): its number in slot 0
napi_value intern(napi_env napi, napi_callback_info info) {
  return guarded(napi, "intern", [&]() -> napi_value {
    Env& e = env();
    const std::string value = text(napi, CallbackArguments(napi, info).values[0]);
    auto [it, fresh] = e.stringIds.emplace(value, e.strings.size());
    if (fresh) e.strings.push_back(value);
    Writer(e).number(it->second);
    return nullptr;
  });
}

// release(): slot 0 = count, then handles. Dead ones are passed over. Leaves how many were alive.
napi_value release(napi_env napi, napi_callback_info) {
  return guarded(napi, "release", [&]() -> napi_value {
    Env& e = env();
    Reader in(e);
    const size_t n = in.count();
    double released = 0;
    for (size_t i = 0; i < n; ++i) released += e.handles.release(in.number());
    e.buffer[0] = released;
    if (e.deadReferences->any()) e.deadReferences->drop(e.napi);
    reportMemory(e);
    return nullptr;
  });
}

napi_value from(napi_env napi, napi_callback_info info) {
  return guarded(napi, "fromTypedArray", [&]() -> napi_value {
    const CallbackArguments arguments(napi, info);
    return tensorFrom(env(), arguments.values[0], flag(napi, arguments.values[1]));
  });
}

napi_value copyBytes(napi_env napi, napi_callback_info info) {
  return guarded(napi, "copyBytes", [&]() -> napi_value {
    const CallbackArguments arguments(napi, info);
    return tensorCopyBytes(env(), arguments.values[0], flag(napi, arguments.values[1]));
  });
}

napi_value info(napi_env napi, napi_callback_info) {
  return guarded(napi, "info", [&]() -> napi_value {
    const std::string json = infoJson();
    napi_value value;
    checkNapi(napi_create_string_utf8(napi, json.data(), json.size(), &value), "create_string");
    return value;
  });
}

napi_value listSchemas(napi_env napi, napi_callback_info) {
  return guarded(napi, "schemas", [&]() -> napi_value {
    const auto all = schemas();
    napi_value array;
    checkNapi(napi_create_array_with_length(napi, all.size(), &array), "create_array");
    for (size_t i = 0; i < all.size(); ++i) {
      napi_value value;
      checkNapi(napi_create_string_utf8(napi, all[i].data(), all[i].size(), &value), "create_string");
      checkNapi(napi_set_element(napi, array, i, value), "set_element");
    }
    return array;
  });
}

napi_value init(napi_env napi, napi_value exports) {
  installAllocator();
  // Sparse tensors whose indices lie outside are refused where they are made: kernels would read and write there.
  at::globalContext().setCheckSparseTensorInvariants(true);
  Env& e = env();
  if (e.napi == nullptr) napi_add_env_cleanup_hook(napi, [](void* data) { delete static_cast<Env*>(data); }, &e);
  e.napi = napi;

  napi_value buffer;
  if (napi_create_external_arraybuffer(napi, e.buffer.data(), e.buffer.size() * sizeof(double), nullptr, nullptr, &buffer) != napi_ok) {
    napi_throw_error(napi, nullptr, "this runtime gives no access to native memory (external ArrayBuffers are off)");
    return nullptr;
  }
  napi_set_named_property(napi, exports, "buffer", buffer);

  const auto add = [&](const char* name, napi_callback callback) {
    napi_value function;
    napi_create_function(napi, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    napi_set_named_property(napi, exports, name, function);
  };
  add("call", call);
  add("op", op);
  add("intern", intern);
  add("release", release);
  add("info", info);
  add("schemas", listSchemas);
  add("from", from);
  add("copyBytes", copyBytes);
  add("meta", plain<tensorMeta>);
  add("item", plain<tensorItem>);
  add("bytes", plain<tensorBytes>);
  add("storageResize", plain<storageResize>);
  add("storageInfo", plain<storageInfo>);
  add("backward", plain<autogradBackward>);
  add("grad", plain<autogradGrad>);
  add("gradientGet", plain<gradientGet>);
  add("gradientSet", plain<gradientSet>);
  add("requiresGradSet", plain<requiresGradSet>);
  add("retainGrad", plain<retainGrad>);
  add("gradModeSet", plain<gradModeSet>);
  add("inferenceModePush", plain<inferenceModePush>);
  add("inferenceModePop", plain<inferenceModePop>);
  add("version", plain<tensorVersion>);
  add("gradFnName", plain<gradFnName>);
  add("seedAll", plain<seedAll>);
  add("generatorNew", plain<generatorNew>);
  add("generatorDefault", plain<generatorDefault>);
  add("generatorSeed", plain<generatorSeed>);
  add("generatorGetState", plain<generatorGetState>);
  add("generatorSetState", plain<generatorSetState>);
  add("threads", plain<threads>);
  add("deterministic", plain<deterministic>);
  add("memory", plain<memory>);
  add("deviceSet", plain<deviceSet>);
  add("synchronize", plain<synchronize>);
  add("exitWithin", plain<exitWithin>);
#ifdef TORCHFORGE_COMM
  registerComm(napi, exports);
#endif
  return exports;
}

}  // namespace
}  // namespace torchforge

NAPI_MODULE_INIT() { return torchforge::init(env, exports); }
