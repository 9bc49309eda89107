// The operators that torchforge adds to libtorch (native/fused): each is one pass in C++ over what would be several aten
// operators, with its gradient. They follow autograd, scopes and devices like any other operator; off the CPU they are
// compositions of aten operators. Low-precision inputs are computed in float32 and rounded once, at the end.
// Gradients of gradients aren't there: taking one is an error.
export {
  docAttention,
  hasDocAttention,
  metaAttention,
  rotaryEmbedding,
  spanAttention,
} from "./fused/attention.ts";
export {
  linearCrossEntropy,
  linearLogProbabilities,
  type LinearCrossEntropyOptions,
} from "./fused/cross-entropy.ts";
export { collectRows, expertMlp, spreadRows } from "./fused/experts.ts";
export {
  addLinear,
  linear,
  linearWeightGradient,
  normLinear,
  swiglu,
  swigluJoined,
  swigluLinear,
} from "./fused/linears.ts";
export { addRmsNorm, rmsNorm } from "./fused/norms.ts";
export {
  adamw,
  adamwNarrow,
  clipCoefficient,
  clipGradNorm,
  gradNorm,
  sumOfSquares,
  type AdamwNarrowOptions,
  type AdamwOptions,
} from "./fused/optimizer.ts";
export {
  dequantize,
  dequantizeComposed,
  nestMagnitudes,
  quantizationMap,
  quantizeByRow,
  quantizedLinear,
  quantizeNf4,
  type RowFormat,
} from "./fused/quantized.ts";
