// Matrix products of a linear layer, by whichever library is fastest on this processor: MKL, which libtorch takes for
// fp32, or oneDNN, which comes with libtorch, too. On AMD's processors with AVX-512 MKL leaves a tenth to a quarter of
// the machine unused in products whose left side lies row by row; the weight's gradient (a transposed left side) is
// MKL's even there. Everywhere else, and for every other type, these are aten's own products.
#pragma once

#include <ATen/core/Tensor.h>

namespace forge {

/// x @ w^T: [T, K] and [N, K] give [T, N].
at::Tensor times_transposed(const at::Tensor& x, const at::Tensor& w);

/// base + x @ w^T
at::Tensor add_times_transposed(const at::Tensor& base, const at::Tensor& x, const at::Tensor& w);

/// g @ w: [T, N] and [N, K] give [T, K].
at::Tensor times(const at::Tensor& g, const at::Tensor& w);

/// sum + g @ w; may write into `sum`, which is not to be used afterwards.
at::Tensor add_times(at::Tensor sum, const at::Tensor& g, const at::Tensor& w);

}  // namespace forge
