// From the fields of a data set's row to an Example: Alpaca, ShareGPT, messages, prompt/completion, text, pre-tokenized.
// Not tokenization: nothing here knows a tokenizer. A row that doesn't fit throws BadRow with the reason.
import { UserError } from "../../util/index.ts";
import { fieldsOf, toMessage, toTools } from "./messages.ts";
import { BadRow, describe, type Example, type Message } from "../types.ts";
import { isFloat, parseJson } from "../values.ts";

type MessagesExample = Extract<Example, { kind: "messages" }>;

/** The names a configuration may give; `auto` looks at the first row's columns. */
export const formatNames = [
  "alpaca",
  "instruction",
  "sharegpt",
  "messages",
  "prompt_completion",
  "text",
  "tokenized",
] as const;
export type FormatName = (typeof formatNames)[number];

/** How the columns instruction + input become a question: in Alpaca's words, or as they stand. */
export type Wording = "alpaca" | "instruction";

/** The wording in which all questions were asked; `undefined` where rows have questions of their own, too. */
export function wordingOf(formats: readonly { readonly format: FormatName }[]): Wording | undefined {
  const [first] = formats;
  const isOne = formats.every(({ format }) => format === first?.format);
  return isOne && (first?.format === "alpaca" || first?.format === "instruction") ? first.format : undefined;
}

/** What a format does that surprises people who don't know it. */
export const formatNote = (format: FormatName): string =>
  format === "alpaca"
    ? "alpaca: questions in Alpaca's wording, as generate asks this model then; format: instruction asks them as they stand"
    : format;

/** Our column name → the data set's, e.g. `{ instruction: "question", output: "answer" }`. */
export type ColumnMap = Readonly<Record<string, string>>;

// The wording is torchtune's AlpacaToMessages (and Stanford Alpaca's), to the letter: models were trained on it.
const alpacaWithInput = (instruction: string, input: string): string =>
  "Below is an instruction that describes a task, paired with an input that provides further context. " +
  "Write a response that appropriately completes the request.\n\n" +
  `### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:\n`;
const alpacaWithoutInput = (instruction: string): string =>
  "Below is an instruction that describes a task. " +
  "Write a response that appropriately completes the request.\n\n" +
  `### Instruction:\n${instruction}\n\n### Response:\n`;

/** The user's text of an Alpaca row, with or without input. Source: torchtune `AlpacaToMessages`. */
export function alpacaPrompt(instruction: string, input = ""): string {
  return input ? alpacaWithInput(instruction, input) : alpacaWithoutInput(instruction);
}

/**
 * The format that fits a row's columns.
 * @throws UserError naming the columns found, when none does.
 *
 * @example
 * ```ts
 * import { detectFormat } from "torchforge/data";
 *
 * console.log(detectFormat({ instruction: "Add 2 and 2.", output: "4" })); // alpaca
 * ```
 */
export function detectFormat(
  row: Readonly<Record<string, unknown>>,
  columns: ColumnMap = {},
  key = "training.dataset",
): FormatName {
  const has = (name: string): boolean => (columns[name] ?? name) in row;
  if (has("input_ids")) return "tokenized";
  if (has("messages")) return "messages";
  if (has("conversations")) return "sharegpt";
  if (has("instruction") && has("output")) return "alpaca";
  if (has("prompt") && has("completion")) return "prompt_completion";
  if (has("text")) return "text";
  throw new UserError(
    `${key}: no known format fits the columns ${Object.keys(row).join(", ") || "(none)"}. Expected ` +
      "instruction + output (+ input), messages, conversations, prompt + completion, text, or input_ids (+ labels). " +
      "Name the format (format: alpaca) and map the columns (columns: {instruction: question, output: answer}).",
    { exitCode: 2 },
  );
}

/**
 * Checks a row and gives it its form.
 * @throws BadRow with the reason, when the row doesn't fit the format.
 */
export function toExample(value: unknown, format: FormatName, columns: ColumnMap = {}): Example {
  const fields = fieldsOf(value);
  if (fields === undefined) throw new BadRow(`expected an object, found ${describe(value)}`);
  const row = new Columns(fields, columns);
  switch (format) {
    case "alpaca":
    case "instruction":
      return alpaca(row, format);
    case "sharegpt":
      return conversation(row.get("conversations"), "conversations", row, true);
    case "messages":
      return conversation(row.get("messages"), "messages", row);
    case "prompt_completion":
      return promptCompletion(row);
    case "text":
      return { kind: "text", text: row.text("text") };
    case "tokenized":
      return tokenized(row);
  }
}

class Columns {
  readonly #row: Readonly<Record<string, unknown>>;
  readonly #columns: ColumnMap;

  constructor(row: Readonly<Record<string, unknown>>, columns: ColumnMap) {
    this.#row = row;
    this.#columns = columns;
  }

  get(name: string): unknown {
    return this.#row[this.#columns[name] ?? name];
  }

  name(name: string): string {
    return this.#columns[name] ?? name;
  }

  text(name: string, options: { optional?: boolean } = {}): string {
    const value = this.get(name);
    if (options.optional && (value === undefined || value === null)) return "";
    if (typeof value === "string") return value;
    if (value === undefined) throw new BadRow(`column "${this.name(name)}" is missing`);
    throw new BadRow(`column "${this.name(name)}": expected text, found ${describe(value)}`);
  }
}

function alpaca(row: Columns, format: "alpaca" | "instruction"): Example {
  const instruction = row.text("instruction");
  const input = row.text("input", { optional: true });
  const output = row.text("output");
  if (!instruction && !input) throw new BadRow(`column "${row.name("instruction")}" is empty`);
  const asked = (question: string, more = ""): Message => {
    const plain = more ? `${question}\n${more}` : question;
    return { role: "user", content: format === "alpaca" ? alpacaPrompt(question, more) : plain };
  };
  const earlier = history(row).flatMap(([question, answer]) => [
    asked(question),
    { role: "assistant", content: answer },
  ]);
  const last = [asked(instruction, input), { role: "assistant", content: output }];
  return example([...earlier, ...last], row, true);
}

/** Earlier questions and answers, as LLaMA-Factory has them: [[question, answer], …]. */
function history(row: Columns): [string, string][] {
  const column = row.get("history");
  const name = row.name("history");
  if (column === undefined || column === null || column === "") return [];
  const pairs = typeof column === "string" ? jsonColumn(column, name) : column;
  if (!Array.isArray(pairs))
    throw new BadRow(`column "${name}": expected an array of [question, answer], found ${describe(pairs)}`);
  return pairs.map((pair: unknown, i) => {
    if (Array.isArray(pair) && pair.length === 2 && pair.every((text) => typeof text === "string"))
      return pair as [string, string];
    throw new BadRow(`${name}[${i}]: expected [question, answer], found ${describe(pair)}`);
  });
}

/** Turns of a column, and what stands beside them. LLaMA-Factory's tools (ShareGPT, Alpaca) are functions alone. */
function conversation(value: unknown, column: string, row: Columns, wrapsTools = false): MessagesExample {
  const name = row.name(column);
  if (typeof value === "string" && value.trimStart().startsWith("["))
    return conversation(jsonColumn(value, name), column, row, wrapsTools); // as CSV has it
  if (value === undefined) throw new BadRow(`column "${name}" is missing`);
  if (!Array.isArray(value))
    throw new BadRow(`column "${name}": expected an array of turns, found ${describe(value)}`);
  if (value.length === 0) throw new BadRow(`column "${name}" is empty`);
  return example(
    value.map((turn, i) => toMessage(turn, `${name}[${i}]`)),
    row,
    wrapsTools,
  );
}

/** Messages with the row's system text before them, and its tools. */
function example(messages: readonly Message[], row: Columns, wrapsTools: boolean): MessagesExample {
  const system = row.get("system");
  const hasSystem = typeof system === "string" && system !== "" && messages[0]!.role !== "system";
  const given = row.get("tools") === undefined ? "functions" : "tools";
  const tools = toTools(row.get(given), row.name(given), wrapsTools || given === "functions");
  return {
    kind: "messages",
    messages: hasSystem ? [{ role: "system", content: system }, ...messages] : messages,
    ...(tools && { tools }),
  };
}

function jsonColumn(text: string, name: string): unknown {
  try {
    return parseJson(text);
  } catch {
    throw new BadRow(`column "${name}": expected a JSON array, found ${describe(text)}`);
  }
}

function promptCompletion(row: Columns): Example {
  const prompt = row.get("prompt");
  const completion = row.get("completion");
  if (!Array.isArray(prompt) || !(Array.isArray(completion) || typeof completion === "string"))
    return { kind: "completion", prompt: row.text("prompt"), completion: row.text("completion") };
  const answers: unknown[] =
    typeof completion === "string" ? [{ role: "assistant", content: completion }] : completion;
  const turns = [...(prompt as unknown[]), ...answers];
  const found = conversation(turns, "messages", row);
  return { ...found, promptTurns: found.messages.length - answers.length };
}

function tokenized(row: Columns): Example {
  const tokens = integers(row.get("input_ids"), row.name("input_ids"));
  if (tokens.length === 0) throw new BadRow(`column "${row.name("input_ids")}" is empty`);
  const lossMask = new Uint8Array(tokens.length).fill(1);
  const column = row.get("labels");
  if (column !== undefined && column !== null) {
    const labels = integers(column, row.name("labels"));
    if (labels.length !== tokens.length)
      throw new BadRow(`labels has ${labels.length} entries, input_ids has ${tokens.length}`);
    for (const [t, label] of labels.entries()) {
      if (label === -100) lossMask[t] = 0;
      else if (label !== tokens[t])
        throw new BadRow(
          `labels[${t}] is ${label}, input_ids[${t}] is ${tokens[t]}: labels must repeat input_ids (not shifted) or be -100`,
        );
    }
  }
  return { kind: "tokens", columns: { tokens, lossMask } };
}

function integers(value: unknown, name: string): Int32Array {
  if (value === undefined || value === null) throw new BadRow(`column "${name}" is missing`);
  if (!Array.isArray(value) && !ArrayBuffer.isView(value))
    throw new BadRow(`column "${name}": expected an array of integers, found ${describe(value)}`);
  return Int32Array.from(value as ArrayLike<unknown>, (entry, i) => {
    const number = typeof entry === "bigint" || isFloat(entry) ? Number(entry) : entry;
    if (typeof number !== "number" || !Number.isInteger(number) || Math.abs(number) > 2 ** 31 - 1)
      throw new BadRow(`${name}[${i}]: expected an integer, found ${describe(entry)}`);
    return number;
  });
}
