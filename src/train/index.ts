// Training: the trainer and its parts, and inference with what it made. Loads libtorch when it begins to work.
export { describeRun } from "./describe-run.ts";
export { forecastMemory, totalPositions, type MemoryForecast } from "./forecast.ts";
export { ChatModel } from "./inference.ts";
export { checkDivision } from "./parallelize.ts";
export { toMicroBatch, type MicroBatch, type PackedBatch } from "./micro-batch.ts";
export { planFolder, planLines, readModel } from "./plan.ts";
export { simulate, type SimulatedRank, type Traffic } from "./simulate.ts";
export { reportLines, reportOf, type SimulationReport, type Speeds } from "./simulate-report.ts";
export { NonFiniteError, type NonFiniteFacts } from "./non-finite.ts";
export { forwardBackward, forwardLoss, type StepOptions } from "./step.ts";
export { evaluateLoader, type EvaluateOptions } from "./evaluate.ts";
export { Trainer, type TrainerHooks, type TrainerResult } from "./trainer.ts";
