// What there is to know of a model family. One file a family holds it; index.ts lists them.
import type { ConfigReader } from "./config-reader.ts";
import type { GgufNames } from "./gguf-names.ts";
import type { ModelConfig, MoeConfig } from "./model-config.ts";

/** The sizes of a published model. */
export interface Flavor extends Pick<
  ModelConfig,
  "hiddenSize" | "numLayers" | "numHeads" | "numKvHeads" | "intermediateSize" | "vocabSize"
> {
  /** Of a model with experts. */
  readonly moe?: Pick<MoeConfig, "numExperts" | "expertsPerToken" | "intermediateSize">;
  /** Whether the head is the embedding. */
  readonly tied?: boolean;
  /** What config.json of these checkpoints says otherwise than Transformers' defaults. */
  readonly json?: Readonly<Record<string, unknown>>;
}

export interface Family {
  /** `model_type` in config.json. */
  readonly modelType: string;
  /** Its models, as people know them; for messages. */
  readonly models: string;
  /** What is its own beside Llama's, in a few words. */
  readonly differs: string;
  /** What can't be done with it, a sentence each; undefined: nothing. */
  readonly limits?: readonly string[];
  /** Reads a config.json of this type. @throws UserError, see ConfigReader */
  read(json: ConfigReader): ModelConfig;
  /** Sizes by the names of `model.name` and `model.flavor`. config.json decides; they are for checks and simulation. */
  readonly flavors: Readonly<Record<string, Readonly<Record<string, Flavor>>>>;
  /** What GGUF files call it; undefined: they are refused. */
  readonly gguf?: GgufNames;
}

export const flavor = (
  hiddenSize: number,
  numLayers: number,
  numHeads: number,
  numKvHeads: number,
  intermediateSize: number,
  vocabSize: number,
  more: Pick<Flavor, "moe" | "tied" | "json"> = {},
): Flavor => ({ hiddenSize, numLayers, numHeads, numKvHeads, intermediateSize, vocabSize, ...more });
