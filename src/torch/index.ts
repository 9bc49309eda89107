// torchforge/torch: tensors, operators and autograd on libtorch. The native library is loaded at the first operation, not at
// import.
export * from "./generated/functions.ts";
export {
  backward,
  enableGrad,
  grad,
  inferenceMode,
  isGradEnabled,
  noGrad,
  type GradOptions,
} from "./autograd.ts";
export { call, hasOp } from "./operators/call.ts";
export {
  fromArray,
  fromTypedArray,
  full,
  tensor,
  type NestedArray,
  type TensorOptions,
} from "./tensor/creation.ts";
export { Device, device } from "./device.ts";
export {
  bfloat16,
  bool,
  complex128,
  complex32,
  complex64,
  Dtype,
  dtypeOfName,
  dtypes,
  float16,
  float32,
  float64,
  float8E4m3fn,
  float8E4m3fnuz,
  float8E5m2,
  float8E5m2fnuz,
  int16,
  int32,
  int64,
  int8,
  uint16,
  uint32,
  uint64,
  uint8,
  type TypedArray,
} from "./dtype.ts";
export { ArgumentError, OutOfMemoryError, setDebugMode, TorchError } from "./errors.ts";
export * as fused from "./fused.ts";
export * as ggml from "./ggml.ts";
export { slice, Slice, type Index } from "./tensor/indexing.ts";
export { gradcheck, type GradcheckOptions } from "./gradcheck.ts";
export { info, setDevice, synchronize, type TorchInfo } from "./introspect.ts";
export { localDevice } from "./local-device.ts";
export { useCudaKernels } from "./kernels.ts";
export {
  emptyCache,
  memoryStats,
  resetPeakMemory,
  setCacheLimit,
  setMemoryLimit,
  withoutHugePages,
  type MemoryStats,
} from "./memory.ts";
export { setMetaMemory, type MetaMemory } from "./meta.ts";
export { defaultGenerator, Generator, getRngState, manualSeed, setRngState } from "./random.ts";
export { keep, outlive, Scope, scope } from "./scope.ts";
export { Storage, Tensor, type Nested, type ToOptions } from "./tensor/tensor.ts";
export {
  defaultThreads,
  getNumThreads,
  physicalCores,
  setNumThreads,
  useDeterministicAlgorithms,
} from "./threads.ts";
export type { Layout, MemoryFormat } from "./layout.ts";
export type { Scalar } from "./addon/wire.ts";
// Only for comm, whose functions are in the same addon.
export { addon as nativeAddon, check as checkNative } from "./addon/addon.ts";
export { type NativeFailure, raiseNative } from "./errors.ts";
