// forge::sum_of_squares on CUDA devices: the squares of a list of float32 and bfloat16 tensors in a launch or a few, in fp64. A
// list with other types takes the composition.
#include "../fused/tensor_list.h"
#include "multi_tensor.h"
#include "runtime.h"

#include <ATen/ops/empty.h>

namespace forge::sum_of_squares_cuda {
namespace {

Tensor sum_of_squares(at::TensorList tensors) {
  static const auto handle = op<Tensor(at::TensorList)>("forge::sum_of_squares");
  bool fits = !tensors.empty() && cuda::usable(tensors[0]);
  for (const auto& t : tensors) {
    fits = fits && t.device() == tensors[0].device() && cuda::type_name(t.scalar_type()) != nullptr;
  }
  if (!fits) return handle.redispatch(cuda::composed, tensors);

  std::vector<Tensor> dense;
  int64_t total = 0;
  for (const auto& t : tensors) {
    dense.push_back(is_dense(t) ? t : t.contiguous());
    total += cuda::blocks_of(t);
  }
  const auto partial = at::empty({total}, tensors[0].options().dtype(at::kDouble).requires_grad(false));
  SquaresArgs args{};
  args.partial = partial.is_meta() ? nullptr : partial.mutable_data_ptr<double>();
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    std::vector<Tensor> list;
    for (const auto& t : dense) {
      if (t.scalar_type() == type) list.push_back(t);
    }
    const cuda::Kernel kernel{"sum_of_squares", std::string("sum_of_squares<") + cuda::type_name(type) + ">", "SquaresArgs", 256};
    cuda::in_launches<kSquaresTensors>(
        list, args, [&](int slot, size_t i) { args.data[slot] = list[i].const_data_ptr(); },
        [&](int64_t blocks) {
          cuda::launch(kernel, blocks, kernel.threads, args, partial);
          args.partial += blocks;
        });
  }
  return partial.sum();
}

/// An emulated device has compositions where the CPU has kernels.
void emulate_norms(torch::Library& m) {
  m.impl("grad_norm", [](at::TensorList tensors) {
    return op<Tensor(at::TensorList)>("forge::grad_norm").redispatch(cuda::composed, tensors);
  });
  m.impl("clip_grad_norm_", [](at::TensorList grads, double most) {
    return op<Tensor(at::TensorList, double)>("forge::clip_grad_norm_").redispatch(cuda::composed, grads, most);
  });
}
[[maybe_unused]] const bool noted = cuda::emulated(emulate_norms);

}  // namespace

FORGE_CUDA_IMPL(cuda_sum_of_squares, m) {
  m.impl("sum_of_squares", sum_of_squares);
}

}  // namespace forge::sum_of_squares_cuda
