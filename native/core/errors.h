// The one place where native exceptions cross into JavaScript. A native function returns undefined (or its value) when
// it worked, and an Error-describing object when it didn't: {kind, message, operation, handle}. TypeScript throws it.
#pragma once
#include <node_api.h>

#include <functional>
#include <stdexcept>
#include <string>

namespace torchforge {

// The tensor handle isn't alive: disposed of, or never ours.
struct StaleHandle : std::runtime_error {
  StaleHandle(double handle, std::string argument)
      : std::runtime_error("the tensor was disposed of"), handle(handle), argument(std::move(argument)) {}
  double handle;
  std::string argument;
};

// Runs in a catch block: turns the current exception into the object that TypeScript throws.
napi_value describeCurrentException(napi_env env, const std::string& operation, const std::string& arguments);

template <class F>
napi_value guarded(napi_env env, const char* operation, F&& body) noexcept {
  try {
    return body();
  } catch (...) {
    return describeCurrentException(env, operation, "");
  }
}

// A Node-API call that failed: never expected, so always an exception.
void checkNapi(napi_status status, const char* what);

}  // namespace torchforge
