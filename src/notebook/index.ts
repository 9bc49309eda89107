// What a notebook's cell can use beyond the actors: one call each for a batch, for runs; and how actors are shown there.
export { compareRuns, type CompareOptions } from "./compare-runs.ts";
export type { Screen } from "./live-output.ts";
export { installPresenter, NotebookPresenter } from "./presenter.ts";
export { previewBatch, type PreviewOptions } from "./preview-batch.ts";
export { RichOutput } from "./rich-output.ts";
export { type AnswerSource, SampledAnswers, sampleAnswers } from "./sample-answers.ts";
