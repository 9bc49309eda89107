// Shows values below a cell, and updates them. Outside of a notebook the same calls print text, so that a cell's code also
// works in a script.
import { randomUUID } from "node:crypto";

import { bundleOf, displaySymbol, encodeBundle, type MimeBundle } from "./kernel/cells/display-bundle.ts";
import { notebookHost, type InterruptHandler } from "./host.ts";

export interface DisplayOptions {
  /** Identifies the output, so that another call can replace it. Default: a new id. */
  readonly id?: string;
  /** `value` is a bundle: media type to data. */
  readonly raw?: boolean;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface DisplayHandle extends Displayable {
  readonly id: string;
  /** Shows another value in the same place. */
  readonly update: (value: unknown, options?: Omit<DisplayOptions, "id">) => void;
}

/**
 * Shows a value below the cell: its rich output (a method under `Symbol.for("Jupyter.display")`) if it has one, else as text.
 * The returned handle replaces it.
 * @example
 * ```ts
 * import { display, html } from "torchforge/notebook";
 *
 * const handle = display("loading");
 * handle.update(html("<b>ready</b>"));
 * ```
 */
export function display(value: unknown, options: DisplayOptions = {}): DisplayHandle {
  const id = options.id ?? randomUUID();
  show(value, id, options, false);
  return {
    id,
    update: (next, more = {}) => show(next, id, { metadata: options.metadata, ...more }, true),
    [displaySymbol]: () => ({}), // as a cell's last expression it must not be shown twice
  };
}

/** Replaces the output with this id, in whichever cell it is. */
export function updateDisplay(id: string, value: unknown, options: Omit<DisplayOptions, "id"> = {}): void {
  show(value, id, options, true);
}

interface ShowOptions {
  readonly raw?: boolean;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

function show(value: unknown, displayId: string, { raw, metadata }: ShowOptions, update: boolean): void {
  const bundle = raw === true ? encodeBundle(value as MimeBundle) : bundleOf(value);
  const host = notebookHost();
  const send = (data: MimeBundle): void => {
    if (host === undefined) console.log(data["text/plain"] ?? `<${Object.keys(data).join(", ")}>`);
    else host.display({ data, metadata, displayId, update });
  };
  if (!(bundle instanceof Promise)) return send(bundle);
  const sent = bundle.then(send);
  host?.keepOpen(sent);
}

/** Clears the output of the cell; with `wait` only when the next output comes, so that nothing flickers. */
export function clearOutput(options: { readonly wait?: boolean } = {}): void {
  notebookHost()?.clearOutput(options.wait === true);
}

/**
 * Until disposed, an interrupt calls `handler` instead of ending the cell, for example to finish a step and save. A second
 * interrupt calls it again and ends the cell. Does nothing outside of a notebook.
 */
export function onInterrupt(handler: InterruptHandler): Disposable {
  return notebookHost()?.onInterrupt(handler) ?? { [Symbol.dispose]: () => {} };
}

/** A value with its own rich output. */
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
