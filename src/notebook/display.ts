// Showing values below a cell, and changing what is shown. Outside of a notebook the same calls print text, so that a script
// can use the code of a cell.
import { randomUUID } from "node:crypto";

import { bundleOf, displaySymbol, encodeBundle, type MimeBundle } from "./kernel/display-bundle.ts";
import { notebookHost, type InterruptHandler } from "./host.ts";

export interface DisplayOptions {
  /** Names the output, so that another call can replace it; a new name unless given. */
  readonly id?: string;
  /** `value` is itself a bundle: media type to data. */
  readonly raw?: boolean;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface DisplayHandle extends Displayable {
  readonly id: string;
  /** Shows another value in the same place. */
  readonly update: (value: unknown, options?: Omit<DisplayOptions, "id">) => void;
}

/**
 * Shows a value below the cell: its own rich output (a method under `Symbol.for("Jupyter.display")`), or as text.
 * The handle replaces it, as often as wanted.
 */
export function display(value: unknown, options: DisplayOptions = {}): DisplayHandle {
  const id = options.id ?? randomUUID();
  show(value, id, options, false);
  return {
    id,
    update: (next, more = {}) => show(next, id, { metadata: options.metadata, ...more }, true),
    [displaySymbol]: () => ({}), // as a cell's last expression it is no second output
  };
}

/** Replaces what was shown under `id`, wherever in the notebook that is. */
export function updateDisplay(id: string, value: unknown, options: Omit<DisplayOptions, "id"> = {}): void {
  show(value, id, options, true);
}

interface ShowOptions {
  readonly raw?: boolean;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

function show(value: unknown, displayId: string, { raw, metadata }: ShowOptions, update: boolean): void {
  const made = raw === true ? encodeBundle(value as MimeBundle) : bundleOf(value);
  const host = notebookHost();
  const send = (data: MimeBundle): void => {
    if (host === undefined) console.log(data["text/plain"] ?? `<${Object.keys(data).join(", ")}>`);
    else host.display({ data, metadata, displayId, update });
  };
  if (!(made instanceof Promise)) return send(made);
  const sent = made.then(send);
  host?.keepOpen(sent);
}

/** Empties the output of the cell; with `wait` when the next output comes, so that nothing flickers. */
export function clearOutput(options: { readonly wait?: boolean } = {}): void {
  notebookHost()?.clearOutput(options.wait === true);
}

/**
 * Until it is disposed, interrupting the cell calls `handler` instead of ending the cell: to finish a step and save. A second
 * interrupt calls it again, and ends the cell. Outside of a notebook it does nothing.
 */
export function onInterrupt(handler: InterruptHandler): Disposable {
  return notebookHost()?.onInterrupt(handler) ?? { [Symbol.dispose]: () => {} };
}

/** A value that a cell shows as what it says. */
export interface Displayable {
  [displaySymbol]: () => MimeBundle;
}

function displayable(type: string, text: string): Displayable {
  return { [displaySymbol]: () => ({ [type]: text, "text/plain": text }) };
}

export function html(text: string): Displayable {
  return displayable("text/html", text);
}

export function markdown(text: string): Displayable {
  return displayable("text/markdown", text);
}

/** An SVG document. */
export function svg(text: string): Displayable {
  return displayable("image/svg+xml", text);
}
