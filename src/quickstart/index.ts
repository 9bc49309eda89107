// What `npm start` and the notebook begin with: a small real model, rows to train it on, and a run that shows what changed.
// Everything it does is the ordinary trainer's; only the model, the data and the numbers are chosen here.
export { type Examined, QuickstartActor } from "./actor.ts";
export { quickstartConfig, type QuickstartOptions } from "./config.ts";
export { quickstartData } from "./data.ts";
export { obtainSmolLM2, smolLM2Name, type ObtainedModel, type ObtainOptions } from "./model.ts";
