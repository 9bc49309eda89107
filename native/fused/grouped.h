// Products of many matrices, each with rows of its own: rows lie sorted by matrix, counts[e] of them for matrix e. One product
// a matrix, or all of them in one kernel (aten::_grouped_mm) where that is fast: see grouped.cc. Not an operator itself.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace forge {

using Counts = std::vector<int64_t>;

/// Each matrix's rows of x times its transpose: x [N, K] and matrices [O, K] give [N, O].
at::Tensor grouped_times_transposed(const at::Tensor& x, const Counts& counts, at::TensorList matrices);

/// Each matrix's rows of g times it: g [N, O] and matrices [O, K] give [N, K]. Added to `sum` where there is one, which is not
/// to be used afterwards.
at::Tensor grouped_times(const at::Tensor& g, const Counts& counts, at::TensorList matrices, at::Tensor sum = {});

/// For each matrix g^T x of its rows, [O, K]; zeros for one without rows.
std::vector<at::Tensor> grouped_gradients(const at::Tensor& g, const at::Tensor& x, const Counts& counts);

}  // namespace forge
