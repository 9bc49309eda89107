// A model folder ready to answer: weights, tokenizer, chat template, the tokens that end an answer.
import { loadWeights } from "../../checkpoint/index.ts";
import {
  alpacaPrompt,
  chatTemplateOf,
  loadTokenizer,
  renderWords,
  type ChatTemplate,
  type Tokenizer,
  type Wording,
} from "../../data/index.ts";
import type { RunSpec } from "../../config/index.ts";
import { resolveModel } from "../../hub/index.ts";
import {
  blockSpecs,
  Decoder,
  formatsOf,
  generate,
  quantizedBlocks,
  readModelConfig,
  type DecoderOptions,
  type GenerateOptions,
  type ModelConfig,
} from "../../models/index.ts";
import { fileNames } from "../../nn/index.ts";
import { wholeParameters } from "../../parallel/index.ts";
import { float32, scope } from "../../torch/index.ts";
import { UserError } from "../../util/index.ts";
import { mergeAdapters, openAdapter, otherBaseNote, type LoadedAdapter } from "../merge-adapter.ts";
import { wordingIn } from "./saved-run.ts";

export interface LoadOptions {
  /** What messages call the reference. */
  readonly key?: string;
  readonly device?: string;
  /** `model.chat_template` */
  readonly chatTemplate?: string | null;
  /** A folder with an adapter, which is merged into the model in memory; beside quantized weights it stays apart. */
  readonly adapter?: string | null;
  /** How the matrices of linear layers are kept; a model whose files are quantized is kept as those. */
  readonly quantize?: RunSpec["quantize"];
  /** Called with a sentence about what is odd in the folder. Default: console.warn. */
  readonly onNote?: (text: string) => void;
}

const adapterKey = "adapter.initial_load_path";

/** The model with its adapter beside its matrices. */
function withAdapter(
  config: ModelConfig,
  {
    device,
    formats,
    parameters,
  }: { device: string } & Required<Pick<DecoderOptions, "formats" | "parameters">>,
  { adapters, tensors }: LoadedAdapter,
): Decoder {
  const own = new Map([...tensors].map(([name, tensor]) => [name, tensor.to(device)]));
  return new Decoder(config, {
    device,
    formats,
    parameters: new Map([...parameters, ...own]),
    adapters: new Map(adapters.map((one) => [one.module, one])),
  });
}

/** A turn of a conversation: role system, user or assistant. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
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
    {
      key = "--model",
      device = "cpu",
      chatTemplate = null,
      adapter = null,
      quantize,
      onNote = console.warn,
    }: LoadOptions = {},
  ): Promise<ChatModel> {
    const folder = await resolveModel(reference, { key });
    const config = readModelConfig(folder);
    const tokenizer = loadTokenizer(folder, { chatTemplate }); // first: a wrong one is told before weights are read
    const own = blockSpecs(config);
    const blocks =
      quantize === undefined || config.quantization !== undefined
        ? own
        : quantizedBlocks(own, quantize, `quantize.base (${quantize.format})`);
    const formats = formatsOf(blocks);
    const parameters = wholeParameters(blocks, { dtype: float32, device });
    const { note } = loadWeights(folder, parameters, { ...fileNames(blocks), formats });
    if (note !== undefined) onNote(note);
    const ofModel = { device, formats, parameters };
    const wording = wordingIn(adapter ?? folder);
    if (adapter === null) return new ChatModel(new Decoder(config, ofModel), tokenizer, wording);
    const other = otherBaseNote(adapter, folder);
    if (other !== undefined) onNote(other);
    if (formats.size > 0)
      return new ChatModel(
        withAdapter(config, ofModel, openAdapter(adapter, config, adapterKey)),
        tokenizer,
        wording,
      );
    {
      using _ = scope();
      mergeAdapters(parameters, [openAdapter(adapter, config, adapterKey)]);
    }
    return new ChatModel(new Decoder(config, ofModel), tokenizer, wording);
  }

  /**
   * Ids of a user's message as the model expects it: in the wording that it was trained on; plain text where the model has no
   * chat template.
   */
  encodePrompt(text: string): number[] {
    if (this.template) return this.encodeChat([{ role: "user", content: text }]);
    return this.tokenizer.encode(this.#worded(text), { addSpecialTokens: true });
  }

  /**
   * Ids of a conversation, up to where the next answer begins; what the user says in the wording that was trained.
   * @throws UserError where the model has no chat template
   */
  encodeChat(messages: readonly ChatMessage[]): number[] {
    if (!this.template)
      throw new UserError(
        "this model has no chat template, so that it has no form for a conversation; ask it with `forge generate`, or give it a template: --chat-template, in a configuration model.chat_template",
        { exitCode: 2 },
      );
    const worded = messages.map(({ role, content }) => ({
      role,
      content: role === "user" ? this.#worded(content) : content,
    }));
    return this.tokenizer.encode(renderWords(this.template, worded, { addGenerationPrompt: true }));
  }

  #worded(text: string): string {
    return this.wording === "alpaca" ? alpacaPrompt(text) : text;
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
