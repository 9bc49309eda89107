// Which way is taken: libtorch's grouped product is one kernel for all matrices on Hopper GPUs in bfloat16, whose group sizes
// stay on the device. Everywhere else it is a loop as the one here, with rules of alignment and a copy of the matrices where
// they don't lie at even distances; on devices it waits for each group's size besides, which is known here already. On a CPU
// libtorch's took 0.98 to 1.26 times as long forward, and as long backward (one thread, 8 and 16 experts, float32, bfloat16).
#include "grouped.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>

#include "products.h"

#ifdef TORCHFORGE_CUDA
// Of the CUDA runtime that libtorch brings; its headers come with the toolkit alone. Weak: without it the loop is taken.
extern "C" __attribute__((weak)) int cudaDeviceGetAttribute(int* value, int attribute, int device);
#endif

namespace forge {
namespace {

using at::Tensor;

/// Calls body(e, from, count) for each matrix that has rows.
template <typename F>
void each_group(const Counts& counts, const F& body) {
  int64_t from = 0;
  for (size_t e = 0; e < counts.size(); ++e) {
    if (counts[e] > 0) body(e, from, counts[e]);
    from += counts[e];
  }
}

using GroupedMm = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, const std::optional<Tensor>&,
                         std::optional<at::ScalarType>);

const std::optional<c10::TypedOperatorHandle<GroupedMm>>& grouped_mm() {
  static const auto found = []() -> std::optional<c10::TypedOperatorHandle<GroupedMm>> {
    const auto schema = c10::Dispatcher::singleton().findSchema({"aten::_grouped_mm", ""});
    if (!schema) return std::nullopt;
    return schema->typed<GroupedMm>();
  }();
  return found;
}

/// Compute capability 9, for which libtorch has the kernel: others run it as a loop, or not at all in some versions.
bool is_hopper([[maybe_unused]] const at::Device& device) {
#ifdef TORCHFORGE_CUDA
  if (!device.is_cuda() || cudaDeviceGetAttribute == nullptr) return false;
  static std::mutex mutex;
  static std::map<int, bool> known;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = known.find(device.index());
  if (found != known.end()) return found->second;
  constexpr int kMajor = 75;  // cudaDevAttrComputeCapabilityMajor
  int major = 0;
  const bool is = cudaDeviceGetAttribute(&major, kMajor, device.index()) == 0 && major == 9;
  return known[device.index()] = is;
#else
  return false;
#endif
}

/// TORCHFORGE_GROUPED_MM=loop or libtorch chooses for comparisons.
bool is_chosen(std::string_view way) {
  const char* name = std::getenv("TORCHFORGE_GROUPED_MM");
  return name != nullptr && way == name;
}

bool is_aligned(const Tensor& t) { return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0; }

/// Whether libtorch has it for rows [N, `in`] to [N, `out`]: rows must lie at multiples of 16 bytes.
bool is_possible(const Tensor& rows, int64_t in, int64_t out) {
  const auto type = rows.scalar_type();
  if (type != at::kBFloat16 && type != at::kHalf && type != at::kFloat) return false;
  const int64_t step = 16 / rows.element_size();
  if (in % step != 0 || out % step != 0 || !grouped_mm()) return false;
  return rows.is_cuda() || (rows.is_cpu() && grouped_mm()->hasComputedKernelForDispatchKey(c10::DispatchKey::CPU));
}

bool is_libtorchs(const Tensor& rows, int64_t in, int64_t out) {
  if (rows.size(0) == 0 || is_chosen("loop")) return false;
  const bool is_asked = is_chosen("libtorch");
  const bool can = (is_asked || is_hopper(rows.device())) && is_possible(rows, in, out);
  TORCH_CHECK(can || !is_asked, "TORCHFORGE_GROUPED_MM=libtorch: aten::_grouped_mm doesn't take ", rows.scalar_type(), " [",
              rows.size(0), ", ", in, "] to ", out, " columns on ", rows.device());
  return can && (is_asked || rows.scalar_type() == at::kBFloat16);
}

/// Ends of the groups: int32 on the device.
Tensor ends_of(const Counts& counts, const Tensor& like) {
  std::vector<int32_t> ends;
  int64_t end = 0;
  for (const int64_t count : counts) ends.push_back(static_cast<int32_t>(end += count));
  return at::tensor(ends, at::kInt).to(like.device());
}

/// The matrices as one tensor [E, O, K]: a view where they lie at even distances (as FSDP gathers them), else a copy.
Tensor stacked(at::TensorList matrices) {
  const Tensor& first = matrices[0];
  const auto experts = static_cast<int64_t>(matrices.size());
  const int64_t step = experts > 1 ? matrices[1].storage_offset() - first.storage_offset() : first.numel();
  bool is_even = first.is_contiguous() && is_aligned(first) && step >= first.numel() && step * first.element_size() % 16 == 0;
  for (int64_t e = 1; e < experts && is_even; ++e) {
    const Tensor& one = matrices[e];
    is_even = one.is_alias_of(first) && one.is_contiguous() && one.scalar_type() == first.scalar_type() &&
              one.storage_offset() == first.storage_offset() + e * step;
  }
  if (!is_even) return at::stack(matrices);
  return first.as_strided({experts, first.size(0), first.size(1)}, {step, first.size(1), 1});
}

Tensor fit(const Tensor& rows) {
  return rows.is_contiguous() && is_aligned(rows) ? rows : rows.clone(at::MemoryFormat::Contiguous);
}

Tensor call_grouped(const Tensor& a, const Tensor& b, const Tensor& ends) {
  return grouped_mm()->call(a, b, ends, std::nullopt, std::nullopt);
}

}  // namespace

Tensor grouped_times_transposed(const Tensor& x, const Counts& counts, at::TensorList matrices) {
  const int64_t out = matrices[0].size(0);
  if (is_libtorchs(x, x.size(1), out)) return call_grouped(fit(x), stacked(matrices).transpose(1, 2), ends_of(counts, x));
  Tensor made = at::empty({x.size(0), out}, x.options());
  each_group(counts, [&](size_t e, int64_t from, int64_t count) {
    made.narrow(0, from, count).copy_(times_transposed(x.narrow(0, from, count), matrices[e]));
  });
  return made;
}

Tensor grouped_times(const Tensor& g, const Counts& counts, at::TensorList matrices, Tensor sum) {
  const int64_t out = matrices[0].size(1);
  const bool adds = sum.defined();
  if (is_libtorchs(g, g.size(1), out)) {
    const Tensor made = call_grouped(fit(g), stacked(matrices), ends_of(counts, g));
    return adds ? sum.add_(made) : made;
  }
  if (!adds) sum = at::empty({g.size(0), out}, g.options());
  each_group(counts, [&](size_t e, int64_t from, int64_t count) {
    Tensor own = sum.narrow(0, from, count);
    const Tensor rows = g.narrow(0, from, count);
    own.copy_(adds ? add_times(own, rows, matrices[e]) : times(rows, matrices[e]));
  });
  return sum;
}

std::vector<Tensor> grouped_gradients(const Tensor& g, const Tensor& x, const Counts& counts) {
  // They lie one after the other in one tensor. A group without rows is none of the kernel's.
  const auto matrices = static_cast<int64_t>(counts.size());
  std::vector<Tensor> made(counts.size());
  if (is_libtorchs(g, g.size(1), x.size(1))) {
    Counts present;
    each_group(counts, [&](size_t, int64_t, int64_t count) { present.push_back(count); });
    const Tensor all = call_grouped(fit(g).t(), fit(x), ends_of(present, g));
    int64_t at = 0;
    for (size_t e = 0; e < counts.size(); ++e) {
      made[e] = counts[e] > 0 ? all.select(0, at++) : at::zeros({g.size(1), x.size(1)}, g.options());
    }
    return made;
  }
  const Tensor all = at::empty({matrices, g.size(1), x.size(1)}, g.options());
  for (int64_t e = 0; e < matrices; ++e) {
    made[e] = all.select(0, e);
    if (counts[e] == 0) made[e].zero_();
  }
  each_group(counts, [&](size_t e, int64_t from, int64_t count) {
    transposed_times_out(made[e], g.narrow(0, from, count), x.narrow(0, from, count), false);
  });
  return made;
}

}  // namespace forge
