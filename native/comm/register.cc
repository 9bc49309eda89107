// The Node-API face of the process groups: stores, groups, waiting. Collectives themselves are operators (operators.cc)
// and are called like any other. Everything that may block gives a promise, except workWait, which is there to block.
#include "register.h"

#include "../core/errors.h"
#include "tasks.h"
#include "simulated.h"
#include "work.h"

#include <c10/util/Flags.h>

#include <cstdlib>
#include <unordered_map>

C10_DECLARE_int(caffe2_log_level);

namespace torchforge {

namespace {
using namespace comm;
using std::chrono::milliseconds;

// Stores and the heartbeat by number; of the process, as groups and works are, so that worker threads share them.
struct State {
  std::mutex mutex;
  int64_t next = 1;
  std::unordered_map<int64_t, std::shared_ptr<Store>> stores;
  std::shared_ptr<Heartbeat> heartbeat;
  napi_env heartbeatOwner = nullptr;
};
State& state() {
  static auto* instance = new State;
  return *instance;
}

int64_t addStore(std::shared_ptr<Store> store) {
  std::lock_guard lock(state().mutex);
  const int64_t id = state().next++;
  state().stores.emplace(id, std::move(store));
  return id;
}

std::shared_ptr<Store> findStore(int64_t id) {
  std::lock_guard lock(state().mutex);
  const auto found = state().stores.find(id);
  if (found == state().stores.end()) throw std::runtime_error("the store was closed");
  return found->second;
}

std::shared_ptr<Heartbeat> heartbeat() {
  std::lock_guard lock(state().mutex);
  return state().heartbeat;
}

class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env(env) {
    void* data;
    checkNapi(napi_get_cb_info(env, info, &count_, values_, nullptr, &data), "get_cb_info");
    tasks_ = static_cast<Tasks*>(data);
  }
  Tasks& tasks() const { return *tasks_; }

  double number(size_t i) const {
    double value;
    if (napi_get_value_double(env, at(i), &value) != napi_ok) throw std::runtime_error(where(i) + "a number");
    return value;
  }
  int64_t integer(size_t i) const {
    const double value = number(i);
    if (!(std::abs(value) <= 9007199254740991.0) || value != std::trunc(value)) throw std::runtime_error(where(i) + "an integer");
    return static_cast<int64_t>(value);
  }
  bool flag(size_t i) const {
    bool value;
    if (napi_get_value_bool(env, at(i), &value) != napi_ok) throw std::runtime_error(where(i) + "a boolean");
    return value;
  }
  std::string text(size_t i) const { return text(at(i), i); }
  std::string bytes(size_t i) const {
    bool view = false;
    napi_is_typedarray(env, at(i), &view);
    if (!view) return text(i);
    napi_typedarray_type type;
    size_t length;
    void* data;
    checkNapi(napi_get_typedarray_info(env, at(i), &type, &length, &data, nullptr, nullptr), "get_typedarray_info");
    if (type != napi_uint8_array) throw std::runtime_error(where(i) + "a Uint8Array or a string");
    return {static_cast<const char*>(data), length};
  }
  std::vector<std::string> texts(size_t i) const {
    std::vector<std::string> result;
    each(i, [&](napi_value element) { result.push_back(text(element, i)); });
    return result;
  }
  std::vector<int64_t> integers(size_t i) const {
    std::vector<int64_t> result;
    each(i, [&](napi_value element) {
      int64_t value;
      if (napi_get_value_int64(env, element, &value) != napi_ok) throw std::runtime_error(where(i) + "an array of integers");
      result.push_back(value);
    });
    return result;
  }

  const napi_env env;

 private:
  static constexpr size_t kMost = 9;
  napi_value at(size_t i) const {
    if (i >= count_) throw std::runtime_error(where(i) + "to be there");
    return values_[i];
  }
  static std::string where(size_t i) { return "argument " + std::to_string(i) + ": expected "; }
  std::string text(napi_value value, size_t i) const {
    size_t length;
    if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) throw std::runtime_error(where(i) + "a string");
    std::string result(length, '\0');
    checkNapi(napi_get_value_string_utf8(env, value, result.data(), length + 1, &length), "get_value_string");
    return result;
  }
  template <class F>
  void each(size_t i, F&& visit) const {
    uint32_t length;
    if (napi_get_array_length(env, at(i), &length) != napi_ok) throw std::runtime_error(where(i) + "an array");
    for (uint32_t k = 0; k < length; ++k) {
      napi_value element;
      checkNapi(napi_get_element(env, at(i), k, &element), "get_element");
      visit(element);
    }
  }
  size_t count_ = kMost;
  napi_value values_[kMost];
  Tasks* tasks_ = nullptr;
};

using Body = napi_value (*)(const Arguments&);

template <Body body>
napi_value callback(napi_env env, napi_callback_info info) {
  return guarded(env, "comm", [&] { return body(Arguments(env, info)); });
}

template <class F>
napi_value onStore(const Arguments& a, F&& body) {
  auto store = findStore(a.integer(0));
  return a.tasks().submit([store = std::move(store), body = std::forward<F>(body)]() -> Value { return body(*store); });
}

Value toBytes(const std::string& text) { return Bytes(text.begin(), text.end()); }

// (host, port, server, timeoutMs, prefix, local) -> Promise<number>
napi_value storeOpen(const Arguments& a) {
  StoreOptions options;
  options.host = a.text(0);
  const int64_t port = a.integer(1);
  if (port < 0 || port > 65535) throw std::runtime_error("port must be 0 to 65535");
  options.port = static_cast<uint16_t>(port);
  options.server = a.flag(2);
  options.timeout = milliseconds(a.integer(3));
  options.prefix = a.text(4);
  options.local = a.flag(5);
  // c10d logs every broken connection with a stack trace on stderr; our errors say it, once. 3: fatal ones only.
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = 3;
  return a.tasks().submit([options]() -> Value { return static_cast<double>(addStore(Store::open(options))); });
}

napi_value storePort(const Arguments& a) { return toJavaScript(a.env, static_cast<double>(findStore(a.integer(0))->port())); }

napi_value storePrefix(const Arguments& a) {
  return toJavaScript(a.env, static_cast<double>(addStore(findStore(a.integer(0))->withPrefix(a.text(1)))));
}

napi_value storeClose(const Arguments& a) {
  std::shared_ptr<Store> store;
  {
    std::lock_guard lock(state().mutex);
    const auto found = state().stores.find(a.integer(0));
    if (found != state().stores.end()) {
      store = std::move(found->second);
      state().stores.erase(found);
    }
  }
  // Ending the server joins its thread: not here.
  return a.tasks().submit([store = std::move(store)]() mutable -> Value {
    store.reset();
    return {};
  });
}

napi_value storeSet(const Arguments& a) {
  return onStore(a, [key = a.text(1), value = a.bytes(2)](Store& store) -> Value {
    store.set(key, value);
    return {};
  });
}
napi_value storeGet(const Arguments& a) {
  return onStore(a, [key = a.text(1), timeout = milliseconds(a.integer(2))](Store& store) { return toBytes(store.get(key, timeout)); });
}
napi_value storeAdd(const Arguments& a) {
  return onStore(a, [key = a.text(1), amount = a.integer(2)](Store& store) -> Value { return static_cast<double>(store.add(key, amount)); });
}
napi_value storeCompareSet(const Arguments& a) {
  return onStore(a, [key = a.text(1), expected = a.bytes(2), desired = a.bytes(3)](Store& store) {
    return toBytes(store.compareSet(key, expected, desired));
  });
}
napi_value storeWait(const Arguments& a) {
  return onStore(a, [keys = a.texts(1), timeout = milliseconds(a.integer(2))](Store& store) -> Value {
    store.wait(keys, timeout);
    return {};
  });
}
napi_value storeCheck(const Arguments& a) {
  return onStore(a, [keys = a.texts(1)](Store& store) -> Value { return store.check(keys); });
}
napi_value storeDelete(const Arguments& a) {
  return onStore(a, [key = a.text(1)](Store& store) -> Value { return store.deleteKey(key); });
}
napi_value storeNumKeys(const Arguments& a) {
  return onStore(a, [](Store& store) -> Value { return static_cast<double>(store.numKeys()); });
}

// (store, rank, worldSize) -> Promise
napi_value heartbeatStart(const Arguments& a) {
  return onStore(a, [rank = a.integer(1), size = a.integer(2), owner = a.env](Store& store) -> Value {
    auto fresh = std::make_shared<Heartbeat>(store.withPrefix("alive"), static_cast<int>(rank), static_cast<int>(size));
    std::lock_guard lock(state().mutex);
    std::swap(state().heartbeat, fresh);
    state().heartbeatOwner = owner;
    return {};
  });
}
napi_value heartbeatStop(const Arguments& a) {
  std::shared_ptr<Heartbeat> old;
  {
    std::lock_guard lock(state().mutex);
    old = std::move(state().heartbeat);
  }
  return a.tasks().submit([old = std::move(old)]() mutable -> Value {
    old.reset();
    return {};
  });
}

// (store, name, backend, globalRank, ranks, timeoutMs, verify, device, initTimeoutMs) -> Promise
napi_value groupCreate(const Arguments& a) {
  GroupOptions options;
  options.name = a.text(1);
  options.backend = a.text(2);
  options.globalRank = a.integer(3);
  options.ranks = a.integers(4);
  options.timeout = milliseconds(a.integer(5));
  options.verify = a.flag(6);
  options.device = static_cast<int>(a.integer(7));
  options.initTimeout = milliseconds(a.integer(8));
  return a.tasks().submit([store = findStore(a.integer(0)), options, pulse = heartbeat()]() -> Value {
    Group::create(store, options, pulse);
    return {};
  });
}
// (name, backend, globalRank, ranks)
napi_value groupSimulate(const Arguments& a) {
  GroupOptions options;
  options.name = a.text(0);
  options.backend = a.text(1);
  options.globalRank = a.integer(2);
  options.ranks = a.integers(3);
  Group::simulate(options);
  return toJavaScript(a.env, {});
}
// What simulated groups counted since the last time, as JSON.
napi_value simulatedCalls(const Arguments& a) {
  std::string text = "[";
  for (const auto& one : takeSimulatedCalls()) {
    if (one.calls == 0) continue;
    if (text.size() > 1) text += ',';
    text += "{\"group\":\"" + one.group + "\",\"kind\":\"" + one.kind + "\",\"calls\":" + std::to_string(one.calls) +
            ",\"bytes\":" + std::to_string(one.bytes) + ",\"waitedBytes\":" + std::to_string(one.waitedBytes) + "}";
  }
  return toJavaScript(a.env, toBytes(text + "]"));
}
napi_value groupDestroy(const Arguments& a) {
  return a.tasks().submit([group = Group::remove(a.text(0))]() mutable -> Value {
    group.reset();
    return {};
  });
}

// (work): blocks. undefined, or the failure.
napi_value workWait(const Arguments& a) {
  auto failure = findWork(a.integer(0))->wait();
  return toJavaScript(a.env, failure ? Value(std::move(*failure)) : Value());
}
napi_value workWaitAsync(const Arguments& a) {
  auto work = findWork(a.integer(0));
  auto result = std::make_shared<bool>(false);  // whether wait() is still due, on the JavaScript thread
  return a.tasks().submit(
      [work, result]() -> Value {
        if ((*result = work->awaitCompletion())) return {};
        auto failure = work->wait();
        return failure ? Value(std::move(*failure)) : Value();
      },
      [work, result](Value value) -> Value {
        if (!*result) return value;
        auto failure = work->wait();
        return failure ? Value(std::move(*failure)) : Value();
      });
}
napi_value workDone(const Arguments& a) { return toJavaScript(a.env, findWork(a.integer(0))->completed()); }
napi_value workRelease(const Arguments& a) {
  releaseWork(a.integer(0));
  return toJavaScript(a.env, {});
}

// (timeoutMs): of the calls of all groups from now on.
napi_value groupsTimeout(const Arguments& a) {
  const milliseconds timeout(a.integer(0));
  for (const auto& name : Group::names()) Group::find(name)->setTimeout(timeout);
  return toJavaScript(a.env, {});
}

// (capacity, rank, worldSize): begins to record; 0 ends it.
napi_value traceStart(const Arguments& a) {
  const int64_t capacity = a.integer(0);
  if (capacity <= 0) recorder::stop();
  else recorder::start(static_cast<size_t>(capacity), static_cast<int>(a.integer(1)), static_cast<int>(a.integer(2)));
  return toJavaScript(a.env, {});
}
napi_value traceFolder(const Arguments& a) {
  recorder::setFolder(a.text(0));
  return toJavaScript(a.env, {});
}
napi_value traceSite(const Arguments& a) {
  recorder::setSite(a.text(0));
  return toJavaScript(a.env, {});
}
// (reason, final): this rank's dump, and asks the others for theirs. Whether it was written.
napi_value traceDump(const Arguments& a) {
  const std::string reason = a.text(0);
  const bool final = a.flag(1);
  const bool written = !recorder::dump(reason, final).empty();
  if (auto pulse = heartbeat(); pulse && recorder::isOn()) pulse->askForDumps(reason, final);
  return toJavaScript(a.env, written);
}
napi_value workWaited(const Arguments& a) { return toJavaScript(a.env, waitedMilliseconds()); }
napi_value worksLive(const Arguments& a) { return toJavaScript(a.env, static_cast<double>(liveWorks())); }
}  // namespace

void registerComm(napi_env env, napi_value exports) {
  auto* tasks = new Tasks(env);  // as long as the environment, whose threads may outlive any hook that could free it
  const auto add = [&](const char* name, napi_callback function) {
    napi_value value;
    checkNapi(napi_create_function(env, name, NAPI_AUTO_LENGTH, function, tasks, &value), "create_function");
    checkNapi(napi_set_named_property(env, exports, name, value), "set_property");
  };
  add("commStoreOpen", callback<storeOpen>);
  add("commStorePort", callback<storePort>);
  add("commStorePrefix", callback<storePrefix>);
  add("commStoreClose", callback<storeClose>);
  add("commStoreSet", callback<storeSet>);
  add("commStoreGet", callback<storeGet>);
  add("commStoreAdd", callback<storeAdd>);
  add("commStoreCompareSet", callback<storeCompareSet>);
  add("commStoreWait", callback<storeWait>);
  add("commStoreCheck", callback<storeCheck>);
  add("commStoreDelete", callback<storeDelete>);
  add("commStoreNumKeys", callback<storeNumKeys>);
  add("commHeartbeatStart", callback<heartbeatStart>);
  add("commHeartbeatStop", callback<heartbeatStop>);
  add("commGroupCreate", callback<groupCreate>);
  add("commGroupSimulate", callback<groupSimulate>);
  add("commSimulatedCalls", callback<simulatedCalls>);
  add("commGroupDestroy", callback<groupDestroy>);
  add("commWorkWait", callback<workWait>);
  add("commWorkWaitAsync", callback<workWaitAsync>);
  add("commWorkDone", callback<workDone>);
  add("commWorkRelease", callback<workRelease>);
  add("commWorksLive", callback<worksLive>);
  add("commWorkWaited", callback<workWaited>);
  add("commGroupsTimeout", callback<groupsTimeout>);
  add("commTraceStart", callback<traceStart>);
  add("commTraceFolder", callback<traceFolder>);
  add("commTraceSite", callback<traceSite>);
  add("commTraceDump", callback<traceDump>);
  // Its thread must not be in the middle of a call when the process takes libtorch down.
  napi_add_env_cleanup_hook(env, [](void* ending) {
    std::shared_ptr<Heartbeat> pulse;
    {
      std::lock_guard lock(state().mutex);
      if (state().heartbeatOwner == ending) pulse = std::move(state().heartbeat);
    }
    if (pulse) pulse->stop();
  }, env);
}

}  // namespace torchforge
