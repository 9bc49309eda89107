// torchforge/nn: what models are made of. Each part holds its parameters and computes with them; how a model is divided among
// ranks it sees through the interfaces of regions.ts alone.
export { accumulate } from "./accumulate.ts";
export { gated, type Activation } from "./activation.ts";
export { Attention, type AttentionParts, type AttentionShape, type Projections } from "./attention.ts";
export { castWeight, disposeCasts, dropFrozenCast } from "./cast.ts";
export {
  attendTo,
  composedAttention,
  documentAttention,
  documentBoundaries,
  isPlain,
  scaleOf,
  type AttentionOptions,
  type AttentionVariant,
} from "./document-attention.ts";
export { DropoutMasks, mixSeeds } from "./dropout.ts";
export { Embedding } from "./embedding.ts";
export { FeedForward, type FeedForwardParts } from "./feed-forward.ts";
export type { FeedForwardOptions, Routing } from "./feed-forward-options.ts";
export { LatentAttention, type LatentAttentionParts, type LatentAttentionShape } from "./latent-attention.ts";
export { Linear, normLinear, type ProductOptions } from "./linear.ts";
export { LMHead, type HeadLossOptions, type LogitsOptions } from "./lm-head.ts";
export { LowRank, type AdapterSpec, type BaseMatrix, type LowRankParts } from "./low-rank.ts";
export { balancingLoss, MoE, type BalanceConfig, type MoEParts, type RouterConfig } from "./moe.ts";
export { recordProduct, recordProducts, type Product } from "./products.ts";
export type { ExpertChoice, ExpertExchange, RunExperts, SequenceShard, TensorRegion } from "./regions.ts";
export { Residual } from "./residual.ts";
export { RMSNorm } from "./rms-norm.ts";
export {
  inverseFrequencies,
  ropeRows,
  ropeTables,
  type RopeConfig,
  type RopeScaling,
  type RopeTables,
} from "./rope.ts";
export type { Sequence } from "./sequence.ts";
export {
  blockOf,
  fileNames,
  firstTrainedBlock,
  freeze,
  mapParameters,
  parametersOf,
  tiedNames,
  type BlockSpec,
  type FileNames,
} from "./block-spec.ts";
export { numel } from "./numel.ts";
export {
  parameter,
  type FilePlace,
  type Initialization,
  type ParameterSpec,
  type TensorSplit,
} from "./parameter.ts";
export { StackedExperts, type ClampedSwiglu, type StackedExpertsParts } from "./stacked-experts.ts";
export { isFirstSlice, sliceOf, wholeShape, type ShardSlice } from "./shard-slice.ts";
export { fp8Rows } from "./fp8.ts";
export { int8Rows } from "./int8.ts";
export { nf4, type Nf4Format, type Nf4Parts } from "./nf4.ts";
export {
  encodeSlice,
  isQuantized,
  plain,
  type QuantizedFormat,
  type ReadRows,
  type StorageFormat,
} from "./storage-format.ts";
