// forge::adamw_narrow_ on CUDA devices: one launch for every mix of types and some fifty tensors.
#include "../fused/adamw_narrow.h"
#include "multi_tensor.h"
#include "runtime.h"

#include <map>

namespace forge::adamw_narrow_cuda {
namespace {

void adamw_narrow(at::TensorList params, at::TensorList grads, at::TensorList ms, at::TensorList vs, at::TensorList scales,
                  at::TensorList sq_scales, at::IntArrayRef keys, at::IntArrayRef offsets, int64_t step, double lr, double beta1,
                  double beta2, double eps, double weight_decay, bool decoupled, bool stochastic, double grad_scale) {
  if (params.empty() || !cuda::usable(params[0])) {
    static const auto handle = op<AdamwNarrow>("forge::adamw_narrow_");
    handle.redispatch(cuda::composed, params, grads, ms, vs, scales, sq_scales, keys, offsets, step, lr, beta1, beta2, eps,
                      weight_decay, decoupled, stochastic, grad_scale);
    return;
  }
  at::NoGradGuard no_grad;
  check_narrow({params, grads, ms, vs, scales, sq_scales, keys, offsets}, step);
  std::map<std::string, std::vector<size_t>> by_types;
  for (const auto i : c10::irange(params.size())) {
    TORCH_CHECK(params[i].device() == params[0].device(), "adamw_narrow_: expected parameters of one device");
    const auto name = [](const Tensor& t) { return is_coded(t) ? "codes" : cuda::type_name(t.scalar_type()); };
    by_types[std::string(name(params[i])) + ", " + name(grads[i]) + ", " + name(ms[i])].push_back(i);
  }
  NarrowArgs args{};
  set_narrow_numbers(args, {step, lr, beta1, beta2, eps, weight_decay, decoupled, stochastic, grad_scale});
  for (const auto& [types, members] : by_types) {
    const cuda::Kernel kernel{"adamw_narrow", "adamw_narrow<" + types + ">", "NarrowArgs", 256};
    const bool coded = is_coded(ms[members[0]]);
    std::vector<Tensor> list, gs;
    for (const auto i : members) {
      list.push_back(params[i]);
      gs.push_back(grads[i].contiguous());
    }
    const auto blocks_of_codes = [](const Tensor& p) -> int64_t {
      constexpr int64_t each = kBlockElements / kCodeBlock;
      return (p.size(0) * code_blocks_of_row(p.size(1)) + each - 1) / each;
    };
    cuda::in_launches<kNarrowTensors>(
        list, args,
        [&](int slot, size_t k) {
          const auto i = members[k];
          args.param[slot] = params[i].mutable_data_ptr();
          args.grad[slot] = gs[k].const_data_ptr();
          args.exp_avg[slot] = ms[i].mutable_data_ptr();
          args.exp_avg_sq[slot] = vs[i].mutable_data_ptr();
          args.scale[slot] = coded ? scales[i].mutable_data_ptr<float>() : nullptr;
          args.sq_scale[slot] = coded ? sq_scales[i].mutable_data_ptr<float>() : nullptr;
          args.columns[slot] = coded ? static_cast<int>(params[i].size(1)) : 0;
          args.key[slot] = narrow_key(keys[i], step);
          args.offset[slot] = static_cast<unsigned>(offsets[i]);
        },
        [&](int64_t blocks) { cuda::launch(kernel, blocks, kernel.threads, args, params[0]); },
        [&](const Tensor& p) { return coded ? blocks_of_codes(p) : cuda::blocks_of(p); });
  }
  for (const auto written : {params, ms, vs, scales, sq_scales}) {
    for (const auto& t : written) wrote_to(t);
  }
}

}  // namespace

FORGE_CUDA_IMPL(cuda_adamw_narrow, m) {
  m.impl("adamw_narrow_", adamw_narrow);
}

}  // namespace forge::adamw_narrow_cuda
