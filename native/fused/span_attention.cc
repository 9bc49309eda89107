// forge::doc_attention: causal attention inside each document of a pack, softmax(q k^T * scale) v, with grouped-query
// heads and an optional sliding window. q: [T, H, d], k and v: [T, K, d] with H a multiple of K; `lengths` sum to T.
// forge::span_attention: the same of stretches of queries and keys (span_attention.h), for documents that are cut.
// The cost is that of what is seen. Queries go in blocks, and a block multiplies only with the keys that it may see; nothing
// of size L x L outlives a block. Backward makes the probabilities again from the log-sum-exp of each row (Dao et al. 2022,
// https://arxiv.org/abs/2205.14135) and sums a group's key and value gradients in place.
// A CPU kernel for fp32 and fp64, on the BLAS that libtorch brings; elsewhere spans are composed of aten operators, and
// documents by the caller.
#include "fused.h"
#include "span_attention.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <atomic>
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

constexpr int64_t kBlock = 64;

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

/// A block of a span's queries, rows [first, first + rows), and the keys [from, from + keys) that some of them see.
struct Block {
  int64_t first, rows, from, keys;
  /// Row r sees the columns up to and without shift + r + 1.
  int64_t shift;
};

Block block_of(const Span& s, int64_t at, int64_t window) {
  const int64_t rows = std::min(kBlock, s.queries - at), shift = s.offset + at;
  const int64_t from = window > 0 ? std::max<int64_t>(0, shift - window + 1) : 0;
  const int64_t to = std::min(s.keys, shift + rows);
  return {s.query + at, rows, s.key + from, std::max<int64_t>(0, to - from), shift - from};
}

/// The keys that row r of a block sees: [low, high) of its columns.
inline std::pair<int64_t, int64_t> seen(const Block& b, int64_t r, int64_t window) {
  const int64_t high = std::clamp<int64_t>(b.shift + r + 1, 0, b.keys);
  const int64_t low = window > 0 ? std::clamp<int64_t>(b.shift + r + 1 - window, 0, high) : 0;
  return {low, high};
}

/// Numbers of spans, in a row: those with the same queries.
std::vector<std::pair<size_t, size_t>> by_queries(const std::vector<Span>& spans) {
  std::vector<std::pair<size_t, size_t>> groups;
  for (size_t i = 0; i < spans.size(); ++i) {
    if (i == 0 || spans[i].query != spans[i - 1].query) groups.emplace_back(i, i);
    ++groups.back().second;
  }
  return groups;
}

/// Those that share queries or keys with one another, and none with the rest: a document's.
std::vector<std::pair<size_t, size_t>> by_documents(const std::vector<Span>& spans) {
  std::vector<std::pair<size_t, size_t>> groups;
  int64_t keys = 0, queries = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    const auto& s = spans[i];
    if (i == 0 || (s.key >= keys && s.query >= queries)) groups.emplace_back(i, i);
    ++groups.back().second;
    keys = std::max(keys, s.key + s.keys);
    queries = std::max(queries, s.query + s.queries);
  }
  return groups;
}

/// Calls work(group, head) for every pair: the longest first, each by the thread that is free. `work` is made once a thread.
template <typename Make>
void share_out(std::vector<std::pair<size_t, size_t>> groups, int64_t heads, const std::vector<Span>& spans, const Make& make) {
  auto cost = [&](const std::pair<size_t, size_t>& group) {
    int64_t sum = 0;
    for (auto i = group.first; i < group.second; ++i) sum += spans[i].queries * spans[i].keys;
    return sum;
  };
  std::stable_sort(groups.begin(), groups.end(), [&](const auto& a, const auto& b) { return cost(a) > cost(b); });
  const auto tasks = static_cast<int64_t>(groups.size()) * heads;
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(tasks, at::get_num_threads()), 1, [&](int64_t, int64_t) {
    auto work = make();
    for (int64_t task; (task = next++) < tasks;) work(groups[task / heads], task % heads);
  });
}

struct Shape {
  int64_t tokens, heads, kv_heads, dim, group;
};

Shape check(const Tensor& q, const Tensor& k, const Tensor& v) {
  TORCH_CHECK(q.dim() == 3 && k.dim() == 3 && k.sizes() == v.sizes(),
              "doc_attention: expected q of shape [T, H, d], k and v of one shape [T, K, d], found ", q.sizes(), ", ", k.sizes(),
              " and ", v.sizes());
  TORCH_CHECK(k.size(2) == q.size(2) && k.size(1) > 0 && q.size(1) % k.size(1) == 0,
              "doc_attention: expected H a multiple of K, and equal d, found q ", q.sizes(), " and k ", k.sizes());
  TORCH_CHECK(q.scalar_type() == k.scalar_type() && q.scalar_type() == v.scalar_type() && at::isFloatingType(q.scalar_type()),
              "doc_attention: expected q, k and v of one floating type, found ", q.scalar_type(), ", ", k.scalar_type(), " and ",
              v.scalar_type());
  for (const auto* x : {&q, &k, &v})
    TORCH_CHECK(x->layout() == at::kStrided && x->device() == q.device(), "doc_attention: expected strided tensors on one device");
  return {q.size(0), q.size(1), k.size(1), q.size(2), q.size(1) / k.size(1)};
}

/// Heads side by side, so that a row of one head is contiguous: a copy only where they aren't.
Tensor packed(const Tensor& x) {
  return x.stride(2) == 1 && x.stride(1) == x.size(2) && x.stride(0) >= x.size(1) * x.size(2) ? x : x.contiguous();
}

/// Scores of a row become exp(score - shift), with zeros where nothing is seen. Returns their sum.
template <typename T>
T exponentiate(T* row, int64_t low, int64_t high, int64_t keys, T shift) {
  const Wide<T> s(shift);
  Wide<T> sum;
  std::fill(row, row + low, T(0));
  each<T>(high - low, [&](int64_t j, auto n) {
    const auto value = (load(row + low + j, n) - s).exp();
    store(value, row + low + j, n);
    sum = sum + (n == Wide<T>::size ? value : load(row + low + j, n));  // without what is beyond the row
  });
  std::fill(row + high, row + keys, T(0));
  return sum.sum();
}

template <typename T>
T dot(const T* a, const T* b, int64_t n) {
  Wide<T> sum;
  each<T>(n, [&](int64_t j, auto k) { sum = fma(load(a + j, k), load(b + j, k), sum); });
  return sum.sum();
}

/// Rows before and after these keys count together: log(exp(a) + exp(b)).
template <typename T>
T log_add(T a, T b) {
  const auto most = std::max(a, b);
  if (std::isnan(a + b) || most == -std::numeric_limits<T>::infinity()) return a + b;
  return most + std::log1p(std::exp(std::min(a, b) - most));
}

void attend_cpu(const Tensor& out, const Tensor& lse, const Tensor& q_, const Tensor& k_, const Tensor& v_,
                const std::vector<Span>& spans, double scale, int64_t window) {
  const auto s = check(q_, k_, v_);
  const auto q = packed(q_), k = packed(k_), v = packed(v_);
  AT_DISPATCH_FLOATING_TYPES(q.scalar_type(), "doc_attention", [&] {
    const auto *qp = q.const_data_ptr<scalar_t>(), *kp = k.const_data_ptr<scalar_t>(), *vp = v.const_data_ptr<scalar_t>();
    auto *op = out.mutable_data_ptr<scalar_t>(), *lp = lse.mutable_data_ptr<scalar_t>();
    const int64_t ql = q.stride(0), kl = k.stride(0), vl = v.stride(0), ol = out.stride(0), d = s.dim;
    constexpr auto nothing = -std::numeric_limits<scalar_t>::infinity();
    share_out(by_queries(spans), s.heads, spans, [&] {
      return [&, scores = std::vector<scalar_t>()](const std::pair<size_t, size_t>& group, int64_t h) mutable {
        const int64_t g = h / s.group;
        for (auto i = group.first; i < group.second; ++i) {
          for (int64_t at = 0; at < spans[i].queries; at += kBlock) {
            const auto b = block_of(spans[i], at, window);
            if (b.keys == 0) continue;
            scores.resize(std::max<size_t>(scores.size(), b.rows * b.keys));
            product<scalar_t>(false, true, b.rows, b.keys, d, static_cast<scalar_t>(scale), qp + b.first * ql + h * d, ql,
                              kp + b.from * kl + g * d, kl, 0, scores.data(), b.keys);
            for (int64_t r = 0; r < b.rows; ++r) {
              auto* row = scores.data() + r * b.keys;
              const auto [low, high] = seen(b, r, window);
              const auto top = low < high ? max_of(row + low, high - low) : nothing;
              const auto sum = exponentiate(row, low, high, b.keys, top);
              if (low == high) continue;
              auto& found = lp[h * s.tokens + b.first + r];
              auto factor = 1 / sum;
              if (found == nothing) {
                found = top + std::log(sum);
              } else {
                const auto both = log_add(found, top + std::log(sum)), before = std::exp(found - both);
                factor = std::exp(top - both);
                found = both;
                for (int64_t j = 0; j < d; ++j) op[(b.first + r) * ol + h * d + j] *= before;
              }
              for (int64_t j = low; j < high; ++j) row[j] *= factor;
            }
            product<scalar_t>(false, false, b.rows, d, b.keys, 1, scores.data(), b.keys, vp + b.from * vl + g * d, vl, 1,
                              op + b.first * ol + h * d, ol);
          }
        }
      };
    });
  });
}

void attend_backward_cpu(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& grad_, const Tensor& q_,
                         const Tensor& k_, const Tensor& v_, const Tensor& out_, const Tensor& lse, const std::vector<Span>& spans,
                         double scale, int64_t window) {
  const auto s = check(q_, k_, v_);
  const auto grad = packed(grad_), q = packed(q_), k = packed(k_), v = packed(v_), out = packed(out_);
  AT_DISPATCH_FLOATING_TYPES(q.scalar_type(), "doc_attention", [&] {
    const auto *qp = q.const_data_ptr<scalar_t>(), *kp = k.const_data_ptr<scalar_t>(), *vp = v.const_data_ptr<scalar_t>();
    const auto *gp = grad.const_data_ptr<scalar_t>(), *op = out.const_data_ptr<scalar_t>(), *lp = lse.const_data_ptr<scalar_t>();
    auto *dqp = dq.mutable_data_ptr<scalar_t>(), *dkp = dk.mutable_data_ptr<scalar_t>(), *dvp = dv.mutable_data_ptr<scalar_t>();
    const int64_t ql = q.stride(0), kl = k.stride(0), vl = v.stride(0), gl = grad.stride(0), ol = out.stride(0), d = s.dim;
    const int64_t dql = dq.stride(0), dkl = dk.stride(0), dvl = dv.stride(0);
    const auto factor = static_cast<scalar_t>(scale);
    // One task a document and key-value head: its group's gradients are summed without locks, in a fixed order.
    share_out(by_documents(spans), s.kv_heads, spans, [&] {
      return [&, p = std::vector<scalar_t>(), dp = std::vector<scalar_t>()](const std::pair<size_t, size_t>& document,
                                                                            int64_t g) mutable {
        for (int64_t h = g * s.group; h < (g + 1) * s.group; ++h) {
          for (auto i = document.first; i < document.second; ++i) {
            for (int64_t at = 0; at < spans[i].queries; at += kBlock) {
              const auto b = block_of(spans[i], at, window);
              if (b.keys == 0) continue;
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
                const auto delta = dot(gb + r * gl, ob + r * ol, d);
                for (int64_t j = 0; j < b.keys; ++j) drow[j] = row[j] * (drow[j] - delta) * factor;
              }
              product<scalar_t>(true, false, b.keys, d, b.rows, 1, p.data(), b.keys, gb, gl, 1, dvp + b.from * dvl + g * d, dvl);
              product<scalar_t>(false, false, b.rows, d, b.keys, 1, dp.data(), b.keys, kb, kl, 1, dqp + b.first * dql + h * d, dql);
              product<scalar_t>(true, false, b.keys, d, b.rows, 1, dp.data(), b.keys, qb, ql, 1, dkp + b.from * dkl + g * d, dkl);
            }
          }
        }
      };
    });
  });
}

bool has_blas() { return sgemm_ != nullptr && dgemm_ != nullptr; }

bool suits_kernel(const Tensor& q) { return has_blas() && (q.scalar_type() == at::kFloat || q.scalar_type() == at::kDouble); }
bool has_kernel(const Tensor& q) { return q.is_cpu() && suits_kernel(q); }
/// Without memory there is nothing to do, and the kernel makes no tensors; what is composed is run for those that it makes.
bool stands_for_kernel(const Tensor& q) { return q.is_meta() && meta_is_cpu() && suits_kernel(q); }

struct SpanAttention : torch::autograd::Function<SpanAttention> {
  static Tensor forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& v, at::IntArrayRef flat, double scale,
                        int64_t window) {
    TORCH_CHECK(window >= 0, "doc_attention: expected a window of 1 or more, or 0 for none, found ", window);
    at::AutoDispatchBelowADInplaceOrView guard;
    const auto [sum, lse] = attention_start(q, k, v);
    attend(sum, lse, q, k, v, read_spans(flat, q.size(0), k.size(0)), scale, window);
    const auto out = sum.to(q.scalar_type());
    ctx->save_for_backward({q, k, v, out, lse});
    ctx->saved_data["spans"] = flat.vec();
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["window"] = window;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &q = saved[0], &k = saved[1], &v = saved[2], &lse = saved[4];
    at::AutoDispatchBelowADInplaceOrView guard;
    auto zeros = [&](const Tensor& like) { return at::zeros(like.sizes(), lse.options()); };
    const auto dq = zeros(q), dk = zeros(k), dv = zeros(v);
    const auto spans = read_spans(ctx->saved_data["spans"].toIntVector(), q.size(0), k.size(0));
    attend_backward(dq, dk, dv, grads[0], q, k, v, saved[3], lse, spans, ctx->saved_data["scale"].toDouble(),
                    ctx->saved_data["window"].toInt());
    const auto type = q.scalar_type();
    return {dq.to(type), dk.to(type), dv.to(type), Tensor(), Tensor(), Tensor()};
  }
};

Tensor span_attention(const Tensor& q, const Tensor& k, const Tensor& v, at::IntArrayRef spans, double scale, int64_t window) {
  return SpanAttention::apply(q, k, v, spans, scale, window);
}

Tensor doc_attention(const Tensor& q, const Tensor& k, const Tensor& v, at::IntArrayRef lengths, double scale, int64_t window) {
  std::vector<int64_t> spans;
  int64_t sum = 0;
  for (const auto length : lengths) {
    TORCH_CHECK(length >= 0, "doc_attention: a document of length ", length);
    for (const auto value : {sum, length, sum, length, int64_t{0}}) spans.push_back(value);
    sum += length;
  }
  TORCH_CHECK(q.dim() > 0 && k.dim() > 0 && sum == q.size(0) && sum == k.size(0), "doc_attention: the documents' lengths sum to ",
              sum, ", but q is ", q.sizes(), " and k ", k.sizes());
  return SpanAttention::apply(q, k, v, spans, scale, window);
}

}  // namespace

std::vector<Span> read_spans(at::IntArrayRef flat, int64_t queries, int64_t keys) {
  TORCH_CHECK(flat.size() % 5 == 0, "span_attention: expected five numbers for each span, found ", flat.size());
  constexpr int64_t most = int64_t{1} << 40;  // of positions: sums of a few don't overflow
  std::vector<Span> spans;
  int64_t start = 0, keys_end = 0, queries_end = 0;
  for (size_t i = 0; i < flat.size(); i += 5) {
    const Span s{flat[i], flat[i + 1], flat[i + 2], flat[i + 3], flat[i + 4]};
    // Differences, which can't overflow.
    TORCH_CHECK(s.query >= 0 && s.queries >= 0 && s.queries <= queries && s.query <= queries - s.queries && s.key >= 0 &&
                    s.keys >= 0 && s.keys <= keys && s.key <= keys - s.keys && std::abs(s.offset) < most,
                "span_attention: the span ", flat.slice(i, 5), " is not within ", queries, " queries and ", keys, " keys");
    const bool same = i > 0 && s.query == spans.back().query && s.queries == spans.back().queries;
    if (s.key >= keys_end && s.query >= queries_end) start = s.key;
    // Or two threads would add to the same numbers.
    TORCH_CHECK((same || s.query >= queries_end) && s.key >= start, "span_attention: the span ", flat.slice(i, 5),
                " comes after one that it should come before");
    keys_end = std::max(keys_end, s.key + s.keys);
    queries_end = std::max(queries_end, s.query + s.queries);
    spans.push_back(s);
  }
  return spans;
}

std::pair<Tensor, Tensor> attention_start(const Tensor& q, const Tensor& k, const Tensor& v) {
  const auto s = check(q, k, v);
  const auto options = q.options().dtype(acc_type(q.scalar_type()));
  return {at::zeros({s.tokens, s.heads, s.dim}, options),
          at::full({s.heads, s.tokens}, -std::numeric_limits<double>::infinity(), options)};
}

void attend(const Tensor& out, const Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v, const std::vector<Span>& spans,
            double scale, int64_t window) {
  if (stands_for_kernel(q)) return;
  (has_kernel(q) ? attend_cpu : attend_composed)(out, lse, q, k, v, spans, scale, window);
}

void attend_backward(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& grad, const Tensor& q, const Tensor& k,
                     const Tensor& v, const Tensor& out, const Tensor& lse, const std::vector<Span>& spans, double scale,
                     int64_t window) {
  if (stands_for_kernel(q)) return;
  (has_kernel(q) ? attend_backward_cpu : attend_backward_composed)(dq, dk, dv, grad, q, k, v, out, lse, spans, scale, window);
}

TORCH_LIBRARY_FRAGMENT(forge, m) {
  // The Function records the graph itself, and without grad mode it is just the call.
  m.def("span_attention(Tensor q, Tensor k, Tensor v, int[] spans, float scale, int window=0) -> Tensor", span_attention);
  if (has_blas())
    m.def("doc_attention(Tensor q, Tensor k, Tensor v, int[] lengths, float scale, int window=0) -> Tensor", doc_attention);
}

}  // namespace forge
