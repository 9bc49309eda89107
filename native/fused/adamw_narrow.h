// What the CPU's and the devices' kernels of forge::adamw_narrow_ share: the operator's arguments, checked.
#pragma once

#include "tensor_list.h"

#include <cmath>

#include "../cuda/kernels/args.h"
#include "../cuda/kernels/codes.h"

namespace forge {

struct NarrowNumbers {
  int64_t step;
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled, stochastic;
  double grad_scale;
};

struct NarrowLists {
  at::TensorList params, grads, ms, vs, scales, sq_scales;
  at::IntArrayRef keys, offsets;
};

using AdamwNarrow = void(at::TensorList, at::TensorList, at::TensorList, at::TensorList, at::TensorList, at::TensorList,
                         at::IntArrayRef, at::IntArrayRef, int64_t, double, double, double, double, double, bool, bool, double);

/// Whether this moment is held as codes.
inline bool is_coded(const Tensor& m) {
  return m.scalar_type() == at::kChar;
}

/// The parameter's and the step's: other numbers for every parameter and step, the same in every run.
inline unsigned narrow_key(int64_t key, int64_t step) {
  return mixed(static_cast<unsigned>(key) ^ mixed(static_cast<unsigned>(step)));
}

/// The numbers that a step's kernels take.
template <typename Args>
inline void set_narrow_numbers(Args& args, const NarrowNumbers& n) {
  args.stochastic = n.stochastic;
  args.sign = static_cast<float>(n.grad_scale);
  args.keep = static_cast<float>(n.decoupled ? 1 - n.lr * n.weight_decay : 1);
  args.decay = static_cast<float>(n.decoupled ? 0 : n.weight_decay);
  args.new1 = static_cast<float>(1 - n.beta1);
  args.old2 = static_cast<float>(n.beta2);
  args.new2 = static_cast<float>(1 - n.beta2);
  args.step_size = static_cast<float>(-n.lr / (1 - std::pow(n.beta1, static_cast<double>(n.step))));
  args.inverse_root = static_cast<float>(1 / std::sqrt(1 - std::pow(n.beta2, static_cast<double>(n.step))));
  args.eps = static_cast<float>(n.eps);
}

void check_narrow(const NarrowLists& lists, int64_t step);

}  // namespace forge
