// Matrix products of a linear layer, by whichever library is fastest on this processor: MKL, which libtorch takes for
// fp32, or oneDNN, which comes with libtorch, too. On AMD's processors with AVX-512 MKL leaves a tenth to a quarter of
// the machine unused. There the left side of a weight's gradient is transposed beforehand, because oneDNN is slow at
// doing that itself. Everywhere else, and for every other type, these are aten's own products.
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

/// g^T @ x, a weight's gradient: [T, N] and [T, K] give [N, K].
at::Tensor transposed_times(const at::Tensor& g, const at::Tensor& x);

/// out = g^T @ x, or out += g^T @ x where `add`.
void transposed_times_out(at::Tensor out, const at::Tensor& g, const at::Tensor& x, bool add);

}  // namespace forge
