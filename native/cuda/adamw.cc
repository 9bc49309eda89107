// forge::adamw_ on CUDA devices: one pass for every mix of float32 and bfloat16 among parameters, gradients and moments. Others,
// and what is not dense, take the composition.
#include "../fused/tensor_list.h"
#include "multi_tensor.h"
#include "runtime.h"

#include <ATen/ops/empty_like.h>

#include <cmath>
#include <map>

namespace forge::adamw_cuda {
namespace {

using Adamw = void(at::TensorList, at::TensorList, at::TensorList, at::TensorList, int64_t, double, double, double, double, double,
                   const std::optional<Tensor>&, bool);

struct List {
  std::vector<Tensor> params, grads, ms, vs;
  void add(const Tensor& p, const Tensor& g, const Tensor& m, const Tensor& v) {
    params.push_back(p);
    grads.push_back(g);
    ms.push_back(m);
    vs.push_back(v);
  }
};

bool fits(const Tensor& p, const Tensor& g, const Tensor& m, const Tensor& v) {
  for (const auto* t : {&g, &m, &v}) {
    if (t->sizes() != p.sizes() || t->device() != p.device() || cuda::type_name(t->scalar_type()) == nullptr) return false;
  }
  return cuda::type_name(p.scalar_type()) != nullptr && m.scalar_type() == v.scalar_type() && is_dense(p) && m.strides() == p.strides() &&
         v.strides() == p.strides();
}

void adamw(at::TensorList params, at::TensorList grads, at::TensorList ms, at::TensorList vs, int64_t step, double lr, double beta1,
           double beta2, double eps, double weight_decay, const std::optional<Tensor>& grad_scale, bool maximize) {
  static const auto handle = op<Adamw>("forge::adamw_");
  const auto compose = [&](const List& list) {
    handle.redispatch(cuda::composed, list.params, list.grads, list.ms, list.vs, step, lr, beta1, beta2, eps, weight_decay, grad_scale,
                      maximize);
  };
  if (params.empty() || step < 1 || !cuda::usable(params[0]) || grads.size() != params.size() || ms.size() != params.size() ||
      vs.size() != params.size()) {
    return compose({params.vec(), grads.vec(), ms.vec(), vs.vec()});
  }
  at::NoGradGuard no_grad;
  std::map<std::string, List> by_types;
  List others;
  for (const auto i : c10::irange(params.size())) {
    const auto &p = params[i], &m = ms[i];
    if (p.device() != params[0].device() || !fits(p, grads[i], m, vs[i])) {
      others.add(p, grads[i], m, vs[i]);
      continue;
    }
    auto g = grads[i];
    if (g.strides() != p.strides()) g = at::empty_like(p, p.options().dtype(g.scalar_type())).copy_(g);
    const auto name = [](const Tensor& t) { return std::string(cuda::type_name(t.scalar_type())); };
    by_types[name(p) + ", " + name(g) + ", " + name(m)].add(p, g, m, vs[i]);
  }
  if (!others.params.empty()) compose(others);

  Tensor scale;
  double factor = maximize ? -1 : 1;
  AdamwArgs args{};
  if (grad_scale && grad_scale->is_cpu()) {
    factor *= grad_scale->item().toDouble();
  } else if (grad_scale) {
    scale = grad_scale->to(params[0].device(), at::kFloat);
    args.grad_scale = scale.const_data_ptr<float>();
  }
  args.sign = static_cast<float>(factor);
  args.keep = static_cast<float>(1 - lr * weight_decay);
  args.new1 = static_cast<float>(1 - beta1);
  args.old2 = static_cast<float>(beta2);
  args.new2 = static_cast<float>(1 - beta2);
  args.step_size = static_cast<float>(-lr / (1 - std::pow(beta1, static_cast<double>(step))));
  args.inverse_root = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, static_cast<double>(step))));
  args.eps = static_cast<float>(eps);
  for (const auto& [types, list] : by_types) {
    const cuda::Kernel kernel{"adamw", "adamw<" + types + ">", "AdamwArgs", 256};
    cuda::in_launches<kAdamwTensors>(
        list.params, args,
        [&](int slot, size_t i) {
          args.param[slot] = list.params[i].mutable_data_ptr();
          args.grad[slot] = list.grads[i].const_data_ptr();
          args.exp_avg[slot] = list.ms[i].mutable_data_ptr();
          args.exp_avg_sq[slot] = list.vs[i].mutable_data_ptr();
        },
        [&](int64_t blocks) { cuda::launch(kernel, blocks, kernel.threads, args, params[0]); });
    for (const auto* written : {&list.params, &list.ms, &list.vs}) {
      for (const auto& t : *written) wrote_to(t);
    }
  }
}

}  // namespace

FORGE_CUDA_IMPL(cuda_adamw, m) {
  m.impl("adamw_", adamw);
}

}  // namespace forge::adamw_cuda
