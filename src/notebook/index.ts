// torchforge/notebook: for cells of a notebook: rich output, interrupts, previews of batches, comparisons of runs, and how
// actors are shown. The kernel (kernel/) is a separate program; it is only named here, never imported.
export { compareRuns, type CompareOptions } from "./compare-runs.ts";
export {
  clearOutput,
  display,
  html,
  markdown,
  onInterrupt,
  svg,
  updateDisplay,
  type Displayable,
  type DisplayHandle,
  type DisplayOptions,
} from "./display.ts";
export { hostSymbol, type DisplayMessage, type InterruptHandler, type NotebookHost } from "./host.ts";
export type { MimeBundle } from "./kernel/cells/display-bundle.ts";
export {
  installKernelSpec,
  jupyterDataDir,
  kernelName,
  kernelSpec,
  type KernelSpec,
  vsCodeDataDir,
} from "./kernelspec.ts";
export { kernelProgram } from "./kernel/programs.ts";
export type { Screen } from "./live-output.ts";
export { installPresenter, NotebookPresenter } from "./presenter.ts";
export { previewBatch, type PreviewOptions } from "./preview-batch.ts";
export { RichOutput } from "./rich-output.ts";
export { type AnswerSource, SampledAnswers, sampleAnswers } from "./sample-answers.ts";
