// Inference as an actor: loads a model folder, stays up, and answers calls.
import { BaseForgeActor } from "../../actors/index.ts";
import type { Config } from "../../config/index.ts";
import type { Tokenizer } from "../../data/index.ts";
import { checkpointPath, UserError } from "../../util/index.ts";
import type { ChatMessage, ChatModel } from "../index.ts";
import { checkModels } from "./check-run.ts";
import { refuseWithoutGpu } from "./supported.ts";
import type { AnswerOptions } from "./trainer-actor.ts";

export interface Generated {
  text: string;
  promptTokens: number;
  newTokens: number;
  seconds: number;
}

/**
 * Answers with `checkpoint.initial_load_path`, or else `model.hf_assets_path`. Once it is set up it can be asked; run() only
 * waits, for a program whose whole purpose it is, until stop().
 */
export class InferencerActor extends BaseForgeActor {
  static override readonly module = import.meta.url;
  static override async checkConfig({ spec }: Config): Promise<void> {
    refuseWithoutGpu(spec);
    await checkModels(spec);
  }

  declare model: ChatModel["model"] | undefined;
  declare tokenizer: Tokenizer | undefined;
  #chat: ChatModel | undefined;
  #wake: (() => void) | undefined;

  async setup(): Promise<void> {
    const { adapter, checkpoint, model, quantize } = this.config.spec;
    const { ChatModel } = await import("../index.ts");
    const onNote = (text: string): void => this.note(text);
    const path = adapter?.initialLoadPath ?? null;
    const options = {
      device: this.device,
      chatTemplate: model.chatTemplate,
      adapter: path,
      quantize,
      onNote,
    };
    this.#chat =
      checkpoint.initialLoadPath === null
        ? await ChatModel.load(model.hfAssetsPath, { ...options, key: "model.hf_assets_path" })
        : await ChatModel.load(checkpointPath(checkpoint.initialLoadPath), {
            ...options,
            key: "checkpoint.initial_load_path",
          });
    this.model = this.#chat.model;
    this.tokenizer = this.#chat.tokenizer;
  }

  async run(): Promise<void> {
    if (this.stopRequested) return;
    await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  override stop(): void {
    super.stop();
    this.#wake?.();
  }

  cleanup(): void {
    this.#chat = undefined;
    this.model = undefined;
  }

  /** One answer; its text also streams as `text` events while it is made. */
  async generate(prompt: string, options: AnswerOptions = {}): Promise<Generated> {
    const chat = this.#ready("generate");
    if (chat.wording === "alpaca")
      this.note(
        "the question is asked in Alpaca's wording, in which the model was trained (its state.json says so)",
      );
    return await this.#generate(chat, chat.encodePrompt(prompt), options);
  }

  /** The next answer of a conversation; its text also streams as `text` events while it is made. */
  async chat(messages: readonly ChatMessage[], options: AnswerOptions = {}): Promise<Generated> {
    const chat = this.#ready("chat");
    return await this.#generate(chat, chat.encodeChat(messages), options);
  }

  async #generate(chat: ChatModel, ids: readonly number[], options: AnswerOptions): Promise<Generated> {
    const { generate } = await import("../../models/index.ts");
    const { maxPositions } = chat.model.config;
    const { maxNewTokens = 128 } = options;
    if (ids.length + maxNewTokens > maxPositions)
      this.note(
        `the prompt's ${ids.length} tokens and an answer of up to ${maxNewTokens} are more than the ${maxPositions} positions that the model was trained on`,
      );
    const begin = performance.now();
    const made: number[] = [];
    let shown = "";
    generate(chat.model, [ids], {
      ...options,
      maxNewTokens,
      stopIds: chat.stopIds,
      onToken: (_, id) => {
        made.push(id);
        // A character of several tokens shows once it is whole.
        const text = chat.decode(made);
        if (text.endsWith("\u{fffd}") || !text.startsWith(shown)) return;
        this.text(text.slice(shown.length));
        shown = text;
      },
    });
    const text = chat.decode(made);
    this.text(text.slice(shown.length));
    return {
      text,
      promptTokens: ids.length,
      newTokens: made.length,
      seconds: (performance.now() - begin) / 1000,
    };
  }

  /** Answers of many prompts at once. */
  answer(prompts: readonly string[], options: AnswerOptions = {}): string[] {
    return this.#ready("answer").answer(prompts, { maxNewTokens: 128, ...options });
  }

  #ready(caller: string): ChatModel {
    if (this.#chat === undefined)
      throw new UserError(`${caller}(): the actor is not set up yet; await spawner.setup() first`);
    return this.#chat;
  }
}
