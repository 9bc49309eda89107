// forge::linear_cross_entropy: sum over the labelled rows of -log softmax(hidden @ weight^T)[label], with the gradients
// computed in the same call, so that the logits never exist at once. Rows whose label is the ignored one have no part in
// any of it, and backward only scales by the incoming gradient. With token weights each row's loss counts as much as its weight
// says: any loss that is a function of the tokens' log-probabilities (forge::linear_log_probabilities) has such weights, its
// derivatives, and so takes two calls.
//
// On the CPU the vocabulary is walked in tiles that stay in cache, twice: the first sweep finds each row's log-sum-exp,
// updating it tile by tile (Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867); the second turns the tile's
// logits into (softmax - onehot) where they lie, and multiplies them into both gradients. Two plans:
//   recompute  all rows in each tile; the second sweep makes the tile's logits again. A fourth product instead of
//              three, but the least memory, the weight's gradient is written once, and bf16 never rounds a partial sum.
//   keep       a block of rows at a time, whose logits are kept between the sweeps. Three products, and one pass over
//              the weight's gradient for each block: better once enough rows fit into the chunk.
#include "fused.h"
#include "products.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/full.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/engine.h>

#include <cmath>
#include <limits>
#include <utility>

namespace forge {
namespace {

using Outputs = std::tuple<Tensor, Tensor, Tensor, Tensor>;
using Weights = std::optional<Tensor>;
using Forward = Outputs(const Tensor&, const Tensor&, const Tensor&, int64_t, int64_t, double, const Weights&, bool, bool);

/// Rows of a block and columns of a tile when logits aren't kept: 4 MB in fp32.
constexpr int64_t kRows = 1024;
constexpr int64_t kColumns = 1024;
/// Rows in a block from which on keeping its logits is faster than making them again (measured).
constexpr int64_t kKeepRows = 64;
/// The chunk of kept logits when the caller doesn't say: this part of all the logits, and no more than that many.
constexpr double kKeepPart = 0.065;
constexpr int64_t kKeepLogits = int64_t{1} << 26;

void check(const char* name, const Tensor& hidden, const Tensor& weight, const Tensor& labels, int64_t chunk_size,
           const Weights& token_weights = std::nullopt) {
  TORCH_CHECK(weight.dim() == 2 && hidden.dim() >= 1 && hidden.size(-1) == weight.size(1), name,
              ": expected hidden states [.., D] and a weight [V, D], found ", hidden.sizes(), " and ", weight.sizes());
  TORCH_CHECK(hidden.is_floating_point() && hidden.scalar_type() == weight.scalar_type(), name,
              ": hidden states and weight must be of one floating-point type, found ", hidden.scalar_type(), " and ",
              weight.scalar_type());
  TORCH_CHECK(labels.scalar_type() == at::kLong || labels.scalar_type() == at::kInt, name,
              ": labels must be int64 or int32, found ", labels.scalar_type());
  TORCH_CHECK(labels.sizes() == hidden.sizes().slice(0, hidden.dim() - 1), name, ": expected labels of shape ",
              hidden.sizes().slice(0, hidden.dim() - 1), ", one for each hidden state, found ", labels.sizes());
  TORCH_CHECK(hidden.device() == weight.device() && hidden.device() == labels.device(), name,
              ": hidden states, weight and labels must be on one device, found ", hidden.device(), ", ",
              weight.device(), " and ", labels.device());
  TORCH_CHECK(weight.size(0) > 0, name, ": the vocabulary is empty");
  TORCH_CHECK(chunk_size >= 0, name, ": chunk_size is the number of logits held at once, or 0; found ", chunk_size);
  if (!token_weights) return;
  TORCH_CHECK(token_weights->is_floating_point() && token_weights->sizes() == labels.sizes() &&
                  token_weights->device() == labels.device(),
              name, ": expected floating-point token weights of shape ", labels.sizes(), " on ", labels.device(), ", found ",
              token_weights->scalar_type(), " ", token_weights->sizes(), " on ", token_weights->device());
  TORCH_CHECK(!wants_grad(*token_weights), name, ": token weights have no gradient; detach them");
}

/// The labelled rows, gathered in the type that is computed in, and the plan.
struct Problem {
  std::vector<int64_t> rows;
  std::vector<int64_t> labels;
  std::vector<double> weights;  // of the rows; empty: all 1
  Tensor index;   // rows, as a tensor
  Tensor hidden;  // [n, D]
  Tensor weight;  // [V, D], as it came
  std::vector<Tensor> kept;  // the chunk of logits, a tile each, between the two sweeps
  int64_t vocabulary = 0;
  int64_t block = 0;  // rows of the chunk
  int64_t tile = 0;   // columns that are computed at once
  bool keep = false;
  double weight_of(int64_t r) const { return weights.empty() ? 1.0 : weights[r]; }
};

template <typename F>
void blocks(int64_t n, int64_t size, const F& f) {
  for (int64_t start = 0; start < n; start += size) f(start, std::min(size, n - start));
}

/// Chooses block, tile and plan for n rows out of `total`, within a chunk of `limit` logits (0: choose that, too).
void plan(Problem& p, int64_t n, int64_t total, int64_t limit) {
  const auto part = static_cast<int64_t>(kKeepPart * static_cast<double>(total) * static_cast<double>(p.vocabulary));
  const auto fit = (limit > 0 ? limit : std::min(part, kKeepLogits)) / p.vocabulary;
  // several blocks add up the weight's gradient in the weight's own type: only where that is exact enough
  const bool exact = p.weight.scalar_type() == p.hidden.scalar_type();
  p.keep = fit >= n || (exact && fit >= kKeepRows);
  const auto most = std::min(n, p.keep ? fit : limit > 0 ? limit : kRows);
  const auto count = (n + most - 1) / most;  // blocks, then made even
  p.block = (n + count - 1) / count;
  p.tile = std::min(kColumns, p.vocabulary);
  // Beside a tile its transpose may be held (products.h).
  if (!p.keep) p.tile = std::clamp<int64_t>((limit > 0 ? limit : part) / (2 * p.block), 1, p.tile);
}

/// A tile of the weight in the type that is computed in: a view, or a cast for the low-precision types.
Tensor tile_of(const Problem& p, int64_t from, int64_t count) {
  return p.weight.narrow(0, from, count).to(p.hidden.scalar_type());
}

/// hidden[block] @ tile^T
Tensor logits_of(const Problem& p, int64_t row, int64_t rows, const Tensor& tile) {
  return times_transposed(p.hidden.narrow(0, row, rows), tile);
}

/// What is known of the softmax of each row: the maximum, the sum of exponentials relative to it, the label's logit.
template <typename A>
struct Statistics {
  std::vector<A> best, sum, target;
  explicit Statistics(int64_t n)
      : best(n, -std::numeric_limits<A>::infinity()), sum(n, A(0)), target(n, std::numeric_limits<A>::quiet_NaN()) {}
  A lse(int64_t r) const { return best[r] + std::log(sum[r]); }

  /// Takes in the logits x of row r for one tile.
  void add(int64_t r, const A* x, int64_t columns) {
    constexpr int64_t width = Wide<A>::size;
    const auto whole = columns / width * width;
    const auto shift = larger(best[r], max_of(x, columns));
    const Wide<A> s(shift);
    Wide<A> total;
    for (int64_t j = 0; j < whole; j += width) total = total + (Wide<A>::load(x + j) - s).exp();
    auto added = total.sum();
    for (auto j = whole; j < columns; ++j) added += std::exp(x[j] - shift);
    sum[r] = added + (sum[r] == A(0) ? A(0) : sum[r] * std::exp(best[r] - shift));
    best[r] = shift;
  }
};

template <typename A>
void sweep_statistics(Problem& p, int64_t first, int64_t n, Statistics<A>& statistics) {
  blocks(p.vocabulary, p.tile, [&](int64_t from, int64_t columns) {
    const auto tile = tile_of(p, from, columns);
    blocks(n, p.block, [&](int64_t start, int64_t rows) {
      const auto row = first + start;
      const auto logits = logits_of(p, row, rows, tile);
      if (p.keep) p.kept.push_back(logits);
      const auto* base = logits.template const_data_ptr<A>();
      at::parallel_for(0, rows, rows_grain(columns), [&](int64_t begin, int64_t end) {
        for (auto i = begin; i < end; ++i) {
          const auto* x = base + i * columns;
          statistics.add(row + i, x, columns);
          const auto label = p.labels[row + i] - from;
          if (label >= 0 && label < columns) statistics.target[row + i] = x[label];
        }
      });
    });
  });
}

/// Gradients of scale * sum(weight * (lse - target)) over the rows: rows of `grad_hidden` [n, D], and `grad_weight` [V, D],
/// where they are defined.
template <typename A>
void sweep_gradients(Problem& p, int64_t first, int64_t n, const Statistics<A>& statistics, double scale,
                     const Tensor& grad_hidden, const Tensor& grad_weight, Tensor& partial) {
  const auto type = p.hidden.scalar_type();
  const bool cast = grad_weight.defined() && grad_weight.scalar_type() != type;
  blocks(p.vocabulary, p.tile, [&](int64_t from, int64_t columns) {
    const auto tile = tile_of(p, from, columns);
    Tensor tile_grad;
    if (grad_weight.defined()) tile_grad = cast ? partial.narrow(0, 0, columns) : grad_weight.narrow(0, from, columns);
    blocks(n, p.block, [&](int64_t start, int64_t rows) {
      const auto row = first + start;
      const auto logits = p.keep ? std::exchange(p.kept[from / p.tile], Tensor()) : logits_of(p, row, rows, tile);
      auto* base = logits.template mutable_data_ptr<A>();
      at::parallel_for(0, rows, rows_grain(columns), [&](int64_t begin, int64_t end) {
        for (auto i = begin; i < end; ++i) {
          const auto by = static_cast<A>(scale * p.weight_of(row + i));
          const Wide<A> factor(by);
          auto* x = base + i * columns;
          const Wide<A> shift(statistics.lse(row + i));
          each<A>(columns, [&](int64_t j, auto k) { store((load(x + j, k) - shift).exp() * factor, x + j, k); });
          const auto label = p.labels[row + i] - from;
          if (label >= 0 && label < columns) x[label] -= by;
        }
      });
      if (grad_hidden.defined()) {
        auto sum = grad_hidden.narrow(0, row, rows);
        from > 0 ? sum.add_(times(logits, tile)) : sum.copy_(times(logits, tile));
      }
      if (tile_grad.defined()) transposed_times_out(tile_grad, logits, p.hidden.narrow(0, row, rows), row > 0);
    });
    if (cast) grad_weight.narrow(0, from, columns).copy_(tile_grad);
  });
}

/// The labelled rows. Labels are checked; the plan is left to make.
Problem gather(const char* name, const Tensor& hidden, const Tensor& weight, const Tensor& labels, int64_t ignore_index,
               const Weights& token_weights = std::nullopt) {
  const auto ids = labels.reshape(-1).to(at::kLong).contiguous();
  const auto by = token_weights ? token_weights->reshape(-1).to(at::kDouble).contiguous() : Tensor();
  const auto* w = by.defined() ? by.const_data_ptr<double>() : nullptr;
  Problem p;
  p.vocabulary = weight.size(0);
  p.weight = weight;
  const auto* id = ids.const_data_ptr<int64_t>();
  for (const auto i : c10::irange(ids.numel())) {
    if (id[i] == ignore_index) continue;
    TORCH_CHECK_INDEX(id[i] >= 0 && id[i] < p.vocabulary, name, ": label ", id[i], " at position ", i,
                      " is neither a token of the vocabulary of ", p.vocabulary, " nor the ignore_index ",
                      ignore_index);
    p.rows.push_back(i);
    p.labels.push_back(id[i]);
    if (w != nullptr) p.weights.push_back(w[i]);
  }
  p.index = at::empty({static_cast<int64_t>(p.rows.size())}, ids.options());
  if (p.rows.empty()) return p;
  std::copy(p.rows.begin(), p.rows.end(), p.index.mutable_data_ptr<int64_t>());
  const auto flat = hidden.reshape({-1, hidden.size(-1)});
  p.hidden = at::index_select(flat, 0, p.index).to(acc_type(hidden.scalar_type()));
  return p;
}

Outputs forward_cpu(const Tensor& hidden, const Tensor& weight, const Tensor& labels, int64_t ignore_index,
                    int64_t chunk_size, double scale, const Weights& token_weights, bool need_hidden, bool need_weight) {
  const char* name = "linear_cross_entropy";
  check(name, hidden, weight, labels, chunk_size, token_weights);
  const auto type = acc_type(hidden.scalar_type());
  auto p = gather(name, hidden, weight, labels, ignore_index, token_weights);
  const auto n = static_cast<int64_t>(p.rows.size());
  auto count = at::full({}, n, p.index.options());
  Tensor grad_hidden, grad_weight;
  if (n == 0) {
    if (need_hidden) grad_hidden = at::zeros(hidden.sizes(), hidden.options());
    if (need_weight) grad_weight = at::zeros(weight.sizes(), weight.options());
    return {at::zeros({}, hidden.options().dtype(type)), count, grad_hidden, grad_weight};
  }
  plan(p, n, labels.numel(), chunk_size);
  double loss = 0;
  Tensor rows_grad, partial;
  if (need_hidden) rows_grad = at::empty(p.hidden.sizes(), p.hidden.options());
  if (need_weight) grad_weight = at::empty(weight.sizes(), weight.options());
  if (need_weight && weight.scalar_type() != type) partial = at::empty({p.tile, weight.size(1)}, p.hidden.options());
  AT_DISPATCH_FLOATING_TYPES(type, "linear_cross_entropy", [&] {
    Statistics<scalar_t> statistics(n);
    blocks(n, p.keep ? p.block : n, [&](int64_t first, int64_t rows) {
      p.kept.clear();
      sweep_statistics(p, first, rows, statistics);
      if (!need_hidden && !need_weight) return;
      sweep_gradients(p, first, rows, statistics, scale, rows_grad, grad_weight, partial);
    });
    for (const auto r : c10::irange(n)) {
      loss += p.weight_of(r) * (static_cast<double>(statistics.lse(r)) - static_cast<double>(statistics.target[r]));
    }
  });
  if (need_hidden) {
    grad_hidden = at::zeros({labels.numel(), hidden.size(-1)}, hidden.options());
    grad_hidden.index_copy_(0, p.index, rows_grad.to(hidden.scalar_type()));
    grad_hidden = grad_hidden.view(hidden.sizes());
  }
  return {at::full({}, loss * scale, hidden.options().dtype(type)), count, grad_hidden, grad_weight};
}

Tensor log_probabilities_cpu(const Tensor& hidden, const Tensor& weight, const Tensor& labels, int64_t ignore_index,
                             int64_t chunk_size) {
  const char* name = "linear_log_probabilities";
  check(name, hidden, weight, labels, chunk_size);
  const auto type = acc_type(hidden.scalar_type());
  auto p = gather(name, hidden, weight, labels, ignore_index);
  auto out = at::zeros(labels.sizes(), hidden.options().dtype(type));
  const auto n = static_cast<int64_t>(p.rows.size());
  if (n == 0) return out;
  plan(p, n, labels.numel(), chunk_size);
  AT_DISPATCH_FLOATING_TYPES(type, "linear_log_probabilities", [&] {
    Statistics<scalar_t> statistics(n);
    blocks(n, p.keep ? p.block : n, [&](int64_t first, int64_t rows) {
      p.kept.clear();
      sweep_statistics(p, first, rows, statistics);
    });
    auto* to = out.template mutable_data_ptr<scalar_t>();
    for (const auto r : c10::irange(n)) to[p.rows[r]] = statistics.target[r] - statistics.lse(r);
  });
  return out;
}

/// Off the CPU: of how many of n rows all logits are held at once.
int64_t rows_of_chunk(int64_t chunk_size, int64_t vocabulary, int64_t n) {
  const auto limit = chunk_size > 0 ? chunk_size : 64 * kRows * kColumns;
  return std::clamp<int64_t>(limit / vocabulary, 1, std::max<int64_t>(n, 1));
}

using CrossEntropy = Tensor(const Tensor&, const Tensor&, const Weights&, double, bool);
/// The loss of each row of logits, which become their gradient where they lie.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels, const Weights& token_weights, double scale, bool need_grad) {
  static const auto handle = op<CrossEntropy>("forge::cross_entropy_");
  return handle.call(logits, labels, token_weights, scale, need_grad);
}

/// sum += a @ b. Into an fp32 sum of a CUDA device the product goes without a rounding and without a temporary between.
void add_product(Tensor& sum, const Tensor& a, const Tensor& b) {
  using Into = Tensor&(const Tensor&, const Tensor&, const Tensor&, at::ScalarType, const at::Scalar&, const at::Scalar&, Tensor&);
  static const auto into = c10::Dispatcher::singleton().findSchema({"aten::addmm", "dtype_out"});
  const bool widens = into && !sum.is_cpu() && sum.scalar_type() == at::kFloat && a.scalar_type() != at::kFloat;
  if (widens && sum.is_meta()) return;
  if (widens && sum.is_cuda()) {
    static const auto handle = into->typed<Into>();
    handle.call(sum, a, b, at::kFloat, 1, 1, sum);
  } else {
    sum += a.mm(b);
  }
}

/// Off the CPU: blocks of rows over the whole vocabulary, and forge::cross_entropy_ on each. Three products; partial sums of the
/// weight's gradient are kept in fp32 when there is more than one block.
Outputs forward_composite(const Tensor& hidden, const Tensor& weight, const Tensor& labels, int64_t ignore_index,
                          int64_t chunk_size, double scale, const Weights& token_weights, bool need_hidden,
                          bool need_weight) {
  check("linear_cross_entropy", hidden, weight, labels, chunk_size, token_weights);
  const auto type = acc_type(hidden.scalar_type());
  const auto vocabulary = weight.size(0);
  const auto flat = hidden.reshape({-1, hidden.size(-1)});
  const auto ids = labels.reshape(-1).to(at::kLong);
  const auto index = (ids != ignore_index).nonzero().flatten();
  const auto n = index.size(0);
  auto loss = at::zeros({}, hidden.options().dtype(type));
  auto count = at::full({}, n, ids.options());
  Tensor grad_hidden, grad_weight;
  if (need_hidden) grad_hidden = at::zeros(flat.sizes(), hidden.options());
  const auto rows = rows_of_chunk(chunk_size, vocabulary, n);
  const bool wide_sums = n > rows && weight.scalar_type() != type;
  if (need_weight) grad_weight = at::zeros(weight.sizes(), wide_sums ? weight.options().dtype(type) : weight.options());
  blocks(n, rows, [&](int64_t from, int64_t size) {
    const auto part = index.narrow(0, from, size);
    const auto states = flat.index_select(0, part);
    const auto label = ids.index_select(0, part);
    const auto logits = states.mm(weight.t());
    Weights by;
    if (token_weights) by = token_weights->reshape(-1).index_select(0, part);
    loss += cross_entropy(logits, label, by, scale, need_hidden || need_weight).sum();
    // The logits are their gradient now.
    if (need_hidden) grad_hidden.index_copy_(0, part, logits.mm(weight));
    if (need_weight) add_product(grad_weight, logits.t(), states);
  });
  if (need_hidden) grad_hidden = grad_hidden.view(hidden.sizes());
  if (need_weight) grad_weight = grad_weight.to(weight.scalar_type());
  return {loss * scale, count, grad_hidden, grad_weight};
}

Tensor log_probabilities_composite(const Tensor& hidden, const Tensor& weight, const Tensor& labels,
                                   int64_t ignore_index, int64_t chunk_size) {
  check("linear_log_probabilities", hidden, weight, labels, chunk_size);
  const auto type = acc_type(hidden.scalar_type());
  const auto flat = hidden.reshape({-1, hidden.size(-1)});
  const auto ids = labels.reshape(-1).to(at::kLong);
  const auto index = (ids != ignore_index).nonzero().flatten();
  auto out = at::zeros({labels.numel()}, hidden.options().dtype(type));
  blocks(index.size(0), rows_of_chunk(chunk_size, weight.size(0), index.size(0)), [&](int64_t from, int64_t size) {
    const auto part = index.narrow(0, from, size);
    const auto logits = flat.index_select(0, part).mm(weight.t());
    out.index_copy_(0, part, cross_entropy(logits, ids.index_select(0, part), std::nullopt, 1, false).neg());
  });
  return out.view(labels.sizes());
}

Outputs call_forward(const Tensor& hidden, const Tensor& weight, const Tensor& labels, int64_t ignore_index,
                     int64_t chunk_size, double scale, const Weights& token_weights, bool need_hidden, bool need_weight) {
  static const auto handle = op<Forward>("forge::linear_cross_entropy_forward");
  return handle.call(hidden, weight, labels, ignore_index, chunk_size, scale, token_weights, need_hidden, need_weight);
}

/// grad * by, in the gradient's own memory when nobody will ask for it again.
Tensor scaled(const Tensor& grad, const Tensor& by, bool reuse) {
  if (!grad.defined()) return grad;
  if (!reuse) return grad * by;
  if (by.device().is_cpu() && by.item().toDouble() == 1.0) return grad;
  return grad.mul_(by);
}

struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  static variable_list forward(AutogradContext* ctx, const Tensor& hidden, const Tensor& weight, const Tensor& labels,
                               int64_t ignore_index, int64_t chunk_size, double scale, const Weights& token_weights,
                               bool need_hidden, bool need_weight) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [loss, count, grad_hidden, grad_weight] =
        call_forward(hidden, weight, labels, ignore_index, chunk_size, scale, token_weights, need_hidden, need_weight);
    ctx->save_for_backward({grad_hidden, grad_weight});
    ctx->mark_non_differentiable({count});
    ctx->set_materialize_grads(false);
    return {loss, count};
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    variable_list out(9);
    if (!grads[0].defined()) return out;
    const auto saved = ctx->get_saved_variables();
    // A graph that is kept may be walked again: then the gradients saved in it must stay as they are.
    const bool reuse = !torch::autograd::get_current_graph_task_keep_graph();
    at::AutoDispatchBelowADInplaceOrView guard;
    if (ctx->needs_input_grad(0)) out[0] = scaled(saved[0], grads[0], reuse);
    if (ctx->needs_input_grad(1)) out[1] = scaled(saved[1], grads[0], reuse);
    return out;
  }
};

std::tuple<Tensor, Tensor> autograd(const Tensor& hidden, const Tensor& weight, const Tensor& labels,
                                    int64_t ignore_index, int64_t chunk_size, double scale, const Weights& token_weights) {
  const bool recording = at::GradMode::is_enabled();
  auto out = LinearCrossEntropy::apply(hidden, weight, labels, ignore_index, chunk_size, scale, token_weights,
                                       recording && wants_grad(hidden), recording && wants_grad(weight));
  return {out[0], out[1]};
}

std::tuple<Tensor, Tensor> linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& labels,
                                                int64_t ignore_index, int64_t chunk_size, double scale,
                                                const Weights& token_weights) {
  auto out = call_forward(hidden, weight, labels, ignore_index, chunk_size, scale, token_weights, false, false);
  return {std::get<0>(out), std::get<1>(out)};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def(
      "linear_cross_entropy(Tensor hidden, Tensor weight, Tensor labels, int ignore_index=-100, int chunk_size=0,"
      " float scale=1.0, Tensor? token_weights=None) -> (Tensor, Tensor)");
  m.def(
      "linear_cross_entropy_forward(Tensor hidden, Tensor weight, Tensor labels, int ignore_index, int chunk_size,"
      " float scale, Tensor? token_weights, bool need_hidden, bool need_weight) -> (Tensor, Tensor, Tensor, Tensor)");
  // Makes no graph: gradients of the log-probabilities are those of linear_cross_entropy with token weights.
  m.def(
      "linear_log_probabilities(Tensor hidden, Tensor weight, Tensor labels, int ignore_index=-100, int chunk_size=0)"
      " -> Tensor");
}
TORCH_LIBRARY_IMPL(forge, CPU, m) {
  m.impl("linear_cross_entropy_forward", forward_cpu);
  m.impl("linear_log_probabilities", log_probabilities_cpu);
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  m.impl("linear_cross_entropy", linear_cross_entropy);
  m.impl("linear_cross_entropy_forward", forward_composite);
  m.impl("linear_log_probabilities", log_probabilities_composite);
}
TORCH_LIBRARY_IMPL(forge, Autograd, m) {
  m.impl("linear_cross_entropy", autograd);
}

}  // namespace forge
