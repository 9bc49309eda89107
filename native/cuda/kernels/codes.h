// Numbers of fewer bits than they are computed in: the 8-bit codes of an optimizer's moments, and stochastic rounding to bf16. Read
// by NVRTC, by the emulation and by the addon, so that a CPU and a GPU round alike: integer arithmetic, and fused multiply-adds
// that are written out.
//
// The codes are those of Dettmers et al. 2022 (8-bit Optimizers via Block-wise Quantization, https://arxiv.org/abs/2110.02861;
// bitsandbytes' dynamic map): seven decades, the largest with the most steps. A code's leading one says its decade, the bits below
// are steps of equal size within it. As a block's largest number is the largest code, the map is scaled to end at 1.
#pragma once

#ifdef __CUDACC_RTC__
#define FORGE_BOTH __device__ inline
#else
#define FORGE_BOTH inline
#endif

/// The most elements of a row that share a scale. A row's blocks differ by one element at most, so that a row that is divided
/// among ranks has the same blocks as a whole one wherever it has as many.
constexpr int kCodeBlock = 256;

FORGE_BOTH int code_blocks_of_row(long long columns) {
  return static_cast<int>((columns + kCodeBlock - 1) / kCodeBlock);
}

/// Where a row's block begins.
FORGE_BOTH int code_block_start(long long columns, int block) {
  return static_cast<int>(block * columns / code_blocks_of_row(columns));
}
constexpr int kDecades = 7;

/// Of first moments: the magnitude's code, 0 to 127, with the number's sign. Of second moments: 0 to 255.
template <bool kSigned>
struct CodeMap {
  /// The middle of the topmost step, of 64 or 128.
  static constexpr float top = kSigned ? 1.f - 0.45f / 64.f : 1.f - 0.45f / 128.f;
  static constexpr float first_steps = kSigned ? 1.f : 2.f;
  static constexpr int first_code = kSigned ? 0 : -1;
};

/// What a magnitude's code stands for, relative to the largest of its block.
template <bool kSigned>
FORGE_BOTH float decoded(int code) {
  using Map = CodeMap<kSigned>;
  if (code == 0) return 0.f;
  float steps = Map::first_steps, decade = 1e-6f;
  const int at = code - Map::first_code;
  for (int i = 1; i < kDecades && at >= 2 * static_cast<int>(steps); ++i) {
    steps *= 2.f;
    decade *= 10.f;
  }
  const float middle = (static_cast<float>(at) - steps + 0.5f) / steps;
  return decade * fmaf(0.9f, middle, 0.1f) / Map::top;
}

/// The code of a magnitude that was multiplied by `top` over the largest of its block. A second moment above zero stays above
/// zero: as zero it would let a step of any size pass.
template <bool kSigned>
FORGE_BOTH int encoded(float y) {
  using Map = CodeMap<kSigned>;
  float up = 1e6f, steps = Map::first_steps;
  up = y >= 1e-6f ? 1e5f : up;
  steps = y >= 1e-6f ? 2.f * Map::first_steps : steps;
  up = y >= 1e-5f ? 1e4f : up;
  steps = y >= 1e-5f ? 4.f * Map::first_steps : steps;
  up = y >= 1e-4f ? 1e3f : up;
  steps = y >= 1e-4f ? 8.f * Map::first_steps : steps;
  up = y >= 1e-3f ? 1e2f : up;
  steps = y >= 1e-3f ? 16.f * Map::first_steps : steps;
  up = y >= 1e-2f ? 1e1f : up;
  steps = y >= 1e-2f ? 32.f * Map::first_steps : steps;
  up = y >= 1e-1f ? 1.f : up;
  steps = y >= 1e-1f ? 64.f * Map::first_steps : steps;
  float step = fmaf(y, up, -0.1f) * (steps / 0.9f);
  step = step > 0.f ? step : 0.f;
  step = step < steps - 1.f ? step : steps - 1.f;
  const int code = static_cast<int>(steps) + static_cast<int>(step) + Map::first_code;
  const float least = kSigned ? 2.75e-7f : 0.f;
  return y > least ? code : 0;
}

/// What magnitudes of a block are multiplied by before they are coded. Blocks of next to nothing become zeros.
template <bool kSigned>
FORGE_BOTH float to_codes(float largest) {
  return largest > 1e-36f ? CodeMap<kSigned>::top / largest : 0.f;
}

/// 32 bits that look random, the same for the same number. Source: https://github.com/skeeto/hash-prospector
FORGE_BOTH unsigned mixed(unsigned x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  x ^= x >> 16;
  return x;
}

/// Of an element: the low half for the parameter, the high one for the first moment; mixed once more, for the second.
FORGE_BOTH unsigned random_of(unsigned key, unsigned element) {
  return mixed((element * 0x9e3779b9u) ^ key);
}

/// To the bf16 above or below, with the chance that makes the mean right. `random`: 16 bits. Infinity and NaN stay.
FORGE_BOTH unsigned short stochastic_bf16(unsigned bits, unsigned random) {
  const unsigned isFinite = (bits & 0x7f800000u) != 0x7f800000u;
  const unsigned quiet = (bits & 0x7fffffffu) > 0x7f800000u ? 0x400000u : 0u;
  return static_cast<unsigned short>(((bits + (isFinite ? random : 0u)) | quiet) >> 16);
}
