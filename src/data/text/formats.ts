// From the fields of a data set's row to an Example: Alpaca, ShareGPT, messages, prompt/completion, text, pre-tokenized.
// Not tokenization: nothing here knows a tokenizer. A row that doesn't fit throws BadRow with the reason.
import { UserError } from "../../util/index.ts";
import { BadRow, describe, isRecord, type Example, type Message } from "../types.ts";

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
  if (!isRecord(value)) throw new BadRow(`expected an object, found ${describe(value)}`);
  const row = new Columns(value, columns);
  switch (format) {
    case "alpaca":
    case "instruction":
      return alpaca(row, format);
    case "sharegpt":
      return conversation(row.get("conversations"), "conversations", row);
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
  const plain = input ? `${instruction}\n${input}` : instruction;
  const content = format === "alpaca" ? alpacaPrompt(instruction, input) : plain;
  return {
    kind: "messages",
    messages: [
      { role: "user", content },
      { role: "assistant", content: output },
    ],
  };
}

// ShareGPT files of the last years use all of these.
const roleOf: Readonly<Record<string, string>> = {
  human: "user",
  user: "user",
  gpt: "assistant",
  assistant: "assistant",
  model: "assistant",
  chatgpt: "assistant",
  bing: "assistant",
  system: "system",
  developer: "system",
  tool: "tool",
  observation: "tool",
  function_response: "tool",
  ipython: "tool",
};

function message(value: unknown, where: string): Message {
  if (!isRecord(value)) throw new BadRow(`${where}: expected an object, found ${describe(value)}`);
  const { role, from, content, value: said, ...rest } = value;
  const speaker = role ?? from;
  if (typeof speaker !== "string")
    throw new BadRow(`${where}: expected "role" (or "from"), found ${describe(speaker)}`);
  const known = roleOf[speaker.toLowerCase()];
  if (known === undefined)
    throw new BadRow(`${where}: unknown role "${speaker}" (known: ${Object.keys(roleOf).join(", ")})`);
  return { ...rest, role: known, content: contentText(content ?? said, `${where}.content`, rest) };
}

function contentText(content: unknown, where: string, rest: Readonly<Record<string, unknown>>): string {
  if (typeof content === "string") return content;
  if ((content === null || content === undefined) && Array.isArray(rest["tool_calls"])) return "";
  if (Array.isArray(content)) {
    return content
      .map((part: unknown, i) => {
        if (isRecord(part) && part["type"] === "text" && typeof part["text"] === "string")
          return part["text"];
        const kind = isRecord(part) ? `a part of type ${describe(part["type"])}` : describe(part);
        throw new BadRow(`${where}[${i}]: only text can be trained, found ${kind}`);
      })
      .join("");
  }
  throw new BadRow(`${where}: expected text, found ${describe(content)}`);
}

function conversation(value: unknown, column: string, row: Columns): Example {
  const name = row.name(column);
  if (typeof value === "string" && value.trimStart().startsWith("["))
    return conversation(jsonColumn(value, name), column, row); // as CSV has it
  if (value === undefined) throw new BadRow(`column "${name}" is missing`);
  if (!Array.isArray(value))
    throw new BadRow(`column "${name}": expected an array of turns, found ${describe(value)}`);
  if (value.length === 0) throw new BadRow(`column "${name}" is empty`);
  const messages = value.map((turn, i) => message(turn, `${name}[${i}]`));
  const system = row.get("system");
  if (typeof system === "string" && system && messages[0]!.role !== "system")
    messages.unshift({ role: "system", content: system });
  const tools = toolsOf(row.get("tools"));
  return tools ? { kind: "messages", messages, tools } : { kind: "messages", messages };
}

function jsonColumn(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new BadRow(`column "${name}": expected a JSON array, found ${describe(text)}`);
  }
}

function toolsOf(value: unknown): unknown[] | undefined {
  const tools = typeof value === "string" && value.trim() ? jsonColumn(value, "tools") : value;
  return Array.isArray(tools) && tools.length > 0 ? tools : undefined;
}

function promptCompletion(row: Columns): Example {
  const prompt = row.get("prompt");
  const completion = row.get("completion");
  if (Array.isArray(prompt) && Array.isArray(completion))
    return conversation([...(prompt as unknown[]), ...(completion as unknown[])], "messages", row);
  return { kind: "completion", prompt: row.text("prompt"), completion: row.text("completion") };
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
    const number = typeof entry === "bigint" ? Number(entry) : entry;
    if (typeof number !== "number" || !Number.isInteger(number) || Math.abs(number) > 2 ** 31 - 1)
      throw new BadRow(`${name}[${i}]: expected an integer, found ${describe(entry)}`);
    return number;
  });
}
