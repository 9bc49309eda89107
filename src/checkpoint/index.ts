// torchforge/checkpoint: weights from and to Hugging Face folders, and the checkpoints that a run resumes from.
export { fill, loadWeights, type LoadOptions, type LoadReport, type WeightSlice } from "./hf-load.ts";
export { piecesOf, saveWeights, type SaveOptions, type SaveReport } from "./hf-save.ts";
export { safetensorsDtype, torchDtype } from "./dtypes.ts";
export {
  Checkpointer,
  type CheckpointerOptions,
  type LoadablePart,
  type Resumed,
  type ResumeTargets,
  type SaveReport as CheckpointSaveReport,
} from "./checkpointer.ts";
export { fromExactJson, toExactJson, type Exact } from "./exact-json.ts";
export { StepCheckpoint } from "./load-step.ts";
export type { Manifest, StateParts } from "./manifest.ts";
export { captureRandom, restoreRandom, type RandomState } from "./random.ts";
export { saveStep, type CheckpointContents, type SavedStep, type StepSaveOptions } from "./save-step.ts";
export { chooseStart, type Start, type StartOptions } from "./start.ts";
export {
  cleanLeftovers,
  findLatest,
  listCheckpoints,
  purge,
  stepPath,
  type BrokenCheckpoint,
  type CheckpointInfo,
  type Listing,
} from "./step-folder.ts";
