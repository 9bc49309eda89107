// A model folder's tokenizer: text to ids and back (tokenizer/pipeline.ts), the special tokens, and where a character's
// token is. Not chat templates (chat-template.ts).
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readJsonObject, UserError } from "../../util/index.ts";
import { namedTokens } from "../tokenizer/named-tokens.ts";
import { TokenPipeline, type Encoding, type Section } from "../tokenizer/pipeline.ts";
import {
  chosenTemplate,
  configTemplates,
  defaultName,
  readTemplates,
  type NamedTemplates,
} from "./template-files.ts";
import { isRecord } from "../types.ts";

type Json = Readonly<Record<string, unknown>>;

/** The parsed files of a model folder that a tokenizer is made of. Only `tokenizer.json` must be there. */
export interface TokenizerFiles {
  readonly tokenizer: Json;
  readonly tokenizerConfig?: Json | undefined;
  readonly specialTokensMap?: Json | undefined;
  readonly generationConfig?: Json | undefined;
  readonly modelConfig?: Json | undefined;
  /** The model's chat templates, or the one that was chosen. Default: those of `tokenizerConfig`. */
  readonly chatTemplates?: NamedTemplates | undefined;
}

/** A place in a text as a place among its tokens: `inside` when the character is in the middle of token `index`. */
export interface TokenPlace {
  readonly index: number;
  readonly inside: boolean;
}

const unset = -1;
/** Names of a tokenizer's files in its folder, where they aren't the usual ones. */
export interface TokenizerFilenames {
  readonly tokenizer?: string;
  readonly tokenizerConfig?: string;
  readonly generationConfig?: string;
}

/** How a model's tokenizer is read. */
export interface TokenizerOptions extends TokenizerFilenames {
  /** `model.chat_template`: in place of the model's own. */
  readonly chatTemplate?: string | null | undefined;
}

/**
 * Reads the tokenizer of a model folder.
 * @throws UserError naming the file, when it is missing or can't be read.
 *
 * @example
 * ```ts
 * import { loadTokenizer } from "torchforge/data";
 *
 * const tokenizer = loadTokenizer("./model");
 * console.log(tokenizer.decode(tokenizer.encode("Hello")));
 * ```
 */
export function loadTokenizer(folder: string, options: TokenizerOptions = {}): Tokenizer {
  const read = (name: string): Json | undefined => {
    const path = join(folder, name);
    if (!existsSync(path)) return undefined;
    return readJsonObject(path);
  };
  const { tokenizer: file = "tokenizer.json", chatTemplate } = options;
  const tokenizer = read(file);
  if (tokenizer === undefined)
    throw new UserError(
      `model.hf_assets_path: ${folder} has no ${file}. Expected a Hugging Face model folder; ` +
        "get one with: forge download ORG/NAME --output-dir DIR",
      { exitCode: 2 },
    );
  const tokenizerConfig = read(options.tokenizerConfig ?? "tokenizer_config.json");
  const own = readTemplates(folder, tokenizerConfig ?? {});
  const chosen =
    chatTemplate === null || chatTemplate === undefined ? undefined : chosenTemplate(chatTemplate, own);
  return made(folder, {
    tokenizer,
    tokenizerConfig,
    specialTokensMap: read("special_tokens_map.json"),
    generationConfig: read(options.generationConfig ?? "generation_config.json"),
    modelConfig: read("config.json"),
    chatTemplates: chosen === undefined ? own : { [defaultName]: chosen },
  });
}

function made(folder: string, files: TokenizerFiles): Tokenizer {
  try {
    return new Tokenizer(files);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${folder}: ${error.message}`, { cause: error, exitCode: error.exitCode });
  }
}

/** Text ↔ token ids for one model. Ids equal those of Transformers 5 for the same folder. */
export class Tokenizer {
  readonly #pipeline: TokenPipeline;
  readonly #prefixIds: readonly number[];
  readonly #suffixIds: readonly number[];

  /** What it was made of; a thread makes its own from this. */
  readonly files: TokenizerFiles;
  /** Number of ids, added tokens included: every id is below it. */
  readonly vocabSize: number;
  /** Rows of the model's embedding, where config.json says how many: ids from here on can't be trained. */
  readonly idLimit: number;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  readonly padToken: string | undefined;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  /** Every id that ends generation: `generation_config.json`, else `config.json`, and the tokenizer's own eos. */
  readonly stopIds: readonly number[];
  readonly specialIds: ReadonlySet<number>;
  /** Texts of the added tokens (`<|im_end|>` …), special or not. */
  readonly addedTokens: readonly string[];
  readonly chatTemplates: NamedTemplates;

  constructor(files: TokenizerFiles) {
    this.files = files;
    const config = files.tokenizerConfig ?? {};
    const named = namedTokens(files.tokenizer, config, files.specialTokensMap);
    this.#pipeline = new TokenPipeline(files.tokenizer, named);
    this.addedTokens = [...this.#pipeline.addedIds].map((id) => this.#pipeline.tokens[id]!);
    this.specialIds = this.#pipeline.specialIds;
    this.vocabSize = this.#pipeline.tokens.length;
    const rows = files.modelConfig?.["vocab_size"];
    this.idLimit = typeof rows === "number" ? rows : this.vocabSize;
    // Single added tokens beyond it (a [PAD] that nobody trained) matter only where a row has them.
    const { modelIds } = this.#pipeline;
    if (modelIds > this.idLimit)
      throw new UserError(
        `tokenizer.json has the ids 0 to ${modelIds - 1}, but config.json gives the model a vocabulary of ${this.idLimit} (vocab_size). ` +
          "They are not of one model: put the tokenizer.json there that belongs to the weights",
        { exitCode: 2 },
      );
    // With a tokenizer.json, Transformers 5 ignores add_bos_token and add_eos_token: the post-processor alone decides.
    this.#prefixIds = this.#pipeline.around?.before ?? [];
    this.#suffixIds = this.#pipeline.around?.after ?? [];

    const name = (key: string): string | undefined => tokenText(config[key] ?? files.specialTokensMap?.[key]);
    const idOf = (key: string): number | undefined => {
      const id = files.generationConfig?.[key] ?? files.modelConfig?.[key];
      return typeof id === "number" ? id : Array.isArray(id) && typeof id[0] === "number" ? id[0] : undefined;
    };
    const resolve = (token: string): [string | undefined, number | undefined] => {
      const text = name(`${token}_token`);
      const id = (text === undefined ? undefined : this.idOf(text)) ?? idOf(`${token}_token_id`);
      return [text ?? (id === undefined ? undefined : this.pieceOf(id)), id];
    };
    [this.bosToken, this.bosId] = resolve("bos");
    [this.eosToken, this.eosId] = resolve("eos");
    [this.padToken, this.padId] = resolve("pad");
    const stop = files.generationConfig?.["eos_token_id"] ?? files.modelConfig?.["eos_token_id"];
    const stops = new Set(Array.isArray(stop) ? stop.filter((id) => typeof id === "number") : []);
    if (typeof stop === "number") stops.add(stop);
    if (this.eosId !== undefined) stops.add(this.eosId);
    this.stopIds = [...stops];
    this.chatTemplates =
      files.chatTemplates ?? configTemplates(config["chat_template"], "tokenizer_config.json");
  }

  /** The id of a token's exact text, or `undefined`. */
  idOf(token: string): number | undefined {
    return this.#pipeline.idOf(token);
  }

  /** The vocabulary's own text of an id (`Ġthe`, `▁the`, `<|im_end|>`). */
  pieceOf(id: number): string | undefined {
    return this.#pipeline.tokens[id];
  }

  /** Ids of a text. `addSpecialTokens` puts what `tokenizer.json` puts around a text (often bos); a chat is encoded without. */
  encode(text: string, options: { addSpecialTokens?: boolean } = {}): number[] {
    const { ids } = this.encodeSections(text);
    if (!options.addSpecialTokens) return ids;
    // A text that already opens with the bos gets no second one.
    const prefix = this.#prefixIds.length > 0 && ids[0] === this.#prefixIds[0] ? [] : this.#prefixIds;
    const suffix = this.#suffixIds.length > 0 && ids.at(-1) === this.#suffixIds.at(-1) ? [] : this.#suffixIds;
    return [...prefix, ...ids, ...suffix];
  }

  /** What `encode(…, { addSpecialTokens: true })` puts in front of a text. */
  get prefixIds(): readonly number[] {
    return this.#prefixIds;
  }

  /** Ids of a text without special tokens around it, and the sections of text that they come from. */
  encodeSections(text: string): Encoding {
    return this.#pipeline.encode(text);
  }

  /**
   * Where a character of an encoded text lies among its tokens.
   * @returns `undefined` when it can't be told exactly (a normalizer or unknown tokens changed the text there).
   */
  tokenAt(text: string, encoding: Encoding, offset: number): TokenPlace | undefined {
    if (offset >= text.length) return { index: encoding.ids.length, inside: false };
    const section = encoding.sections.find((s) => offset >= s.start && offset < s.end);
    if (section === undefined) return undefined;
    if (offset === section.start) return { index: section.firstToken, inside: false };
    if (section.isAddedToken) return { index: section.firstToken, inside: true };
    return this.#placeInSection(
      text.slice(section.start, section.end),
      offset - section.start,
      encoding,
      section,
    );
  }

  /** Text of ids. Special tokens are kept unless `skipSpecialTokens`. */
  decode(ids: readonly number[] | Int32Array, options: { skipSpecialTokens?: boolean } = {}): string {
    return this.#pipeline.decode(Array.from(ids), options.skipSpecialTokens ?? false);
  }

  #placeInSection(
    text: string,
    offset: number,
    encoding: Encoding,
    section: Section,
  ): TokenPlace | undefined {
    const lengths: number[] = [];
    for (let t = section.firstToken; t < section.endToken; t++)
      lengths.push(this.#byteLength(encoding.ids[t]!));
    const normalized = asSpaces(this.#pipeline.normalize(text));
    const before = asSpaces(this.#pipeline.normalize(text.slice(0, offset)));
    const total = Buffer.byteLength(normalized);
    const sum = lengths.reduce((a, b) => a + b, 0);
    if (!normalized.startsWith(before) || Number.isNaN(sum)) return undefined;
    // A metaspace tokenizer may put one space in front of the text; nothing else may differ.
    const shift = sum - total;
    const first = this.pieceOf(encoding.ids[section.firstToken] ?? unset);
    if (shift !== 0 && !(shift === 1 && first?.startsWith("\u2581"))) return undefined;
    const wanted = Buffer.byteLength(before) + shift;
    let at = 0;
    for (const [i, length] of lengths.entries()) {
      if (at === wanted) return { index: section.firstToken + i, inside: false };
      if (at + length > wanted) return { index: section.firstToken + i, inside: true };
      at += length;
    }
    return { index: section.endToken, inside: false };
  }

  /** How many UTF-8 bytes of (normalized) text a token stands for; NaN when its id doesn't tell. */
  #byteLength(id: number): number {
    const piece = this.pieceOf(id);
    if (piece === undefined || id === this.#pipeline.unkId) return Number.NaN;
    if (this.#pipeline.addedIds.has(id)) return Buffer.byteLength(piece);
    if (this.#pipeline.isByteLevel) return piece.length; // one character of the byte alphabet a byte
    if (/^<0x[0-9A-F]{2}>$/.test(piece)) return 1;
    return Buffer.byteLength(piece.replaceAll("\u2581", " "));
  }
}

const asSpaces = (text: string): string => text.replaceAll("\u2581", " ");

function tokenText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return isRecord(value) && typeof value["content"] === "string" ? value["content"] : undefined;
}
