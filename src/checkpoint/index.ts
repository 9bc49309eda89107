// torchforge/checkpoint: weights from and to Hugging Face folders, and the checkpoints that a run resumes from.
export {
  Checkpointer,
  type ChangeableOptions,
  type CheckpointerOptions,
  type LoadablePart,
  type Resumed,
  type ResumeTargets,
  type SaveContents,
  type SaveReport as CheckpointSaveReport,
} from "./checkpointer.ts";
export { loadAdapter, nameOfPeft, openAdapterWeights } from "./hf/adapter.ts";
export { adapterConfigName, adapterFileName, peftPrefix } from "./hf/adapter-files.ts";
export { digestOfWeights } from "./hf/digest.ts";
export { safetensorsDtype, torchDtype } from "./hf/dtypes.ts";
export { fill, loadWeights, type LoadOptions, type LoadReport, type WeightSlice } from "./hf/load.ts";
export { piecesOf } from "./hf/pieces.ts";
export { carriedNote } from "./hf/carried.ts";
export { saveQuantized, type QuantizedSizes } from "./hf/save-quantized.ts";
export { saveWeights, type SaveOptions, type SaveReport } from "./hf/save.ts";
export { chooseStart, type Start, type StartOptions } from "./load/start.ts";
export { StepCheckpoint, type LoadStepOptions } from "./load/step-checkpoint.ts";
export type { Published } from "./save/job.ts";
export type { CheckpointContents } from "./save/plan.ts";
export { saveStep, type StepSaveOptions } from "./save/save-step.ts";
export { fromExactJson, toExactJson, type Exact } from "./step/exact-json.ts";
export type { Manifest, StateParts } from "./step/manifest.ts";
export { captureRandom, restoreRandom, type RandomState } from "./step/random.ts";
export {
  cleanLeftovers,
  exportPath,
  findLatest,
  lacksExport,
  listCheckpoints,
  purge,
  stepPath,
  type BrokenCheckpoint,
  type CheckpointInfo,
  type Listing,
} from "./step/step-folder.ts";
