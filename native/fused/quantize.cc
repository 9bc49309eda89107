// forge::quantize_rows and forge::dequantize: matrices to rows of bytes and back (quantized.h). Off the CPU dequantizing is
// composed of libtorch's operators; quantizing is made on the CPU, while a model is loaded.
#include "quantized.h"

#include <ATen/ATen.h>

#include <array>

namespace forge {

const float* nested_map() {
  static const auto map = [] {
    std::vector<float> numbers = {0.0f, 1.0f};
    for (int i = 0; i < 7; ++i) {
      const auto bounds = at::linspace(0.1, 1, (int64_t{1} << i) + 1, at::kFloat);
      const auto means = (bounds.slice(0, 0, -1) + bounds.slice(0, 1)) / 2.0;
      const auto scaled = (means * std::pow(10.0, i - 6)).contiguous();
      for (int64_t j = 0; j < scaled.numel(); ++j) {
        const float value = scaled.const_data_ptr<float>()[j];
        numbers.push_back(value);
        numbers.push_back(-value);
      }
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
  }();
  return map.data();
}

namespace {

/// Decision bounds between the numbers of nf4.
std::array<float, 15> nf4_bounds() {
  std::array<float, 15> bounds{};
  for (size_t i = 0; i < 15; ++i) bounds[i] = (kNf4[i] + kNf4[i + 1]) / 2;
  return bounds;
}

/// The nearest number of the nested map to one of 65,536 in [-1, 1], to which bitsandbytes rounds before it looks that up.
uint8_t nested_code(float x) {
  const auto bin = static_cast<int64_t>((x + 1.0f) * 32767.5f + 0.5f);
  const double rounded = static_cast<float>(std::clamp<int64_t>(bin, 0, 65535)) / 32767.5f - 1.0f;
  const float* map = nested_map();
  const auto left = std::max<int64_t>(0, std::upper_bound(map, map + 256, rounded) - map - 1);
  return static_cast<uint8_t>(left < 255 && map[left + 1] - rounded < rounded - map[left] ? left + 1 : left);
}

/// The number of bounds below x, without branches.
uint8_t nf4_code(const std::array<float, 15>& bounds, float x) {
  uint8_t code = 0;
  for (const float bound : bounds) code += x > bound;
  return code;
}

float largest_magnitude(const float* x, int64_t n) {
  float most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(x[i]));
  return most;
}

float scaled(float x, float inverse) { return std::min(1.0f, std::max(-1.0f, x * inverse)); }

/// [R, I] to codes [R, I / 2] and magnitudes [R, I / 64].
std::tuple<Tensor, Tensor> quantize_nf4(const Tensor& matrix) {
  const int64_t rows = matrix.size(0), columns = matrix.size(1), blocks = columns / kBlock;
  TORCH_CHECK(columns % kBlock == 0, "quantize_nf4: expected columns in blocks of ", kBlock, ", found ", columns);
  const auto from = matrix.to(at::kFloat).contiguous();
  auto codes = at::empty({rows, columns / 2}, from.options().dtype(at::kByte));
  auto magnitudes = at::empty({rows, blocks}, from.options());
  const float* x = from.const_data_ptr<float>();
  auto* out = codes.mutable_data_ptr<uint8_t>();
  auto* largest = magnitudes.mutable_data_ptr<float>();
  static const auto bounds = nf4_bounds();
  at::parallel_for(0, rows * blocks, kGrain / kBlock / 8, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const float* own = x + block * kBlock;
      largest[block] = largest_magnitude(own, kBlock);
      const float inverse = 1.0f / std::max(largest[block], 1e-38f);
      for (int64_t i = 0; i < kBlock; i += 2)
        out[(block * kBlock + i) / 2] = static_cast<uint8_t>(nf4_code(bounds, scaled(own[i], inverse)) << 4 |
                                                             nf4_code(bounds, scaled(own[i + 1], inverse)));
    }
  });
  return {codes, magnitudes};
}

/// Magnitudes [n] to their 8-bit codes [n], the scale of each group [n / 256] and the offset [1].
std::tuple<Tensor, Tensor, Tensor> nest(const Tensor& magnitudes) {
  const int64_t n = magnitudes.numel(), groups = (n + kGroup - 1) / kGroup;
  const auto offset = magnitudes.mean();
  const auto rest = (magnitudes - offset).contiguous();
  auto codes = at::empty({n}, rest.options().dtype(at::kByte));
  auto scales = at::empty({groups}, rest.options());
  const float* x = rest.const_data_ptr<float>();
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t begin = group * kGroup, count = std::min(kGroup, n - begin);
    const float most = largest_magnitude(x + begin, count);
    scales.mutable_data_ptr<float>()[group] = most;
    const float inverse = most == 0 ? 0 : 1.0f / most;
    for (int64_t i = begin; i < begin + count; ++i) codes.mutable_data_ptr<uint8_t>()[i] = nested_code(x[i] * inverse);
  }
  return {codes, scales, offset.reshape({1})};
}

/// [R, I] to rows of int8 or fp8 with a scale each.
Tensor quantize_by_row(const Tensor& matrix, c10::string_view format) {
  const auto q = quantization_of(format);
  TORCH_CHECK(q == Quantization::int8 || q == Quantization::fp8, "quantize_by_row: expected int8 or fp8, found ", format);
  const int64_t rows = matrix.size(0), columns = matrix.size(1), bytes = row_bytes(q, columns);
  const auto from = matrix.to(at::kFloat).contiguous();
  auto out = at::zeros({rows, bytes}, from.options().dtype(at::kByte));
  const float* x = from.const_data_ptr<float>();
  auto* to = out.mutable_data_ptr<uint8_t>();
  const float most = q == Quantization::int8 ? 127.0f : 448.0f;
  at::parallel_for(0, rows, rows_grain(columns), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* own = x + row * columns;
      uint8_t* codes = to + row * bytes;
      const float scale = std::max(largest_magnitude(own, columns) / most, 1e-38f);
      for (int64_t i = 0; i < columns; ++i) {
        const float value = std::min(most, std::max(-most, own[i] / scale));
        codes[i] = q == Quantization::int8 ? static_cast<uint8_t>(static_cast<int8_t>(std::nearbyint(value)))
                                           : c10::detail::fp8e4m3fn_from_fp32_value(value);
      }
      std::memcpy(codes + to_four(columns), &scale, sizeof(scale));
    }
  });
  return out;
}

template <typename T>
void decode(const Tensor& rows, Quantization q, int64_t columns, int64_t first_row, int64_t num_rows, int64_t first_column,
            int64_t num_columns, Tensor& out) {
  const auto* bytes = rows.const_data_ptr<uint8_t>() + first_row * rows.stride(0);
  const int64_t stride = rows.stride(0);
  auto* to = out.mutable_data_ptr<T>();
  at::parallel_for(0, num_rows, rows_grain(num_columns), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      decode_row<T>(q, bytes + row * stride, columns, first_column, num_columns, to + row * num_columns);
  });
}

Tensor as_floats(const Tensor& bytes) { return bytes.contiguous().view(at::kFloat); }

/// For devices without a kernel: whole rows by libtorch's operators.
Tensor compose(const Tensor& rows, Quantization q, int64_t columns, at::ScalarType dtype) {
  const int64_t count = rows.size(0), blocks = columns / kBlock;
  if (q == Quantization::int8 || q == Quantization::fp8) {
    const auto codes = rows.slice(1, 0, columns).contiguous();
    const auto numbers = codes.view(q == Quantization::int8 ? at::kChar : at::kFloat8_e4m3fn).to(at::kFloat);
    const int64_t at = to_four(columns);
    return numbers.mul_(as_floats(rows.slice(1, at, at + 4))).to(dtype);
  }
  const auto options = rows.options().dtype(at::kFloat);
  const auto packed = rows.slice(1, 0, columns / 2);
  const auto codes = at::stack({at::bitwise_right_shift(packed, 4), at::bitwise_and(packed, 15)}, -1).view({-1});
  const auto table = at::tensor(c10::ArrayRef<float>(kNf4, 16)).to(options.device());
  auto numbers = table.index_select(0, codes.to(at::kInt)).view({count, blocks, kBlock});
  const int64_t after = columns / 2;
  if (q == Quantization::nf4) {
    numbers.mul_(as_floats(rows.slice(1, after, after + 4 * blocks)).unsqueeze(2));
    return numbers.view({count, columns}).to(dtype);
  }
  const int64_t rest = after + to_four(blocks), groups = groups_of(blocks);
  const auto map = at::tensor(c10::ArrayRef<float>(nested_map(), 256)).to(options.device());
  const auto own = map.index_select(0, rows.slice(1, after, after + blocks).reshape({-1}).to(at::kInt)).view({count, blocks});
  const auto offset = as_floats(rows.slice(1, rest, rest + 4));
  const auto first = rows.slice(1, rest + 4, rest + 8).contiguous().view(at::kInt).to(at::kLong);
  const auto scales = as_floats(rows.slice(1, rest + 8, rest + 8 + 4 * groups));
  const auto block = at::arange(blocks, first.options()).unsqueeze(0);
  const auto group = at::where(block < first, at::zeros_like(block), 1 + at::floor_divide(block - first, kGroup));
  numbers.mul_(own.mul(scales.gather(1, group)).add_(offset).unsqueeze(2));
  return numbers.view({count, columns}).to(dtype);
}

Tensor dequantize_whole(const Tensor& rows, c10::string_view format, int64_t columns, at::ScalarType dtype) {
  return dequantize(rows, quantization_of(format), columns, dtype, 0, rows.size(0), 0, columns);
}

Tensor map_of(c10::string_view name) {
  if (name == "nested") return at::tensor(c10::ArrayRef<float>(nested_map(), 256));
  return at::tensor(c10::ArrayRef<float>(kNf4, 16));
}

}  // namespace

Tensor dequantize(const Tensor& rows, Quantization q, int64_t columns, at::ScalarType dtype, int64_t first_row, int64_t num_rows,
                  int64_t first_column, int64_t num_columns) {
  TORCH_CHECK(rows.dim() == 2 && rows.scalar_type() == at::kByte && rows.size(1) == row_bytes(q, columns),
              "dequantize: expected rows of ", row_bytes(q, columns), " bytes for ", columns, " columns, found ", rows.sizes(), " of ",
              rows.scalar_type());
  if (rows.is_meta()) return at::empty({num_rows, num_columns}, rows.options().dtype(dtype));
  if (!rows.is_cpu())
    return compose(rows.narrow(0, first_row, num_rows), q, columns, dtype).narrow(1, first_column, num_columns);
  const auto whole = rows.stride(1) == 1 ? rows : rows.contiguous();
  auto out = at::empty({num_rows, num_columns}, rows.options().dtype(dtype));
  FORGE_FLOATING(dtype, "dequantize", [&] {
    decode<scalar_t>(whole, q, columns, first_row, num_rows, first_column, num_columns, out);
  });
  return out;
}

/// Only for tests: what devices without a kernel compute.
Tensor dequantize_composed(const Tensor& rows, c10::string_view format, int64_t columns, at::ScalarType dtype) {
  return compose(rows, quantization_of(format), columns, dtype);
}

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def("quantize_nf4(Tensor matrix) -> (Tensor, Tensor)");
  m.def("nest_magnitudes(Tensor magnitudes) -> (Tensor, Tensor, Tensor)");
  m.def("quantize_by_row(Tensor matrix, str format) -> Tensor");
  m.def("dequantize(Tensor rows, str format, int columns, ScalarType dtype) -> Tensor");
  m.def("dequantize_composed(Tensor rows, str format, int columns, ScalarType dtype) -> Tensor");
  m.def("quantization_map(str name) -> Tensor");
}
TORCH_LIBRARY_IMPL(forge, CPU, m) {
  m.impl("quantize_nf4", quantize_nf4);
  m.impl("nest_magnitudes", nest);
  m.impl("quantize_by_row", quantize_by_row);
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  m.impl("dequantize", dequantize_whole);
  m.impl("dequantize_composed", dequantize_composed);
  m.impl("quantization_map", map_of);
}

}  // namespace forge
