// Bounds one render's work, since templates are other people's programs: steps, and characters made (16 count as a step). Counted
// rather than timed, so that the same row meets the same end on every machine. Rendering is synchronous, so one counter will do.
import { RenderError, RenderLimitError } from "./errors.ts";

/** A few seconds of work. The longest conversations of real data need some hundred thousand. */
export const maxSteps = 10_000_000;
/** Longest text, in characters, that a value may have. */
export const maxTextLength = 1 << 26;
/** Macros within macros; beyond it Python gives up too. */
export const maxDepth = 200;

const charactersAStep = 16;
/** Characters that an element of a list counts as. */
export const elementLength = 16;
let left = maxSteps;
let depth = 0;

export function startBudget(): void {
  left = maxSteps;
  depth = 0;
}

/** @param steps what a template computes may be negative, which gives nothing back */
export function spend(steps = 1): void {
  left -= Math.max(0, steps);
  if (left < 0)
    throw new RenderLimitError(
      `it takes more than ${maxSteps.toLocaleString("en")} steps (an endless loop?)`,
    );
}

/** To be called before `length` characters, or elements of a list, are made. */
export function spendText(length: number): void {
  if (length > maxTextLength)
    throw new RenderLimitError(`it makes text of more than ${maxTextLength.toLocaleString("en")} characters`);
  spend(length / charactersAStep);
}

/** Runs `body` one call deeper. */
export function deeper<T>(body: () => T): T {
  if (depth >= maxDepth) throw new RenderError("maximum recursion depth exceeded");
  depth++;
  try {
    return body();
  } finally {
    depth--;
  }
}
