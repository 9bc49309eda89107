// Calls that libtorch accepts of operators which PyTorch's tests reach in no form that make_samples.py can record: bags of
// embeddings, sparse tensors from their parts, fused optimizers, attention of grouped heads. In the form of samples.json.
import type { Sample } from "./samples.ts";

const f = (...s: number[]) => ({ d: "float32", s });
const i = (values: number[], ...s: number[]) => ({ d: "int64", s, v: values });

const bag = { weight: f(10, 4), indices: i([1, 2, 4, 5, 4, 3], 6), offsets: i([0, 2, 2, 5], 4) };
const bags = [0, 1, 2].flatMap((mode) => [
  { ...bag, mode, sparse: false, scale_grad_by_freq: false, include_last_offset: false, padding_idx: -1 },
  { ...bag, mode, sparse: true, include_last_offset: true, padding_idx: 2 },
]);
const maxBackward = {
  grad: f(4, 4),
  indices: i([1, 2, 4, 5, 4, 3], 6),
  offsets: i([0, 2, 2, 5], 4),
  offset2bag: i([0, 0, 2, 2, 2, 3], 6),
  bag_size: i([2, 0, 3, 1], 4),
  maximum_indices: { d: "int64", s: [4, 4], m: 9 },
  num_weights: 10,
  scale_grad_by_freq: false,
  mode: 2,
  sparse: false,
  per_sample_weights: null,
  padding_idx: -1,
};

const coo = { indices: i([0, 1, 2, 0, 2, 1], 2, 3), values: f(3), size: [3, 4] };
const compressed = (outer: string, inner: string) => ({
  [outer]: i([0, 1, 1, 3], 4),
  [inner]: i([0, 1, 2], 3),
  values: f(3),
  size: [3, 3],
});
const blocks = { ...compressed("crow_indices", "col_indices"), values: f(3, 2, 2), size: [6, 6] };
const columnBlocks = { ...compressed("ccol_indices", "row_indices"), values: f(3, 2, 2), size: [6, 6] };
const rows = compressed("crow_indices", "col_indices");
const columns = compressed("ccol_indices", "row_indices");
const anyRows = compressed("compressed_indices", "plain_indices");

const lists = { self: [f(4, 3), f(5)], grads: [f(4, 3), f(5)] };
const moments = { exp_avgs: [f(4, 3), f(5)], exp_avg_sqs: [f(4, 3), f(5)], state_steps: [f(), f()] };
const adam = {
  ...lists,
  ...moments,
  max_exp_avg_sqs: [],
  lr: 0.1,
  beta1: 0.9,
  beta2: 0.95,
  weight_decay: 0.1,
};
const adams = [
  { ...adam, eps: 1e-8, amsgrad: false, maximize: false },
  { ...adam, max_exp_avg_sqs: [f(4, 3), f(5)], eps: 1e-8, amsgrad: true, maximize: true },
];
const sgd = { ...lists, weight_decay: 0.1, lr: 0.1, dampening: 0, nesterov: false, maximize: false };
const sgds = [
  { ...sgd, momentum_buffer_list: [f(4, 3), f(5)], momentum: 0.9, is_first_step: true },
  { ...sgd, momentum_buffer_list: [], momentum: 0, is_first_step: false },
];
const adagrads = [
  {
    ...lists,
    state_sums: [f(4, 3), f(5)],
    state_steps: [f(), f()],
    lr: 0.1,
    lr_decay: 0,
    weight_decay: 0,
    eps: 1e-8,
    maximize: false,
  },
];

const heads = {
  query: f(1, 4, 3, 8),
  key: f(1, 2, 5, 8),
  value: f(1, 2, 5, 8),
  attn_mask: null,
  dropout_p: 0,
};
const attentions = [
  { ...heads, is_causal: false, enable_gqa: true },
  { ...heads, key: f(1, 4, 5, 8), value: f(1, 4, 5, 8), is_causal: true, enable_gqa: false },
];

export const moreSamples: Readonly<Record<string, readonly Sample[]>> = {
  embedding_bag: bags,
  "embedding_bag.padding_idx": bags,
  _embedding_bag: bags,
  _embedding_bag_forward_only: bags,
  _embedding_bag_backward: [maxBackward],
  _embedding_bag_dense_backward: [maxBackward],
  "sparse_coo_tensor.indices": [coo],
  "sparse_coo_tensor.indices_size": [coo],
  _sparse_coo_tensor_unsafe: [coo],
  _validate_sparse_coo_tensor_args: [coo],
  "sparse_csr_tensor.crow_col_value_size": [rows],
  "sparse_csr_tensor.crow_col_value": [rows],
  "sparse_csc_tensor.ccol_row_value_size": [columns],
  "sparse_csc_tensor.ccol_row_value": [columns],
  "sparse_bsr_tensor.crow_col_value_size": [blocks],
  "sparse_bsr_tensor.crow_col_value": [blocks],
  "sparse_bsc_tensor.ccol_row_value_size": [columnBlocks],
  "sparse_bsc_tensor.ccol_row_value": [columnBlocks],
  "sparse_compressed_tensor.comp_plain_value_size": [{ ...anyRows, layout: "sparse_csr" }],
  "sparse_compressed_tensor.comp_plain_value": [{ ...anyRows, layout: "sparse_csc" }],
  _sparse_csr_tensor_unsafe: [rows],
  _sparse_csc_tensor_unsafe: [columns],
  _sparse_bsr_tensor_unsafe: [blocks],
  _sparse_bsc_tensor_unsafe: [columnBlocks],
  _sparse_compressed_tensor_unsafe: [{ ...anyRows, layout: "sparse_csr" }],
  _fused_adam: adams,
  _fused_adam_: adams,
  _fused_adamw: adams,
  _fused_adamw_: adams,
  _fused_sgd: sgds,
  _fused_sgd_: sgds,
  _fused_adagrad: adagrads,
  _fused_adagrad_: adagrads,
  scaled_dot_product_attention: attentions,
  _scaled_dot_product_attention_math: attentions,
};
