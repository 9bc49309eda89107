// forge::doc_attention: causal attention inside each document of a pack, softmax(q k^T * scale) v, with grouped-query
// heads and an optional sliding window. q: [T, H, d], k and v: [T, K, d] with H a multiple of K; `lengths` sum to T.
// The cost is the sum of the documents' squares. Queries go in blocks, and a block multiplies only with the keys that it
// may see; nothing of size L x L outlives a block. Backward makes the probabilities again from the log-sum-exp of each
// row (Dao et al. 2022, https://arxiv.org/abs/2205.14135) and sums a group's key and value gradients in place.
// A CPU kernel for fp32 and fp64, on the BLAS that libtorch brings; the caller composes aten operators elsewhere.
#include "fused.h"

#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>

extern "C" {
// Fortran's BLAS, which libtorch's wheels export; missing elsewhere, hence weak.
__attribute__((weak)) void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*, const float*,
                                  const int*, const float*, const int*, const float*, float*, const int*);
__attribute__((weak)) void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*, const double*,
                                  const int*, const double*, const int*, const double*, double*, const int*);
}

namespace forge {
namespace {

constexpr int64_t kBlock = 128;

void blas(const char* ta, const char* tb, const int* m, const int* n, const int* k, const float* al, const float* a,
          const int* lda, const float* b, const int* ldb, const float* be, float* c, const int* ldc) {
  sgemm_(ta, tb, m, n, k, al, a, lda, b, ldb, be, c, ldc);
}
void blas(const char* ta, const char* tb, const int* m, const int* n, const int* k, const double* al, const double* a,
          const int* lda, const double* b, const int* ldb, const double* be, double* c, const int* ldc) {
  dgemm_(ta, tb, m, n, k, al, a, lda, b, ldb, be, c, ldc);
}

/// Row-major c[m, n] = alpha * op(a) op(b) + beta * c; `ta`, `tb`: the operand is stored transposed.
template <typename T>
void product(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b, int64_t ldb,
             T beta, T* c, int64_t ldc) {
  const int mi = static_cast<int>(n), ni = static_cast<int>(m), ki = static_cast<int>(k);
  const int la = static_cast<int>(lda), lb = static_cast<int>(ldb), lc = static_cast<int>(ldc);
  blas(tb ? "T" : "N", ta ? "T" : "N", &mi, &ni, &ki, &alpha, b, &lb, a, &la, &beta, c, &lc);
}

/// A stretch of queries of one document: rows [first, first + rows), which see keys from `from` on, up to themselves.
struct Stretch {
  int64_t first, rows, from, keys;
};

Stretch stretch_of(int64_t start, int64_t at, int64_t length, int64_t window) {
  const int64_t rows = std::min(kBlock, length - at);
  const int64_t from = window > 0 ? std::max<int64_t>(0, at - window + 1) : 0;
  return {start + at, rows, start + from, at + rows - from};
}

/// The keys that row r of a stretch sees: [low, high) of its columns.
inline std::pair<int64_t, int64_t> seen(const Stretch& s, int64_t r, int64_t window) {
  const int64_t high = s.keys - s.rows + r + 1;
  return {window > 0 ? std::max<int64_t>(0, high - window) : 0, high};
}

struct Shape {
  int64_t tokens, heads, kv_heads, dim, group;
};

Shape check(const Tensor& q, const Tensor& k, const Tensor& v, at::IntArrayRef lengths, int64_t window) {
  TORCH_CHECK(q.dim() == 3 && k.dim() == 3 && k.sizes() == v.sizes(),
              "doc_attention: expected q of shape [T, H, d], k and v of one shape [T, K, d], found ", q.sizes(), ", ", k.sizes(),
              " and ", v.sizes());
  TORCH_CHECK(k.size(0) == q.size(0) && k.size(2) == q.size(2) && k.size(1) > 0 && q.size(1) % k.size(1) == 0,
              "doc_attention: expected H a multiple of K, and equal T and d, found q ", q.sizes(), " and k ", k.sizes());
  TORCH_CHECK(q.scalar_type() == k.scalar_type() && q.scalar_type() == v.scalar_type() &&
                  (q.scalar_type() == at::kFloat || q.scalar_type() == at::kDouble),
              "doc_attention: expected q, k and v in one of float32 and float64, found ", q.scalar_type());
  int64_t sum = 0;
  for (const auto length : lengths) {
    TORCH_CHECK(length >= 0, "doc_attention: a document of length ", length);
    sum += length;
  }
  TORCH_CHECK(sum == q.size(0), "doc_attention: the documents' lengths sum to ", sum, ", but there are ", q.size(0), " tokens");
  TORCH_CHECK(window >= 0, "doc_attention: expected a window of 1 or more, or 0 for none, found ", window);
  return {q.size(0), q.size(1), k.size(1), q.size(2), q.size(1) / k.size(1)};
}

/// Heads side by side, so that a row of one head is contiguous: a copy only where they aren't.
Tensor packed(const Tensor& x) { return x.stride(2) == 1 && x.stride(1) == x.size(2) ? x : x.contiguous(); }

std::vector<int64_t> starts_of(at::IntArrayRef lengths) {
  std::vector<int64_t> starts;
  int64_t at = 0;
  for (const auto length : lengths) {
    starts.push_back(at);
    at += length;
  }
  return starts;
}

/// Scores of a stretch become exp(score - shift) with zeros where nothing is seen.
template <typename T>
void exponentiate(T* row, int64_t low, int64_t high, int64_t keys, T shift) {
  const Wide<T> s(shift);
  std::fill(row, row + low, T(0));
  each<T>(high - low, [&](int64_t j, auto n) { store((load(row + low + j, n) - s).exp(), row + low + j, n); });
  std::fill(row + high, row + keys, T(0));
}

std::tuple<Tensor, Tensor> forward_cpu(const Tensor& q_, const Tensor& k_, const Tensor& v_, at::IntArrayRef lengths,
                                       double scale, int64_t window) {
  const auto s = check(q_, k_, v_, lengths, window);
  const auto q = packed(q_), k = packed(k_), v = packed(v_);
  auto out = at::empty({s.tokens, s.heads, s.dim}, q.options());
  auto lse = at::empty({s.heads, s.tokens}, q.options());
  const auto starts = starts_of(lengths);
  AT_DISPATCH_FLOATING_TYPES(q.scalar_type(), "doc_attention", [&] {
    const auto *qp = q.const_data_ptr<scalar_t>(), *kp = k.const_data_ptr<scalar_t>(), *vp = v.const_data_ptr<scalar_t>();
    auto *op = out.mutable_data_ptr<scalar_t>(), *lp = lse.mutable_data_ptr<scalar_t>();
    const int64_t ql = q.stride(0), kl = k.stride(0), vl = v.stride(0), ol = out.stride(0), d = s.dim;
    at::parallel_for(0, static_cast<int64_t>(lengths.size()) * s.heads, 1, [&](int64_t begin, int64_t end) {
      std::vector<scalar_t> scores;
      for (auto task = begin; task < end; ++task) {
        const int64_t doc = task / s.heads, h = task % s.heads, g = h / s.group;
        for (int64_t at = 0; at < lengths[doc]; at += kBlock) {
          const auto b = stretch_of(starts[doc], at, lengths[doc], window);
          scores.resize(std::max<size_t>(scores.size(), b.rows * b.keys));
          product<scalar_t>(false, true, b.rows, b.keys, d, static_cast<scalar_t>(scale), qp + b.first * ql + h * d, ql,
                            kp + b.from * kl + g * d, kl, 0, scores.data(), b.keys);
          for (int64_t r = 0; r < b.rows; ++r) {
            auto* row = scores.data() + r * b.keys;
            const auto [low, high] = seen(b, r, window);
            auto top = -std::numeric_limits<scalar_t>::infinity();
            for (int64_t j = low; j < high; ++j) top = row[j] > top || std::isnan(row[j]) ? row[j] : top;
            exponentiate(row, low, high, b.keys, top);
            scalar_t sum = 0;
            for (int64_t j = low; j < high; ++j) sum += row[j];
            lp[h * s.tokens + b.first + r] = top + std::log(sum);
            const auto inverse = 1 / sum;
            for (int64_t j = low; j < high; ++j) row[j] *= inverse;
          }
          product<scalar_t>(false, false, b.rows, d, b.keys, 1, scores.data(), b.keys, vp + b.from * vl + g * d, vl, 0,
                            op + b.first * ol + h * d, ol);
        }
      }
    });
  });
  return {out, lse};
}

std::tuple<Tensor, Tensor, Tensor> backward_cpu(const Tensor& grad_, const Tensor& q_, const Tensor& k_, const Tensor& v_,
                                                const Tensor& out_, const Tensor& lse, at::IntArrayRef lengths, double scale,
                                                int64_t window) {
  const auto s = check(q_, k_, v_, lengths, window);
  const auto grad = packed(grad_), q = packed(q_), k = packed(k_), v = packed(v_), out = packed(out_);
  auto dq = at::empty({s.tokens, s.heads, s.dim}, q.options());
  auto dk = at::zeros({s.tokens, s.kv_heads, s.dim}, q.options());
  auto dv = at::zeros({s.tokens, s.kv_heads, s.dim}, q.options());
  const auto starts = starts_of(lengths);
  AT_DISPATCH_FLOATING_TYPES(q.scalar_type(), "doc_attention", [&] {
    const auto *qp = q.const_data_ptr<scalar_t>(), *kp = k.const_data_ptr<scalar_t>(), *vp = v.const_data_ptr<scalar_t>();
    const auto *gp = grad.const_data_ptr<scalar_t>(), *op = out.const_data_ptr<scalar_t>(), *lp = lse.const_data_ptr<scalar_t>();
    auto *dqp = dq.mutable_data_ptr<scalar_t>(), *dkp = dk.mutable_data_ptr<scalar_t>(), *dvp = dv.mutable_data_ptr<scalar_t>();
    const int64_t ql = q.stride(0), kl = k.stride(0), vl = v.stride(0), gl = grad.stride(0), ol = out.stride(0), d = s.dim;
    const int64_t dql = dq.stride(0), dkl = dk.stride(0);
    const auto factor = static_cast<scalar_t>(scale);
    // One task a document and key-value head: its group's gradients are summed without locks, in a fixed order.
    at::parallel_for(0, static_cast<int64_t>(lengths.size()) * s.kv_heads, 1, [&](int64_t begin, int64_t end) {
      std::vector<scalar_t> p, dp;
      for (auto task = begin; task < end; ++task) {
        const int64_t doc = task / s.kv_heads, g = task % s.kv_heads;
        for (int64_t h = g * s.group; h < (g + 1) * s.group; ++h) {
          for (int64_t at = 0; at < lengths[doc]; at += kBlock) {
            const auto b = stretch_of(starts[doc], at, lengths[doc], window);
            const size_t size = b.rows * b.keys;
            if (p.size() < size) {
              p.resize(size);
              dp.resize(size);
            }
            const auto *qb = qp + b.first * ql + h * d, *gb = gp + b.first * gl + h * d, *ob = op + b.first * ol + h * d;
            const auto *kb = kp + b.from * kl + g * d, *vb = vp + b.from * vl + g * d;
            product<scalar_t>(false, true, b.rows, b.keys, d, factor, qb, ql, kb, kl, 0, p.data(), b.keys);
            product<scalar_t>(false, true, b.rows, b.keys, d, 1, gb, gl, vb, vl, 0, dp.data(), b.keys);
            for (int64_t r = 0; r < b.rows; ++r) {
              auto *row = p.data() + r * b.keys, *drow = dp.data() + r * b.keys;
              const auto [low, high] = seen(b, r, window);
              exponentiate(row, low, high, b.keys, lp[h * s.tokens + b.first + r]);
              scalar_t delta = 0;
              for (int64_t j = 0; j < d; ++j) delta += gb[r * gl + j] * ob[r * ol + j];
              for (int64_t j = 0; j < b.keys; ++j) drow[j] = row[j] * (drow[j] - delta) * factor;
            }
            product<scalar_t>(true, false, b.keys, d, b.rows, 1, p.data(), b.keys, gb, gl, 1, dvp + b.from * dkl + g * d, dkl);
            product<scalar_t>(false, false, b.rows, d, b.keys, 1, dp.data(), b.keys, kb, kl, 0, dqp + b.first * dql + h * d, dql);
            product<scalar_t>(true, false, b.keys, d, b.rows, 1, dp.data(), b.keys, qb, ql, 1, dkp + b.from * dkl + g * d, dkl);
          }
        }
      }
    });
  });
  return {dq, dk, dv};
}

using Forward = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, at::IntArrayRef, double, int64_t);
using Backward = std::tuple<Tensor, Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                    const Tensor&, at::IntArrayRef, double, int64_t);

struct DocAttention : torch::autograd::Function<DocAttention> {
  static Tensor forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& v, at::IntArrayRef lengths,
                        double scale, int64_t window) {
    static const auto handle = op<Forward>("forge::doc_attention_forward");
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [out, lse] = handle.call(q, k, v, lengths, scale, window);
    ctx->save_for_backward({q, k, v, out, lse});
    ctx->saved_data["lengths"] = lengths.vec();
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["window"] = window;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    static const auto handle = op<Backward>("forge::doc_attention_backward");
    const auto saved = ctx->get_saved_variables();
    const auto lengths = ctx->saved_data["lengths"].toIntVector();
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [dq, dk, dv] = handle.call(grads[0], saved[0], saved[1], saved[2], saved[3], saved[4], lengths,
                                    ctx->saved_data["scale"].toDouble(), ctx->saved_data["window"].toInt());
    return {dq, dk, dv, Tensor(), Tensor(), Tensor()};
  }
};

Tensor doc_attention_autograd(const Tensor& q, const Tensor& k, const Tensor& v, at::IntArrayRef lengths, double scale,
                              int64_t window) {
  return DocAttention::apply(q, k, v, lengths, scale, window);
}

Tensor doc_attention(const Tensor& q, const Tensor& k, const Tensor& v, at::IntArrayRef lengths, double scale, int64_t window) {
  static const auto handle = op<Forward>("forge::doc_attention_forward");
  return std::get<0>(handle.call(q, k, v, lengths, scale, window));
}

bool has_blas() { return sgemm_ != nullptr && dgemm_ != nullptr; }

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  if (!has_blas()) return;
  m.def("doc_attention(Tensor q, Tensor k, Tensor v, int[] lengths, float scale, int window=0) -> Tensor");
  m.def(
      "doc_attention_forward(Tensor q, Tensor k, Tensor v, int[] lengths, float scale, int window) -> (Tensor, Tensor)");
  m.def(
      "doc_attention_backward(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse, int[] lengths, float scale,"
      " int window) -> (Tensor, Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(forge, CPU, m) {
  if (!has_blas()) return;
  m.impl("doc_attention_forward", forward_cpu);
  m.impl("doc_attention_backward", backward_cpu);
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  if (has_blas()) m.impl("doc_attention", doc_attention);
}
TORCH_LIBRARY_IMPL(forge, Autograd, m) {
  if (has_blas()) m.impl("doc_attention", doc_attention_autograd);
}

}  // namespace forge
