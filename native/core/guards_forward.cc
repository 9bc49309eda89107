// Operators of a forward pass that trust their arguments: what libtorch's own callers always give, checked.
#include "guards.h"

namespace torchforge {
namespace {

// Kernels that trust their caller throughout. What calls them inside libtorch does so with fitting arguments; from
// TypeScript the public operator is to be called (lstm_cell, native_layer_norm …).
void refuse(const Arguments& in) {
  TORCH_CHECK(false, in.operation(), " is an inner kernel of libtorch that doesn't check its arguments; call the public operator instead");
}

// A C++ object in the guise of a tensor: whoever writes to the tensor breaks the object.
void disguised(const Arguments& in) {
  TORCH_CHECK(false, in.operation(), " hides a C++ object in a tensor, which nothing keeps whole, and is deprecated; quantize with other operators");
}

// (v, g, dim)
void weightNorm(const Arguments& in) {
  const at::Tensor v = in.tensor("v");
  const int64_t dim = in.integer("dim");
  in.strided("v");
  in.expect(v.dim() >= 2 && v.numel() > 0 && (dim == 0 || dim == v.dim() - 1),
            "a tensor with elements and two or more dimensions, and dim to be the first or the last, found ", v.sizes(), " and dim ", dim);
  in.elements("g", v.size(dim));
  in.sameDtype("g", "v");
}

// (input, weight, bias, N, C, HxW, group, eps)
void groupNorm(const Arguments& in) {
  const int64_t group = in.integer("group"), c = in.integer("C");
  in.expect(group > 0 && c > 0 && c % group == 0, "C channels in one or more equal groups, found C ", c, " and group ", group);
  for (const char* name : {"input", "weight", "bias"}) in.contiguous(name);
}

// (self, chunks | sections | …): each is a tensor, and all go through the argument buffer.
void pieces(const Arguments& in) {
  for (const char* name : {"chunks", "sections", "tensor_indices_or_sections"}) {
    if (!in.has(name) || !in[name].isInt()) continue;
    const int64_t count = in.integer(name);
    in.expect(count <= static_cast<int64_t>(kBufferSlots) / 2, name, " of at most ", kBufferSlots / 2, ", found ", count);
  }
}

// (self, p): the backward pass divides by the number of rows.
void distances(const Arguments& in) {
  const at::Tensor self = in.tensor("self");
  in.expect(!self.requires_grad() || self.dim() != 2 || self.size(0) > 0, "one row or more where a gradient is asked for, found ",
            self.sizes());
}

// (self, r, with_replacement): made of a grid of r dimensions.
void combinations(const Arguments& in) {
  const int64_t r = in.integer("r");
  in.expect(r <= 64, "r of at most 64, the most dimensions that a tensor has, found ", r);
}

// (self, src, …): sparse rows or columns, whose inner tensors are copied one by one.
void copy(const Arguments& in) {
  const at::Tensor self = in.tensor("self"), src = in.tensor("src");
  // The result gets a storage of the size of self's.
  in.expect(self.has_storage(), "self to be a strided tensor, found ", Arguments::layoutOf(self));
  const auto compressed = [](const at::Tensor& t) {
    return t.layout() == c10::kSparseCsr || t.layout() == c10::kSparseCsc || t.layout() == c10::kSparseBsr || t.layout() == c10::kSparseBsc;
  };
  if (!compressed(self) && !compressed(src)) return;
  in.expect(self.layout() == src.layout() && self.sizes() == src.sizes(), "src of the layout and shape of self, found ",
            Arguments::layoutOf(src), src.sizes(), " and ", Arguments::layoutOf(self), self.sizes());
}

// (LU, pivots, B, …), (self, LU_data, LU_pivots): LAPACK swaps the rows that the pivots name, from 1 on.
void luSolve(const Arguments& in) {
  const at::Tensor lu = in.tensor(in.has("LU") ? "LU" : "LU_data");
  if (lu.dim() >= 2) in.values(in.has("pivots") ? "pivots" : "LU_pivots", 1, lu.size(-2) + 1);
}

// (LD, pivots, B, …): as above; two negative ones in a row stand for a block of two rows.
void ldlSolve(const Arguments& in) {
  const at::Tensor given = in.tensor("pivots");
  in.strided("pivots");
  if (given.dim() == 0 || given.numel() == 0 || !given.device().is_cpu()) return;
  const at::Tensor pivots = given.detach().to(at::kLong).contiguous();
  const int64_t n = pivots.size(-1), *value = pivots.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < pivots.numel() / n; ++row) {
    int64_t negative = 0;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t one = value[row * n + i];
      in.expect(one != 0 && one >= -n && one <= n, "the values of pivots from 1 to ", n, " or -", n, " to -1, found ", one);
      if (one < 0) ++negative;
      else in.expect(negative % 2 == 0, "negative values of pivots in pairs, found ", negative, " in a row");
      if (one > 0) negative = 0;
    }
    in.expect(negative % 2 == 0, "negative values of pivots in pairs, found ", negative, " in a row");
  }
}

// (LU_data, LU_pivots, unpack_data, unpack_pivots)
void luUnpack(const Arguments& in) {
  if (!in["unpack_pivots"].toBool()) return;
  const at::Tensor lu = in.tensor("LU_data");
  in.strided("LU_data");
  in.expect(lu.dim() >= 2, "LU_data of two or more dimensions, found ", lu.sizes());
  std::vector<int64_t> shape = lu.sizes().vec();
  shape.pop_back();
  shape.back() = std::min(lu.size(-1), lu.size(-2));
  in.shape("LU_pivots", shape);
  in.dtype("LU_pivots", at::kInt);
  in.values("LU_pivots", 1, lu.size(-2) + 1);
}

// lstm, gru, rnn_tanh, rnn_relu: (input, hx, params, …) and packed (data, batch_sizes, hx, params, …)
void recurrent(const Arguments& in) {
  const int64_t layers = in.integer("num_layers");
  const bool biases = in["has_biases"].toBool(), packed = in.has("data");
  const int64_t expected = (biases ? 4 : 2) * (in["bidirectional"].toBool() ? 2 : 1);
  const auto params = in["params"].toTensorVector();
  in.expect(layers > 0 && layers <= 1 << 16, "one or more layers, found ", layers);
  in.expect(!params.empty() && static_cast<int64_t>(params.size()) % (expected * layers) == 0, "params of ", expected, " tensors a layer for ", layers,
            " layers, found ", params.size());
  for (const at::Tensor& one : params)
    in.expect(one.layout() == c10::kStrided && one.dim() >= 1 && one.numel() > 0, "params to be strided tensors with elements, found ",
              Arguments::layoutOf(one), one.sizes());
  const char* name = packed ? "data" : "input";
  const at::Tensor input = in.tensor(name);
  in.strided(name);
  in.expect(input.dim() == (packed ? 2 : 3) && input.numel() > 0, name, " of ", packed ? 2 : 3, " dimensions with elements, found ", input.sizes());
  if (!packed) return;
  const at::Tensor sizes = in.tensor("batch_sizes");
  in.strided("batch_sizes");
  in.dtype("batch_sizes", at::kLong);
  in.expect(sizes.device().is_cpu() && sizes.dim() == 1 && sizes.numel() > 0, "batch_sizes in memory, of one dimension, found ", sizes.sizes());
  in.values("batch_sizes", 1, input.size(0) + 1);
  const at::Tensor plain = sizes.contiguous();
  int64_t sum = 0, before = input.size(0);
  for (int64_t i = 0; i < plain.numel(); ++i) {
    const int64_t one = plain.const_data_ptr<int64_t>()[i];
    in.expect(one <= before, "batch_sizes that never grow, found ", one, " after ", before);
    sum += before = one;
  }
  in.expect(sum == input.size(0), "batch_sizes that sum to the ", input.size(0), " rows of data, found ", sum);
}

// (…, unsafe): lengths and offsets that nobody checks.
void unchecked(const Arguments& in) {
  in.expect(!in["unsafe"].toBool(), "unsafe to be false, found true: without its checks the operator reads beyond its tensors");
}

// (x, n): computed degree by degree, for every element.
void polynomial(const Arguments& in) {
  constexpr double most = 1e6;
  double n = 0;
  if (!in["n"].isTensor()) {
    n = in["n"].toScalar().to<double>();
  } else if (const at::Tensor t = in.tensor("n"); t.numel() > 0 && t.device().is_cpu() && !t.is_complex()) {
    in.strided("n");
    n = t.detach().to(at::kDouble).nan_to_num(0).max().item<double>();
  }
  in.expect(n <= most, "a degree n of at most ", most, ", found ", n);
}

// (self, other): whole numbers whose smallest value has no counterpart, on which the processor's division traps.
bool holdsSmallest(const at::Tensor& t) {
  if (!t.defined() || !at::isIntegralType(t.scalar_type(), false) || t.numel() == 0 || !t.device().is_cpu() || t.layout() != c10::kStrided) return false;
  switch (t.scalar_type()) {
    case at::kChar: case at::kShort: case at::kInt: case at::kLong: break;
    default: return false;
  }
  const int64_t bits = 8 * static_cast<int64_t>(t.element_size());
  return at::amin(t.detach()).item<int64_t>() == (bits == 64 ? INT64_MIN : -(int64_t{1} << (bits - 1)));
}

void divisor(const Arguments& in) {
  for (const char* name : {"self", "other"})
    in.expect(!holdsSmallest(in.tensor(name)), name, " without the smallest integer of its dtype, which has no absolute value, found it");
}

// (self, other, rounding_mode)
void division(const Arguments& in) {
  if (in["rounding_mode"].isNone() || !holdsSmallest(in.tensor("self"))) return;
  const c10::IValue& other = in["other"];
  const bool traps = other.isTensor() ? !other.toTensor().is_floating_point() && !other.toTensor().is_complex() && (other.toTensor() == -1).any().item<bool>()
                                      : other.toScalar().isIntegral(true) && other.toScalar().toLong() == -1;
  in.expect(!traps, "a quotient that fits the dtype, found the smallest integer divided by -1");
}

// (self | input)
void withElements(const Arguments& in) {
  const char* name = in.has("self") ? "self" : "input";
  in.expect(in.tensor(name).numel() > 0, name, " with elements, found ", in.tensor(name).sizes());
}

// (self): LAPACK counts on numbers.
void finite(const Arguments& in) {
  const at::Tensor self = in.tensor("self");
  in.strided("self");
  in.expect(!self.device().is_cpu() || self.isfinite().all().item<bool>(), "a matrix without infinities and NaN, found some");
}

// (weight, indices, offsets, …)
void embeddingBag(const Arguments& in) {
  const at::Tensor weight = in.tensor("weight"), indices = in.tensor("indices");
  for (const char* name : {"weight", "indices", "offsets"}) in.strided(name);
  in.expect(weight.dim() == 2 && weight.numel() > 0, "weight [rows, dims] with elements, found ", weight.sizes());
  in.expect(indices.dim() == 1, "indices of one dimension, found ", indices.sizes());
  in.values("indices", 0, weight.size(0));
  in.values("offsets", 0, indices.numel() + 1);
  const at::Tensor offsets = in.tensor("offsets");
  in.expect(offsets.dim() == 1 && offsets.numel() > 0, "offsets of one dimension with elements, found ", offsets.sizes());
  in.expect(!offsets.device().is_cpu() || offsets.numel() < 2 || (offsets.diff() >= 0).all().item<bool>(), "offsets that never fall, found one that does");
  if (in["include_last_offset"].toBool() && offsets.device().is_cpu()) {
    const int64_t last = offsets.select(0, -1).item<int64_t>();
    in.expect(last == indices.numel(), "the last offset to be the number of indices, ", indices.numel(), ", where include_last_offset is true, found ", last);
  }
  in.elements("per_sample_weights", indices.numel());
  in.sameDtype("per_sample_weights", "weight");
  in.contiguous("per_sample_weights");
}

// The kernel itself: embedding_bag makes its arguments contiguous first.
void embeddingBagKernel(const Arguments& in) {
  embeddingBag(in);
  for (const char* name : {"indices", "offsets"}) in.contiguous(name);
}

// (input, weight?, bias?, running_mean?, running_var?, training?, …)
void batchNorm(const Arguments& in) {
  const at::Tensor input = in.tensor("input");
  in.strided("input");
  in.expect(input.dim() >= 2, "an input of two or more dimensions, found ", input.sizes());
  for (const char* name : {"weight", "bias", "running_mean", "running_var"})
    if (in.has(name)) in.elements(name, input.size(1));
  const bool some = in.optional("running_mean").defined(), both = some && in.optional("running_var").defined();
  in.expect(some == in.optional("running_var").defined(), "running_mean and running_var, or neither, found one");
  in.sameDtype("running_mean", "running_var");
  in.expect(both || !in.has("training") || in["training"].toBool(), "running_mean and running_var where training is false, found none");
}

// (…_pool*d: self, output_size): some kernels divide or loop before anything asks for the memory.
void pooledSize(const Arguments& in) {
  constexpr int64_t most = int64_t{1} << 40;
  int64_t all = std::max<int64_t>(in.tensor("self").numel(), 1);
  bool fits = true;
  const std::vector<int64_t> sizes = in.integers("output_size");
  for (int64_t size : sizes) fits = fits && size >= 0 && !__builtin_mul_overflow(all, std::max<int64_t>(size, 1), &all) && all < most;
  in.expect(fits, "an output that fits in memory, found output_size ", at::IntArrayRef(sizes), " for self ", in.tensor("self").sizes());
}

// (self, size, …): a size that can't be is noticed when self has it already.
void newSize(const Arguments& in) {
  const std::vector<int64_t> sizes = in.integers("size");
  int64_t all = 1;
  bool fits = true;
  for (int64_t size : sizes) fits = fits && size >= 0 && !__builtin_mul_overflow(all, std::max<int64_t>(size, 1), &all);
  in.expect(fits, "a size that can be, found ", at::IntArrayRef(sizes));
}

// (self, observer_on, fake_quant_on, running_min, running_max, scale, zero_point, …): read as they were float32.
void observedQuantization(const Arguments& in) {
  for (const char* name : {"running_min", "running_max", "scale"}) in.dtype(name, at::kFloat);
  for (const char* name : {"running_min", "running_max", "scale", "zero_point", "observer_on", "fake_quant_on"}) {
    in.strided(name);
    in.expect(in.tensor(name).numel() > 0, name, " with elements, found ", in.tensor(name).sizes());
  }
  const at::Tensor self = in.tensor("self");
  const int64_t axis = in.integer("ch_axis");
  in.expect(axis >= 0 && axis < std::max<int64_t>(self.dim(), 1), "ch_axis to be a dimension of self, found ", axis, " of ", self.sizes());
}

// (indices, values, size, …): the one constructor that asks for no checks.
void sparseParts(const Arguments& in) {
  at::_validate_sparse_coo_tensor_args(in.tensor("indices"), in.tensor("values"), in.integers("size"));
}

// (query, key, value, …): attention of grouped heads divides those of query by those of key and of value.
void headsOfAttention(const Arguments& in) {
  const bool grouped = in.has("enable_gqa") && in["enable_gqa"].toBool();
  for (const char* name : {"key", "value"}) {
    const at::Tensor t = in.tensor(name);
    in.expect(!grouped || t.dim() < 3 || t.size(-3) > 0, name, " with one head or more where enable_gqa is true, found ", t.sizes());
  }
}

// (self | params, grads, state lists …, lr, …): one step for lists of tensors, whose elements are taken one by one.
void fusedOptimizer(const Arguments& in) {
  const auto params = in["self"].toTensorVector();
  const auto& schema = in.op().handle.schema().arguments();
  for (size_t i = 0; i < schema.size(); ++i) {
    const c10::IValue& value = in.values()[i];
    if (!value.isTensorList()) continue;
    const std::string& name = schema[i].name();
    const auto list = value.toTensorVector();
    const bool steps = name == "state_steps";
    if (list.empty() && name != "grads" && name != "self") continue; // of a form without this state
    in.expect(list.size() == params.size(), name, " of ", params.size(), " tensors, found ", list.size());
    for (size_t k = 0; k < list.size(); ++k) {
      const at::Tensor &t = list[k], &p = params[k];
      in.expect(t.layout() == c10::kStrided && t.device() == p.device() && !t.is_complex() && (steps ? t.numel() == 1 : t.sizes() == p.sizes() && t.strides() == p.strides()),
                name, steps ? " of one element each" : " of the shape and strides of self", ", found ", t.sizes(), " for ", p.sizes());
      in.expect(steps ? t.scalar_type() == at::kFloat : t.scalar_type() == p.scalar_type() && t.is_floating_point(), name, " of ",
                steps ? "dtype float32" : "self's dtype, of floating point", ", found ", c10::toString(t.scalar_type()));
      in.expect(steps || t.is_non_overlapping_and_dense(), name, " without gaps or overlaps, found strides ", t.strides());
    }
  }
  for (const char* name : {"grad_scale", "found_inf"}) {
    in.elements(name, 1);
    in.dtype(name, at::kFloat);
  }
}

// Looks for the best of n_bins steps until `1 - ratio` of them are left: never, for a ratio above 1.
void quantization(const Arguments& in) {
  const double ratio = in["ratio"].toDouble();
  const int64_t bins = in.integer("n_bins");
  in.expect(ratio >= 0 && ratio <= 1, "ratio between 0 and 1, found ", ratio);
  in.expect(bins >= 1 && bins <= 65536, "n_bins between 1 and 65536, found ", bins);
}

}  // namespace

void checkAttention(const Arguments& in) {
  const at::Tensor q = in.tensor("query"), k = in.tensor("key"), v = in.tensor("value");
  for (const char* name : {"query", "key", "value"}) {
    in.strided(name);
    const at::Tensor t = in.tensor(name);
    in.expect(t.dim() == 4 && t.numel() > 0, name, " [batch, heads, length, head_dim] with elements, found ", t.sizes());
    in.sameDtype(name, "query");
  }
  in.expect(k.sizes() == v.sizes() && k.size(0) == q.size(0) && k.size(3) == q.size(3) && q.size(1) % k.size(1) == 0,
            "key and value of one shape, with query's batch and head_dim and a number of heads that divides query's, found query ", q.sizes(),
            ", key ", k.sizes(), ", value ", v.sizes());
  const at::Tensor mask = in.optional("attn_mask");
  if (!mask.defined()) return;
  in.strided("attn_mask");
  bool fits = mask.dim() == 2 || mask.dim() == 4;
  const int64_t full[] = {k.size(2), q.size(2), q.size(1), q.size(0)};
  for (int64_t i = 0; fits && i < mask.dim(); ++i) fits = mask.size(-1 - i) == 1 || mask.size(-1 - i) == full[i];
  in.expect(fits, "attn_mask that broadcasts to [batch, heads, query length, key length], found ", mask.sizes());
}

// _foreach_*: autograd reads one of each list for every tensor, before the kernel compares their lengths.
void checkForeach(const Arguments& in) {
  size_t count = 0;
  const char* first = nullptr;
  const auto& schema = in.op().handle.schema().arguments();
  for (size_t i = 0; i < schema.size(); ++i) {
    const c10::IValue& value = in.values()[i];
    if (!value.isList()) continue;
    const size_t size = value.toListRef().size();
    if (first == nullptr) {
      first = schema[i].name().c_str();
      count = size;
    }
    in.expect(size == count, schema[i].name(), " of as many elements as ", first, ", ", count, ", found ", size);
  }
}

const GuardTable& forwardGuards() {
  static const GuardTable table = {
      {"aten::pdist", distances},
      {"aten::_pdist_forward", distances},
      {"aten::quantized_lstm_cell", refuse},
      {"aten::quantized_gru_cell", refuse},
      {"aten::quantized_rnn_relu_cell", refuse},
      {"aten::quantized_rnn_tanh_cell", refuse},
      {"aten::mkldnn_rnn_layer", refuse},
      {"aten::mkldnn_rnn_layer_backward", refuse},
      {"aten::_weight_norm_interface", refuse},
      {"aten::_weight_norm_interface_backward", refuse},
      {"aten::_weight_norm_differentiable_backward", refuse},
      {"aten::fbgemm_pack_gemm_matrix_fp16", disguised},
      {"aten::fbgemm_pack_quantized_matrix", disguised},
      {"aten::fbgemm_linear_fp16_weight", disguised},
      {"aten::fbgemm_linear_fp16_weight_fp32_activation", disguised},
      {"aten::fbgemm_linear_int8_weight", disguised},
      {"aten::fbgemm_linear_int8_weight_fp32_activation", disguised},
      {"aten::fbgemm_linear_quantize_weight", withElements},
      {"aten::to_mkldnn", withElements},
      {"aten::_weight_norm", weightNorm},
      {"aten::native_group_norm", groupNorm},
      {"aten::chunk", pieces},
      {"aten::unsafe_chunk", pieces},
      {"aten::tensor_split", pieces},
      {"aten::hsplit", pieces},
      {"aten::vsplit", pieces},
      {"aten::dsplit", pieces},
      {"aten::array_split", pieces},
      {"aten::combinations", combinations},
      {"aten::copy", copy},
      {"aten::lu_unpack", luUnpack},
      {"aten::linalg_lu_solve", luSolve},
      {"aten::lu_solve", luSolve},
      {"aten::linalg_ldl_solve", ldlSolve},
      {"aten::lstm", recurrent},
      {"aten::gru", recurrent},
      {"aten::rnn_tanh", recurrent},
      {"aten::rnn_relu", recurrent},
      {"aten::_scaled_dot_product_flash_attention_for_cpu", checkAttention},
      {"aten::segment_reduce", unchecked},
      {"aten::gcd", divisor},
      {"aten::gcd_", divisor},
      {"aten::lcm", divisor},
      {"aten::lcm_", divisor},
      {"aten::div.Tensor_mode", division},
      {"aten::div.Scalar_mode", division},
      {"aten::div_.Tensor_mode", division},
      {"aten::div_.Scalar_mode", division},
      {"aten::divide.Tensor_mode", division},
      {"aten::divide.Scalar_mode", division},
      {"aten::divide_.Tensor_mode", division},
      {"aten::divide_.Scalar_mode", division},
      {"aten::linalg_eigvals", finite},
      {"aten::choose_qparams_optimized", quantization},
      {"aten::adaptive_max_pool1d", pooledSize},
      {"aten::adaptive_max_pool2d", pooledSize},
      {"aten::adaptive_max_pool3d", pooledSize},
      {"aten::adaptive_avg_pool1d", pooledSize},
      {"aten::adaptive_avg_pool2d", pooledSize},
      {"aten::_adaptive_avg_pool2d", pooledSize},
      {"aten::mkldnn_adaptive_avg_pool2d", pooledSize},
      {"aten::adaptive_avg_pool3d", pooledSize},
      {"aten::_adaptive_avg_pool3d", pooledSize},
      {"aten::_sparse_coo_tensor_unsafe", sparseParts},
      {"aten::resize_", newSize},
      {"aten::resize", newSize},
      {"aten::_resize_output_", newSize},
      {"aten::set_.source_Storage_storage_offset", newSize},
      {"aten::set_.source_Tensor_storage_offset", newSize},
      {"aten::sparse_resize_", newSize},
      {"aten::sparse_resize_and_clear_", newSize},
      {"aten::_reshape_alias", newSize},
      {"aten::fused_moving_avg_obs_fake_quant", observedQuantization},
      {"aten::_fused_moving_avg_obs_fq_helper", observedQuantization},
      {"aten::scaled_dot_product_attention", headsOfAttention},
      {"aten::_scaled_dot_product_attention_math", headsOfAttention},
      {"aten::_fused_sgd", fusedOptimizer},
      {"aten::_fused_sgd_", fusedOptimizer},
      {"aten::_fused_adam", fusedOptimizer},
      {"aten::_fused_adam_", fusedOptimizer},
      {"aten::_fused_adamw", fusedOptimizer},
      {"aten::_fused_adamw_", fusedOptimizer},
      {"aten::_fused_adagrad", fusedOptimizer},
      {"aten::_fused_adagrad_", fusedOptimizer},
      {"aten::embedding_bag", embeddingBag},
      {"aten::_embedding_bag", embeddingBagKernel},
      {"aten::_embedding_bag_forward_only", embeddingBagKernel},
      {"aten::native_batch_norm", batchNorm},
      {"aten::batch_norm_update_stats", batchNorm},
      {"aten::special_chebyshev_polynomial_t", polynomial},
      {"aten::special_chebyshev_polynomial_u", polynomial},
      {"aten::special_chebyshev_polynomial_v", polynomial},
      {"aten::special_chebyshev_polynomial_w", polynomial},
      {"aten::special_hermite_polynomial_h", polynomial},
      {"aten::special_hermite_polynomial_he", polynomial},
      {"aten::special_laguerre_polynomial_l", polynomial},
      {"aten::special_legendre_polynomial_p", polynomial},
      {"aten::special_shifted_chebyshev_polynomial_t", polynomial},
      {"aten::special_shifted_chebyshev_polynomial_u", polynomial},
      {"aten::special_shifted_chebyshev_polynomial_v", polynomial},
      {"aten::special_shifted_chebyshev_polynomial_w", polynomial},
  };
  return table;
}

}  // namespace torchforge
