// A model's chat template: messages to the text that the model was trained on, equal to Transformers' apply_chat_template(tokenize=False).
// Not masking: which of that text is trained is found in masking.ts.
import { messageOf, UserError } from "../../util/index.ts";
import {
  JinjaTemplate,
  RenderError,
  RenderLimitError,
  TemplateSyntaxError,
  UnsupportedError,
  type Rendered,
} from "./jinja/index.ts";
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
  readonly eosToken: string | undefined;

  /** @throws UserError when the template can't be parsed, or has a construct that isn't implemented. */
  constructor(source: string, options: ChatTemplateOptions = {}) {
    const now = options.now ?? new Date();
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

  /**
   * The text of a conversation.
   * @throws RenderError where Python would raise one (the template's own words, or a value that doesn't suit it); UserError for a
   *   construct that isn't implemented, and for a template that does too much work.
   */
  render(messages: readonly Message[], options: RenderOptions = {}): string {
    return this.renderMarked(messages, options).text;
  }

  /** The text, and what of it the template's `{% generation %}` marks enclose. Throws as `render` does. */
  renderMarked(messages: readonly Message[], options: RenderOptions = {}): Rendered {
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

/** Fields that are null are left out, and thoughts have the names that templates read, as in Transformers. */
function asTransformersHasIt(message: Message): Readonly<Record<string, unknown>> {
  const fields = Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null));
  const reasoning = reasoningFields.map((name) => fields[name]).find((value) => value !== undefined);
  return reasoning === undefined ? fields : { thinking: reasoning, ...fields, reasoning_content: reasoning };
}

/** The chat template of a tokenizer, or `undefined` where the model has none (a base model). */
export function chatTemplateOf(
  tokenizer: Tokenizer,
  options: Pick<ChatTemplateOptions, "now" | "variables"> & { template?: string | undefined } = {},
): ChatTemplate | undefined {
  const source = options.template ?? tokenizer.chatTemplate;
  if (source === undefined) return undefined;
  const { bosToken, eosToken, padToken } = tokenizer;
  const specialTokens = furtherTokens(tokenizer.files.tokenizerConfig ?? {});
  return new ChatTemplate(source, { ...options, bosToken, eosToken, padToken, specialTokens });
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
