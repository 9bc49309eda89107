// Training: the trainer and its parts, and inference with what it made. Loads libtorch when it begins to work.
export { describeRun } from "./trainer/describe-run.ts";
export { forecastMemory, totalPositions, type MemoryForecast } from "./plan/forecast.ts";
export { ChatModel, type ChatMessage } from "./trainer/inference.ts";
export { baseOfAdapter, mergeModel, type MergeOptions } from "./merge-model.ts";
export { quantizeModel, type QuantizeOptions } from "./quantize-model.ts";
export { toMicroBatch, type MicroBatch } from "./engine/micro-batch.ts";
export { planFolder, planLines, readModel } from "./plan/plan.ts";
export { cardOf, defaultLinks, linksOf } from "./plan/cards.ts";
export { simulate, type SimulatedRank, type Traffic } from "./plan/simulate.ts";
export {
  reportLines,
  reportOf,
  type Machines,
  type SimulationReport,
  type Speeds,
} from "./plan/simulate-report.ts";
export { NonFiniteError, type NonFiniteFacts } from "./engine/non-finite.ts";
export { forwardBackward, forwardLoss, type StepOptions } from "./engine/step.ts";
export { evaluateLoader, type EvaluateOptions } from "./engine/evaluate.ts";
export { Trainer, type TrainerHooks, type TrainerResult } from "./trainer/trainer.ts";
export { checkParity, compareLogits, logitsOfTexts } from "./parity.ts";
export { chooseRecipe, type ChosenRecipe, type Recipe, type RecipeFacts } from "./recipe/choices.ts";
export { examine } from "./recipe/examine.ts";
export { recipeText } from "./recipe/text.ts";
