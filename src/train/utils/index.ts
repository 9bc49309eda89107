// The utilities of the guide, each usable alone. Importing them loads nothing of what they need.
export {
  type ContextParallelContext,
  createContextParallelContext,
  type ModelPart,
} from "./create-context-parallel-context.ts";
export { type Logger, logTrainingStep } from "./log-training-step.ts";
export { moveBatchToDevice } from "./move-batch-to-device.ts";
export { setupSftDataloader, type SftDataloaderOptions } from "./setup-sft-dataloader.ts";
export { setupTokenizer } from "./setup-tokenizer.ts";
export { type SftBatch, SftDataloader } from "./sft-dataloader.ts";
