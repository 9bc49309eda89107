// Calls that would end the process inside libtorch: each is refused before, with what was expected and what was found.
// The fuzz tests found them; here they are by name, with their texts.
import assert from "node:assert/strict";
import test from "node:test";

import * as torch from "../../src/torch/index.ts";

const { ones, zeros, randn, full, call, int64, int32 } = torch;
const ints = (values: number[], shape: number[]): torch.Tensor =>
  torch.fromTypedArray(BigInt64Array.from(values, BigInt), shape);
const smallest = (): torch.Tensor => torch.fromTypedArray(new BigInt64Array([-(2n ** 63n)]), [1]);

const cases: [name: string, call: () => unknown, message: RegExp][] = [
  [
    "distances of no rows, with a gradient",
    () => torch.pdist(zeros([0, 3]).requiresGrad_()),
    /pdist: expected one row or more where a gradient is asked for, found \[0, 3\]/,
  ],
  [
    "indices of a pool outside of their plane",
    () =>
      call(
        "aten::adaptive_max_pool2d_backward",
        ones([4, 1, 1]),
        ones([4, 1, 4]),
        full([4, 1, 1], 4, { dtype: int64 }),
      ),
    /expected the values of indices from 0 to 3, found 4 to 4/,
  ],
  [
    "indices of a pool of another shape",
    () =>
      call(
        "aten::fractional_max_pool2d_backward",
        ones([1, 3, 4, 4]),
        ones([1, 3, 9, 9]),
        [3, 3],
        [4, 4],
        zeros([1, 3, 4], { dtype: int64 }),
      ),
    /expected indices of shape \[1, 3, 4, 4\], found \[1, 3, 4\]/,
  ],
  [
    "a search for a quantization that would never end",
    () => call("aten::choose_qparams_optimized", randn([2, 3]), 6, 4, Infinity, 5),
    /expected ratio between 0 and 1, found inf/,
  ],
  [
    "a padded gradient of another batch",
    () => call("aten::reflection_pad2d_backward", ones([1, 3, 3, 4]), ones([70, 3, 4, 4]), [-1, 1, -2, 1]),
    /expected grad_output and self to differ in no more than the last 2 dimensions, found \[1, 3, 3, 4\] and \[70, 3, 4, 4\]/,
  ],
  [
    "statistics of a layer norm for fewer rows",
    () =>
      call(
        "aten::native_layer_norm_backward",
        ones([2, 2, 3]),
        ones([2, 2, 3]),
        [2, 3],
        ones([2, 1, 1]),
        ones([0]),
        null,
        null,
        [true, false, false],
      ),
    /expected rstd of 2 elements, found \[0\]/,
  ],
  [
    "batch norm's backward pass without statistics",
    () =>
      call(
        "aten::native_batch_norm_backward",
        ones([1, 3, 5]),
        ones([1, 3, 5]),
        ones([3]),
        null,
        null,
        ones([3]),
        ones([3]),
        false,
        0.1,
        [false, true, true],
      ),
    /expected running_mean where train is false, found none/,
  ],
  [
    "group norm's gradients, expanded",
    () =>
      call(
        "aten::native_group_norm_backward",
        ones([1]).expand([1, 6, 3]),
        ones([1, 6, 3]),
        ones([1, 2]),
        ones([1, 2]),
        ones([6]),
        1,
        6,
        3,
        2,
        [true, false, false],
      ),
    /expected grad_out to be contiguous, found strides \[0, 0, 0\]/,
  ],
  [
    "softmax's gradient of another shape",
    () => call("aten::_log_softmax_backward_data", ones([3, 2, 3]), ones([2, 3]), 1, torch.float32),
    /expected grad_output of shape \[2, 3\], found \[3, 2, 3\]/,
  ],
  [
    "a gradient that broadcasts",
    () => call("aten::gelu_backward", ones([10, 10]), ones([10, 10, 1]), "none"),
    /expected grad_output of shape \[10, 10, 1\], found \[10, 10\]/,
  ],
  [
    "an embedding's gradient for rows that it doesn't have",
    () =>
      call(
        "aten::embedding_dense_backward",
        ones([5, 5]),
        full([5], 2 ** 40, { dtype: int64 }),
        10,
        -2,
        true,
      ),
    /expected the values of indices from 0 to 9, found 1099511627776 to/,
  ],
  [
    "attention over another batch",
    () =>
      call(
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        ones([3, 2, 2, 2]),
        ones([3, 2, 2, 2]),
        ones([1, 2, 2, 2]),
      ),
    /expected key and value of one shape, .*found query \[3, 2, 2, 2\], key \[3, 2, 2, 2\], value \[1, 2, 2, 2\]/,
  ],
  [
    "windows that don't move",
    () => call("aten::unfold_backward", ones([1, 2, 10]), [1, 12], 1, 10, 0),
    /expected a step of 1 or more, found 0/,
  ],
  [
    "pieces beyond number",
    () => torch.unsafeChunk(ones([3, 0]), 2 ** 31 - 1, 1),
    /expected chunks of at most 32768, found 2147483647/,
  ],
  ["a grid of too many dimensions", () => torch.combinations(ones([1]), 2 ** 31), /expected r of at most 64/],
  [
    "pivots beyond the matrix",
    () => torch.luUnpack(randn([3, 3]), full([3], 1000, { dtype: int32 })),
    /expected the values of LU_pivots from 1 to 3, found 1000 to 1000/,
  ],
  [
    "a network without parameters",
    () => torch.gru(ones([2, 3]), ones([2], { dtype: int64 }), ones([1, 1, 3]), [], true, 1, 0, false, true),
    /expected params of 8 tensors a layer for 1 layers, found 0/,
  ],
  [
    "checks turned off",
    () => torch.segmentReduce(ones([5]), "max", { lengths: full([4], 9, { dtype: int64 }), unsafe: true }),
    /expected unsafe to be false, found true/,
  ],
  [
    "a polynomial of endless degree",
    () => torch.specialLegendrePolynomialP(ones([2]), full([2], 1e30)),
    /expected a degree n of at most 1e\+06, found 1e\+30/,
  ],
  [
    "the smallest integer divided by -1",
    () => torch.div(smallest(), -1, { roundingMode: "trunc" }),
    /expected a quotient that fits the dtype, found the smallest integer divided by -1/,
  ],
  [
    "its common divisors",
    () => torch.lcm(smallest(), full([1], 3, { dtype: int64 })),
    /expected self without the smallest integer/,
  ],
  [
    "a gradient of another shape for our own kernels",
    () => call("forge::swiglu_backward", ones([6, 8]), ones([6, 8]), ones([1])),
    /expected up of shape \[6, 8\], found \[1\]/,
  ],
  [
    "statistics of fewer rows for our own kernels",
    () => call("forge::rms_norm_backward", ones([6, 8]), ones([6, 8]), ones([5]), ones([8]), true, true),
    /expected rstd of 6 elements, found \[5\]/,
  ],
  [
    "a norm of a number without memory, for our own kernels",
    () => call("forge::rms_norm_forward", zeros([], { device: "meta" }), null, 1e-6),
    /rms_norm: expected a floating-point tensor of at least 1 dimension, found Float of shape \[\]/,
  ],
  [
    "pivots of a solution that name no row",
    () => torch.linalgLdlSolve(torch.eye(3), full([3], 0, { dtype: int32 }), ones([3, 1])),
    /expected the values of pivots from 1 to 3 or -3 to -1, found 0/,
  ],
  [
    "a pivot of half a block",
    () => torch.linalgLdlSolve(torch.eye(3), full([3], -1, { dtype: int32 }), ones([3, 1])),
    /expected negative values of pivots in pairs, found 3 in a row/,
  ],
  [
    "pivots of a factorization that name no row",
    () => torch.linalgLuSolve(torch.eye(3), full([3], 70, { dtype: int32 }), ones([3, 1])),
    /expected the values of pivots from 1 to 3, found 70 to 70/,
  ],
  [
    "a copy into a sparse tensor's memory",
    () => call("aten::copy", torch.eye(3).toSparse(), ones([3, 3]), false),
    /expected self to be a strided tensor, found sparse/i,
  ],
  [
    "a copy into compressed rows' memory",
    () => call("aten::copy", torch.eye(3).toSparseCsr(), torch.eye(3).toSparseCsr(), false),
    /expected self to be a strided tensor, found sparse/i,
  ],
  [
    "eigenvalues of no numbers",
    () => torch.linalgEigvals(full([3, 3], NaN)),
    /expected a matrix without infinities and NaN/,
  ],
  [
    "a bag of rows that aren't there",
    () => torch.embeddingBag(ones([3, 2]), full([2], 5, { dtype: int64 }), zeros([1], { dtype: int64 })),
    /expected the values of indices from 0 to 2, found 5 to 5/,
  ],
  [
    "bags of a matrix of indices",
    () => torch.embeddingBag(ones([9, 2]), ints([1, 2, 3, 4], [2, 2]), ints([0], [1]), { mode: 2 }),
    /expected indices of one dimension, found \[2, 2\]/,
  ],
  [
    "bags whose offsets fall",
    () => torch.embeddingBag(ones([9, 2]), ints([1, 2, 3], [3]), ints([0, 2, 1], [3]), { mode: 2 }),
    /expected offsets that never fall, found one that does/,
  ],
  [
    "bags whose last offset leaves indices over",
    () =>
      torch.embeddingBag(ones([9, 2]), ints([1, 2, 3, 4, 5, 6], [6]), ints([0, 2], [2]), {
        mode: 2,
        includeLastOffset: true,
      }),
    /expected the last offset to be the number of indices, 6, where include_last_offset is true, found 2/,
  ],
  [
    "bags without offsets",
    () => torch.embeddingBag(ones([9, 2]), ints([1], [1]), ints([], [0]), { mode: 2 }),
    /expected offsets of one dimension with elements, found \[0\]/,
  ],
  [
    "a sparse tensor with indices outside",
    () => torch.sparseCooTensor(ints([0, 50_000, 1, 200_000], [2, 2]), ones([2]), [3, 3]),
    /size is inconsistent with indices: for dim 0, size is 3 but found index 50000/,
  ],
  [
    "the same, unchecked by its name",
    () => call("aten::_sparse_coo_tensor_unsafe", ints([0, -5, 1, 2], [2, 2]), ones([2]), [3, 3]),
    /found negative index -5/,
  ],
  [
    "rows of a sparse tensor that end outside",
    () => torch.sparseCsrTensor(ints([0, 9_000_000, 2], [3]), ints([0, 1], [2]), ones([2]), [2, 2]),
    /crow_indices/,
  ],
  [
    "columns of a sparse tensor outside",
    () =>
      call(
        "aten::_sparse_csr_tensor_unsafe",
        ints([0, 1, 2], [3]),
        ints([0, 1_000_000], [2]),
        ones([2]),
        [2, 2],
      ),
    /col_indices/,
  ],
  [
    "attention of grouped heads without a head",
    () =>
      call(
        "aten::_scaled_dot_product_attention_math",
        ones([1, 2, 3, 4]),
        ones([1, 0, 3, 4]),
        ones([1, 0, 3, 4]),
        null,
        0,
        false,
        null,
        null,
        true,
      ),
    /expected key with one head or more where enable_gqa is true, found \[1, 0, 3, 4\]/,
  ],
  [
    "a pooled size beyond memory",
    () => torch.adaptiveAvgPool2d(ones([1, 2, 3, 4]), [2 ** 31, 2 ** 31]),
    /expected an output that fits in memory, found output_size \[2147483648, 2147483648\] for self \[1, 2, 3, 4\]/,
  ],
  [
    "a fused optimizer's gradients of another size",
    () => call("aten::_fused_sgd_", [ones([4])], [ones([2])], [], 0, 0, 0.1, 0, false, false, false),
    /expected grads of the shape and strides of self, found \[2\] for \[4\]/,
  ],
  [
    "a fused optimizer's state of another size",
    () =>
      call(
        "aten::_fused_adamw_",
        [ones([4])],
        [ones([4])],
        [ones([4])],
        [ones([1])],
        [],
        [ones([])],
        0.1,
        0.9,
        0.9,
        0,
        1e-8,
        false,
        false,
      ),
    /expected exp_avg_sqs of the shape and strides of self, found \[1\] for \[4\]/,
  ],
  [
    "a list of scalars shorter than that of tensors, with a gradient",
    () => {
      const grown = ones([2]).requiresGrad_().mul(1);
      return call("aten::_foreach_addcmul_.ScalarList", [grown], [ones([2])], [ones([2])], []);
    },
    /expected scalars of as many elements as self, 1, found 0/,
  ],
  ["sizes that can't be", () => ones([1]).resize_([-1, -1]), /expected a size that can be, found \[-1, -1\]/],
  [
    "a quantization's observed range of another dtype",
    () =>
      torch.fusedMovingAvgObsFakeQuant(
        ones([5]),
        ones([1]),
        ones([1]),
        ones([1], { dtype: torch.bool }),
        ones([1]),
        ones([1]),
        ones([1], { dtype: int32 }),
        0.1,
        0,
        255,
        0,
      ),
    /expected running_min of dtype Float, found Bool/,
  ],
  [
    "a loss's gradient of whole numbers",
    () => {
      const whole = (): torch.Tensor => ones([64], { dtype: int64 });
      return call("aten::smooth_l1_loss_backward", whole(), whole(), whole(), 1, 0.5);
    },
    /expected grad_output of floating point, found Long/,
  ],
  [
    "oneDNN's layout where no kernel knows it",
    () => ones([5, 5]).indexCopy_(1, ones([5]).toMkldnn(), ones([5, 5])),
    /index: expected a strided or sparse tensor, found one in oneDNN's layout/,
  ],
  [
    "a C++ object in a tensor",
    () => torch.fbgemmPackGemmMatrixFp16(ones([4, 4])),
    /hides a C\+\+ object in a tensor/,
  ],
];

for (const [name, body, message] of cases) {
  test(name, () => assert.throws(body, { name: "TorchError", message }));
}

test("what the guards let through works as before", () => {
  using _ = torch.scope();
  const x = randn([2, 3, 8, 8]).requiresGrad_();
  const [pooled, indices] = torch.maxPool2dWithIndices(x, [2, 2]);
  const back = torch.maxPool2dWithIndicesBackward(
    ones(pooled.shape),
    x.detach(),
    [2, 2],
    [2, 2],
    [0, 0],
    [1, 1],
    false,
    indices,
  );
  pooled.sum().backward();
  assert.ok(torch.equal(back, x.grad!));
  assert.deepEqual(torch.gcd(full([1], 12, { dtype: int64 }), full([1], 8, { dtype: int64 })).tolist(), [4]);
  assert.deepEqual(torch.div(full([1], -7, { dtype: int64 }), -1, { roundingMode: "trunc" }).tolist(), [7]);
  assert.deepEqual(
    torch.chunk(ones([4]), 2).map((one) => one.shape),
    [[2], [2]],
  );
  assert.ok(torch.linalgEigvals(torch.eye(3)).real().tolist());
  // Blocks of one and of two rows.
  const symmetric = torch.fromArray([
    [0, 1, 2],
    [1, 0, 3],
    [2, 3, 4],
  ]);
  const [ld, pivots] = torch.linalgLdlFactor(symmetric);
  const solution = torch.linalgLdlSolve(ld, pivots, ones([3, 1]));
  assert.ok(torch.allclose(symmetric.matmul(solution), ones([3, 1]), 1e-5, 1e-5));
});
