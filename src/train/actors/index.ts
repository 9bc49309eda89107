// The actors of training. Importing them costs nothing: their parts are loaded in the worker, by setup.
export { DryRunActor, type DryRunResult } from "./dry-run-actor.ts";
export { type Evaluated, EvaluatorActor, type EvaluatorResult } from "./evaluator-actor.ts";
export { type Generated, InferencerActor } from "./inferencer-actor.ts";
export { type AnswerOptions, type PassResult, TrainerActor } from "./trainer-actor.ts";
