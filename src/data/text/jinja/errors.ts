// What can go wrong with a template: it can't be parsed, it refuses or breaks on a conversation (as it would in Python), it uses
// something that isn't implemented here, or it does too much work.

/** The template's text isn't Jinja. */
export class TemplateSyntaxError extends Error {
  override name = "TemplateSyntaxError";
  constructor(message: string, line: number) {
    super(`line ${line}: ${message}`);
  }
}

/** What Python would raise while rendering: the conversation doesn't suit the template. */
export class RenderError extends Error {
  override name = "RenderError";
}

/** A construct of Jinja2 or a method of Python that isn't implemented. Its result would be a guess, so there is none. */
export class UnsupportedError extends Error {
  override name = "UnsupportedError";
}

/** The bound on steps, text or depth was reached. */
export class RenderLimitError extends Error {
  override name = "RenderLimitError";
}
