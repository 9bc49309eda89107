// What the host hands to each kernel, as one struct by value. Read by NVRTC and by the compiler of the addon: plain types of
// fixed sizes only, and no includes. Pointers to numbers are `void` where their type is the kernel's template argument.
#pragma once

/// Elements that one block of a kernel over many tensors handles.
constexpr int kBlockElements = 16384;

/// As many tensors as fit into a launch's 4,096 bytes of arguments.
constexpr int kAdamwTensors = 88;
struct AdamwArgs {
  void* param[kAdamwTensors];
  const void* grad[kAdamwTensors];
  void* exp_avg[kAdamwTensors];
  void* exp_avg_sq[kAdamwTensors];
  long long size[kAdamwTensors];
  unsigned first_block[kAdamwTensors];
  const float* grad_scale;  // null: 1
  int count;
  float sign;          // of gradients: -1 to maximize
  float keep;          // 1 - lr * weight_decay
  float new1;          // 1 - beta1
  float old2, new2;    // beta2, 1 - beta2
  float step_size;     // -lr / (1 - beta1^step)
  float inverse_root;  // 1 / sqrt(1 - beta2^step)
  float eps;
};

/// The same for parameters or moments of fewer bits: see adamw_narrow.cuh.
constexpr int kNarrowTensors = 50;
struct NarrowArgs {
  void* param[kNarrowTensors];
  const void* grad[kNarrowTensors];
  void* exp_avg[kNarrowTensors];
  void* exp_avg_sq[kNarrowTensors];
  float* scale[kNarrowTensors];     // of int8 moments: one a block of codes
  float* sq_scale[kNarrowTensors];
  long long size[kNarrowTensors];   // elements
  int columns[kNarrowTensors];      // of a row of int8 moments
  unsigned first_block[kNarrowTensors];
  unsigned key[kNarrowTensors];     // of the random numbers: the parameter's and the step's
  unsigned offset[kNarrowTensors];  // of the first element in the whole parameter
  const float* grad_scale;          // null: 1
  int count;
  int stochastic;      // bf16 is rounded up or down at random; 0: to the nearest
  float sign;          // of gradients: -1 to maximize
  float keep;          // 1 - lr * weight_decay, or 1
  float decay;         // Adam: weight_decay, of the gradient; else 0
  float new1;          // 1 - beta1
  float old2, new2;    // beta2, 1 - beta2
  float step_size;     // -lr / (1 - beta1^step)
  float inverse_root;  // 1 / sqrt(1 - beta2^step)
  float eps;
};

constexpr int kSquaresTensors = 180;
struct SquaresArgs {
  const void* data[kSquaresTensors];
  long long size[kSquaresTensors];
  unsigned first_block[kSquaresTensors];
  double* partial;  // one a block
  int count;
};

/// Strides are those of rows, in elements; outputs are contiguous.
struct RmsForwardArgs {
  const void* input;
  const void* residual;  // null: none, and no sum
  const void* weight;    // null: ones
  void* sum;
  void* output;
  float* rstd;
  long long input_stride, residual_stride;
  long long rows;
  int size;
  float eps;
};

struct RmsBackwardArgs {
  const void* grad;
  const void* input;
  const void* weight;  // null: ones
  const void* extra;   // null: none; a gradient that is added to the input's
  const float* rstd;
  void* grad_input;    // null: not wanted
  float* partial;      // null: not wanted; [blocks, size], the weight's gradient of each block's rows
  long long grad_stride, input_stride, extra_stride;
  long long rows;
  int size;
};

constexpr int kRotaryTensors = 2;
struct RotaryArgs {
  const void* from[kRotaryTensors];
  void* to[kRotaryTensors];
  long long batch_stride[kRotaryTensors], token_stride[kRotaryTensors], head_stride[kRotaryTensors];
  int heads[kRotaryTensors], dim[kRotaryTensors];
  const float* cos;
  const float* sin;
  const long long* positions;  // null: 0, 1, 2, ..
  long long positions_stride;  // between the rows of a batch
  long long limit;             // rows of the tables
  long long tokens;
  int half;
  int count;
  float sign;  // of the angle
};

struct SwigluArgs {
  const void* gate;
  const void* up;
  void* output;
  long long gate_stride, up_stride;
  long long rows;
  int size;
};

struct SwigluBackwardArgs {
  const void* grad;
  const void* gate;
  const void* up;
  void* grad_gate;
  void* grad_up;
  long long grad_stride, gate_stride, up_stride, output_stride;
  long long rows;
  int size;
};

struct CrossEntropyArgs {
  void* logits;  // [rows, size]; become their gradient
  const long long* labels;
  const float* weights;  // null: ones; of each row's loss
  float* losses;         // weight * -log softmax(logits)[label]
  long long rows;
  int size;
  int gradient;  // 0: logits stay
  float scale;   // of the gradient
};
