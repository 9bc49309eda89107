// Jinja2 as Transformers sets it up for chat templates, equal to it to the byte or refused by name. Not a general template engine:
// no HTML escaping, no other templates to include. Own code, since each library for JavaScript differs from Python in what it prints
// (numbers, None, dicts), strips, orders and escapes, and none marks where a template's `{% generation %}` lies.
import { startBudget } from "./budget.ts";
import { globals } from "./globals.ts";
import { Interpreter, type GenerationSpan } from "./interpreter.ts";
import { marksGeneration, type Statement } from "./ast.ts";
import { parse } from "./parser.ts";
import { fromJson, type Value } from "./values.ts";

export { RenderError, RenderLimitError, TemplateSyntaxError, UnsupportedError } from "./errors.ts";
export type { GenerationSpan } from "./interpreter.ts";
export { strftime } from "./strftime.ts";

export interface Rendered {
  readonly text: string;
  /** What the template's generation marks enclose; undefined where one is inside a macro, call, filter or set block. */
  readonly spans: readonly GenerationSpan[] | undefined;
}

/** A parsed template. */
export class JinjaTemplate {
  readonly #body: readonly Statement[];
  /** Whether it marks what is generated. */
  readonly hasGenerationMarks: boolean;
  readonly #globals: ReadonlyMap<string, Value>;

  /**
   * @param now what strftime_now takes for now.
   * @throws TemplateSyntaxError or UnsupportedError.
   */
  constructor(source: string, now: Date) {
    this.#body = parse(source);
    this.hasGenerationMarks = marksGeneration(this.#body);
    this.#globals = globals(now);
  }

  /** @throws RenderError where Python would raise one, UnsupportedError, RenderLimitError. */
  render(variables: Readonly<Record<string, unknown>>): Rendered {
    startBudget();
    const values = new Map(this.#globals);
    for (const [name, value] of Object.entries(variables)) values.set(name, fromJson(value));
    const interpreter = new Interpreter();
    const text = interpreter.run(this.#body, values);
    return { text, spans: interpreter.spans };
  }
}
