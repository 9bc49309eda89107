// The engine's global state: random generators, threads, memory, devices, and what this libtorch is.
#include "functions.h"
#include "memory.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/version.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <thread>

namespace torchforge {

static double addGenerator(Env& env, at::Generator generator) {
  env.generators.push_back(std::move(generator));
  return static_cast<double>(env.generators.size());
}

napi_value seedAll(Env& env) {
  return guarded(env.napi, "manualSeed", [&]() -> napi_value {
    Reader in(env);
    at::manual_seed(static_cast<uint64_t>(in.scalar().toLong()));
    return nullptr;
  });
}

napi_value generatorNew(Env& env) {
  return guarded(env.napi, "Generator", [&]() -> napi_value {
    Reader in(env);
    const c10::Device device = in.device();
    at::Generator made = device.is_cpu() ? at::make_generator<at::CPUGeneratorImpl>()
                                         : at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
    Writer(env).number(addGenerator(env, std::move(made)));
    return nullptr;
  });
}

napi_value generatorDefault(Env& env) {
  return guarded(env.napi, "defaultGenerator", [&]() -> napi_value {
    Reader in(env);
    const c10::Device device = in.device();
    Writer(env).number(addGenerator(env, at::globalContext().defaultGenerator(device)));
    return nullptr;
  });
}

napi_value generatorSeed(Env& env) {
  return guarded(env.napi, "Generator.manualSeed", [&]() -> napi_value {
    Reader in(env);
    at::Generator generator = in.generator();
    const auto seed = static_cast<uint64_t>(in.scalar().toLong());
    std::lock_guard lock(generator.mutex());
    generator.set_current_seed(seed);
    return nullptr;
  });
}

napi_value generatorGetState(Env& env) {
  return guarded(env.napi, "Generator.getState", [&]() -> napi_value {
    Reader in(env);
    at::Generator generator = in.generator();
    std::lock_guard lock(generator.mutex());
    Writer(env).tensor(generator.get_state());
    return nullptr;
  });
}

napi_value generatorSetState(Env& env) {
  return guarded(env.napi, "Generator.setState", [&]() -> napi_value {
    Reader in(env);
    at::Generator generator = in.generator();
    const at::Tensor state = in.tensor("state");
    std::lock_guard lock(generator.mutex());
    generator.set_state(state);
    return nullptr;
  });
}

// 0: leaves the number of intra-op threads. n: sets it.
napi_value threads(Env& env) {
  return guarded(env.napi, "setNumThreads", [&]() -> napi_value {
    Reader in(env);
    const int64_t wanted = in.integer();
    TORCH_CHECK(wanted >= 0 && wanted <= 4096, "expected 1 to 4096 threads, found ", wanted);
    if (wanted > 0) at::set_num_threads(static_cast<int>(wanted));
    Writer(env).number(at::get_num_threads());
    return nullptr;
  });
}

napi_value deterministic(Env& env) {
  return guarded(env.napi, "useDeterministicAlgorithms", [&]() -> napi_value {
    Reader in(env);
    const bool on = in.boolean(), warnOnly = in.boolean();
    at::globalContext().setDeterministicAlgorithms(on, warnOnly);
    return nullptr;
  });
}

enum MemoryCommand { kStats = 0, kResetPeak = 1, kEmptyCache = 2, kSetLimit = 3, kSetMemoryLimit = 4, kSetHugePages = 5 };

// What an accelerator's caching allocator has handed out; limits are the CPU's alone.
static MemoryStats deviceMemory(c10::Device device, int64_t command) {
  if (device.is_meta()) {
    if (command == kResetPeak) resetMetaPeak();
    return metaMemoryStats();
  }
  at::globalContext().lazyInitDevice(device.type());
  auto* allocator = at::getDeviceAllocator(device.type());
  const c10::DeviceIndex index =
      device.has_index() ? device.index() : c10::impl::VirtualGuardImpl(device.type()).getDevice().index();
  if (command == kResetPeak) allocator->resetPeakStats(index);
  if (command == kEmptyCache) allocator->emptyCache();
  constexpr size_t kAll = 0;  // of small and large pools together
  const auto stats = allocator->getDeviceStats(index);
  const auto &allocated = stats.allocated_bytes[kAll], &reserved = stats.reserved_bytes[kAll];
  const int64_t segments = stats.segment[kAll].allocated;
  return {allocated.current, allocated.peak, reserved.current - allocated.current, segments,
          stats.allocation[kAll].allocated - segments};
}

napi_value memory(Env& env) {
  return guarded(env.napi, "memory", [&]() -> napi_value {
    Reader in(env);
    const int64_t command = in.integer(), value = in.integer();
    const c10::Device device = in.device();
    if (device.is_cpu()) {
      if (command == kResetPeak) resetPeak();
      if (command == kEmptyCache) emptyCache();
      if (command == kSetLimit) setCacheLimit(value);
      if (command == kSetMemoryLimit) setMemoryLimit(value);
      if (command == kSetHugePages) setHugePages(value != 0);
    }
    const MemoryStats stats = device.is_cpu() ? memoryStats() : deviceMemory(device, command);
    Writer out(env);
    out.number(static_cast<double>(env.handles.live()));
    out.number(static_cast<double>(stats.currentBytes));
    out.number(static_cast<double>(stats.peakBytes));
    out.number(static_cast<double>(stats.cachedBytes));
    out.number(static_cast<double>(stats.systemAllocations));
    out.number(static_cast<double>(stats.reusedAllocations));
    return nullptr;
  });
}

napi_value deviceSet(Env& env) {
  return guarded(env.napi, "setDevice", [&]() -> napi_value {
    Reader in(env);
    const c10::Device device = in.device();
    if (device.is_cpu()) return nullptr;
    const c10::impl::VirtualGuardImpl guard(device.type());
    TORCH_CHECK(device.index() < guard.deviceCount(), "setDevice: there is no ", device, "; devices of this type: ",
                static_cast<int>(guard.deviceCount()));
    guard.setDevice(device.has_index() ? device : c10::Device(device.type(), 0));
    return nullptr;
  });
}

napi_value synchronize(Env& env) {
  return guarded(env.napi, "synchronize", [&]() -> napi_value {
    Reader in(env);
    const c10::Device device = in.device();
    if (device.is_cpu()) return nullptr;
    const c10::impl::VirtualGuardImpl guard(device.type());
    guard.synchronizeDevice(device.has_index() ? device.index() : guard.getDevice().index());
    return nullptr;
  });
}

// Node's end joins V8's threads; one that waits for a garbage collection then waits for ever (nodejs/node#54918), and memory
// of tensors, which V8 counts, makes such waits likely. Bound to no environment: it must outlive it. When Node has ended, so
// does the process: destructors of libtorch, which take thousands of operators apart, would take a fifth of a second.
napi_value exitWithin(Env& env) {
  return guarded(env.napi, "exitWithin", [&]() -> napi_value {
    Reader in(env);
    const auto code = static_cast<int>(in.integer());
    const std::chrono::duration<double> limit(in.number());
    std::thread([code, limit] {
      std::this_thread::sleep_for(limit);
      std::_Exit(code);
    }).detach();
#ifdef __GLIBC__
    // Registered last, it runs first. It gets the code that Node ends with, which may have changed since.
    on_exit(
        [](int status, void*) {
          std::fflush(nullptr);
          std::_Exit(status);
        },
        nullptr);
#endif
    return nullptr;
  });
}

static std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') out += "\\n";
    else if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}

std::string infoJson() {
  std::ostringstream json;
  const auto accelerator = at::getAccelerator(false);
  int64_t devices = 0;
  if (accelerator && c10::impl::hasDeviceGuardImpl(*accelerator)) devices = c10::impl::VirtualGuardImpl(*accelerator).deviceCount();
  json << "{\"torchVersion\":" << quoted(TORCH_VERSION) << ",\"cpuCapability\":" << quoted(at::get_cpu_capability())
       << ",\"threads\":" << at::get_num_threads() << ",\"hasMkl\":" << (at::hasMKL() ? "true" : "false")
       << ",\"hasMkldnn\":" << (at::hasMKLDNN() ? "true" : "false") << ",\"hasCuda\":" << (at::hasCUDA() ? "true" : "false")
       << ",\"accelerator\":" << (accelerator ? quoted(c10::DeviceTypeName(*accelerator, true)) : "null")
       << ",\"deviceCount\":" << devices << ",\"parallelInfo\":" << quoted(at::get_parallel_info()) << "}";
  return json.str();
}

std::vector<std::string> schemas() {
  std::vector<std::string> all;
  for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
    auto handle = c10::Dispatcher::singleton().findSchema(name);
    if (!handle) continue;
    std::ostringstream text;
    text << handle->schema();
    all.push_back(text.str());
  }
  return all;
}

}  // namespace torchforge
