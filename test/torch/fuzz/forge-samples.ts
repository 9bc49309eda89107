// Calls that our own operators (`forge::`) accept, in the form of samples.json: PyTorch's tests don't know them.
import type { Sample } from "./samples.ts";

const f = (...s: number[]) => ({ d: "float32", s });
const ids = (m: number, ...s: number[]) => ({ d: "int64", s, m });

const order = { d: "int64", s: [12], v: [0, 3, 4, 7, 8, 11, 1, 2, 5, 6, 9, 10] };
const packed = { q: f(12, 4, 8), k: f(12, 2, 8), v: f(12, 2, 8) };
const attention = { ...packed, lengths: [5, 5, 2], scale: 0.35, window: 0 };
const spans = {
  ...packed,
  q: f(6, 4, 8),
  spans: [0, 4, 0, 5, 1, 4, 2, 5, 3, 0, 4, 2, 8, 4, -1],
  scale: 0.35,
  window: 3,
};
const entropy = { hidden: f(6, 8), weight: f(11, 8), labels: ids(11, 6) };
const rotary = { cos: f(16, 8), sin: f(16, 8), position_ids: ids(16, 12) };
const states = { params: [f(4, 3), f(5)], grads: [f(4, 3), f(5)] };

export const forgeSamples: Readonly<Record<string, readonly Sample[]>> = {
  rms_norm: [{ input: f(6, 8), weight: f(8), eps: 1e-6 }],
  rms_norm_forward: [{ input: f(6, 8), weight: f(8), eps: 1e-6 }],
  rms_norm_backward: [
    { grad: f(6, 8), input: f(6, 8), rstd: f(6), weight: f(8), need_input: true, need_weight: true },
  ],
  add_rms_norm: [{ input: f(6, 8), residual: f(6, 8), weight: f(8), eps: 1e-6 }],
  add_rms_norm_forward: [{ input: f(6, 8), residual: f(6, 8), weight: f(8), eps: 1e-6 }],
  add_rms_norm_backward: [
    {
      grad: f(6, 8),
      grad_sum: f(6, 8),
      sum: f(6, 8),
      rstd: f(6),
      weight: f(8),
      need_input: true,
      need_weight: true,
    },
  ],
  norm_linear: [
    { x: f(6, 8), norm_weight: f(8), weights: [f(4, 8), f(3, 8)], biases: [f(4), f(3)], eps: 1e-6 },
    { x: f(6, 8), norm_weight: f(8), weights: [f(4, 8)], biases: [], eps: 1e-6 },
  ],
  rotary_embedding: [{ query: f(12, 4, 8), key: f(12, 2, 8), ...rotary }],
  rotary_apply: [{ tensors: [f(12, 4, 8), f(12, 2, 8)], ...rotary, inverse: false }],
  swiglu: [{ gate: f(6, 8), up: f(6, 8) }],
  swiglu_forward: [{ gate: f(6, 8), up: f(6, 8) }],
  swiglu_backward: [{ grad: f(6, 8), gate: f(6, 8), up: f(6, 8) }],
  swiglu_linear: [{ gate: f(6, 8), up: f(6, 8), weight: f(5, 8), residual: f(6, 5) }],
  swiglu_joined: [{ joined: f(6, 16) }],
  swiglu_joined_forward: [{ joined: f(6, 16) }],
  swiglu_joined_backward: [{ grad: f(6, 8), joined: f(6, 16) }],
  spread_rows: [{ x: f(6, 8), order, choices: 2 }],
  collect_rows: [{ pairs: f(12, 8), order, choices: 2 }],
  expert_mlp: [
    {
      x: f(6, 8),
      order,
      weights: f(6, 2),
      counts: { d: "int64", s: [2], v: [6, 6] },
      gate: [f(5, 8), f(5, 8)],
      up: [f(5, 8), f(5, 8)],
      down: [f(8, 5), f(8, 5)],
    },
  ],
  doc_attention: [attention],
  span_attention: [spans],
  linear: [
    { x: f(6, 8), weight: f(5, 8), bias: f(5) },
    { x: f(6, 8), weight: f(5, 8), bias: null },
  ],
  linear_weight_gradient: [{ grad: f(6, 5), x: f(6, 8) }],
  linear_cross_entropy: [
    { ...entropy, ignore_index: -100, chunk_size: 3, scale: 0.5, token_weights: f(6) },
    { ...entropy, ignore_index: -100, chunk_size: 3, scale: 0.5, token_weights: null },
  ],
  linear_cross_entropy_forward: [
    {
      ...entropy,
      ignore_index: -100,
      chunk_size: 0,
      scale: 0.5,
      token_weights: f(6),
      need_hidden: true,
      need_weight: true,
    },
  ],
  linear_log_probabilities: [{ ...entropy, ignore_index: -100, chunk_size: 3 }],
  grad_norm: [{ tensors: [f(4, 3), f(5)] }],
  sum_of_squares: [{ tensors: [f(4, 3), f(5)] }],
  clip_grad_norm_: [{ grads: [f(4, 3), f(5)], max_norm: 1 }],
  clip_coefficient: [{ norm: f(), max_norm: 1 }],
  adamw_: [
    {
      ...states,
      exp_avgs: [f(4, 3), f(5)],
      exp_avg_sqs: [f(4, 3), f(5)],
      step: 3,
      lr: 1e-3,
      beta1: 0.9,
      beta2: 0.95,
      eps: 1e-8,
      weight_decay: 0.1,
      grad_scale: f(),
      maximize: false,
    },
  ],
};
