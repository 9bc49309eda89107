// Elementwise functions on CUDA devices, in one pass over memory where plain operators take ten: libtorch compiles them when
// they are first needed (its jiterator, on NVRTC), so neither nvcc nor CUDA's headers are. The functions stand with their
// operators. Compiled where libtorch_cuda is (-DTORCHFORGE_CUDA).
#ifdef TORCHFORGE_CUDA
#include "fused.h"

#include <c10/core/DeviceGuard.h>

namespace at::cuda {
// ATen/cuda/jiterator.h, whose other includes come with CUDA's toolkit alone.
__attribute__((visibility("default"))) c10::SmallVector<at::Tensor> CompileAndLaunchKernel(
    const std::string& code_string, const std::string& kernel_name, const int num_outputs,
    const c10::SmallVector<at::Tensor>& tensors, const c10::SmallVector<at::Scalar>& extra_args, bool return_by_ref);
}  // namespace at::cuda

namespace forge {
namespace {

c10::SmallVector<Tensor> launch(const std::string& name, const std::string& code, int outputs,
                                const c10::SmallVector<Tensor>& inputs) {
  const c10::DeviceGuard guard(inputs[0].device());
  return at::cuda::CompileAndLaunchKernel("template <typename T> " + code, name, outputs, inputs, {}, outputs > 1);
}

[[maybe_unused]] const bool there = (cuda_elementwise = launch) != nullptr;

}  // namespace
}  // namespace forge
#endif
