// forge::adamw_narrow_: one step of AdamW or Adam, as adamw.cc has it, where parameters or moments have fewer bits than the float32
// that it is computed in: bf16, rounded to the nearest or stochastically, and moments as 8-bit codes with one scale for 256 elements
// of a row (codes.h). One pass over memory, a block of codes at a time.
// Stochastic rounding: its random numbers are a hash of key, step and the element's place in the whole parameter, so that they
// depend on neither threads nor shards, and a run that resumes draws the same.
#include "adamw_narrow.h"

#include <array>

namespace forge {

void check_narrow(const NarrowLists& l, int64_t step) {
  const auto count = l.params.size();
  TORCH_CHECK(step >= 1, "adamw_narrow_: steps count from 1, found ", step);
  TORCH_CHECK(l.grads.size() == count && l.ms.size() == count && l.vs.size() == count && l.keys.size() == count &&
                  l.offsets.size() == count && (l.scales.empty() || l.scales.size() == count) &&
                  l.scales.size() == l.sq_scales.size(),
              "adamw_narrow_: expected lists of one length, found ", count, " parameters, ", l.grads.size(), " gradients, ",
              l.ms.size(), " and ", l.vs.size(), " moments, ", l.scales.size(), " and ", l.sq_scales.size(), " scales");
  const auto is_narrow = [](const Tensor& t) { return t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16; };
  for (const auto i : c10::irange(count)) {
    const auto &p = l.params[i], &g = l.grads[i], &m = l.ms[i], &v = l.vs[i];
    const bool coded = is_coded(m);
    TORCH_CHECK(is_narrow(p) && is_narrow(g), "adamw_narrow_: parameter ", i, " is ", p.scalar_type(), " and its gradient ",
                g.scalar_type(), "; expected float32 or bfloat16");
    TORCH_CHECK(coded ? v.scalar_type() == at::kByte && !l.scales.empty() : is_narrow(m) && v.scalar_type() == m.scalar_type(),
                "adamw_narrow_: parameter ", i, " has moments of ", m.scalar_type(), " and ", v.scalar_type(),
                "; expected both float32 or bfloat16, or int8 and uint8 with scales");
    for (const auto* t : {&p, &g, &m, &v}) {
      TORCH_CHECK(t->sizes() == p.sizes() && t->device() == p.device(), "adamw_narrow_: parameter ", i, " has shape ", p.sizes(),
                  " on ", p.device(), ", but its gradient or a moment has ", t->sizes(), " on ", t->device());
    }
    for (const auto* t : {&p, &m, &v}) {
      TORCH_CHECK(t->is_contiguous(), "adamw_narrow_: parameter ", i, " and its moments must be contiguous");
    }
    if (!coded) continue;
    TORCH_CHECK(p.dim() == 2, "adamw_narrow_: moments of int8 are of matrices, found shape ", p.sizes());
    const std::array<int64_t, 2> sizes{p.size(0), int64_t{code_blocks_of_row(p.size(1))}};
    for (const auto* t : {&l.scales[i], &l.sq_scales[i]}) {
      TORCH_CHECK(t->scalar_type() == at::kFloat && t->sizes() == at::IntArrayRef(sizes) && t->is_contiguous() &&
                      t->device() == p.device(),
                  "adamw_narrow_: parameter ", i, " needs scales of float32 and shape ", at::IntArrayRef(sizes), ", found ",
                  t->scalar_type(), " and ", t->sizes());
    }
  }
}

namespace {

using Buffer = std::array<float, kCodeBlock>;
using Bits = std::array<unsigned, kCodeBlock>;

/// What each code stands for, in order of its byte.
template <bool kSigned>
const std::array<float, 256>& values_of_codes() {
  static const auto values = [] {
    std::array<float, 256> all{};
    for (int byte = 0; byte < 256; ++byte) {
      const int code = kSigned ? static_cast<signed char>(byte) : byte;
      all[byte] = kSigned && code < 0 ? -decoded<true>(-code) : decoded<kSigned>(code);
    }
    return all;
  }();
  return values;
}

/// To and from a buffer; `i` counts elements of the tensor.
struct Row {
  void* data;
  at::ScalarType type;

  explicit Row(const Tensor& t) : data(t.mutable_data_ptr()), type(t.scalar_type()) {}
  template <typename T>
  T* at(int64_t i) const {
    return static_cast<T*>(data) + i;
  }

  void read(int64_t i, int n, Buffer& out) const {
    if (type == at::kFloat) {
      std::memcpy(out.data(), at<float>(i), n * sizeof(float));
      return;
    }
    const auto* const x = at<uint16_t>(i);
    Bits bits;
    for (int j = 0; j < n; ++j) bits[j] = static_cast<unsigned>(x[j]) << 16;
    std::memcpy(out.data(), bits.data(), n * sizeof(float));
  }

  /// @param shift of the random bits that are this number's
  void write(int64_t i, int n, const Buffer& in, const Bits* random, int shift) const {
    if (type == at::kFloat) {
      std::memcpy(at<float>(i), in.data(), n * sizeof(float));
      return;
    }
    auto* const x = at<uint16_t>(i);
    Bits bits;
    std::memcpy(bits.data(), in.data(), n * sizeof(float));
    if (random != nullptr) {
      for (int j = 0; j < n; ++j) x[j] = stochastic_bf16(bits[j], ((*random)[j] >> shift) & 0xffffu);
    } else {
      auto* const y = at<c10::BFloat16>(i);
      each<c10::BFloat16>(n, [&](int64_t j, auto count) { store(load_acc<c10::BFloat16>(in.data() + j, count), y + j, count); });
    }
  }
};

template <bool kSigned>
void read_codes(const Tensor& codes, int64_t i, int n, float scale, Buffer& out) {
  const auto* const x = static_cast<const uint8_t*>(codes.const_data_ptr()) + i;
  const auto* const values = values_of_codes<kSigned>().data();
  for (int j = 0; j < n; ++j) out[j] = values[x[j]] * scale;
}

/// @returns the scale
template <bool kSigned>
float write_codes(const Tensor& codes, int64_t i, int n, const Buffer& in) {
  auto* const x = static_cast<int8_t*>(codes.mutable_data_ptr()) + i;
  Buffer sizes;
  for (int j = 0; j < n; ++j) sizes[j] = std::fabs(in[j]);
  const float most = max_of(sizes.data(), n);
  const float to = to_codes<kSigned>(most);
  for (int j = 0; j < n; ++j) {
    const int code = encoded<kSigned>(sizes[j] * to);
    x[j] = static_cast<int8_t>(kSigned && in[j] < 0 ? -code : code);
  }
  return most;
}

/// One block: up to 256 elements from `start` on, and the number of its scale where moments are codes.
struct Place {
  int64_t start;
  int count;
  int64_t scale;
};

void step_block(const NarrowArgs& a, const NarrowLists& l, const Tensor& grad, size_t t, const Place& at, unsigned key) {
  const auto& [start, n, block] = at;
  const auto &m = l.ms[t], &v = l.vs[t];
  const bool coded = is_coded(m);
  const Row param(l.params[t]), gradient(grad);
  Buffer p, g, m0, v0;
  param.read(start, n, p);
  gradient.read(start, n, g);
  auto* const m_scale = coded ? l.scales[t].mutable_data_ptr<float>() + block : nullptr;
  auto* const v_scale = coded ? l.sq_scales[t].mutable_data_ptr<float>() + block : nullptr;
  if (coded) {
    read_codes<true>(m, start, n, *m_scale, m0);
    read_codes<false>(v, start, n, *v_scale, v0);
  } else {
    Row(m).read(start, n, m0);
    Row(v).read(start, n, v0);
  }
  using W = Wide<float>;
  const W scale(a.sign), keep(a.keep), decay(a.decay), new1(a.new1), old2(a.old2), new2(a.new2), size(a.step_size),
      inverse_root(a.inverse_root), eps(a.eps);
  each<float>(n, [&](int64_t j, auto count) {
    const auto before = load(p.data() + j, count);
    const auto d = fma(before, decay, load(g.data() + j, count) * scale);
    const auto old = load(m0.data() + j, count);
    const auto m1 = fma(d - old, new1, old);
    const auto v1 = fma(load(v0.data() + j, count), old2, d * d * new2);
    store(m1, m0.data() + j, count);
    store(v1, v0.data() + j, count);
    const auto denominator = fma(v1.sqrt(), inverse_root, eps);
    store(fma(size, m1 / denominator, before * keep), p.data() + j, count);
  });
  Bits random;
  const bool draws = a.stochastic && (param.type == at::kBFloat16 || m.scalar_type() == at::kBFloat16);
  if (draws) {
    const auto first = static_cast<unsigned>(l.offsets[t] + start);
    for (int j = 0; j < n; ++j) random[j] = random_of(key, first + static_cast<unsigned>(j));
  }
  const auto* const bits = draws ? &random : nullptr;
  param.write(start, n, p, bits, 0);
  if (coded) {
    *m_scale = write_codes<true>(m, start, n, m0);
    *v_scale = write_codes<false>(v, start, n, v0);
    return;
  }
  Row(m).write(start, n, m0, bits, 16);
  if (draws) {
    for (int j = 0; j < n; ++j) random[j] = mixed(random[j]);
  }
  Row(v).write(start, n, v0, bits, 0);
}

int64_t blocks_of(int64_t columns) {
  return (columns + kCodeBlock - 1) / kCodeBlock;
}

/// Blocks of codes that one task handles: about as many elements as a chunk has.
constexpr int64_t kBlocksOfTask = kChunk / kCodeBlock;

void adamw_narrow_cpu(at::TensorList params, at::TensorList grads, at::TensorList ms, at::TensorList vs, at::TensorList scales,
                      at::TensorList sq_scales, at::IntArrayRef keys, at::IntArrayRef offsets, int64_t step, double lr,
                      double beta1, double beta2, double eps, double weight_decay, bool decoupled, bool stochastic,
                      double grad_scale) {
  const NarrowLists lists{params, grads, ms, vs, scales, sq_scales, keys, offsets};
  check_narrow(lists, step);
  NarrowArgs args{};
  set_narrow_numbers(args, {step, lr, beta1, beta2, eps, weight_decay, decoupled, stochastic, grad_scale});
  std::vector<Tensor> gs;
  gs.reserve(grads.size());
  for (const auto& g : grads) gs.push_back(g.contiguous());
  // Blocks, of one tensor after the other: in rows where moments are codes, else through all of it.
  const auto columns_of = [&](size_t t) { return is_coded(ms[t]) ? params[t].size(1) : params[t].numel(); };
  std::vector<int64_t> ends;
  int64_t all = 0;
  for (const auto t : c10::irange(params.size())) {
    const auto n = params[t].numel();
    all += n == 0 ? 0 : n / columns_of(t) * blocks_of(columns_of(t));
    ends.push_back(all);
  }
  at::parallel_for(0, all, 2 * kBlocksOfTask, [&](int64_t begin, int64_t end) {
    auto t = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), begin) - ends.begin());
    for (auto i = begin; i < end; ++i) {
      while (i >= ends[t]) ++t;
      const auto block = i - (t == 0 ? 0 : ends[t - 1]);
      const auto columns = columns_of(t);
      const auto in_row = blocks_of(columns);
      const auto [row, k] = std::pair(block / in_row, block % in_row);
      const auto start = [&](int64_t at) {
        return is_coded(ms[t]) ? int64_t{code_block_start(columns, static_cast<int>(at))} : std::min(at * kCodeBlock, columns);
      };
      const Place at{row * columns + start(k), static_cast<int>(start(k + 1) - start(k)), block};
      step_block(args, lists, gs[t], t, at, narrow_key(keys[t], step));
    }
  });
  for (const auto list : {params, ms, vs, scales, sq_scales}) {
    for (const auto& t : list) wrote_to(t);
  }
}

/// Where there is no kernel: through main memory.
void adamw_narrow_composite(at::TensorList params, at::TensorList grads, at::TensorList ms, at::TensorList vs,
                            at::TensorList scales, at::TensorList sq_scales, at::IntArrayRef keys, at::IntArrayRef offsets,
                            int64_t step, double lr, double beta1, double beta2, double eps, double weight_decay,
                            bool decoupled, bool stochastic, double grad_scale) {
  check_narrow({params, grads, ms, vs, scales, sq_scales, keys, offsets}, step);
  const auto to_main = [](at::TensorList list) {
    std::vector<Tensor> copies;
    for (const auto& t : list) copies.push_back(t.cpu());
    return copies;
  };
  const std::array<at::TensorList, 5> written{params, ms, vs, scales, sq_scales};
  std::array<std::vector<Tensor>, 5> copies;
  for (const auto i : c10::irange(written.size())) copies[i] = to_main(written[i]);
  adamw_narrow_cpu(copies[0], to_main(grads), copies[1], copies[2], copies[3], copies[4], keys, offsets, step, lr, beta1, beta2,
                   eps, weight_decay, decoupled, stochastic, grad_scale);
  for (const auto i : c10::irange(written.size())) {
    for (const auto j : c10::irange(written[i].size())) written[i][j].copy_(copies[i][j]);
  }
}

/// The kernels allocate nothing.
void adamw_narrow_meta(at::TensorList params, at::TensorList grads, at::TensorList ms, at::TensorList vs, at::TensorList scales,
                       at::TensorList sq_scales, at::IntArrayRef keys, at::IntArrayRef offsets, int64_t step, double, double,
                       double, double, double, bool, bool, double) {
  check_narrow({params, grads, ms, vs, scales, sq_scales, keys, offsets}, step);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(forge, m) {
  m.def(
      "adamw_narrow_(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] exp_avgs, Tensor(c!)[] exp_avg_sqs, Tensor(d!)[] scales,"
      " Tensor(e!)[] sq_scales, int[] keys, int[] offsets, int step, *, float lr, float beta1, float beta2, float eps,"
      " float weight_decay, bool decoupled, bool stochastic, float grad_scale) -> ()");
}
TORCH_LIBRARY_IMPL(forge, CPU, m) {
  m.impl("adamw_narrow_", adamw_narrow_cpu);
}
TORCH_LIBRARY_IMPL(forge, Meta, m) {
  m.impl("adamw_narrow_", adamw_narrow_meta);
}
TORCH_LIBRARY_IMPL(forge, CompositeExplicitAutograd, m) {
  m.impl("adamw_narrow_", adamw_narrow_composite);
}

}  // namespace forge
