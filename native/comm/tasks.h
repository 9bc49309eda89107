// Blocking work off the JavaScript thread, as promises. Not libuv's pool: that has four threads, and four receives that
// wait for a peer would stop all file reading of the process, perhaps the very reading that the peer waits for. Threads
// are made as needed, reused, and end when idle.
#pragma once
#include "group.h"

#include <node_api.h>

#include <functional>
#include <variant>

namespace torchforge::comm {

using Bytes = std::vector<uint8_t>;
// What a task gives to JavaScript: undefined, a number, a boolean, bytes, or a failed collective (as an object).
using Value = std::variant<std::monostate, double, bool, Bytes, Failure>;

napi_value toJavaScript(napi_env env, const Value& value);

class Tasks {
 public:
  explicit Tasks(napi_env env);
  // A promise. `body` runs on another thread; `after`, where given, then on the JavaScript thread, and has the last word.
  napi_value submit(std::function<Value()> body, std::function<Value(Value)> after = nullptr);

 private:
  struct Task;
  static void deliver(napi_env env, napi_value, void* tasks, void* task);
  napi_env env_;
  napi_threadsafe_function delivery_ = nullptr;
  size_t pending_ = 0;
};

}  // namespace torchforge::comm
