// forge::expert_mlp: the SwiGLU feed-forward of a mixture of experts, for rows that a router has given to experts. Each of
// x's R rows goes to k of them, N = R * k pairs of row and expert in all; `order` lists the pairs (row * k + choice) sorted
// by expert, of which expert e has `counts[e]`. Each expert multiplies its rows by its own matrices (grouped.h), and a row's
// k results are added up, times their weights. A weight is applied before the last product: so what is kept for backward is
// x, and of each pair gate and up alone.
// forge::spread_rows and forge::collect_rows are the way there and back, [R, D] to [N, D], for experts of other processes.
// Composed of other operators, so every device has it; rows are gathered and never added by index, so that sums have one
// order on every device. How many rows each expert has must be known here, for which a device is waited for.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "activate.h"
#include "grouped.h"

namespace forge {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Of the pairs of one call: which row each has, and where each row's pairs are.
struct Pairs {
  Tensor order;
  Tensor rows;
  int64_t choices;

  Pairs(Tensor order_, int64_t choices_)
      : order(std::move(order_)), rows(at::div(order, choices_, "floor")), choices(choices_) {}

  Tensor spread(const Tensor& x) const { return x.index_select(0, rows); }

  /// [N] in the order of the rows: the place of each pair.
  Tensor places() const { return at::zeros_like(order).scatter_(0, order, at::arange(order.size(0), order.options())); }

  /// [N, D] to [R, D]: the sum of each row's pairs.
  Tensor collect(const Tensor& pairs) const {
    if (order.size(0) == 0) return at::empty_like(pairs);
    const Tensor places = this->places().view({-1, choices});
    Tensor sum = pairs.index_select(0, places.select(1, 0));
    for (int64_t j = 1; j < choices; ++j) sum.add_(pairs.index_select(0, places.select(1, j)));
    return sum;
  }
};

void check_order(const Tensor& order, int64_t rows, int64_t choices, const char* name) {
  TORCH_CHECK(order.dim() == 1 && order.scalar_type() == at::kLong, name, ": expected an order of int64 [N], found ",
              order.scalar_type(), " ", order.sizes());
  TORCH_CHECK(choices > 0, name, ": expected at least 1 choice, found ", choices);
  TORCH_CHECK(order.size(0) % choices == 0 && order.size(0) / choices == rows, name, ": expected an order of ", choices,
              " times as many as the rows (", rows, "), found ", order.size(0));
}

struct SpreadRows : torch::autograd::Function<SpreadRows> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& order, int64_t choices) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({order});
    ctx->saved_data["choices"] = choices;
    return Pairs(order, choices).spread(x);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    at::AutoDispatchBelowADInplaceOrView guard;
    return {Pairs(ctx->get_saved_variables()[0], ctx->saved_data["choices"].toInt()).collect(grads[0]), Tensor(), Tensor()};
  }
};

struct CollectRows : torch::autograd::Function<CollectRows> {
  static Tensor forward(AutogradContext* ctx, const Tensor& pairs, const Tensor& order, int64_t choices) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({order});
    ctx->saved_data["choices"] = choices;
    return Pairs(order, choices).collect(pairs);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    at::AutoDispatchBelowADInplaceOrView guard;
    return {Pairs(ctx->get_saved_variables()[0], ctx->saved_data["choices"].toInt()).spread(grads[0]), Tensor(), Tensor()};
  }
};

void check_rows(const Tensor& x, const Tensor& order, int64_t choices) {
  TORCH_CHECK(x.dim() == 2, "spread_rows: expected x of shape [R, D], found ", x.sizes());
  check_order(order, x.size(0), choices, "spread_rows");
}
Tensor spread_rows_autograd(const Tensor& x, const Tensor& order, int64_t choices) {
  check_rows(x, order, choices);
  return SpreadRows::apply(x, order, choices);
}
Tensor spread_rows(const Tensor& x, const Tensor& order, int64_t choices) {
  check_rows(x, order, choices);
  return Pairs(order, choices).spread(x);
}
void check_pairs(const Tensor& pairs, const Tensor& order, int64_t choices) {
  TORCH_CHECK(pairs.dim() == 2, "collect_rows: expected pairs of shape [N, D], found ", pairs.sizes());
  TORCH_CHECK(choices > 0 && pairs.size(0) % choices == 0, "collect_rows: expected pairs of a multiple of ", choices,
              ", found ", pairs.size(0));
  check_order(order, pairs.size(0) / choices, choices, "collect_rows");
}
Tensor collect_rows_autograd(const Tensor& pairs, const Tensor& order, int64_t choices) {
  check_pairs(pairs, order, choices);
  return CollectRows::apply(pairs, order, choices);
}
Tensor collect_rows(const Tensor& pairs, const Tensor& order, int64_t choices) {
  check_pairs(pairs, order, choices);
  return Pairs(order, choices).collect(pairs);
}

Counts numbers(const Tensor& counts) {
  const Tensor here = counts.to(at::kCPU).contiguous();
  return {here.const_data_ptr<int64_t>(), here.const_data_ptr<int64_t>() + here.numel()};
}

void check(const Tensor& x, const Tensor& order, const Tensor& weights, const Tensor& counts, at::TensorList gate,
           at::TensorList up, at::TensorList down) {
  TORCH_CHECK(x.dim() == 2, "expert_mlp: expected x of shape [R, D], found ", x.sizes());
  TORCH_CHECK(weights.dim() == 2 && weights.size(0) == x.size(0), "expert_mlp: expected weights of shape [", x.size(0),
              ", k], found ", weights.sizes());
  check_order(order, x.size(0), weights.size(1), "expert_mlp");
  TORCH_CHECK(!gate.empty() && gate.size() == up.size() && gate.size() == down.size(),
              "expert_mlp: expected a gate, an up and a down of each expert, found ", gate.size(), ", ", up.size(), " and ",
              down.size());
  TORCH_CHECK(counts.dim() == 1 && counts.scalar_type() == at::kLong && counts.size(0) == static_cast<int64_t>(gate.size()),
              "expert_mlp: expected counts of int64 [", gate.size(), "], found ", counts.scalar_type(), " ", counts.sizes());
  for (size_t e = 0; e < gate.size(); ++e) {
    TORCH_CHECK(gate[e].dim() == 2 && gate[e].size(1) == x.size(1) && up[e].sizes() == gate[e].sizes() &&
                    gate[e].size(0) == gate[0].size(0) && down[e].dim() == 2 && down[e].size(0) == x.size(1) &&
                    down[e].size(1) == gate[e].size(0),
                "expert_mlp: expected gate and up of shape [I, ", x.size(1), "] and down of shape [", x.size(1),
                ", I], the same for all experts, found of expert ", e, " ", gate[e].sizes(), ", ", up[e].sizes(), " and ",
                down[e].sizes());
  }
}

Counts counted(const Tensor& counts, int64_t pairs) {
  auto found = numbers(counts);
  int64_t sum = 0;
  for (const int64_t one : found) {
    TORCH_CHECK(one >= 0, "expert_mlp: expected counts of at least 0, found ", one);
    sum += one;
  }
  TORCH_CHECK(sum == pairs, "expert_mlp: expected counts that sum to ", pairs, ", found ", sum);
  return found;
}

Tensor weighted(const Tensor& act, const Tensor& weights, const Tensor& order) {
  return act.mul(weights.reshape({-1}).index_select(0, order).unsqueeze(1)).to(act.scalar_type());
}

/// Gate and up of all pairs, and the result.
std::tuple<Tensor, Tensor, Tensor> forward(const Tensor& x, const Tensor& order, const Tensor& weights,
                                           const Counts& counts, at::TensorList gate, at::TensorList up,
                                           at::TensorList down) {
  const Pairs pairs(order, weights.size(1));
  const Tensor given = pairs.spread(x);
  Tensor g = grouped_times_transposed(given, counts, gate), u = grouped_times_transposed(given, counts, up);
  return {g, u, pairs.collect(grouped_times_transposed(weighted(activate(g, u), weights, order), counts, down))};
}

struct ExpertMlp : torch::autograd::Function<ExpertMlp> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& order, const Tensor& weights,
                        const Counts& counts, at::TensorList gate, at::TensorList up, at::TensorList down) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [g, u, out] = forge::forward(x, order, weights, counts, gate, up, down);
    variable_list saved{x, order, weights, g, u};
    for (const auto& list : {gate, up, down}) saved.insert(saved.end(), list.begin(), list.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["counts"] = counts;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const auto saved = ctx->get_saved_variables();
    const auto counts = ctx->saved_data["counts"].toIntVector();
    const size_t experts = counts.size();
    const Tensor &x = saved[0], &order = saved[1], &weights = saved[2], &g = saved[3], &u = saved[4];
    const at::TensorList all(saved);
    const auto gate = all.slice(5, experts), up = all.slice(5 + experts, experts), down = all.slice(5 + 2 * experts, experts);
    // One gradient a variable: x, order, weights, counts, gate, up, down.
    variable_list out(4 + 3 * experts);
    const auto wanted = [&](size_t from) {
      for (size_t e = 0; e < experts; ++e) {
        if (ctx->needs_input_grad(from + e)) return true;
      }
      return false;
    };
    // Edges exist for tensors alone: `counts`, which is none, has no number of its own.
    const bool need_x = ctx->needs_input_grad(0), need_weights = ctx->needs_input_grad(2);
    const bool need_gate = wanted(3), need_up = wanted(3 + experts), need_down = wanted(3 + 2 * experts);
    const Pairs pairs(order, weights.size(1));
    const Tensor grad = pairs.spread(grads[0]);
    const Tensor act = activate(g, u);
    const auto give = [&](const Tensor& grads, const Tensor& rows, size_t from) {
      const auto made = grouped_gradients(grads, rows, counts);
      std::copy(made.begin(), made.end(), out.begin() + from);
    };
    if (need_down) give(grad, weighted(act, weights, order), 4 + 2 * experts);
    if (!need_x && !need_weights && !need_gate && !need_up) return out;
    const Tensor grad_weighted = grouped_times(grad, counts, down);
    if (need_weights) {
      const Tensor own = at::sum(grad_weighted * act, {1}, false, weights.scalar_type());
      out[2] = own.index_select(0, pairs.places()).view(weights.sizes());
    }
    const auto [grad_gate, grad_up] = activate_backward(weighted(grad_weighted, weights, order), g, u);
    if (need_gate || need_up) {
      const Tensor given = pairs.spread(x);
      if (need_gate) give(grad_gate, given, 4);
      if (need_up) give(grad_up, given, 4 + experts);
    }
    if (need_x) {
      out[0] = pairs.collect(grouped_times(grad_up, counts, up, grouped_times(grad_gate, counts, gate)));
    }
    return out;
  }
};

Tensor expert_mlp_autograd(const Tensor& x, const Tensor& order, const Tensor& weights, const Tensor& counts,
                           at::TensorList gate, at::TensorList up, at::TensorList down) {
  check(x, order, weights, counts, gate, up, down);
  return ExpertMlp::apply(x, order, weights, counted(counts, order.size(0)), gate, up, down);
}

Tensor expert_mlp(const Tensor& x, const Tensor& order, const Tensor& weights, const Tensor& counts, at::TensorList gate,
                  at::TensorList up, at::TensorList down) {
  check(x, order, weights, counts, gate, up, down);
  return std::get<2>(forward(x, order, weights, counted(counts, order.size(0)), gate, up, down));
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def("spread_rows(Tensor x, Tensor order, int choices) -> Tensor");
  m.def("collect_rows(Tensor pairs, Tensor order, int choices) -> Tensor");
  m.def(
      "expert_mlp(Tensor x, Tensor order, Tensor weights, Tensor counts, Tensor[] gate, Tensor[] up, Tensor[] down) -> "
      "Tensor");
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  m.impl("spread_rows", spread_rows);
  m.impl("collect_rows", collect_rows);
  m.impl("expert_mlp", expert_mlp);
}
TORCH_LIBRARY_IMPL(forge, Autograd, m) {
  m.impl("spread_rows", spread_rows_autograd);
  m.impl("collect_rows", collect_rows_autograd);
  m.impl("expert_mlp", expert_mlp_autograd);
}

}  // namespace forge
