// A model's chat template: messages to the text that the model was trained on, equal to Transformers'
// apply_chat_template(tokenize=False). Not masking: which of that text is trained is found in masking.ts.
import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { messageOf, UserError } from "../../util/index.ts";
import type { Tokenizer } from "./tokenizer.ts";
import type { Message } from "../types.ts";
import { plainValue } from "../values.ts";

export interface RenderOptions {
  /** End with the header of the assistant's turn, as a prompt does. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** Tool definitions, as JSON Schema functions. */
  readonly tools?: readonly unknown[] | undefined;
}

export interface ChatTemplateOptions {
  readonly bosToken?: string | undefined;
  readonly eosToken?: string | undefined;
  readonly padToken?: string | undefined;
  /**
   * What the template sees as today (some write the date into the system turn). Fixed for a run, so that the same rows
   * give the same tokens tomorrow. Default: now.
   */
  readonly now?: Date | undefined;
  /** Further variables of the template (`enable_thinking`, `date_string` …). */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
}

/** A parsed chat template. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #variables: Readonly<Record<string, unknown>>;
  readonly eosToken: string | undefined;

  /** @throws UserError when the template can't be parsed. */
  constructor(source: string, options: ChatTemplateOptions = {}) {
    try {
      this.#template = new Template(source);
    } catch (error) {
      throw new UserError(`chat template: can't be parsed: ${messageOf(error)}`, {
        cause: error,
        exitCode: 2,
      });
    }
    const now = options.now ?? new Date();
    this.eosToken = options.eosToken;
    // Transformers passes the special tokens that the tokenizer has, and nothing for the others.
    const tokens = { bos_token: options.bosToken, eos_token: options.eosToken, pad_token: options.padToken };
    const given = Object.fromEntries(Object.entries(tokens).filter(([, token]) => token !== undefined));
    const globals = { ...pythonGlobals, strftime_now: (format: unknown) => strftime(now, String(format)) };
    this.#variables = { ...globals, ...given, ...options.variables };
  }

  /**
   * The text of a conversation.
   * @throws Error with the template's own words, when it refuses the conversation (raise_exception).
   */
  render(messages: readonly Message[], options: RenderOptions = {}): string {
    // Not Template.render: its environment brings its own strftime_now, which can't be replaced.
    const environment = new Environment();
    const variables = {
      ...this.#variables,
      messages: plain(messages),
      tools: plain(options.tools ?? null),
      documents: null,
      add_generation_prompt: options.addGenerationPrompt ?? false,
    };
    for (const [name, value] of Object.entries(variables)) environment.set(name, value);
    const { value } = new Interpreter(environment).run(this.#template.parsed);
    return String(value);
  }
}

/** Values of rows (values.ts: bigints, boxed numbers, Maps) as this engine knows them: it would write a boxed number as {}. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  const known = plainValue(value);
  return typeof known === "object" && known !== null && !Array.isArray(known)
    ? Object.fromEntries(Object.entries(known).map(([key, entry]) => [key, plain(entry)]))
    : known;
}

// What Jinja, and Transformers beside it, define in every template.
const pythonGlobals: Readonly<Record<string, unknown>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  raise_exception: (message: unknown) => {
    throw new Error(String(message));
  },
  range: (first: number, second?: number, step = 1) => {
    const [start, stop] = second === undefined ? [0, first] : [first, second];
    if (step === 0) throw new Error("range() arg 3 must not be zero");
    return Array.from({ length: Math.max(0, Math.ceil((stop - start) / step)) }, (_, i) => start + i * step);
  },
};

/** The chat template of a tokenizer, or `undefined` where the model has none (a base model). */
export function chatTemplateOf(
  tokenizer: Tokenizer,
  options: Pick<ChatTemplateOptions, "now" | "variables"> & { template?: string | undefined } = {},
): ChatTemplate | undefined {
  const source = options.template ?? tokenizer.chatTemplate;
  if (source === undefined) return undefined;
  const { bosToken, eosToken, padToken } = tokenizer;
  return new ChatTemplate(source, { ...options, bosToken, eosToken, padToken });
}

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = "January February March April May June July August September October November December".split(
  " ",
);
const two = (n: number): string => String(n).padStart(2, "0");

/** Python's strftime for the directives that chat templates use; local time. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%([a-zA-Z%])/g, (whole, directive: string) => {
    switch (directive) {
      case "Y":
        return String(date.getFullYear());
      case "y":
        return two(date.getFullYear() % 100);
      case "m":
        return two(date.getMonth() + 1);
      case "d":
        return two(date.getDate());
      case "B":
        return months[date.getMonth()]!;
      case "b":
        return months[date.getMonth()]!.slice(0, 3);
      case "A":
        return days[date.getDay()]!;
      case "a":
        return days[date.getDay()]!.slice(0, 3);
      case "H":
        return two(date.getHours());
      case "I":
        return two(date.getHours() % 12 || 12);
      case "M":
        return two(date.getMinutes());
      case "S":
        return two(date.getSeconds());
      case "p":
        return date.getHours() < 12 ? "AM" : "PM";
      case "%":
        return "%";
      default:
        return whole;
    }
  });
}
