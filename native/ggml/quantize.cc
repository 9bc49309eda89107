// forge::quantize_ggml: float32 to the quantized blocks of GGML, the types of GGUF files. Equal to llama.cpp's reference
// to the byte: every product and sum is rounded to float32, in the reference's order. What the reference does to one
// sub-block of a K-quant is done here to eight at once, a sub-block a lane, so that the order within each stays.
#include "../cpu_capability.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/Half.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>

// A fused multiply-add rounds once where the reference rounds twice.
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

namespace forge {
namespace {

using at::Tensor;

constexpr int kLanes = 8;
using Floats = float __attribute__((vector_size(4 * kLanes)));
using Ints = int32_t __attribute__((vector_size(4 * kLanes)));

Floats spread(float x) {
  return Floats{} + x;
}
Floats absolute(Floats x) {
  return x < 0 ? -x : x;
}
Floats square_root(Floats x) {
  for (int j = 0; j < kLanes; ++j) x[j] = std::sqrt(x[j]);
  return x;
}
Floats to_floats(Ints x) {
  return __builtin_convertvector(x, Floats);
}
Ints clamp(Ints x, int low, int high) {
  const Ints least = Ints{} + low, most = Ints{} + high;
  x = x < least ? least : x;
  return x > most ? most : x;
}

/// Rounds half to even: the sum's last bits are the integer.
Ints nearest(Floats x) {
  const Floats shifted = x + 12582912.0f;
  Ints bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  return (bits & 0x007fffff) - 0x00400000;
}
int nearest(float x) {
  const float shifted = x + 12582912.0f;
  int32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  return (bits & 0x007fffff) - 0x00400000;
}

uint16_t half_bits(float x) {
  return c10::Half(x).x;
}
float from_half(uint16_t bits) {
  return static_cast<float>(c10::Half(bits, c10::Half::from_bits()));
}
void put_half(uint8_t* to, uint16_t bits) {
  std::memcpy(to, &bits, sizeof bits);
}

/// Element i of eight consecutive runs of `n` elements, a run a lane.
template <int n>
std::array<Floats, n> by_lane(const float* x) {
  std::array<Floats, n> out;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < kLanes; ++j) out[i][j] = x[j * n + i];
  return out;
}

struct ScaleAndMin {
  Floats scale;
  /// What is subtracted, not negative.
  Floats min;
};

/// Scale and minimum of x ~ scale * l - min, 0 <= l <= most, for eight sub-blocks: weighted least squares for each of
/// `steps` + 1 ways to round, of which the best is taken. Writes l to `codes`.
template <int n>
ScaleAndMin fit_scale_and_min(const std::array<Floats, n>& x, const std::array<Floats, n>& weights, int most,
                              float first, int steps, std::array<Ints, n>& codes) {
  Floats min = x[0], max = x[0];
  Floats sum_w = weights[0], sum_x = sum_w * x[0];
  for (int i = 1; i < n; ++i) {
    min = x[i] < min ? x[i] : min;
    max = x[i] > max ? x[i] : max;
    sum_w = sum_w + weights[i];
    sum_x = sum_x + weights[i] * x[i];
  }
  min = min > 0 ? Floats{} : min;
  const Ints flat = max == min;
  const Floats flat_min = min;
  Floats inverse = spread(static_cast<float>(most)) / (max - min);
  Floats scale = spread(1.0f) / inverse;
  Floats best{};
  for (int i = 0; i < n; ++i) {
    codes[i] = clamp(nearest(inverse * (x[i] - min)), 0, most);
    const Floats off = scale * to_floats(codes[i]) + min - x[i];
    best = best + weights[i] * (off * off);
  }
  std::array<Ints, n> tried;
  for (int step = 0; step <= steps; ++step) {
    inverse = spread(first + 0.1f * static_cast<float>(step) + static_cast<float>(most)) / (max - min);
    Floats sum_l{}, sum_l2{}, sum_xl{};
    for (int i = 0; i < n; ++i) {
      tried[i] = clamp(nearest(inverse * (x[i] - min)), 0, most);
      const Floats l = to_floats(tried[i]);
      const Floats wl = weights[i] * l;
      sum_l = sum_l + wl;
      sum_l2 = sum_l2 + wl * l;
      sum_xl = sum_xl + wl * x[i];
    }
    const Floats determinant = sum_w * sum_l2 - sum_l * sum_l;
    Floats fitted_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    Floats fitted_min = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
    const Ints positive = fitted_min > 0;
    fitted_scale = positive ? sum_xl / sum_l2 : fitted_scale;
    fitted_min = positive ? Floats{} : fitted_min;
    Floats error{};
    for (int i = 0; i < n; ++i) {
      const Floats off = fitted_scale * to_floats(tried[i]) + fitted_min - x[i];
      error = error + weights[i] * (off * off);
    }
    const Ints better = (determinant > 0) & (error < best);
    for (int i = 0; i < n; ++i) codes[i] = better ? tried[i] : codes[i];
    best = better ? error : best;
    scale = better ? fitted_scale : scale;
    min = better ? fitted_min : min;
  }
  for (int i = 0; i < n; ++i) codes[i] = flat ? Ints{} : codes[i];
  return {flat ? Floats{} : scale, -(flat ? flat_min : min)};
}

/// Scale of x ~ scale * (l - most), 0 <= l < 2 * most, for eight sub-blocks, weighted by x squared. Writes l to `codes`.
template <int n>
Floats fit_scale(const std::array<Floats, n>& x, int most, std::array<Ints, n>& codes) {
  Floats max{}, largest{};
  for (int i = 0; i < n; ++i) {
    const Floats a = absolute(x[i]);
    const Ints larger = a > largest;
    max = larger ? x[i] : max;
    largest = larger ? a : largest;
  }
  const Ints zero = largest < 1e-15f;
  Floats sum_xl, sum_l2;
  std::array<Ints, n> tried;
  const auto round_by = [&](Floats inverse) {
    sum_xl = sum_l2 = Floats{};
    for (int i = 0; i < n; ++i) {
      tried[i] = clamp(nearest(inverse * x[i]), -most, most - 1);
      const Floats l = to_floats(tried[i]);
      const Floats w = x[i] * x[i];
      sum_xl = sum_xl + w * x[i] * l;
      sum_l2 = sum_l2 + w * l * l;
    }
  };
  round_by(spread(static_cast<float>(-most)) / max);
  for (int i = 0; i < n; ++i) codes[i] = tried[i] + most;
  Floats scale = sum_l2 != 0 ? sum_xl / sum_l2 : Floats{};
  Floats best = scale * sum_xl;
  for (int step = -9; step <= 9; ++step) {
    if (step == 0) continue;
    round_by(spread(-(static_cast<float>(most) + 0.1f * static_cast<float>(step))) / max);
    const Ints better = (sum_l2 > 0) & (sum_xl * sum_xl > best * sum_l2);
    const Floats fitted = sum_xl / sum_l2;
    for (int i = 0; i < n; ++i) codes[i] = better ? tried[i] + most : codes[i];
    scale = better ? fitted : scale;
    best = better ? fitted * sum_xl : best;
  }
  for (int i = 0; i < n; ++i) codes[i] = zero ? Ints{} : codes[i];
  return zero ? Floats{} : scale;
}

constexpr int kSuper = 256;

/// What Q4_K and Q5_K have in common: d, dmin and the packed six-bit scales at `out`, the codes in `flat`.
void scales_and_codes(const float* x, int most, float first, int steps, uint8_t* out, uint8_t* flat) {
  constexpr int n = kSuper / kLanes;
  const auto values = by_lane<n>(x);
  Floats squares{};
  for (int i = 0; i < n; ++i) squares = squares + values[i] * values[i];
  const Floats mean = square_root(squares / static_cast<float>(n));
  std::array<Floats, n> weights;
  for (int i = 0; i < n; ++i) weights[i] = mean + absolute(values[i]);
  std::array<Ints, n> codes;
  const auto [scale, min] = fit_scale_and_min<n>(values, weights, most, first, steps, codes);

  float max_scale = 0, max_min = 0;
  for (int j = 0; j < kLanes; ++j) {
    if (scale[j] > max_scale) max_scale = scale[j];
    if (min[j] > max_min) max_min = min[j];
  }
  const float inverse_scale = max_scale > 0 ? 63.0f / max_scale : 0.0f;
  const float inverse_min = max_min > 0 ? 63.0f / max_min : 0.0f;
  const uint16_t d = half_bits(max_scale / 63.0f), dmin = half_bits(max_min / 63.0f);
  put_half(out, d);
  put_half(out + 2, dmin);
  uint8_t* packed = out + 4;
  std::memset(packed, 0, 12);
  Floats step, offset;
  for (int j = 0; j < kLanes; ++j) {
    const int s = std::min(63, nearest(inverse_scale * scale[j]) & 255);
    const int m = std::min(63, nearest(inverse_min * min[j]) & 255);
    if (j < 4) {
      packed[j] = static_cast<uint8_t>(s);
      packed[j + 4] = static_cast<uint8_t>(m);
    } else {
      packed[j + 4] = static_cast<uint8_t>((s & 15) | ((m & 15) << 4));
      packed[j - 4] |= static_cast<uint8_t>((s >> 4) << 6);
      packed[j] |= static_cast<uint8_t>((m >> 4) << 6);
    }
    step[j] = from_half(d) * static_cast<float>(s);
    offset[j] = from_half(dmin) * static_cast<float>(m);
  }
  const Ints used = step != 0;
  for (int i = 0; i < n; ++i) {
    const Ints again = clamp(nearest((values[i] + offset) / step), 0, most);
    codes[i] = used ? again : codes[i];
    for (int j = 0; j < kLanes; ++j) flat[j * n + i] = static_cast<uint8_t>(codes[i][j]);
  }
}

/// 144 bytes: d, dmin, 12 of scales, 128 of codes.
void q4_k(const float* x, uint8_t* out) {
  uint8_t codes[kSuper];
  scales_and_codes(x, 15, -1.0f, 20, out, codes);
  uint8_t* q = out + 16;
  for (int j = 0; j < kSuper; j += 64, q += 32)
    for (int i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>(codes[j + i] | (codes[j + i + 32] << 4));
}

/// 176 bytes: d, dmin, 12 of scales, 32 of the codes' fifth bits, 128 of their lower four.
void q5_k(const float* x, uint8_t* out) {
  uint8_t codes[kSuper];
  scales_and_codes(x, 31, -0.5f, 15, out, codes);
  uint8_t* high = out + 16;
  uint8_t* low = out + 48;
  std::memset(high, 0, 32);
  for (int j = 0; j < kSuper; j += 64, low += 32) {
    for (int i = 0; i < 32; ++i) {
      const int a = codes[j + i], b = codes[j + i + 32];
      low[i] = static_cast<uint8_t>((a & 15) | ((b & 15) << 4));
      high[i] |= static_cast<uint8_t>(((a >> 4) << (j / 32)) | ((b >> 4) << (j / 32 + 1)));
    }
  }
}

/// 210 bytes: 128 of the codes' lower four bits, 64 of their upper two, 16 scales, d.
void q6_k(const float* x, uint8_t* out) {
  constexpr int n = 16;
  uint8_t codes[kSuper];
  float scales[n];
  std::array<std::array<Floats, n>, 2> values;
  std::array<std::array<Ints, n>, 2> fitted;
  float max_scale = 0, largest = 0;
  for (int half = 0; half < 2; ++half) {
    values[half] = by_lane<n>(x + half * kSuper / 2);
    const Floats scale = fit_scale<n>(values[half], 32, fitted[half]);
    for (int j = 0; j < kLanes; ++j) {
      scales[half * kLanes + j] = scale[j];
      const float a = std::fabs(scale[j]);
      if (a > largest) {
        largest = a;
        max_scale = scale[j];
      }
    }
  }
  if (largest < 1e-15f) {
    std::memset(out, 0, 210);
    return;
  }
  const float inverse = -128.0f / max_scale;
  const uint16_t d = half_bits(1 / inverse);
  put_half(out + 208, d);
  for (int half = 0; half < 2; ++half) {
    Floats step;
    for (int j = 0; j < kLanes; ++j) {
      const int s = std::min(127, nearest(inverse * scales[half * kLanes + j]));
      out[192 + half * kLanes + j] = static_cast<uint8_t>(static_cast<int8_t>(s));
      step[j] = from_half(d) * static_cast<float>(static_cast<int8_t>(s));
    }
    const Ints used = step != 0;
    for (int i = 0; i < n; ++i) {
      const Ints again = clamp(nearest(values[half][i] / step), -32, 31) + 32;
      const Ints code = used ? again : fitted[half][i];
      for (int j = 0; j < kLanes; ++j) codes[half * kSuper / 2 + j * n + i] = static_cast<uint8_t>(code[j]);
    }
  }
  uint8_t* low = out;
  uint8_t* high = out + 128;
  for (int j = 0; j < kSuper; j += 128, low += 64, high += 32) {
    for (int i = 0; i < 32; ++i) {
      const int a = codes[j + i], b = codes[j + i + 32], c = codes[j + i + 64], e = codes[j + i + 96];
      low[i] = static_cast<uint8_t>((a & 15) | ((c & 15) << 4));
      low[i + 32] = static_cast<uint8_t>((b & 15) | ((e & 15) << 4));
      high[i] = static_cast<uint8_t>((a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((e >> 4) << 6));
    }
  }
}

constexpr int kBlock = 32;

/// The element of the largest magnitude, with its sign.
float extreme(const float* x) {
  float largest = 0, found = 0;
  for (int i = 0; i < kBlock; ++i) {
    if (std::fabs(x[i]) > largest) {
      largest = std::fabs(x[i]);
      found = x[i];
    }
  }
  return found;
}

void put_fifth_bits(uint8_t* to, const uint8_t* codes) {
  uint32_t bits = 0;
  for (int i = 0; i < kBlock; ++i) bits |= static_cast<uint32_t>(codes[i] >> 4) << i;
  std::memcpy(to, &bits, sizeof bits);
}
void put_nibbles(uint8_t* to, const uint8_t* codes) {
  for (int i = 0; i < kBlock / 2; ++i)
    to[i] = static_cast<uint8_t>((codes[i] & 15) | ((codes[i + kBlock / 2] & 15) << 4));
}

/// 18 bytes: d, 16 of codes.
void q4_0(const float* x, uint8_t* out) {
  const float d = extreme(x) / -8;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  put_half(out, half_bits(d));
  uint8_t codes[kBlock];
  for (int i = 0; i < kBlock; ++i)
    codes[i] = static_cast<uint8_t>(std::min<int>(15, static_cast<int8_t>(x[i] * inverse + 8.5f)));
  put_nibbles(out + 2, codes);
}

/// 22 bytes: d, 4 of fifth bits, 16 of codes.
void q5_0(const float* x, uint8_t* out) {
  const float d = extreme(x) / -16;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  put_half(out, half_bits(d));
  uint8_t codes[kBlock];
  for (int i = 0; i < kBlock; ++i)
    codes[i] = static_cast<uint8_t>(std::min<int>(31, static_cast<int8_t>(x[i] * inverse + 16.5f)));
  put_fifth_bits(out + 2, codes);
  put_nibbles(out + 6, codes);
}

/// 24 bytes: d, the minimum, 4 of fifth bits, 16 of codes.
void q5_1(const float* x, uint8_t* out) {
  const auto [low, high] = std::minmax_element(x, x + kBlock);
  const float min = *low;
  const float d = (*high - min) / 31;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  put_half(out, half_bits(d));
  put_half(out + 2, half_bits(min));
  uint8_t codes[kBlock];
  for (int i = 0; i < kBlock; ++i) codes[i] = static_cast<uint8_t>((x[i] - min) * inverse + 0.5f);
  put_fifth_bits(out + 4, codes);
  put_nibbles(out + 8, codes);
}

/// 34 bytes: d, 32 of codes.
void q8_0(const float* x, uint8_t* out) {
  const float d = std::fabs(extreme(x)) / 127;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  put_half(out, half_bits(d));
  for (int i = 0; i < kBlock; ++i) out[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::round(x[i] * inverse)));
}

struct Type {
  std::string_view name;
  int elements;
  int bytes;
  void (*block)(const float*, uint8_t*);
};
constexpr Type kTypes[] = {
    {"Q4_0", kBlock, 18, q4_0},  {"Q5_0", kBlock, 22, q5_0},  {"Q5_1", kBlock, 24, q5_1}, {"Q8_0", kBlock, 34, q8_0},
    {"Q4_K", kSuper, 144, q4_k}, {"Q5_K", kSuper, 176, q5_k}, {"Q6_K", kSuper, 210, q6_k},
};

/// Blocks that a thread takes at least.
constexpr int64_t kBlocksAThread = 64;

Tensor quantize_ggml(const Tensor& x, c10::string_view name) {
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const Type& one) { return one.name == name; });
  TORCH_CHECK(type != std::end(kTypes), "quantize_ggml: there is no type ", name);
  TORCH_CHECK(x.device().is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous() && x.dim() >= 1,
              "quantize_ggml: expected a contiguous float32 tensor on the CPU, found ", x.scalar_type(), " of shape ",
              x.sizes(), " on ", x.device());
  TORCH_CHECK(x.size(-1) % type->elements == 0, "quantize_ggml: expected rows of a multiple of ", type->elements,
              " elements, found ", x.size(-1));
  const auto blocks = x.numel() / type->elements;
  auto out = at::empty({blocks * type->bytes}, x.options().dtype(at::kByte));
  const auto* from = x.const_data_ptr<float>();
  auto* to = out.mutable_data_ptr<uint8_t>();
  at::parallel_for(0, blocks, kBlocksAThread, [&](int64_t begin, int64_t end) {
    for (auto i = begin; i < end; ++i) type->block(from + i * type->elements, to + i * type->bytes);
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) { m.def("quantize_ggml(Tensor x, str type) -> Tensor"); }
TORCH_LIBRARY_IMPL(forge, CPU, m) { m.impl("quantize_ggml", quantize_ggml); }

}  // namespace forge
