export { fill, loadWeights, type LoadOptions, type LoadReport, type WeightSlice } from "./hf-load.ts";
export { piecesOf, saveWeights, type SaveOptions, type SaveReport } from "./hf-save.ts";
export { safetensorsDtype, torchDtype } from "./dtypes.ts";
