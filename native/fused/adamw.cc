// forge::adamw_: one step of AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101) over a whole list of
// parameters, in place, in one pass over memory:
//   p *= 1 - lr * weight_decay; m += (g - m) * (1 - beta1); v = beta2 * v + (1 - beta2) * g^2
//   p -= lr / (1 - beta1^step) * m / (sqrt(v) / sqrt(1 - beta2^step) + eps)
// as torch.optim.AdamW(fused=True) computes it, with two things that aten::_fused_adamw_ lacks on the CPU: gradients are
// multiplied by `grad_scale` on the way (clipping costs no pass of its own), and the moments may be fp32 while the
// parameters are bf16. Gradients aren't changed. For plain fp32, and off the CPU where that can do it, it is
// aten::_fused_adamw_, which leaves gradients scaled there.
#include "tensor_list.h"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>

#include <cmath>

namespace forge {
namespace {

struct Step {
  double lr, beta1, beta2, eps, weight_decay;
  int64_t step;
  bool maximize;
};

void check(at::TensorList params, at::TensorList grads, at::TensorList ms, at::TensorList vs, int64_t step) {
  TORCH_CHECK(params.size() == grads.size() && params.size() == ms.size() && params.size() == vs.size(),
              "adamw_: expected lists of one length, found ", params.size(), " parameters, ", grads.size(),
              " gradients, ", ms.size(), " first and ", vs.size(), " second moments");
  TORCH_CHECK(step >= 1, "adamw_: steps count from 1, found ", step);
  for (const auto i : c10::irange(params.size())) {
    const auto& p = params[i];
    TORCH_CHECK(p.is_floating_point(), "adamw_: parameter ", i, " is ", p.scalar_type(), ", not floating point");
    for (const auto* t : {&grads[i], &ms[i], &vs[i]}) {
      TORCH_CHECK(t->sizes() == p.sizes() && t->device() == p.device(), "adamw_: parameter ", i, " has shape ",
                  p.sizes(), " on ", p.device(), ", but its gradient or a moment has ", t->sizes(), " on ",
                  t->device());
    }
    const auto fits = [&](const Tensor& t) {
      return t.scalar_type() == p.scalar_type() || t.scalar_type() == acc_type(p.scalar_type());
    };
    TORCH_CHECK(fits(grads[i]) && fits(ms[i]) && ms[i].scalar_type() == vs[i].scalar_type(), "adamw_: parameter ", i,
                " is ", p.scalar_type(), "; its gradient and moments must be of that type or ",
                acc_type(p.scalar_type()), ", found ", grads[i].scalar_type(), ", ", ms[i].scalar_type(), " and ",
                vs[i].scalar_type());
  }
}

template <typename T, typename N>
Wide<T> load_as(const void* base, at::ScalarType type, int64_t i, N n) {
  if (std::is_same_v<T, Acc<T>> || type == at::kFloat) return load_acc<T>(static_cast<const Acc<T>*>(base) + i, n);
  return load(static_cast<const T*>(base) + i, n);
}

template <typename T, typename N>
void store_as(const Wide<T>& value, void* base, at::ScalarType type, int64_t i, N n) {
  if (std::is_same_v<T, Acc<T>> || type == at::kFloat) return store_acc<T>(value, static_cast<Acc<T>*>(base) + i, n);
  store(value, static_cast<T*>(base) + i, n);
}

template <typename T>
void update(const Chunk& c, const Tensor& param, const Tensor& grad, const Tensor& m, const Tensor& v, const Step& s,
            double grad_scale) {
  using A = Acc<T>;
  const double correction1 = 1 - std::pow(s.beta1, static_cast<double>(s.step));
  const double correction2 = 1 - std::pow(s.beta2, static_cast<double>(s.step));
  const Wide<T> keep(static_cast<A>(1 - s.lr * s.weight_decay));
  const Wide<T> scale(static_cast<A>(s.maximize ? -grad_scale : grad_scale));
  const Wide<T> new1(static_cast<A>(1 - s.beta1));
  const Wide<T> old2(static_cast<A>(s.beta2));
  const Wide<T> new2(static_cast<A>(1 - s.beta2));
  const Wide<T> size(static_cast<A>(-s.lr / correction1));
  const Wide<T> inverse_root(static_cast<A>(1 / std::sqrt(correction2)));
  const Wide<T> eps(static_cast<A>(s.eps));
  auto* p = param.mutable_data_ptr<T>();
  const auto* g = grad.const_data_ptr();
  auto* mp = m.mutable_data_ptr();
  auto* vp = v.mutable_data_ptr();
  const auto grad_type = grad.scalar_type();
  const auto type = m.scalar_type();
  each<T>(c.size, [&](int64_t j, auto n) {
    const auto i = c.start + j;
    const auto d = load_as<T>(g, grad_type, i, n) * scale;
    const auto m0 = load_as<T>(mp, type, i, n);
    const auto m1 = fma(d - m0, new1, m0);
    const auto v1 = fma(load_as<T>(vp, type, i, n), old2, d * d * new2);
    store_as(m1, mp, type, i, n);
    store_as(v1, vp, type, i, n);
    const auto denominator = fma(v1.sqrt(), inverse_root, eps);
    store(fma(size, m1 / denominator, load(p + i, n) * keep), p + i, n);
  });
}

void adamw_composite(at::TensorList params, at::TensorList grads, at::TensorList ms, at::TensorList vs, int64_t step,
                     double lr, double beta1, double beta2, double eps, double weight_decay,
                     const std::optional<Tensor>& grad_scale, bool maximize) {
  check(params, grads, ms, vs, step);
  at::NoGradGuard no_grad;
  std::vector<Tensor> p1, g1, m1, v1;
  for (const auto i : c10::irange(params.size())) {
    const auto type = params[i].scalar_type();
    if (grads[i].scalar_type() == type && ms[i].scalar_type() == type && type != at::kDouble) {
      p1.push_back(params[i]);
      g1.push_back(grads[i]);
      m1.push_back(ms[i]);
      v1.push_back(vs[i]);
      continue;
    }
    const auto acc = acc_type(type);
    auto g = grads[i].to(acc);
    if (grad_scale) g = g * grad_scale->to(acc);
    if (maximize) g = -g;
    const auto m = ms[i].to(acc) * beta1 + g * (1 - beta1);
    const auto v = vs[i].to(acc) * beta2 + g * g * (1 - beta2);
    ms[i].copy_(m);
    vs[i].copy_(v);
    const double correction1 = 1 - std::pow(beta1, static_cast<double>(step));
    const double correction2 = std::sqrt(1 - std::pow(beta2, static_cast<double>(step)));
    params[i].copy_(params[i].to(acc) * (1 - lr * weight_decay) - lr / correction1 * m / (v.sqrt() / correction2 + eps));
  }
  if (p1.empty()) return;
  const auto number = p1[0].options().dtype(at::kFloat);
  // It reads the steps alone, so one tensor does for all. It divides by its scale.
  const std::vector<Tensor> steps(p1.size(), at::full({}, static_cast<double>(step), number));
  std::optional<Tensor> divisor;
  if (grad_scale) divisor = grad_scale->to(number).reciprocal();
  at::_fused_adamw_(p1, g1, m1, v1, {}, steps, lr, beta1, beta2, weight_decay, eps, false, maximize, divisor);
}

// Whether libtorch's kernel does the same. Both go at the speed of memory there: ours has nothing to win.
bool is_plain_float(at::TensorList params, at::TensorList grads, at::TensorList ms, at::TensorList vs) {
  for (const auto i : c10::irange(params.size())) {
    const auto& p = params[i];
    if (!is_dense(p)) return false;
    for (const auto* t : {&p, &grads[i], &ms[i], &vs[i]}) {
      if (t->scalar_type() != at::kFloat || t->strides() != p.strides()) return false;
    }
  }
  return true;
}

void adamw_cpu(at::TensorList params, at::TensorList grads, at::TensorList ms, at::TensorList vs, int64_t step,
               double lr, double beta1, double beta2, double eps, double weight_decay,
               const std::optional<Tensor>& grad_scale, bool maximize) {
  check(params, grads, ms, vs, step);
  if (!grad_scale && is_plain_float(params, grads, ms, vs)) {
    return adamw_composite(params, grads, ms, vs, step, lr, beta1, beta2, eps, weight_decay, grad_scale, maximize);
  }
  const Step s{lr, beta1, beta2, eps, weight_decay, step, maximize};
  const double scale = grad_scale ? grad_scale->item().toDouble() : 1.0;
  std::vector<Tensor> gs;
  gs.reserve(grads.size());
  for (const auto i : c10::irange(params.size())) {
    const auto& p = params[i];
    TORCH_CHECK(is_dense(p) && ms[i].strides() == p.strides() && vs[i].strides() == p.strides(), "adamw_: parameter ",
                i, " and its moments must be dense and of one layout, found strides ", p.strides(), ", ",
                ms[i].strides(), " and ", vs[i].strides());
    auto g = grads[i];
    if (g.strides() != p.strides()) g = at::empty_like(p, p.options().dtype(g.scalar_type())).copy_(g);
    gs.push_back(std::move(g));
  }
  const auto chunks = chunks_of(params);
  for_chunks(chunks, [&](int64_t i) {
    const auto& c = chunks[i];
    const auto t = c.tensor;
    FORGE_FLOATING(params[t].scalar_type(), "adamw_",
                   [&] { update<scalar_t>(c, params[t], gs[t], ms[t], vs[t], s, scale); });
  });
  for (const auto list : {params, ms, vs}) {
    for (const auto& t : list) wrote_to(t);
  }
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def(
      "adamw_(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] exp_avgs, Tensor(c!)[] exp_avg_sqs, int step, *,"
      " float lr, float beta1=0.9, float beta2=0.95, float eps=1e-8, float weight_decay=0.1, Tensor? grad_scale=None,"
      " bool maximize=False) -> ()");
}
TORCH_LIBRARY_IMPL(forge, CPU, m) {
  m.impl("adamw_", adamw_cpu);
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  m.impl("adamw_", adamw_composite);
}

}  // namespace forge
