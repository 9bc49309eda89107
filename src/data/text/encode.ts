// From an Example to token ids and which of them are trained. The end of the text side of the pipeline: packing and
// batches know ids only. Special tokens: a chat is encoded as its template wrote it (no second bos); plain text gets
// what tokenizer.json puts around a text, and the eos.
import { UserError } from "../../util/index.ts";
import type { RowColumns } from "../columns.ts";
import type { ChatTemplate } from "./chat-template.ts";
import { maskConversation, type Span } from "./masking.ts";
import { isUntrained } from "./messages.ts";
import { forTemplate } from "./template-forms.ts";
import type { Encoding } from "../tokenizer/pipeline.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { BadRow, type Example, type TrainOn } from "../types.ts";

export interface EncodeOptions {
  readonly tokenizer: Tokenizer;
  /** `undefined` for a base model, which has no text for conversations. */
  readonly template: ChatTemplate | undefined;
  readonly trainOn: TrainOn;
  /** `training.generation_marks`; default true. */
  readonly generationMarks?: boolean | undefined;
}

/** An example as tokens. */
export interface EncodedExample {
  readonly columns: RowColumns;
  /** What of the example isn't in them, as people read it. */
  readonly leftOut?: readonly string[];
}

/**
 * Token ids of an example and which are trained. The first token is never a target.
 * @throws BadRow with the reason; UserError where no row of the data set could be encoded (no chat template).
 */
export function encodeExample(example: Example, options: EncodeOptions): EncodedExample {
  const encoded = encodeAny(example, options);
  const { tokens, lossMask } = encoded.columns;
  refuseForeignIds(example, tokens, options.tokenizer);
  if (lossMask.length > 0) lossMask[0] = 0;
  return encoded;
}

/** The model's embedding has no row for ids from `idLimit` on. */
function refuseForeignIds(example: Example, tokens: Int32Array, tokenizer: Tokenizer): void {
  const { idLimit } = tokenizer;
  const outside = tokens.find((id) => id < 0 || id >= idLimit);
  if (outside === undefined) return;
  const text = example.kind === "tokens" ? undefined : tokenizer.pieceOf(outside);
  const token = text === undefined ? `input_ids has ${outside}` : `${text} is the id ${outside}`;
  throw new BadRow(`${token}, the vocabulary ends at ${idLimit - 1}`);
}

function encodeAny(example: Example, options: EncodeOptions): EncodedExample {
  switch (example.kind) {
    case "messages":
      return encodeMessages(example, options);
    case "completion":
      return { columns: encodePlain(example.prompt, example.completion, options) };
    case "text":
      return { columns: encodePlain("", example.text, options) };
    case "tokens": {
      const { tokens, lossMask } = example.columns;
      return { columns: { tokens, lossMask: lossMask.slice() } };
    }
  }
}

function encodeMessages(
  { messages, tools, promptTurns = 0 }: Extract<Example, { kind: "messages" }>,
  options: EncodeOptions,
): EncodedExample {
  const { tokenizer } = options;
  const template = options.template?.for(tools);
  if (template === undefined)
    throw new UserError(
      "model.hf_assets_path: this model has no chat template, so conversations can't be written as text. Use the " +
        "Instruct version of the model, name a template with model.chat_template (a file or its text), or give " +
        '"prompt" and "completion" columns',
      { exitCode: 2 },
    );
  const { trainOn, generationMarks } = options;
  const untrained = messages.map(
    (message, k) => isUntrained(message) || (trainOn !== "all" && k < promptTurns),
  );
  const { addedTokens } = tokenizer;
  const maskOptions = { trainOn, generationMarks, tools, addedTokens, untrained };
  const masked = maskConversation(template, forTemplate(template, messages), maskOptions);
  const encoding = tokenizer.encodeSections(masked.text);
  const lossMask = new Uint8Array(encoding.ids.length);
  for (const span of masked.spans) markSpan(masked.text, encoding, span, tokenizer, lossMask);
  const columns = { tokens: Int32Array.from(encoding.ids), lossMask };
  return masked.leftOut.length === 0 ? { columns } : { columns, leftOut: masked.leftOut };
}

/** prompt + completion as one text, eos at the end: the completion is trained (all of it where trainOn is "all"). */
function encodePlain(prompt: string, completion: string, options: EncodeOptions): RowColumns {
  const { tokenizer, trainOn } = options;
  const text = prompt + completion;
  const encoding = tokenizer.encodeSections(text);
  const body = new Uint8Array(encoding.ids.length);
  const start = trainOn === "all" ? 0 : prompt.length;
  markSpan(text, encoding, { start, end: text.length }, tokenizer, body);
  const isDouble = tokenizer.prefixIds.length > 0 && encoding.ids[0] === tokenizer.prefixIds[0];
  const prefix = isDouble ? [] : tokenizer.prefixIds;
  const ends = tokenizer.eosId === undefined || tokenizer.stopIds.includes(encoding.ids.at(-1) ?? -1);
  const suffix = ends ? [] : [tokenizer.eosId];
  const tokens = Int32Array.from([...prefix, ...encoding.ids, ...suffix]);
  const lossMask = new Uint8Array(tokens.length);
  lossMask.set(body, prefix.length);
  lossMask.fill(1, prefix.length + body.length);
  return { tokens, lossMask };
}

/** Trains every token that holds a character of the span. */
function markSpan(
  text: string,
  encoding: Encoding,
  span: Span,
  tokenizer: Tokenizer,
  lossMask: Uint8Array,
): void {
  if (span.end <= span.start) return;
  const start = tokenizer.tokenAt(text, encoding, span.start);
  const end = tokenizer.tokenAt(text, encoding, span.end);
  if (start === undefined || end === undefined)
    throw new BadRow(
      "the trained text can't be matched to its tokens: the tokenizer changes the text at its edge",
    );
  lossMask.fill(1, start.index, end.index + (end.inside ? 1 : 0));
}
