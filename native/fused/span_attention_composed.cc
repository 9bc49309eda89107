// Attention of spans (span_attention.h) composed of libtorch's operators: for devices and types without the kernel. Scores are
// of a block of queries at a time, products in the inputs' type, everything else in float32 (float64 for float64).
#include "fused.h"
#include "span_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/logsumexp.h>

#include <algorithm>

namespace forge {
namespace {

/// Queries of a block; fewer where keys and heads are so many that their scores would be the most that a step holds.
constexpr int64_t kBlock = 512, kFewest = 16, kMostScores = int64_t{1} << 28;

/// A block of queries of one span, with heads in front: of each key-value head, its group's heads one after the other.
struct Block {
  int64_t first, rows, from, keys, kv_heads;

  /// Rows of x: [T, H, ...] as [K, G * rows, ...].
  Tensor grouped(const Tensor& x) const {
    const auto group = x.size(1) / kv_heads;
    auto part = x.narrow(0, first, rows).unflatten(1, {kv_heads, group}).movedim(0, 2);
    return part.reshape({kv_heads, group * rows, x.size(2)});
  }
  /// And back: [K, G * rows, d] to [rows, H, d].
  Tensor ungrouped(const Tensor& x) const {
    return x.unflatten(1, {x.size(1) / rows, rows}).movedim(2, 0).flatten(1, 2);
  }
  /// Rows of lse: [H, T] as [K, G * rows, 1].
  Tensor statistics(const Tensor& lse) const { return lse.narrow(1, first, rows).reshape({kv_heads, -1, 1}); }
  /// Keys or values: [S, K, d] as [K, keys, d].
  Tensor columns(const Tensor& x) const { return x.narrow(0, from, keys).transpose(0, 1); }
};

/// Calls `body(block, hidden)` for every block that sees keys; `hidden` is true where a query may not look, or undefined
/// where all look at all.
template <typename F>
void each_block(const Tensor& q, const Tensor& k, const std::vector<Span>& spans, int64_t window, const F& body) {
  for (const auto& s : spans) {
    const auto block = std::clamp(kMostScores / std::max<int64_t>(1, s.keys * q.size(1)), kFewest, kBlock);
    for (int64_t at = 0; at < s.queries; at += block) {
      const auto rows = std::min(block, s.queries - at), shift = s.offset + at;
      const auto low = window > 0 ? std::max<int64_t>(0, shift - window + 1) : 0, high = std::min(s.keys, shift + rows);
      if (high <= low) continue;
      const Block part{s.query + at, rows, s.key + low, high - low, k.size(1)};
      Tensor hidden;
      if (shift + 1 < high || (window > 0 && shift + rows - window > low)) {
        const auto index = q.options().dtype(at::kLong);
        const auto row = at::arange(shift, shift + rows, index).unsqueeze(1), column = at::arange(low, high, index);
        hidden = column > row;
        if (window > 0) hidden = hidden.logical_or(column <= row - window);
        hidden = hidden.repeat({q.size(1) / k.size(1), 1}).unsqueeze(0);
      }
      body(part, hidden);
    }
  }
}

Tensor scores_of(const Block& block, const Tensor& q, const Tensor& k, const Tensor& hidden, double scale, at::ScalarType wide) {
  auto scores = at::bmm(block.grouped(q), block.columns(k).transpose(1, 2)).to(wide).mul(scale);
  return hidden.defined() ? scores.masked_fill(hidden, -std::numeric_limits<double>::infinity()) : scores;
}

/// exp(x - shift), and 0 for what was not seen, also where nothing was.
Tensor exp_shifted(const Tensor& x, const Tensor& shift) {
  return (x - shift.masked_fill(shift == -std::numeric_limits<double>::infinity(), 0)).exp();
}

}  // namespace

void attend_composed(const Tensor& out, const Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
                     const std::vector<Span>& spans, double scale, int64_t window) {
  each_block(q, k, spans, window, [&](const Block& block, const Tensor& hidden) {
    const auto scores = scores_of(block, q, k, hidden, scale, out.scalar_type());
    const auto before = block.statistics(lse);
    const auto both = at::logaddexp(before, scores.logsumexp(-1, true));
    const auto seen = at::bmm(exp_shifted(scores, both).to(v.scalar_type()), block.columns(v)).to(out.scalar_type());
    const auto kept = block.grouped(out) * exp_shifted(before, both);
    out.narrow(0, block.first, block.rows).copy_(block.ungrouped(kept + seen));
    lse.narrow(1, block.first, block.rows).copy_(both.view({lse.size(0), block.rows}));
  });
}

void attend_backward_composed(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& grad, const Tensor& q,
                              const Tensor& k, const Tensor& v, const Tensor& out, const Tensor& lse,
                              const std::vector<Span>& spans, double scale, int64_t window) {
  const auto narrow = q.scalar_type(), wide = lse.scalar_type();
  each_block(q, k, spans, window, [&](const Block& block, const Tensor& hidden) {
    const auto p = exp_shifted(scores_of(block, q, k, hidden, scale, wide), block.statistics(lse));
    const auto g = block.grouped(grad), qb = block.grouped(q);
    const auto delta = (g.to(wide) * block.grouped(out).to(wide)).sum(-1, true);
    const auto dp = at::bmm(g, block.columns(v).transpose(1, 2)).to(wide);
    const auto ds = (p * (dp - delta) * scale).to(narrow);
    const auto add = [&](const Tensor& to, const Tensor& by_key) {
      to.narrow(0, block.from, block.keys).add_(by_key.transpose(0, 1).to(wide));
    };
    add(dv, at::bmm(p.to(narrow).transpose(1, 2), g));
    add(dk, at::bmm(ds.transpose(1, 2), qb));
    dq.narrow(0, block.first, block.rows).add_(block.ungrouped(at::bmm(ds, block.columns(k)).to(wide)));
  });
}

}  // namespace forge
