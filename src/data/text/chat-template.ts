// A model's chat template: messages to the text that the model was trained on, equal to Transformers' apply_chat_template(tokenize=False).
// Not masking: which of that text is trained is found in masking.ts.
import { messageOf, UserError } from "../../util/index.ts";
import {
  JinjaTemplate,
  RenderError,
  RenderLimitError,
  TemplateSyntaxError,
  UnsupportedError,
  type GenerationSpan,
  type Rendered,
} from "./jinja/index.ts";
import { defaultName, toolUseName } from "./template-files.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { isRecord, type Message } from "../types.ts";

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
  /** Further special tokens by their variable's name (`unk_token` …). */
  readonly specialTokens?: Readonly<Record<string, string>> | undefined;
  /** Where the template is from, for messages. */
  readonly origin?: string | undefined;
  /** In its place for conversations with tools. */
  readonly withTools?: ChatTemplate | undefined;
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
  readonly #template: JinjaTemplate;
  readonly #variables: Readonly<Record<string, unknown>>;
  readonly #origin: string;
  readonly #withTools: ChatTemplate | undefined;
  readonly eosToken: string | undefined;

  /** @throws UserError when the template can't be parsed, or has a construct that isn't implemented. */
  constructor(source: string, options: ChatTemplateOptions = {}) {
    const now = options.now ?? new Date();
    this.#withTools = options.withTools;
    this.#origin = `chat template${options.origin === undefined ? "" : ` (${options.origin})`}`;
    try {
      this.#template = new JinjaTemplate(source, now);
    } catch (error) {
      throw this.#asUserError(error);
    }
    this.eosToken = options.eosToken;
    // Transformers passes the special tokens that the tokenizer has, and nothing for the others.
    const tokens = { bos_token: options.bosToken, eos_token: options.eosToken, pad_token: options.padToken };
    const given = Object.fromEntries(Object.entries(tokens).filter(([, token]) => token !== undefined));
    this.#variables = { ...options.specialTokens, ...given, ...options.variables };
  }

  /** The template for a conversation with these tools: some models have one of their own for it. */
  for(tools: readonly unknown[] | undefined): ChatTemplate {
    return tools === undefined || tools.length === 0 ? this : (this.#withTools ?? this);
  }

  /**
   * The text of a conversation.
   * @throws RenderError where Python would raise one (the template's own words, or a value that doesn't suit it); UserError for a
   *   construct that isn't implemented, and for a template that does too much work.
   */
  render(messages: readonly Message[], options: RenderOptions = {}): string {
    return this.#render(messages, options).text;
  }

  /** Whether it marks what is generated, for `marksOf`. */
  get hasGenerationMarks(): boolean {
    return this.#template.hasGenerationMarks;
  }

  /** What of the text the template's `{% generation %}` marks enclose. Throws as `render` does, and where they can't be placed. */
  marksOf(messages: readonly Message[], options: RenderOptions = {}): readonly GenerationSpan[] {
    const { spans } = this.#render(messages, options);
    if (spans !== undefined) return spans;
    throw new UserError(
      `${this.#origin}: {% generation %} stands inside a macro, call, filter or set block, where what it marks has no place ` +
        "in the text. Set training.generation_marks=false to have the answers found without marks",
      { exitCode: 2 },
    );
  }

  #render(messages: readonly Message[], options: RenderOptions): Rendered {
    const tools = options.tools ?? null;
    const add_generation_prompt = options.addGenerationPrompt ?? false;
    const given = {
      messages: messages.map(asTransformersHasIt),
      tools,
      documents: null,
      add_generation_prompt,
    };
    try {
      return this.#template.render({ ...this.#variables, ...given });
    } catch (error) {
      // Python's own bound on nested calls is an error of the same kind.
      if (error instanceof RangeError)
        throw new RenderError("maximum recursion depth exceeded", { cause: error });
      throw error instanceof RenderError ? error : this.#asUserError(error);
    }
  }

  #asUserError(error: unknown): unknown {
    const advice = "Give another template with model.chat_template";
    const because = { cause: error, exitCode: 2 } as const;
    if (error instanceof TemplateSyntaxError || error instanceof RangeError)
      return new UserError(`${this.#origin}: can't be parsed: ${messageOf(error)}. ${advice}`, because);
    if (error instanceof UnsupportedError)
      return new UserError(`${this.#origin}: not implemented: ${error.message}. ${advice}`, because);
    if (error instanceof RenderLimitError)
      return new UserError(`${this.#origin}: stopped, since ${error.message}. ${advice}`, because);
    return error;
  }
}

// Names that thoughts go by; templates read the first, gpt-oss's the second.
const reasoningFields = ["reasoning_content", "thinking", "reasoning"] as const;

/**
 * Fields that are null are left out, and thoughts have the names that templates read, as in Transformers. So is an empty list of tool
 * calls, which data sets give to every turn: templates take the field itself for a call.
 */
function asTransformersHasIt(message: Message): Readonly<Record<string, unknown>> {
  const isGiven = ([name, value]: [string, unknown]): boolean =>
    value !== null && !(name === "tool_calls" && Array.isArray(value) && value.length === 0);
  const fields = Object.fromEntries(Object.entries(message).filter(isGiven));
  const reasoning = reasoningFields.map((name) => fields[name]).find((value) => value !== undefined);
  return reasoning === undefined ? fields : { thinking: reasoning, ...fields, reasoning_content: reasoning };
}

/**
 * The chat template of a tokenizer, or `undefined` where the model has none (a base model). Of several by name `default` is taken, for
 * conversations with tools `tool_use`, as in Transformers.
 * @throws UserError where none of several is the default, or one can't be parsed.
 */
export function chatTemplateOf(
  tokenizer: Tokenizer,
  options: Pick<ChatTemplateOptions, "now" | "variables"> & { template?: string | undefined } = {},
): ChatTemplate | undefined {
  const { template, ...others } = options;
  const { bosToken, eosToken, padToken, chatTemplates } = tokenizer;
  const specialTokens = furtherTokens(tokenizer.files.tokenizerConfig ?? {});
  const shared = { ...others, bosToken, eosToken, padToken, specialTokens };
  if (template !== undefined) return new ChatTemplate(template, shared);
  const named = Object.values(chatTemplates);
  const main = chatTemplates[defaultName] ?? (named.length === 1 ? named[0] : undefined);
  if (main === undefined) {
    if (named.length === 0) return undefined;
    throw new UserError(
      `model.chat_template: this model has the chat templates ${Object.keys(chatTemplates).join(", ")}, and none is named ` +
        `"${defaultName}". Choose one by its name`,
      { exitCode: 2 },
    );
  }
  const forTools = chatTemplates[toolUseName];
  const withTools =
    forTools === undefined || forTools === main
      ? undefined
      : new ChatTemplate(forTools.text, { ...shared, origin: forTools.file });
  return new ChatTemplate(main.text, { ...shared, origin: main.file, withTools });
}

/** The special tokens of tokenizer_config.json that templates see beside bos, eos and pad. */
function furtherTokens(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const names = ["unk_token", "sep_token", "cls_token", "mask_token"];
  const extra = config["extra_special_tokens"];
  const entries = [
    ...names.map((name) => [name, config[name]] as const),
    ...(isRecord(extra) ? Object.entries(extra) : []),
  ];
  const texts = entries.map(([name, token]) => [name, isRecord(token) ? token["content"] : token] as const);
  return Object.fromEntries(texts.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}
