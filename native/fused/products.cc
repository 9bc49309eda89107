#include "products.h"

#include "fused.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cstdlib>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace forge {
namespace {

using at::Tensor;
using LinearPointwise = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, std::string_view,
                      c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);

/// From here on a product is worth the primitive that oneDNN makes for each new shape.
constexpr int64_t kFewestRows = 64;
/// Up to here a product may be made beside the place that it is for: 8 MB in fp32.
constexpr int64_t kMostBeside = int64_t{1} << 21;

bool is_amd_with_avx512() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned auth = 0x68747541;  // "Auth" of "AuthenticAMD"
  return b == auth && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

/// TORCHFORGE_GEMM=mkl or onednn chooses for comparisons.
bool prefers_onednn() {
  const char* chosen = std::getenv("TORCHFORGE_GEMM");
  if (chosen != nullptr && std::string_view(chosen) == "mkl") return false;
  if (chosen != nullptr && std::string_view(chosen) == "onednn") return true;
  return is_amd_with_avx512();
}

std::optional<c10::TypedOperatorHandle<LinearPointwise>> find_linear() {
  if (!prefers_onednn() || !at::globalContext().hasMKLDNN()) return std::nullopt;
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (!found) return std::nullopt;
  return found->typed<LinearPointwise>();
}

const std::optional<c10::TypedOperatorHandle<LinearPointwise>>& onednn() {
  static const auto found = find_linear();
  return found;
}

bool suits(const Tensor& x, const Tensor& w) {
  return x.scalar_type() == at::kFloat && w.scalar_type() == at::kFloat && x.is_cpu() && w.is_cpu() && x.dim() == 2 &&
         w.dim() == 2 && x.size(0) >= kFewestRows && x.is_contiguous() && w.numel() > 0 && x.numel() > 0 && onednn() &&
         at::globalContext().userEnabledMkldnn();
}

/// x @ w^T, where w may be a transposed view.
Tensor by_onednn(const Tensor& x, const Tensor& w) {
  return onednn()->call(x, w, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
}

/// g^T, in memory of its own.
Tensor transposed(const Tensor& g) {
  constexpr int64_t side = 16;
  const int64_t rows = g.size(0), columns = g.size(1);
  auto out = at::empty({columns, rows}, g.options());
  const auto* from = g.const_data_ptr<float>();
  auto* to = out.mutable_data_ptr<float>();
  at::parallel_for(0, (columns + side - 1) / side, 1, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin * side; j < std::min(end * side, columns); j += side) {
      for (int64_t i = 0; i < rows; i += side) {
        at::vec::transpose_mxn<float>(from + i * columns + j, columns, to + j * rows + i, rows,
                                      static_cast<int>(std::min(side, rows - i)), static_cast<int>(std::min(side, columns - j)));
      }
    }
  });
  return out;
}

bool suits_transposed(const Tensor& g, const Tensor& x) {
  return g.is_contiguous() && suits(x, g) && g.size(1) >= kFewestRows;
}

}  // namespace

Tensor times_transposed(const Tensor& x, const Tensor& w) {
  return suits(x, w) ? by_onednn(x, w) : at::mm(x, w.t());
}

Tensor add_times_transposed(const Tensor& base, const Tensor& x, const Tensor& w) {
  return suits(x, w) ? by_onednn(x, w).add_(base) : at::addmm(base, x, w.t());
}

Tensor times(const Tensor& g, const Tensor& w) { return suits(g, w) ? by_onednn(g, w.t()) : at::mm(g, w); }

Tensor add_times(Tensor sum, const Tensor& g, const Tensor& w) {
  return suits(g, w) ? by_onednn(g, w.t()).add_(sum) : sum.addmm_(g, w);
}

Tensor transposed_times(const Tensor& g, const Tensor& x) {
  return suits_transposed(g, x) ? by_onednn(transposed(g), x.t()) : at::mm(g.t(), x);
}

void transposed_times_out(Tensor out, const Tensor& g, const Tensor& x, bool add) {
  if (out.numel() <= kMostBeside && suits_transposed(g, x)) {
    const auto product = by_onednn(transposed(g), x.t());
    add ? out.add_(product) : out.copy_(product);
  } else if (add) {
    at::addmm_out(out, out, g.t(), x);
  } else {
    at::mm_out(out, g.t(), x);
  }
}

}  // namespace forge
