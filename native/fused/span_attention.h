// Causal attention of stretches of queries to stretches of keys: what attention inside documents is made of, whole or cut.
// span_attention.cc has the CPU kernel and the operators, span_attention_composed.cc the same of libtorch's operators,
// comm/ring_attention.cc the one whose keys and values pass from rank to rank.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace forge {

/// Queries [query, query + queries) of one document, and keys [key, key + keys) of it. Query r sees the key c where
/// c <= offset + r, and with a window only the last `window` of those: `offset` is how far the first query lies behind
/// the first key in their document.
struct Span {
  int64_t query, queries, key, keys, offset;
};

/// From five numbers each, checked against the numbers of queries and keys. Queries and keys ascend from document to
/// document, and spans with the same queries follow one another.
std::vector<Span> read_spans(at::IntArrayRef flat, int64_t queries, int64_t keys);

/// Adds attention of the spans to what others have left in out [T, H, d] and lse [H, T], as if all keys had been seen at
/// once. Both start as `attention_start` makes them. q: [T, H, d], k and v: [S, K, d] with H a multiple of K.
void attend(const at::Tensor& out, const at::Tensor& lse, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
            const std::vector<Span>& spans, double scale, int64_t window);

/// Adds to the gradients of q, k and v (of lse's type) what comes through the spans. out and lse are those after all spans.
void attend_backward(const at::Tensor& dq, const at::Tensor& dk, const at::Tensor& dv, const at::Tensor& grad, const at::Tensor& q,
                     const at::Tensor& k, const at::Tensor& v, const at::Tensor& out, const at::Tensor& lse,
                     const std::vector<Span>& spans, double scale, int64_t window);

/// Zeros, and the log of a sum of nothing; float32, or float64 for float64. Refuses shapes and types that don't fit.
std::pair<at::Tensor, at::Tensor> attention_start(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

void attend_composed(const at::Tensor& out, const at::Tensor& lse, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const std::vector<Span>& spans, double scale, int64_t window);
void attend_backward_composed(const at::Tensor& dq, const at::Tensor& dk, const at::Tensor& dv, const at::Tensor& grad,
                              const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& out,
                              const at::Tensor& lse, const std::vector<Span>& spans, double scale, int64_t window);

}  // namespace forge
