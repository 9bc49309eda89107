// A value that a cell shows as HTML or a picture, and console.log as text.

export class RichOutput {
  /** Media type to data; always includes text/plain. */
  readonly bundle: Readonly<Record<string, string>>;

  constructor(bundle: Readonly<Record<string, string>> & { readonly "text/plain": string }) {
    this.bundle = bundle;
  }

  toString(): string {
    return this.bundle["text/plain"]!;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  [Symbol.for("Jupyter.display")](): Readonly<Record<string, string>> {
    return this.bundle;
  }
}
