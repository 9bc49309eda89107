// Kernels in CUDA C++ (kernels/*.cuh), compiled by NVRTC for the device when they are first launched, and cached on disk. NVRTC and
// the driver are opened at run time, so that one addon serves every build of torch and neither nvcc nor CUDA's headers are needed.
// Tests launch the same kernels on the CPU (forge::emulate_cuda). This knows no operator.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DispatchKeySet.h>
#include <torch/library.h>

#include <string>

namespace forge::cuda {

/// A kernel: `instance` is its function with template arguments, as kernels/FILE.cuh declares it; `args` the struct that it takes.
struct Kernel {
  std::string file;
  std::string instance;
  std::string args;
  /// The most threads of a block, for the compiler's choice of registers.
  int threads;
};

/// Whether kernels can run on the tensor's device: an NVIDIA one with NVRTC and a driver that were found, or the CPU while it
/// is emulated, or meta, where launches do nothing.
bool usable(const at::Tensor& on);

/// On the tensor's device, and on its current stream. Nothing for an empty grid and for meta tensors.
void launch(const Kernel& kernel, int64_t grid, int64_t block, const void* args, std::size_t size, const at::Tensor& on);

template <typename Args>
void launch(const Kernel& kernel, int64_t grid, int64_t block, const Args& args, const at::Tensor& on) {
  static_assert(sizeof(Args) <= 4096, "a launch takes 4,096 bytes of arguments");
  launch(kernel, grid, block, &args, sizeof(Args), on);
}

int multiprocessors(const at::Tensor& on);

/// "float" or "bf16", as kernels name it; null for a type that they don't have.
const char* type_name(at::ScalarType type);

/// A backend without kernels of its own: redispatching there runs an operator's composition.
inline const c10::DispatchKeySet composed(c10::DispatchKey::XPU);

/// Notes the implementations for the time that the CPU is emulated.
bool emulated(void (*implementations)(torch::Library&));

}  // namespace forge::cuda

/// Implementations for CUDA devices, and for the CPU while it is emulated: FORGE_CUDA_IMPL(name, m) { m.impl(..); }
#define FORGE_CUDA_IMPL(NAME, M)                                     \
  static void NAME(torch::Library& M);                               \
  TORCH_LIBRARY_IMPL(forge, CUDA, library) { NAME(library); }        \
  [[maybe_unused]] static const bool NAME##_noted = cuda::emulated(NAME); \
  static void NAME(torch::Library& M)
