#include "nvrtc.h"

#include <c10/core/Device.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>

namespace forge::cuda {
namespace {

/// A function of a library that was opened at run time.
template <typename F>
void resolve(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
}

struct NvrtcFunctions {
  using Handle = void*;
  int (*version)(int*, int*) = nullptr;
  int (*create)(Handle*, const char*, const char*, int, const char* const*, const char* const*) = nullptr;
  int (*compile)(Handle, int, const char* const*) = nullptr;
  int (*log_size)(Handle, std::size_t*) = nullptr;
  int (*log)(Handle, char*) = nullptr;
  int (*cubin_size)(Handle, std::size_t*) = nullptr;
  int (*cubin)(Handle, char*) = nullptr;
  int (*ptx_size)(Handle, std::size_t*) = nullptr;
  int (*ptx)(Handle, char*) = nullptr;
  int (*destroy)(Handle*) = nullptr;
  int (*count)(int*) = nullptr;
  int (*architectures)(int*) = nullptr;
  const char* (*error)(int) = nullptr;
};

struct DriverFunctions {
  int (*init)(unsigned) = nullptr;
  int (*device)(int*, int) = nullptr;
  int (*attribute)(int*, int, int) = nullptr;
  int (*retain)(void**, int) = nullptr;
  int (*current)(void**) = nullptr;
  int (*set_current)(void*) = nullptr;
  int (*load)(void**, const void*) = nullptr;
  int (*function)(void**, void*, const char*) = nullptr;
  int (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**) = nullptr;
  int (*error)(int, const char**) = nullptr;
};

NvrtcFunctions nvrtc;
DriverFunctions driver;

/// NVRTC opens its other half by name alone, which finds it only where the program's own search path does.
void open_builtins() {
  int major = 0, minor = 0;
  Dl_info self;
  if (nvrtc.version(&major, &minor) != 0 || dladdr(reinterpret_cast<void*>(nvrtc.version), &self) == 0) return;
  std::string path = self.dli_fname;
  path.resize(path.rfind('/') + 1);
  path += "libnvrtc-builtins.so." + std::to_string(major) + "." + std::to_string(minor);
  dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
}

Found find_nvrtc(const std::string& path) {
  // The first has libtorch's own NVRTC among its dependencies.
  std::vector<std::string> names{"libcaffe2_nvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};
  if (!path.empty()) names = {path};
  std::string why;
  for (const auto& name : names) {
    auto* const library = dlopen(name.c_str(), RTLD_NOW);
    if (library == nullptr) {
      why += std::string(why.empty() ? "" : "; ") + dlerror();
      continue;
    }
    resolve(library, "nvrtcVersion", nvrtc.version);
    if (nvrtc.version == nullptr) continue;
    resolve(library, "nvrtcCreateProgram", nvrtc.create);
    resolve(library, "nvrtcCompileProgram", nvrtc.compile);
    resolve(library, "nvrtcGetProgramLogSize", nvrtc.log_size);
    resolve(library, "nvrtcGetProgramLog", nvrtc.log);
    resolve(library, "nvrtcGetCUBINSize", nvrtc.cubin_size);
    resolve(library, "nvrtcGetCUBIN", nvrtc.cubin);
    resolve(library, "nvrtcGetPTXSize", nvrtc.ptx_size);
    resolve(library, "nvrtcGetPTX", nvrtc.ptx);
    resolve(library, "nvrtcDestroyProgram", nvrtc.destroy);
    resolve(library, "nvrtcGetNumSupportedArchs", nvrtc.count);
    resolve(library, "nvrtcGetSupportedArchs", nvrtc.architectures);
    resolve(library, "nvrtcGetErrorString", nvrtc.error);
    if (nvrtc.cubin == nullptr || nvrtc.architectures == nullptr) {
      why += name + " is older than CUDA 11.2";
      continue;
    }
    open_builtins();
    return {true, ""};
  }
  return {false, "NVRTC was not found (" + why + ")"};
}

Found find_driver() {
  auto* const library = dlopen("libcuda.so.1", RTLD_NOW);
  if (library == nullptr) return {false, "the NVIDIA driver was not found (" + std::string(dlerror()) + ")"};
  resolve(library, "cuInit", driver.init);
  resolve(library, "cuDeviceGet", driver.device);
  resolve(library, "cuDeviceGetAttribute", driver.attribute);
  resolve(library, "cuDevicePrimaryCtxRetain", driver.retain);
  resolve(library, "cuCtxGetCurrent", driver.current);
  resolve(library, "cuCtxSetCurrent", driver.set_current);
  resolve(library, "cuModuleLoadData", driver.load);
  resolve(library, "cuModuleGetFunction", driver.function);
  resolve(library, "cuLaunchKernel", driver.launch);
  resolve(library, "cuGetErrorString", driver.error);
  if (driver.launch == nullptr || driver.error == nullptr) return {false, "libcuda.so.1 is no driver that torchforge knows"};
  const int code = driver.init(0);
  if (code != 0) return {false, "the NVIDIA driver does not start (error " + std::to_string(code) + ")"};
  return {true, ""};
}

}  // namespace

Found Nvrtc::find(const std::string& path) {
  static const Found found = find_nvrtc(path);
  return found;
}

const Nvrtc& Nvrtc::get() {
  static const Nvrtc one;
  const auto found = find();
  TORCH_CHECK(found.found, "CUDA kernels: ", found.why);
  return one;
}

void Nvrtc::check(int code, const char* what) const {
  TORCH_CHECK(code == 0, "CUDA kernels: NVRTC ", version(), " failed at ", what, ": ", nvrtc.error(code));
}

std::string Nvrtc::version() const {
  int major = 0, minor = 0;
  nvrtc.version(&major, &minor);
  return std::to_string(major) + "." + std::to_string(minor);
}

std::string Nvrtc::architecture(int major, int minor) const {
  int count = 0;
  check(nvrtc.count(&count), "listing architectures");
  std::vector<int> known(count);
  check(nvrtc.architectures(known.data()), "listing architectures");
  const int wanted = major * 10 + minor;
  if (std::find(known.begin(), known.end(), wanted) != known.end()) return "sm_" + std::to_string(wanted);
  int latest = 0;
  for (const int one : known) {
    if (one < wanted) latest = std::max(latest, one);
  }
  TORCH_CHECK(latest > 0, "CUDA kernels: NVRTC ", version(), " has no code for devices of compute capability ", major, ".", minor);
  return "compute_" + std::to_string(latest);
}

std::string Nvrtc::compile(const Program& program, const std::string& architecture) const {
  std::vector<const char*> names, texts;
  for (const auto& [name, text] : program.headers) {
    names.push_back(name.c_str());
    texts.push_back(text.c_str());
  }
  NvrtcFunctions::Handle handle = nullptr;
  check(nvrtc.create(&handle, program.source.c_str(), program.name.c_str(), static_cast<int>(names.size()), texts.data(), names.data()),
        "creating a program");
  const std::string target = "--gpu-architecture=" + architecture;
  const std::array<const char*, 2> options{target.c_str(), "--std=c++17"};
  const int code = nvrtc.compile(handle, static_cast<int>(options.size()), options.data());
  std::string out;
  std::size_t size = 0;
  if (code != 0) {
    std::string log;
    if (nvrtc.log_size(handle, &size) == 0 && size > 1) {
      log.resize(size);
      nvrtc.log(handle, log.data());
      log.resize(size - 1);
    }
    nvrtc.destroy(&handle);
    TORCH_CHECK(false, "CUDA kernels: NVRTC ", version(), " can't compile ", program.name, " for ", architecture, ": ", nvrtc.error(code),
                "\n", log);
  }
  const bool binary = architecture.rfind("sm_", 0) == 0;
  check(binary ? nvrtc.cubin_size(handle, &size) : nvrtc.ptx_size(handle, &size), "reading the code's size");
  out.resize(size);
  check(binary ? nvrtc.cubin(handle, out.data()) : nvrtc.ptx(handle, out.data()), "reading the code");
  nvrtc.destroy(&handle);
  return out;
}

Found Driver::find() {
  static const Found found = find_driver();
  return found;
}

const Driver& Driver::get() {
  static const Driver one;
  const auto found = find();
  TORCH_CHECK(found.found, "CUDA kernels: ", found.why);
  return one;
}

void Driver::check(int code, const char* what) const {
  if (code == 0) return;
  const char* text = nullptr;
  driver.error(code, &text);
  TORCH_CHECK(false, "CUDA kernels: the driver failed at ", what, ": ", text == nullptr ? "unknown error" : text, " (", code, ")");
}

int Driver::attribute(int device, int which) const {
  int handle = 0, value = 0;
  check(driver.device(&handle, device), "finding the device");
  check(driver.attribute(&value, which, handle), "asking for an attribute");
  return value;
}

void Driver::enter(int device) const {
  static std::mutex mutex;
  static std::map<int, void*> contexts;
  void* context = nullptr;
  {
    const std::scoped_lock lock(mutex);
    auto& known = contexts[device];
    if (known == nullptr) {
      int handle = 0;
      check(driver.device(&handle, device), "finding the device");
      check(driver.retain(&known, handle), "entering the device");
    }
    context = known;
  }
  void* now = nullptr;
  check(driver.current(&now), "asking for the context");
  if (now != context) check(driver.set_current(context), "entering the device");
}

void* Driver::load(const std::string& image) const {
  void *module = nullptr, *function = nullptr;
  check(driver.load(&module, image.data()), "loading a kernel");
  check(driver.function(&function, module, "entry"), "finding a kernel");
  return function;
}

void Driver::launch(void* function, unsigned grid, unsigned block, void* stream, const void* args) const {
  void* params[] = {const_cast<void*>(args)};
  check(driver.launch(function, grid, 1, 1, block, 1, 1, 0, stream, params, nullptr), "launching a kernel");
}

void* current_stream(int device) {
  // c10::cuda::CUDAStream is a c10::Stream; this is its stream(), whose header needs CUDA's.
  using Native = void* (*)(const c10::Stream*);
  static const auto native = [] {
    auto* const library = dlopen("libc10_cuda.so", RTLD_NOW);
    return library == nullptr ? nullptr : reinterpret_cast<Native>(dlsym(library, "_ZNK3c104cuda10CUDAStream6streamEv"));
  }();
  TORCH_CHECK(native != nullptr, "CUDA kernels: libtorch's libc10_cuda does not tell its stream");
  const c10::Device on(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device));
  const auto stream = c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).getStream(on);
  return native(&stream);
}

}  // namespace forge::cuda
