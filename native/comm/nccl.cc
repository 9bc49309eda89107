// The NCCL backend; the only file that needs CUDA's and NCCL's headers, compiled only where libtorch_cuda is
// (-DTORCHFORGE_CUDA -DUSE_C10D_NCCL). Tested by test/cuda/nccl.ts, with a world of one rank: see CONTRIBUTING.md.
#ifdef TORCHFORGE_CUDA
#include "group.h"

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

namespace torchforge::comm {

c10::intrusive_ptr<c10d::Backend> createNccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                             const GroupOptions& options) {
  auto nccl = c10d::ProcessGroupNCCL::Options::create();
  nccl->timeout = options.timeout;
  nccl->group_name = options.name;
  for (int64_t member : options.ranks) nccl->global_ranks_in_group.push_back(static_cast<uint64_t>(member));
  auto backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, nccl);
  if (options.device >= 0) backend->setBoundDeviceId(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(options.device)));
  return backend;
}

}  // namespace torchforge::comm
#endif
