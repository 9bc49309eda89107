// forge::rotary_apply on CUDA devices, in float32 and bfloat16: queries and keys in one launch. Others take the composition.
#include "kernels/args.h"
#include "rows.h"
#include "runtime.h"

namespace forge::rotary_cuda {
namespace {

using Apply = std::vector<Tensor>(at::TensorList, const Tensor&, const Tensor&, const std::optional<Tensor>&, bool);

constexpr int kThreads = 256;

/// What the composition would refuse goes there, for its message.
bool fits(at::TensorList xs, const Tensor& cos, const Tensor& sin, const std::optional<Tensor>& positions) {
  if (xs.empty() || !cuda::usable(xs[0]) || cos.dim() != 2 || cos.sizes() != sin.sizes() || cos.device() != xs[0].device() ||
      sin.device() != xs[0].device()) {
    return false;
  }
  const auto& first = xs[0];
  for (const auto& x : xs) {
    if (x.dim() != 4 || !cuda::has_type(x) || x.size(0) != first.size(0) || x.size(1) != first.size(1) ||
        x.scalar_type() != first.scalar_type() || x.device() != first.device() || 2 * cos.size(1) > x.size(3)) {
      return false;
    }
  }
  if (!positions) return first.size(1) <= cos.size(0);
  const bool one_row = positions->dim() == 1 || (positions->dim() == 2 && positions->size(0) == 1);
  return at::isIntegralType(positions->scalar_type(), false) && positions->device() == first.device() &&
         (one_row || (positions->dim() == 2 && positions->size(0) == first.size(0))) && positions->size(-1) == first.size(1);
}

/// Whether the parts of each head that are read together start where packs may.
bool wide(const Tensor& x, int64_t half) {
  const auto bytes = x.element_size();
  for (const auto d : {0, 1, 2}) {
    if (x.size(d) > 1 && x.stride(d) * bytes % 16 != 0) return false;
  }
  return half % cuda::kPack == 0 && x.size(3) * bytes % 16 == 0 && cuda::is_aligned(x);
}

std::vector<Tensor> apply(at::TensorList xs, const Tensor& cos, const Tensor& sin, const std::optional<Tensor>& positions, bool inverse) {
  static const auto handle = op<Apply>("forge::rotary_apply");
  if (!fits(xs, cos, sin, positions)) return handle.redispatch(cuda::composed, xs, cos, sin, positions, inverse);
  const auto c = cos.to(at::kFloat).contiguous(), s = sin.to(at::kFloat).contiguous();
  const auto half = c.size(1), tokens = xs[0].size(1);
  Tensor ids;
  if (positions) ids = positions->to(at::kLong).contiguous();
  std::vector<Tensor> in, out;
  for (const auto& x : xs) {
    in.push_back(x.stride(3) == 1 || x.size(3) == 1 ? x : x.contiguous());
    out.push_back(at::empty(x.sizes(), x.options()));
  }
  for (size_t from = 0; from < in.size(); from += kRotaryTensors) {
    RotaryArgs args{
        .cos = cuda::data<float>(c),
        .sin = cuda::data<float>(s),
        .positions = cuda::data<long long>(ids),
        .positions_stride = ids.defined() && ids.dim() == 2 && ids.size(0) > 1 ? tokens : 0,
        .limit = c.size(0),
        .tokens = tokens,
        .half = static_cast<int>(half),
        .count = static_cast<int>(std::min<size_t>(kRotaryTensors, in.size() - from)),
        .sign = inverse ? -1.0f : 1.0f,
    };
    bool packs = cuda::is_aligned(c) && cuda::is_aligned(s);
    int64_t most = 1;
    for (int t = 0; t < args.count; ++t) {
      const auto& x = in[from + t];
      args.from[t] = cuda::data(x);
      args.to[t] = cuda::data(out[from + t]);
      args.batch_stride[t] = x.stride(0);
      args.token_stride[t] = x.stride(1);
      args.head_stride[t] = x.stride(2);
      args.heads[t] = static_cast<int>(x.size(2));
      args.dim[t] = static_cast<int>(x.size(3));
      packs = packs && wide(x, half);
      most = std::max(most, x.size(2) * half);
    }
    const int width = packs ? cuda::kPack : 1;
    const auto instance = std::string("rotary<") + cuda::type_name(in[from].scalar_type()) + ", " + std::to_string(width) + ">";
    const auto threads = std::min<int64_t>(kThreads, cuda::whole_warps(most / width));
    cuda::launch({"rotary", instance, "RotaryArgs", kThreads}, xs[0].size(0) * tokens, threads, args, in[from]);
  }
  return out;
}

}  // namespace

FORGE_CUDA_IMPL(cuda_rotary, m) {
  m.impl("rotary_apply", apply);
}

}  // namespace forge::rotary_cuda
