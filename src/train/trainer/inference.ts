// A model folder ready to answer: weights, tokenizer, chat template, the tokens that end an answer.
import { loadWeights } from "../../checkpoint/index.ts";
import {
  alpacaPrompt,
  chatTemplateOf,
  loadTokenizer,
  type ChatTemplate,
  type Tokenizer,
  type Wording,
} from "../../data/index.ts";
import { resolveModel } from "../../hub/index.ts";
import { blockSpecs, Decoder, generate, readModelConfig, type GenerateOptions } from "../../models/index.ts";
import { tiedNames } from "../../nn/index.ts";
import { UserError } from "../../util/index.ts";
import { wordingIn } from "./saved-run.ts";

export interface LoadOptions {
  /** What messages call the reference. */
  readonly key?: string;
  readonly device?: string;
  /** `model.chat_template` */
  readonly chatTemplate?: string | null;
  /** Called with a sentence about what is odd in the folder. Default: console.warn. */
  readonly onNote?: (text: string) => void;
}

export class ChatModel {
  readonly model: Decoder;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate | undefined;
  readonly stopIds: readonly number[];
  /** In which the model was asked when it was trained, where that was one. */
  readonly wording: Wording | undefined;

  constructor(model: Decoder, tokenizer: Tokenizer, wording?: Wording) {
    this.model = model;
    this.tokenizer = tokenizer;
    this.wording = wording;
    this.template = chatTemplateOf(tokenizer);
    this.stopIds = tokenizer.stopIds;
  }

  /** Loads a model folder, or `hf://org/name`. */
  static async load(
    reference: string,
    { key = "--model", device = "cpu", chatTemplate = null, onNote = console.warn }: LoadOptions = {},
  ): Promise<ChatModel> {
    const folder = await resolveModel(reference, { key });
    const config = readModelConfig(folder);
    const tokenizer = loadTokenizer(folder, { chatTemplate }); // first: a wrong one is told before weights are read
    const model = new Decoder(config, { device });
    const { note } = loadWeights(folder, model.parameters, { tied: tiedNames(blockSpecs(config)) });
    if (note !== undefined) onNote(note);
    return new ChatModel(model, tokenizer, wordingIn(folder));
  }

  /**
   * Ids of a user's message as the model expects it: in the wording that it was trained on; plain text where the model has no
   * chat template.
   */
  encodePrompt(text: string): number[] {
    const content = this.wording === "alpaca" ? alpacaPrompt(text) : text;
    if (!this.template) return this.tokenizer.encode(content, { addSpecialTokens: true });
    const rendered = this.template.render([{ role: "user", content }], { addGenerationPrompt: true });
    return this.tokenizer.encode(rendered);
  }

  /** Answers of many prompts at once, without the token that ends them. */
  answer(prompts: readonly string[], options: Omit<GenerateOptions, "stopIds">): string[] {
    if (!Array.isArray(prompts) || prompts.some((prompt) => typeof prompt !== "string"))
      throw new UserError(`prompts: expected a list of texts, ["…", "…"], found ${JSON.stringify(prompts)}`);
    const ids = prompts.map((prompt) => this.encodePrompt(prompt));
    return generate(this.model, ids, { ...options, stopIds: this.stopIds }).map((answer) =>
      this.decode(answer),
    );
  }

  decode(ids: readonly number[]): string {
    const text = ids.filter((id) => !this.stopIds.includes(id));
    return this.tokenizer.decode(text, { skipSpecialTokens: true });
  }
}
