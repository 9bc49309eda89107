// Backward kernels trust that autograd calls them, with what their forward pass made. Called from TypeScript they get
// anything: here the shapes, dtypes and indices that they rely on are checked. One rule for each family.
#include "guards.h"

namespace torchforge {
namespace {

// 2 of max_pool2d_with_indices_backward.
int64_t spatialDims(const Arguments& in) {
  const std::string_view name = in.operation();
  for (int64_t dims : {1, 2, 3}) {
    const char digits[] = {static_cast<char>('0' + dims), 'd', 0};
    if (name.find(digits) != std::string_view::npos) return dims;
  }
  return 2;
}

// `name` as `other` in all but the last `dims` dimensions.
void sameLeading(const Arguments& in, const char* name, const char* other, int64_t dims) {
  const at::Tensor a = in.tensor(name), b = in.tensor(other);
  in.expect(a.dim() == b.dim() && a.dim() >= dims && a.sizes().slice(0, a.dim() - dims) == b.sizes().slice(0, b.dim() - dims), name,
            " and ", other, " to differ in no more than the last ", dims, " dimensions, found ", a.sizes(), " and ", b.sizes());
}

void batched(const Arguments& in, const char* name, int64_t dims) {
  const at::Tensor t = in.tensor(name);
  in.strided(name);
  in.expect(t.dim() == dims + 1 || t.dim() == dims + 2, name, " of ", dims + 1, " or ", dims + 2, " dimensions, found ", t.sizes());
}

// (grad_output, self, …, indices): where each maximum came from, within its plane.
void maxPool(const Arguments& in) {
  const int64_t dims = spatialDims(in);
  const at::Tensor self = in.tensor("self"), grad = in.tensor("grad_output");
  batched(in, "self", dims);
  in.strided("grad_output");
  sameLeading(in, "grad_output", "self", dims);
  in.sameDtype("grad_output", "self");
  in.shape("indices", grad.sizes());
  in.contiguous("indices");
  in.dtype("indices", at::kLong);
  if (in.has("output_size")) {
    const auto size = in.integers("output_size");
    in.expect(grad.sizes().slice(grad.dim() - dims) == at::IntArrayRef(size), "grad_output to end in output_size ", size, ", found ", grad.sizes());
  }
  int64_t plane = 1;
  for (int64_t i = 1; i <= dims; ++i) plane *= self.size(-i);
  in.values("indices", 0, plane);
}

// (grad_output, self, padding)
void pad(const Arguments& in) {
  const int64_t dims = spatialDims(in);
  const auto padding = in.integers("padding");
  const at::Tensor self = in.tensor("self"), grad = in.tensor("grad_output");
  in.expect(static_cast<int64_t>(padding.size()) == 2 * dims, "padding of ", 2 * dims, " numbers, found ", padding.size());
  batched(in, "self", dims);
  in.strided("grad_output");
  sameLeading(in, "grad_output", "self", dims);
  in.sameDtype("grad_output", "self");
  for (int64_t i = 0; i < dims; ++i) {
    int64_t padded = 0;
    const bool overflows = __builtin_add_overflow(self.size(-1 - i), padding[2 * i], &padded) ||
                           __builtin_add_overflow(padded, padding[2 * i + 1], &padded);
    in.expect(!overflows && grad.size(-1 - i) == padded, "grad_output to have the padded size of self in dimension ", -1 - i, ", found ",
              grad.sizes(), " for ", self.sizes(), " and padding ", padding);
  }
}

// (grad_out, input, normalized_shape, mean?, rstd, weight?, bias?, …)
void norm(const Arguments& in) {
  const at::Tensor input = in.tensor("input");
  const auto normalized = in.integers("normalized_shape");
  const auto dims = static_cast<int64_t>(normalized.size());
  in.strided("input");
  in.expect(dims >= 1 && dims <= input.dim() && input.sizes().slice(input.dim() - dims) == at::IntArrayRef(normalized),
            "input to end in normalized_shape ", normalized, ", found ", input.sizes());
  in.shape("grad_out", input.sizes());
  in.sameDtype("grad_out", "input");
  int64_t rows = 1;
  for (int64_t i = 0; i < input.dim() - dims; ++i) rows *= input.size(i);
  for (const char* name : {"mean", "rstd"}) {
    if (!in.has(name)) continue;
    in.elements(name, rows);
    const at::ScalarType type = in.tensor(name).scalar_type();
    in.expect(type == input.scalar_type() || type == at::kFloat, name, " of the input's dtype or float32, found ", c10::toString(type));
  }
  if (in.has("mean")) in.sameDtype("mean", "rstd");
  for (const char* name : {"weight", "bias"}) {
    if (!in.has(name) || !in.optional(name).defined()) continue;
    in.shape(name, normalized);
    const at::ScalarType type = in.tensor(name).scalar_type();
    in.expect(type == input.scalar_type() || type == at::kFloat, name, " of the input's dtype or float32, found ", c10::toString(type));
  }
  if (in.has("bias")) in.sameDtype("weight", "bias");
}

// (grad_out, input, mean, rstd, weight?, N, C, HxW, group, …)
void groupNormBackward(const Arguments& in) {
  const at::Tensor input = in.tensor("input");
  const int64_t n = in.integer("N"), c = in.integer("C"), hw = in.integer("HxW"), group = in.integer("group");
  in.expect(n >= 0 && c > 0 && hw >= 0 && group > 0 && c % group == 0, "C channels in equal groups, found C ", c, " and group ", group);
  int64_t all = 0;
  in.expect(!__builtin_mul_overflow(n, c, &all) && !__builtin_mul_overflow(all, hw, &all) && input.numel() == all, "input of N x C x HxW elements, found ",
            input.sizes());
  in.shape("grad_out", input.sizes());
  in.strided("input");
  in.sameDtype("grad_out", "input");
  for (const char* name : {"mean", "rstd"}) in.elements(name, n * group);
  in.sameDtype("mean", "rstd");
  in.elements("weight", c);
  for (const char* name : {"grad_out", "input", "mean", "rstd", "weight"}) in.contiguous(name);
}

// (grad_out, input, weight?, running_mean?, running_var?, save_mean?, save_invstd | save_var?, …)
void batchNormBackward(const Arguments& in) {
  const at::Tensor input = in.tensor("input");
  in.strided("input");
  in.expect(input.dim() >= 2 && input.numel() > 0, "an input with elements and two or more dimensions, found ", input.sizes());
  in.shape("grad_out", input.sizes());
  in.sameDtype("grad_out", "input");
  for (const char* name : {"weight", "running_mean", "running_var", "save_mean", "save_invstd", "save_var"})
    if (in.has(name)) in.elements(name, input.size(1));
  const char* training = in.has("train") ? "train" : "update";
  const bool trains = in[training].toBool();
  for (const char* name : {"running_mean", "running_var"})
    in.expect(trains || in.optional(name).defined(), name, " where ", training, " is false, found none");
  for (const char* name : {"save_mean", "save_invstd", "save_var"})
    in.expect(!trains || !in.has(name) || in.optional(name).defined(), name, " where ", training, " is true, found none");
}

// (grad_output, output, dim, input_dtype)
void softmax(const Arguments& in) {
  in.strided("output");
  in.shape("grad_output", in.tensor("output").sizes());
  in.sameDtype("grad_output", "output");
}

// (grad_output, input, grid, …)
void gridSampler(const Arguments& in) {
  const int64_t dims = spatialDims(in);
  const at::Tensor input = in.tensor("input"), grid = in.tensor("grid");
  in.strided("input");
  in.strided("grid");
  in.expect(input.dim() == dims + 2 && grid.dim() == dims + 2 && input.numel() > 0 && input.size(0) == grid.size(0) && grid.size(-1) == dims,
            "input [N, C, …] with elements and grid [N, …, ", dims, "], found ", input.sizes(), " and ", grid.sizes());
  std::vector<int64_t> out{input.size(0), input.size(1)};
  for (int64_t i = 1; i <= dims; ++i) out.push_back(grid.size(i));
  in.shape("grad_output", out);
  in.sameDtype("grad_output", "input");
  in.sameDtype("grid", "input");
}

// (grad_output, self, target, …): a loss over classes, for one row or several.
void marginLoss(const Arguments& in) {
  const at::Tensor self = in.tensor("self"), grad = in.tensor("grad_output");
  in.strided("self");
  in.strided("grad_output");
  in.expect(self.dim() >= 1 && self.dim() <= 2 && self.numel() > 0, "self [C] or [N, C] with elements, found ", self.sizes());
  const int64_t rows = self.dim() == 2 ? self.size(0) : 1, classes = self.size(-1);
  in.dtype("target", at::kLong);
  in.sameDtype("grad_output", "self");
  const bool labels = in.has("is_target");
  if (labels) {
    in.shape("target", self.sizes());
    in.shape("is_target", self.sizes());
  } else {
    in.elements("target", rows);
    in.elements("weight", classes);
    in.sameDtype("weight", "self");
  }
  in.values("target", labels ? -1 : 0, classes);
  in.elements("grad_output", in.integer("reduction") == at::Reduction::None && (labels || self.dim() == 2) ? rows : 1);
}

// (grad, x1, x2, p, cdist)
void cdist(const Arguments& in) {
  const at::Tensor a = in.tensor("x1"), b = in.tensor("x2");
  in.strided("x1");
  in.strided("x2");
  in.expect(a.dim() >= 2 && a.dim() == b.dim() && a.size(-1) == b.size(-1) && a.sizes().slice(0, a.dim() - 2) == b.sizes().slice(0, b.dim() - 2),
            "x1 [B…, P, M] and x2 [B…, R, M], found ", a.sizes(), " and ", b.sizes());
  std::vector<int64_t> out = a.sizes().vec();
  out.back() = b.size(-2);
  in.shape("grad", out);
  in.shape("cdist", out);
  for (const char* name : {"x2", "grad", "cdist"}) in.sameDtype(name, "x1");
}

// (grad_output | grad, indices, num_weights, padding_idx, …)
void embedding(const Arguments& in) {
  const char* name = in.has("grad") ? "grad" : "grad_output";
  const at::Tensor grad = in.tensor(name), indices = in.tensor("indices");
  in.strided(name);
  in.strided("indices");
  in.expect(indices.scalar_type() == at::kLong || indices.scalar_type() == at::kInt, "indices of dtype int64 or int32, found ",
            c10::toString(indices.scalar_type()));
  in.expect(grad.dim() >= 1 && grad.sizes().slice(0, grad.dim() - 1) == indices.sizes(), name, " of the shape of indices and one more dimension, found ",
            grad.sizes(), " and ", indices.sizes());
  in.values("indices", 0, in.integer("num_weights"));
}

// (grad, indices, offset2bag, …): which bag each index belongs to, and which of them was the largest.
void embeddingBagBackward(const Arguments& in) {
  const at::Tensor grad = in.tensor("grad"), indices = in.tensor("indices");
  for (const char* name : {"grad", "indices", "offset2bag"}) in.strided(name);
  in.expect(grad.dim() == 2 && indices.dim() == 1, "grad [bags, dims] and indices of one dimension, found ", grad.sizes(), " and ", indices.sizes());
  const int64_t rows = in.has("num_weights") ? in.integer("num_weights") : in.tensor("weight").size(0);
  in.values("indices", 0, rows);
  in.elements("offset2bag", indices.numel());
  in.values("offset2bag", 0, grad.size(0));
  in.sameDtype("offset2bag", "indices");
  if (in.has("bag_size")) in.elements("bag_size", grad.size(0));
  if (in.has("maximum_indices") && in.integer("mode") == 2) {
    in.shape("maximum_indices", grad.sizes());
    in.values("maximum_indices", -1, rows);
  }
  if (in.has("per_sample_weights")) in.elements("per_sample_weights", indices.numel());
}

// Older libtorch divides by it.
void unfold(const Arguments& in) {
  in.expect(in.integer("step") > 0, "a step of 1 or more, found ", in.integer("step"));
}

// (grad, self, dim, index, sparse_grad)
void gather(const Arguments& in) {
  const at::Tensor self = in.tensor("self"), index = in.tensor("index");
  const int64_t dim = in.integer("dim"), dims = self.dim();
  in.strided("index");
  in.dtype("index", at::kLong);
  in.expect(dims >= 1 && dim >= -dims && dim < dims && index.dim() == dims, "dim to be one of self's, and index of as many dimensions, found dim ", dim,
            " of ", self.sizes(), " and ", index.sizes());
  const int64_t along = dim < 0 ? dim + dims : dim;
  for (int64_t i = 0; i < dims; ++i)
    in.expect(i == along || index.size(i) <= self.size(i), "index no larger than self but in dim, found ", index.sizes(), " and ", self.sizes());
  in.shape("grad", index.sizes());
  in.values("index", 0, self.size(along));
}

// (grad_output, self, target, …): gradients of whole numbers, for which kernels divide by 0.
void lossBackward(const Arguments& in) {
  for (const char* name : {"grad_output", "self", "target"}) {
    const at::Tensor t = in.tensor(name);
    in.expect(t.is_floating_point() || t.is_complex(), name, " of floating point, found ", c10::toString(t.scalar_type()));
  }
}

// (grad_output, self, …)
void elementwise(const Arguments& in) { in.shape("grad_output", in.tensor("self").sizes()); }

// (grad_out, query, key, value, out, logsumexp, …)
void attention(const Arguments& in) {
  const at::Tensor q = in.tensor("query"), k = in.tensor("key");
  checkAttention(in);
  in.expect(k.size(1) == q.size(1), "as many heads in key as in query, found ", k.sizes(), " and ", q.sizes());
  for (const char* name : {"out", "grad_out"}) {
    in.shape(name, q.sizes());
    in.sameDtype(name, "query");
  }
  in.shape("logsumexp", q.sizes().slice(0, 3));
}

// Our own kernels: autograd gives them what their forward pass made.

at::ScalarType statisticsType(const at::Tensor& t) { return t.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

// forge::rms_norm_backward(grad, input, rstd, weight?, …), forge::add_rms_norm_backward(grad?, grad_sum?, sum, rstd, weight?, …)
void ownNorm(const Arguments& in) {
  const char* name = in.has("sum") ? "sum" : "input";
  const at::Tensor input = in.tensor(name);
  in.strided(name);
  in.expect(input.dim() >= 1 && input.is_floating_point(), name, " of one or more dimensions, of floating point, found ", input.sizes());
  for (const char* gradient : {"grad", "grad_sum"}) {
    if (!in.has(gradient)) continue;
    in.shape(gradient, input.sizes());
    in.sameDtype(gradient, name);
  }
  in.elements("rstd", input.size(-1) == 0 ? input.numel() : input.numel() / input.size(-1));
  in.dtype("rstd", statisticsType(input));
  in.contiguous("rstd");
  in.elements("weight", input.size(-1));
  in.sameDtype("weight", name);
}

// forge::swiglu_backward(grad, gate, up)
void swiglu(const Arguments& in) {
  const at::Tensor gate = in.tensor("gate");
  in.strided("gate");
  in.expect(gate.dim() >= 1 && gate.is_floating_point(), "gate of one or more dimensions, of floating point, found ", gate.sizes());
  for (const char* name : {"grad", "up"}) {
    in.shape(name, gate.sizes());
    in.sameDtype(name, "gate");
  }
}

// forge::swiglu_joined_backward(grad, joined)
void swigluJoined(const Arguments& in) {
  const at::Tensor joined = in.tensor("joined");
  in.strided("joined");
  in.expect(joined.dim() >= 1 && joined.is_floating_point() && joined.size(-1) % 2 == 0, "joined […, 2 I] of floating point, found ", joined.sizes());
  std::vector<int64_t> half = joined.sizes().vec();
  half.back() /= 2;
  in.shape("grad", half);
  in.sameDtype("grad", "joined");
}

}  // namespace

const GuardTable& backwardGuards() {
  static const GuardTable table = {
      {"aten::adaptive_max_pool2d_backward", maxPool},
      {"aten::adaptive_max_pool3d_backward", maxPool},
      {"aten::fractional_max_pool2d_backward", maxPool},
      {"aten::fractional_max_pool3d_backward", maxPool},
      {"aten::max_pool2d_with_indices_backward", maxPool},
      {"aten::max_pool3d_with_indices_backward", maxPool},
      {"aten::reflection_pad1d_backward", pad},
      {"aten::reflection_pad2d_backward", pad},
      {"aten::reflection_pad3d_backward", pad},
      {"aten::replication_pad1d_backward", pad},
      {"aten::replication_pad2d_backward", pad},
      {"aten::replication_pad3d_backward", pad},
      {"aten::native_layer_norm_backward", norm},
      {"aten::_fused_rms_norm_backward", norm},
      {"aten::native_group_norm_backward", groupNormBackward},
      {"aten::native_batch_norm_backward", batchNormBackward},
      {"aten::batch_norm_backward", batchNormBackward},
      {"aten::_softmax_backward_data", softmax},
      {"aten::_log_softmax_backward_data", softmax},
      {"aten::grid_sampler_2d_backward", gridSampler},
      {"aten::grid_sampler_3d_backward", gridSampler},
      {"aten::multi_margin_loss_backward", marginLoss},
      {"aten::multilabel_margin_loss_backward", marginLoss},
      {"aten::_cdist_backward", cdist},
      {"aten::embedding_dense_backward", embedding},
      {"aten::embedding_sparse_backward", embedding},
      {"aten::embedding_backward", embedding},
      {"aten::_embedding_bag_backward", embeddingBagBackward},
      {"aten::_embedding_bag_dense_backward", embeddingBagBackward},
      {"aten::_embedding_bag_sparse_backward", embeddingBagBackward},
      {"aten::gather_backward", gather},
      {"aten::unfold_backward", unfold},
      {"forge::rms_norm_backward", ownNorm},
      {"forge::add_rms_norm_backward", ownNorm},
      {"forge::swiglu_backward", swiglu},
      {"forge::swiglu_joined_backward", swigluJoined},
      {"aten::gelu_backward", elementwise},
      {"aten::smooth_l1_loss_backward", lossBackward},
      {"aten::huber_loss_backward", lossBackward},
      {"aten::_scaled_dot_product_flash_attention_for_cpu_backward", attention},
  };
  return table;
}

}  // namespace torchforge
