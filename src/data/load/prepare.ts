// From a stored row to token ids, or the reason why there are none. Pure: the same row and settings give the same
// result in whatever thread; that is what the cache, the worker threads and an exact resume rely on.
import { messageOf, UserError } from "../../util/index.ts";
import { chatTemplateOf } from "../text/chat-template.ts";
import type { SourceFormat } from "../source/dataset.ts";
import { encodeExample, type EncodedExample, type EncodeOptions } from "../text/encode.ts";
import { toExample } from "../text/formats.ts";
import { parseRow, type StoredRow } from "../source/store.ts";
import { Tokenizer, type TokenizerFiles } from "../text/tokenizer.ts";
import { BadRow, type TrainOn } from "../types.ts";

/**
 * Everything that ids depend on beside the row itself; token-key.ts hashes it whole. Survives structuredClone, so it can go to a
 * thread, and JSON.
 */
export interface PrepareSettings {
  readonly tokenizerFiles: TokenizerFiles;
  readonly trainOn: TrainOn;
  /** Train what the template's marks of generation enclose, where it has some. Default true. */
  readonly generationMarks?: boolean | undefined;
  readonly formats: readonly SourceFormat[];
  /** In place of the model's own chat template. */
  readonly chatTemplate?: string | undefined;
  readonly templateVariables?: Readonly<Record<string, unknown>> | undefined;
  /** What a template takes for today; milliseconds since 1970. */
  readonly now: number;
}

/** A row's tokens, or why it has none. */
export type PreparedRow = EncodedExample | { readonly bad: string };

/** Prepares rows of one data set. */
export class Preparer {
  readonly tokenizer: Tokenizer;
  readonly #options: EncodeOptions;
  readonly #formats: readonly SourceFormat[];

  constructor(settings: PrepareSettings, tokenizer = new Tokenizer(settings.tokenizerFiles)) {
    this.tokenizer = tokenizer;
    const template = chatTemplateOf(tokenizer, {
      template: settings.chatTemplate,
      variables: settings.templateVariables,
      now: new Date(settings.now),
    });
    const { trainOn, generationMarks } = settings;
    this.#options = { tokenizer, template, trainOn, generationMarks };
    this.#formats = settings.formats;
  }

  /** @throws UserError where no row could be encoded (no chat template). */
  prepare(stored: StoredRow, format: number): PreparedRow {
    const row = parseRow(stored);
    if ("bad" in row) return { bad: row.bad };
    const { format: name, columns } = this.#formats[format]!;
    try {
      const example = "example" in row ? row.example : toExample(row.value, name, columns);
      return encodeExample(example, this.#options);
    } catch (error) {
      if (error instanceof BadRow) return { bad: error.reason };
      if (error instanceof UserError) throw error;
      // The stack's end is the row's doing: all that walks a value calls itself for what is in it.
      if (error instanceof RangeError && /call stack/.test(error.message))
        return { bad: "nested too deeply" };
      throw new Error(`${row.file}:${row.line}: ${messageOf(error)}`, { cause: error });
    }
  }
}
