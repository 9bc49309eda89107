// The quickstart of `npm start` and the notebook: a small real model, data to train it on, and a run that shows what changed.
// It uses the ordinary trainer; only model, data and hyperparameters are chosen here.
export { type ExamineResult, QuickstartActor } from "./actor.ts";
export { quickstartConfig, type QuickstartOptions } from "./config.ts";
export { quickstartData } from "./data.ts";
export { obtainSmolLM2, smolLM2Name, type ObtainedModel, type ObtainOptions } from "./model.ts";
