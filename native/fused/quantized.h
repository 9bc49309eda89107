// Weights that are stored in fewer bits, row by row: each row of a matrix [O, I] is one range of bytes that can be read by
// itself, so that ranks divide such a matrix by rows as any other. What follows is how a row of each format looks, and how it
// becomes numbers again; quantize.cc makes rows, quantized_linear.cc multiplies with them.
//
//   nf4         codes, two a byte, the first one high [I / 2]; largest magnitude of each block of 64, fp32 [I / 64]
//   nf4-nested  codes as nf4; the blocks' magnitudes less `offset`, 8 bits each [I / 64, to a multiple of 4]; fp32 offset; int32
//               `first`: blocks until the next group of 256; fp32 scale of each group that the row has a part of
//   int8        codes [I, to a multiple of 4]; fp32 scale
//   fp8         float8_e4m3fn [I, to a multiple of 4]; fp32 scale
//
// nf4 and nf4-nested are the numbers of bitsandbytes (QLoRA, Dettmers et al. 2023, https://arxiv.org/abs/2305.14314), whose
// blocks run on from row to row: rows of whole blocks are the same.
#pragma once

#include "fused.h"

#include <c10/util/Float8_e4m3fn.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace forge {

constexpr int64_t kBlock = 64;    // weights of a block
constexpr int64_t kGroup = 256;   // blocks of a group, whose magnitudes share a scale

enum class Quantization { nf4, nf4_nested, int8, fp8 };

inline Quantization quantization_of(c10::string_view name) {
  if (name == "nf4") return Quantization::nf4;
  if (name == "nf4-nested") return Quantization::nf4_nested;
  if (name == "int8") return Quantization::int8;
  TORCH_CHECK(name == "fp8", "expected the format nf4, nf4-nested, int8 or fp8, found ", name);
  return Quantization::fp8;
}

inline int64_t to_four(int64_t n) { return (n + 3) / 4 * 4; }

/// The most groups that `blocks` consecutive blocks are part of.
inline int64_t groups_of(int64_t blocks) { return (blocks + kGroup - 2) / kGroup + 1; }

inline int64_t row_bytes(Quantization q, int64_t columns) {
  const int64_t blocks = columns / kBlock;
  switch (q) {
    case Quantization::nf4: return columns / 2 + 4 * blocks;
    case Quantization::nf4_nested: return columns / 2 + to_four(blocks) + 8 + 4 * groups_of(blocks);
    default: return to_four(columns) + 4;
  }
}

/// The 16 numbers of nf4: quantiles of the normal distribution.
inline constexpr float kNf4[16] = {-1.0f,
                                   -0.6961928009986877f,
                                   -0.5250730514526367f,
                                   -0.39491748809814453f,
                                   -0.28444138169288635f,
                                   -0.18477343022823334f,
                                   -0.09105003625154495f,
                                   0.0f,
                                   0.07958029955625534f,
                                   0.16093020141124725f,
                                   0.24611230194568634f,
                                   0.33791524171829224f,
                                   0.44070982933044434f,
                                   0.5626170039176941f,
                                   0.7229568362236023f,
                                   1.0f};

/// The 256 numbers in which magnitudes are stored: the dynamic map of Dettmers 2015, https://arxiv.org/abs/1511.04561.
const float* nested_map();

/// 64 codes to numbers.
inline void decode_block(const uint8_t* codes, float largest, float* out) {
#if defined(__AVX2__)
  const __m256 low = _mm256_loadu_ps(kNf4), high = _mm256_loadu_ps(kNf4 + 8), scale = _mm256_set1_ps(largest);
  const __m128i nibble = _mm_set1_epi8(15);
  for (int i = 0; i < 32; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i));
    const __m128i first = _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble), second = _mm_and_si128(bytes, nibble);
    const __m128i pairs[2] = {_mm_unpacklo_epi8(first, second), _mm_unpackhi_epi8(first, second)};
    for (int half = 0; half < 2; ++half) {
      for (int part = 0; part < 2; ++part) {
        const __m256i index = _mm256_cvtepu8_epi32(part == 0 ? pairs[half] : _mm_srli_si128(pairs[half], 8));
        const __m256 value = _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, index), _mm256_permutevar8x32_ps(high, index),
                                              _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
        _mm256_storeu_ps(out + 2 * i + 16 * half + 8 * part, _mm256_mul_ps(value, scale));
      }
    }
  }
#else
  for (int i = 0; i < 32; ++i) {
    out[2 * i] = kNf4[codes[i] >> 4] * largest;
    out[2 * i + 1] = kNf4[codes[i] & 15] * largest;
  }
#endif
}

inline float float_at(const uint8_t* bytes) {
  float value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

/// The magnitude of a row's block.
inline float largest_of(Quantization q, const uint8_t* row, int64_t columns, int64_t block) {
  const uint8_t* after = row + columns / 2;
  if (q == Quantization::nf4) return float_at(after + 4 * block);
  const int64_t blocks = columns / kBlock;
  const uint8_t* rest = after + to_four(blocks);
  int32_t first;
  std::memcpy(&first, rest + 4, sizeof(first));
  const int64_t group = block < first ? 0 : 1 + (block - first) / kGroup;
  // volatile, so that no compiler makes one rounding of the two.
  const volatile float product = nested_map()[after[block]] * float_at(rest + 8 + 4 * group);
  return product + float_at(rest);
}

/// Columns [begin, begin + count) of a row as numbers, rounded once. For nf4 both are multiples of 64.
template <typename T>
inline void decode_row(Quantization q, const uint8_t* row, int64_t columns, int64_t begin, int64_t count, T* out) {
  float buffer[kBlock];
  const auto put = [&](int64_t at, int64_t n) {
    int64_t i = 0;
    if constexpr (!std::is_same_v<T, Acc<T>>)
      for (; i + Wide<T>::size <= n; i += Wide<T>::size) {
        const auto wide = Wide<float>::load(buffer + i);
        Wide<T>(wide.lo, wide.hi).store(out + at + i);
      }
    if constexpr (!std::is_same_v<T, float>)
      for (; i < n; ++i) out[at + i] = static_cast<T>(buffer[i]);
  };
  if (q == Quantization::nf4 || q == Quantization::nf4_nested) {
    for (int64_t at = 0; at < count; at += kBlock) {
      const int64_t column = begin + at;
      float* to = buffer;
      if constexpr (std::is_same_v<T, float>) to = out + at;
      decode_block(row + column / 2, largest_of(q, row, columns, column / kBlock), to);
      put(at, kBlock);
    }
    return;
  }
  const float scale = float_at(row + to_four(columns));
  for (int64_t at = 0; at < count; at += kBlock) {
    const int64_t n = std::min(kBlock, count - at);
    float* to = buffer;
    if constexpr (std::is_same_v<T, float>) to = out + at;
    const uint8_t* codes = row + begin + at;
    if (q == Quantization::int8) {
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(static_cast<int8_t>(codes[i])) * scale;
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = c10::detail::fp8e4m3fn_to_fp32_value(codes[i]) * scale;
    }
    put(at, n);
  }
}

/// Some of a matrix's rows and columns as numbers. @param rows [O, bytes of a row], uint8
Tensor dequantize(const Tensor& rows, Quantization q, int64_t columns, at::ScalarType dtype, int64_t first_row, int64_t num_rows,
                  int64_t first_column, int64_t num_columns);

}  // namespace forge
