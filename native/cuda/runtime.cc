#include "runtime.h"

#include "nvrtc.h"

#include <c10/core/DeviceGuard.h>
#include <c10/util/hash.h>
#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <limits>
#include <mutex>
#include <sstream>
#include <unordered_map>

namespace forge::cuda {
namespace {

/// From TypeScript, before the first launch.
std::string kernel_folder, cache_folder;
std::atomic<bool> wanted{true};
std::atomic<int64_t> launched{0};

using Emulate = int (*)(const char* instance, unsigned grid, unsigned block, const void* args);
Emulate emulate = nullptr;

std::vector<void (*)(torch::Library&)>& implementations() {
  static std::vector<void (*)(torch::Library&)> all;
  return all;
}

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  TORCH_CHECK(in.good(), "CUDA kernels: can't read ", path.string());
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// One entry for each kernel, which must be of one file: `entry`, or entry_0, entry_1, .. for several.
Program program_of(const std::vector<Kernel>& kernels) {
  TORCH_CHECK(!kernel_folder.empty(), "CUDA kernels: forge::cuda_folders was not called");
  const auto& file = kernels.front().file;
  std::ostringstream source;
  source << "#include \"" << file << ".cuh\"\n";
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    const auto& k = kernels[i];
    source << "extern \"C\" __global__ void __launch_bounds__(" << k.threads << ") entry";
    if (kernels.size() > 1) source << "_" << i;
    source << "(const __grid_constant__ " << k.args << " args) { " << k.instance << "(args); }\n";
  }
  Program program{file + ".cu", source.str(), {}};
  for (const auto* const name : {"args.h", "codes.h", "common.cuh"}) {
    program.headers.emplace_back(name, read(std::filesystem::path(kernel_folder) / name));
  }
  program.headers.emplace_back(file + ".cuh", read(std::filesystem::path(kernel_folder) / (file + ".cuh")));
  return program;
}

/// From the cache; else compiled, and left there. A cache that can't be written costs time alone.
std::string image_of(const Kernel& kernel, const std::string& architecture) {
  const auto& compiler = Nvrtc::get();
  const auto program = program_of({kernel});
  std::string all = compiler.version() + "\n" + architecture + "\n" + program.source;
  for (const auto& [name, text] : program.headers) all += name + "\n" + text;
  const auto path = std::filesystem::path(cache_folder) / (kernel.file + "-" + c10::sha1(all).str().substr(0, 24) + ".cubin");
  if (std::error_code error; std::filesystem::file_size(path, error) > 0 && !error) return read(path);
  auto image = compiler.compile(program, architecture);
  std::error_code error;
  std::filesystem::create_directories(cache_folder, error);
  const auto beside = path.string() + "." + std::to_string(getpid()) + ".tmp";
  std::ofstream(beside, std::ios::binary).write(image.data(), static_cast<std::streamsize>(image.size())).flush();
  if (std::filesystem::file_size(beside, error) == image.size() && !error) {
    std::filesystem::rename(beside, path, error);
  } else {
    std::filesystem::remove(beside, error);
  }
  return image;
}

struct DeviceFacts {
  std::string architecture;
  int multiprocessors;
};

std::mutex mutex;

/// Of a device by its ordinal; with the mutex held.
const DeviceFacts& facts_of(int device) {
  static std::unordered_map<int, DeviceFacts> known;
  const auto found = known.find(device);
  if (found != known.end()) return found->second;
  // CUdevice_attribute: compute capability, major and minor; multiprocessors.
  const auto& driver = Driver::get();
  const auto architecture = Nvrtc::get().architecture(driver.attribute(device, 75), driver.attribute(device, 76));
  return known.emplace(device, DeviceFacts{architecture, driver.attribute(device, 16)}).first->second;
}

/// In the context that was entered.
void* function_of(const Kernel& kernel, int device) {
  static std::unordered_map<std::string, void*> loaded;
  const std::scoped_lock lock(mutex);
  auto& function = loaded[kernel.instance + "@" + std::to_string(device)];
  if (function == nullptr) function = Driver::get().load(image_of(kernel, facts_of(device).architecture));
  return function;
}

/// Said once: a run is slower without kernels, and not wrong.
bool libraries_found() {
  static const bool found = [] {
    for (const auto& one : {Nvrtc::find(), Driver::find()}) {
      if (one.found) continue;
      TORCH_WARN("torchforge runs without its own CUDA kernels, slower and with more memory: ", one.why);
      return false;
    }
    return true;
  }();
  return found;
}

void set_folders(c10::string_view kernels, c10::string_view cache) {
  kernel_folder = kernels;
  cache_folder = cache;
}

/// Whether kernels are used from now on; true by default. False compares with compositions.
void use(bool on) {
  wanted = on;
}

/// How many kernels were launched so far.
int64_t launches() {
  return launched;
}

/// A CUDA device's compute capability without its point: 90 for 9.0. 0 where there is no driver.
int64_t architecture(int64_t device) {
  if (!Driver::find().found) return 0;
  const auto of = [&](int which) { return Driver::get().attribute(static_cast<int>(device), which); };
  return 10 * of(75) + of(76);
}

/// That operators have other kernels now is what emulation is for.
struct Silence : c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

void start_emulation(c10::string_view library) {
  auto* const opened = dlopen(std::string(library).c_str(), RTLD_NOW);
  TORCH_CHECK(opened != nullptr, "emulate_cuda: ", dlerror());
  emulate = reinterpret_cast<Emulate>(dlsym(opened, "launch_emulated"));
  TORCH_CHECK(emulate != nullptr, "emulate_cuda: ", dlerror());
  Silence silence;
  const c10::WarningUtils::WarningHandlerGuard guard(&silence);
  static torch::Library on_cpu(torch::Library::IMPL, "forge", c10::DispatchKey::CPU, __FILE__, __LINE__);
  for (auto* const implement : implementations()) implement(on_cpu);
}

/// How many bytes of code the instances "function<arguments> Args threads", one a line, make for an architecture. `library` is an
/// NVRTC's path, which counts at the first call; empty for libtorch's.
int64_t compile(c10::string_view library, c10::string_view file, c10::string_view instances, c10::string_view architecture) {
  const auto found = Nvrtc::find(std::string(library));
  TORCH_CHECK(found.found, found.why);
  std::vector<Kernel> kernels;
  std::istringstream lines{std::string(instances)};
  for (std::string line; std::getline(lines, line);) {
    const auto last = line.rfind(' '), middle = line.rfind(' ', last - 1);
    kernels.push_back({std::string(file), line.substr(0, middle), line.substr(middle + 1, last - middle - 1), std::stoi(line.substr(last))});
  }
  return static_cast<int64_t>(Nvrtc::get().compile(program_of(kernels), std::string(architecture)).size());
}

}  // namespace

bool emulated(void (*implementation)(torch::Library&)) {
  implementations().push_back(implementation);
  return true;
}

bool usable(const at::Tensor& on) {
  if (!wanted) return false;
  if (on.is_meta()) return true;
  if (on.is_cpu()) return emulate != nullptr;
  return on.is_cuda() && libraries_found();
}

int multiprocessors(const at::Tensor& on) {
  if (on.is_cpu()) return 2;
  if (on.is_meta()) return 132;
  const std::scoped_lock lock(mutex);
  return facts_of(on.get_device()).multiprocessors;
}

void launch(const Kernel& kernel, int64_t grid, int64_t block, const void* args, std::size_t, const at::Tensor& on) {
  if (grid == 0 || on.is_meta()) return;
  ++launched;
  TORCH_CHECK(grid <= std::numeric_limits<int>::max(), "CUDA kernels: ", kernel.instance, " would need ", grid, " blocks");
  if (on.is_cpu()) {
    TORCH_CHECK(block <= kernel.threads && emulate(kernel.instance.c_str(), grid, block, args) == 0, "emulate_cuda: no kernel ",
                kernel.instance, " of ", block, " threads; test/kernels/instances.ts lists them");
    return;
  }
  const int device = on.get_device();
  const c10::DeviceGuard guard(on.device());
  const auto& driver = Driver::get();
  driver.enter(device);
  driver.launch(function_of(kernel, device), grid, block, current_stream(device), args);
}

const char* type_name(at::ScalarType type) {
  return type == at::kFloat ? "float" : type == at::kBFloat16 ? "bf16" : nullptr;
}

}  // namespace forge::cuda

namespace forge {

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def("cuda_folders(str kernels, str cache) -> ()", cuda::set_folders);
  m.def("cuda_use(bool on) -> ()", cuda::use);
  m.def("cuda_launches() -> int", cuda::launches);
  m.def("cuda_architecture(int device) -> int", cuda::architecture);
  m.def("cuda_compile(str library, str file, str instances, str architecture) -> int", cuda::compile);
  m.def("emulate_cuda(str library) -> ()", cuda::start_emulation);
}

}  // namespace forge
