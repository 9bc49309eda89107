// A tokenizer.json as a whole: added tokens, normalizer, pre-tokenizer, model, decoder. Ids and texts are those of
// Python's `tokenizers`. It knows nothing of a model folder's other files (text/tokenizer.ts).
import { AddedVocabulary, readAddedToken, type AddedToken } from "./added-vocabulary.ts";
import { spellBytes } from "./byte-alphabet.ts";
import { readDecoder, type Decoder } from "./decoders.ts";
import { Fields } from "./fields.ts";
import { readModel } from "./models.ts";
import { readNormalizer, type Normalizer } from "./normalizers.ts";
import { withinLimit } from "./patterns.ts";
import { readPostProcessor, type Around } from "./post-processors.ts";
import { readPreTokenizer, type PreTokenizer, type Words } from "./pre-tokenizers.ts";
import type { TokenModel } from "./vocabulary.ts";

/** Ids of a text, and where each token's text begins and ends in it (UTF-16 offsets; end exclusive). */
export interface Encoding {
  readonly ids: number[];
  readonly sections: readonly Section[];
}

/** A section of the text and the tokens made of it. */
export interface Section {
  readonly start: number;
  readonly end: number;
  readonly firstToken: number;
  readonly endToken: number;
  readonly isAddedToken: boolean;
}

// Words longer than this are rare and don't repeat; keeping them would only cost memory.
const longestCachedWord = 64;
const cacheLimit = 200_000;

export class TokenPipeline {
  readonly #added: AddedVocabulary;
  readonly #normalizer: Normalizer | undefined;
  readonly #preTokenizer: PreTokenizer | undefined;
  readonly #model: TokenModel;
  readonly #decoder: Decoder | undefined;
  readonly #words = new Map<string, readonly number[]>();
  readonly #isSafe: boolean;
  // What a token is decoded from: of an added token that is looked for in normalized text, that.
  readonly #texts: readonly (string | undefined)[];

  /** What the post-processor puts around a text; `undefined` where the file has none. */
  readonly around: Around | undefined;
  /** Texts by id, added tokens included. */
  readonly tokens: readonly (string | undefined)[];
  /** Ids of added tokens. */
  readonly addedIds: ReadonlySet<number>;
  readonly specialIds: ReadonlySet<number>;
  /** Whether the characters of the model's tokens are bytes. */
  readonly isByteLevel: boolean;

  /**
   * @param more added tokens besides the file's; one that the file has too takes its place
   * @throws UserError naming the place in tokenizer.json
   */
  constructor(tokenizer: unknown, more: readonly AddedToken[] = []) {
    const file = new Fields(tokenizer, "tokenizer.json");
    const optional = <T>(name: string, read: (fields: Fields) => T): T | undefined =>
      file.value[name] === undefined || file.value[name] === null
        ? undefined
        : read(new Fields(file.value[name], `tokenizer.json: ${name}`));
    this.#model = readModel(new Fields(file.value["model"], "tokenizer.json: model"));
    this.#normalizer = optional("normalizer", readNormalizer);
    this.#preTokenizer = optional("pre_tokenizer", readPreTokenizer);
    this.#decoder = optional("decoder", readDecoder);
    this.around = optional("post_processor", readPostProcessor);
    this.#added = new AddedVocabulary((token) => this.#model.idOf(token), this.#model.size);
    const own = file.value["added_tokens"] == null ? [] : file.each("added_tokens").map(readAddedToken);
    for (const token of [...own, ...more]) this.#added.add(token);

    const tokens = [...this.#model.tokens];
    const texts = [...tokens];
    const added = [...this.#added.tokens];
    const length = added.reduce((sum, { content }) => sum + content.length, 0);
    this.#limited(length, () => {
      for (const { id, content, normalized } of added) {
        tokens[id] = content;
        texts[id] = normalized ? this.#normalize(content) : content;
      }
    });
    this.tokens = tokens;
    this.#texts = texts;
    this.addedIds = new Set([...this.#added.tokens].map(({ id }) => id));
    this.specialIds = new Set(
      [...this.#added.tokens].filter(({ content }) => this.#added.isSpecial(content)).map(({ id }) => id),
    );
    this.isByteLevel =
      this.#preTokenizer?.spellsBytes === true ||
      JSON.stringify(file.value["normalizer"] ?? null).includes('"ByteLevel"');
    this.#isSafe = this.#normalizer?.isSafe !== false && this.#preTokenizer?.isSafe !== false;
  }

  /** The model's own ids are below it; added tokens may lie beyond. */
  get modelIds(): number {
    return this.#model.tokens.length;
  }

  get unkId(): number | undefined {
    return this.#model.unkId;
  }

  idOf(token: string): number | undefined {
    return this.#added.idOf(token);
  }

  /** What the normalizer makes of a text. */
  normalize(text: string): string {
    return this.#limited(text.length, () => this.#normalize(text));
  }

  readonly #normalize = (text: string): string => this.#normalizer?.normalize(text) ?? text;

  /** Runs work of the normalizer under the clock, where its patterns need one. */
  #limited<T>(length: number, run: () => T): T {
    return this.#normalizer?.isSafe === false ? withinLimit(run, length) : run();
  }

  encode(text: string): Encoding {
    // Half of a surrogate pair has no UTF-8; it's read as Buffer does, as a replacement character.
    const whole = text.isWellFormed() ? text : text.toWellFormed();
    return this.#isSafe ? this.#encode(whole) : withinLimit(() => this.#encode(whole), text.length);
  }

  decode(ids: readonly number[], skipSpecialTokens: boolean): string {
    const tokens: string[] = [];
    for (const id of ids) {
      const token = this.#texts[id];
      if (token !== undefined && !(skipSpecialTokens && this.specialIds.has(id))) tokens.push(token);
    }
    const decoder = this.#decoder;
    if (decoder === undefined) return tokens.join(" ");
    const run = (): string => decoder.decode(tokens).join("");
    return decoder.isSafe ? run() : withinLimit(run, tokens.length);
  }

  #encode(text: string): Encoding {
    const ids: number[] = [];
    const sections: Section[] = [];
    for (const { start, end, id } of this.#added.split(text)) {
      const firstToken = ids.length;
      if (id === undefined) this.#encodeSection(text.slice(start, end), start === 0, ids);
      else ids.push(id);
      sections.push({ start, end, firstToken, endToken: ids.length, isAddedToken: id !== undefined });
    }
    return { ids, sections };
  }

  #encodeSection(text: string, isAtStart: boolean, ids: number[]): void {
    const normalized = this.#normalize(text);
    const begins = isAtStart && (this.#normalizer?.keepsStart(text) ?? true);
    for (const { start, end, id } of this.#added.splitNormalized(normalized, this.#normalize)) {
      if (id === undefined) this.#encodeWords(normalized.slice(start, end), begins && start === 0, ids);
      else ids.push(id);
    }
  }

  #encodeWords(text: string, isAtStart: boolean, ids: number[]): void {
    let split: Words = { words: [text], isAtStart };
    for (const step of this.#preTokenizer?.steps ?? []) split = step(split);
    for (const word of split.words) for (const id of this.#encodeWord(word)) ids.push(id);
  }

  #encodeWord(word: string): readonly number[] {
    const known = this.#words.get(word);
    if (known !== undefined) return known;
    const spelled = this.#preTokenizer?.spellsBytes ? spellBytes(word) : word;
    const ids = spelled === "" ? [] : this.#model.encode(spelled);
    if (word.length <= longestCachedWord) {
      if (this.#words.size >= cacheLimit) this.#words.clear();
      this.#words.set(word, ids);
    }
    return ids;
  }
}
