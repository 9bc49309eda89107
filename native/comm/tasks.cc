// See tasks.h.
#include "tasks.h"

#include "../core/errors.h"

#include <c10/util/Exception.h>

#include <condition_variable>
#include <deque>
#include <thread>

namespace torchforge::comm {

namespace {
// The process's threads. Never destroyed: one may still wait for a peer when the process exits.
class Threads {
 public:
  void run(std::function<void()> job) {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    // Every queued job gets a thread: one that waits must never hold up one that could run.
    if (idle_ < jobs_.size()) std::thread([this] { serve(); }).detach();
    else wake_.notify_one();
  }

 private:
  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      const bool found = wake_.wait_for(lock, std::chrono::seconds(10), [this] { return !jobs_.empty(); });
      --idle_;
      if (!found) return;
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      job = nullptr;
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  size_t idle_ = 0;
};

Threads& threads() {
  static auto* instance = new Threads;
  return *instance;
}

void setText(napi_env env, napi_value object, const char* key, const std::string& text) {
  napi_value value;
  checkNapi(napi_create_string_utf8(env, text.data(), text.size(), &value), "create_string");
  checkNapi(napi_set_named_property(env, object, key, value), "set_property");
}

void setNumber(napi_env env, napi_value object, const char* key, double number) {
  napi_value value;
  checkNapi(napi_create_double(env, number, &value), "create_double");
  checkNapi(napi_set_named_property(env, object, key, value), "set_property");
}
}  // namespace

napi_value toJavaScript(napi_env env, const Value& value) {
  napi_value result;
  if (const auto* number = std::get_if<double>(&value)) {
    checkNapi(napi_create_double(env, *number, &result), "create_double");
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    checkNapi(napi_get_boolean(env, *flag, &result), "get_boolean");
  } else if (const auto* bytes = std::get_if<Bytes>(&value)) {
    void* data;
    checkNapi(napi_create_buffer_copy(env, bytes->size(), bytes->data(), &data, &result), "create_buffer");
  } else if (const auto* failure = std::get_if<Failure>(&value)) {
    checkNapi(napi_create_object(env, &result), "create_object");
    setText(env, result, "kind", failure->kind);
    setText(env, result, "message", failure->message);
    setText(env, result, "group", failure->group);
    setText(env, result, "collective", failure->operation);
    setNumber(env, result, "sequence", static_cast<double>(failure->sequence));
    setNumber(env, result, "rank", static_cast<double>(failure->rank));
    setNumber(env, result, "elapsedSeconds", failure->elapsedSeconds);
  } else {
    checkNapi(napi_get_undefined(env, &result), "get_undefined");
  }
  return result;
}

struct Tasks::Task {
  std::function<Value()> body;
  std::function<Value(Value)> after;
  napi_deferred deferred;
  Value value;
  std::exception_ptr error;
};

Tasks::Tasks(napi_env env) : env_(env) {
  napi_value name;
  checkNapi(napi_create_string_utf8(env, "torchforge comm", NAPI_AUTO_LENGTH, &name), "create_string");
  checkNapi(napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, deliver, &delivery_),
            "create_threadsafe_function");
  // Only while something is pending may it keep the process alive.
  checkNapi(napi_unref_threadsafe_function(env, delivery_), "unref");
}

napi_value Tasks::submit(std::function<Value()> body, std::function<Value(Value)> after) {
  auto task = std::make_unique<Task>();
  task->body = std::move(body);
  task->after = std::move(after);
  napi_value promise;
  checkNapi(napi_create_promise(env_, &task->deferred, &promise), "create_promise");
  checkNapi(napi_acquire_threadsafe_function(delivery_), "acquire");
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, delivery_);
  threads().run([delivery = delivery_, task = task.release()] {
    try {
      task->value = task->body();
    } catch (...) {
      task->error = std::current_exception();
    }
    task->body = nullptr;
    // Where the environment has ended in the meantime nobody waits any more, and the task is left to the system.
    napi_call_threadsafe_function(delivery, task, napi_tsfn_nonblocking);
    napi_release_threadsafe_function(delivery, napi_tsfn_release);
  });
  return promise;
}

void Tasks::deliver(napi_env env, napi_value, void* context, void* data) {
  std::unique_ptr<Task> task(static_cast<Task*>(data));
  if (env == nullptr) return;
  auto* tasks = static_cast<Tasks*>(context);
  if (--tasks->pending_ == 0) napi_unref_threadsafe_function(env, tasks->delivery_);
  try {
    if (task->error) std::rethrow_exception(task->error);
    if (task->after) task->value = task->after(std::move(task->value));
    napi_resolve_deferred(env, task->deferred, toJavaScript(env, task->value));
  } catch (...) {
    // As everywhere in the addon, a description; TypeScript makes the error of it.
    napi_reject_deferred(env, task->deferred, describeCurrentException(env, "comm", ""));
  }
}

}  // namespace torchforge::comm
