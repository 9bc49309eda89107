// Turns as files have them (OpenAI, Transformers, ShareGPT, LLaMA-Factory) to messages as chat templates take them: roles by their
// one name, tool calls in Transformers' form, nothing that is null. How a template wants arguments is not known here.
import { messageOf } from "../../util/index.ts";
import { BadRow, describe, isRecord, type Message } from "../types.ts";
import { isFloat, parseJson, pythonJson } from "../values.ts";

const roleOf: Readonly<Record<string, string>> = {
  human: "user",
  user: "user",
  prompter: "user",
  gpt: "assistant",
  assistant: "assistant",
  model: "assistant",
  chatgpt: "assistant",
  bing: "assistant",
  bard: "assistant",
  bot: "assistant",
  ai: "assistant",
  function_call: "assistant",
  tool_call: "assistant",
  system: "system",
  developer: "system",
  tool: "tool",
  function: "tool",
  observation: "tool",
  function_response: "tool",
  tool_response: "tool",
  tool_result: "tool",
  ipython: "tool",
};

/** A JSON object's fields; `undefined` for what is none. */
export function fieldsOf(value: unknown): Record<string, unknown> | undefined {
  if (value instanceof Map) return Object.fromEntries(value as Map<string, unknown>);
  return isRecord(value) ? value : undefined;
}

/**
 * A turn as a message.
 * @param where of the turn in its row, for messages
 * @throws BadRow
 */
export function toMessage(value: unknown, where: string): Message {
  const fields = fieldsOf(value);
  if (fields === undefined) throw new BadRow(`${where}: expected an object, found ${describe(value)}`);
  const { role, from, content, value: said, tool_calls: calls, function_call: call, ...others } = fields;
  const speaker = role ?? from;
  if (typeof speaker !== "string")
    throw new BadRow(`${where}: expected "role" (or "from"), found ${describe(speaker)}`);
  const name = speaker.toLowerCase().replaceAll("-", "_");
  const known = roleOf[name];
  if (known === undefined)
    throw new BadRow(`${where}: unknown role "${speaker}" (known: ${Object.keys(roleOf).join(", ")})`);
  const rest = Object.fromEntries(Object.entries(others).filter(([, field]) => field !== null));
  checkWeight(rest["weight"], where);
  const words = content ?? said ?? content; // null is not nothing: a turn that only calls has it
  const isCall = name === "function_call" || name === "tool_call";
  const toolCalls = isCall
    ? callsOf(words, `${where}.${content === undefined ? "value" : "content"}`)
    : [...callsOf(calls, `${where}.tool_calls`), ...callsOf(call, `${where}.function_call`)];
  if (toolCalls.length > 0) {
    const found = isCall ? { content: "" } : contentOf(words, `${where}.content`, known, true);
    return { ...rest, role: known, ...found, tool_calls: toolCalls };
  }
  if (isCall) throw new BadRow(`${where}: a turn of ${speaker} without a call`);
  return { ...rest, role: known, ...contentOf(words, `${where}.content`, known, false) };
}

/** OpenAI's: 0 leaves the turn's text out of what is trained. */
function checkWeight(weight: unknown, where: string): void {
  if (weight === undefined || (isNumber(weight) && (Number(weight) === 0 || Number(weight) === 1))) return;
  throw new BadRow(`${where}.weight: expected 0 or 1, found ${describe(weight)}`);
}

const isNumber = (value: unknown): boolean => typeof value === "number" || isFloat(value);

/** True for a turn that its row takes out of what is trained. */
export const isUntrained = ({ weight }: Message): boolean => isNumber(weight) && Number(weight) === 0;

/** A turn's content as text; `rawContent` is what the row has in its place, where a template may want that. */
function contentOf(
  content: unknown,
  where: string,
  role: string,
  hasCalls: boolean,
): Pick<Message, "content" | "rawContent"> {
  if (typeof content === "string") return { content };
  if (content === null || content === undefined) {
    if (hasCalls) return { content: "", rawContent: null };
    throw new BadRow(`${where}: expected text, found ${describe(content)}`);
  }
  if (role === "tool" && !isPartList(content) && typeof content === "object" && !isFloat(content))
    return { content: pythonJson(content), rawContent: content };
  if (Array.isArray(content)) {
    const text = content.map((part, i) => partText(part, `${where}[${i}]`)).join("");
    return text === "" ? { content: text } : { content: text, rawContent: content };
  }
  throw new BadRow(`${where}: expected text, found ${describe(content)}`);
}

/** A list of content parts, as OpenAI's and multimodal rows have it. */
export const isPartList = (content: unknown): content is readonly unknown[] =>
  Array.isArray(content) && content.every((part) => typeof fieldsOf(part)?.["type"] === "string");

/** Its text. */
export const textOfParts = (parts: readonly unknown[]): string =>
  parts
    .map((part) => fieldsOf(part)?.["text"])
    .filter((text) => typeof text === "string")
    .join("");

/** Text as such a list. */
export const asParts = (text: string): readonly unknown[] => [{ type: "text", text }];

function partText(part: unknown, where: string): string {
  const { type, text } = fieldsOf(part) ?? {};
  if (type === "text" && typeof text === "string") return text;
  const kind = isRecord(part) ? `a part of type ${describe(type)}` : describe(part);
  throw new BadRow(`${where}: only text can be trained, found ${kind}`);
}

/** A tool call in Transformers' form. Arguments are what the row has: an object, or JSON text. */
export interface ToolCall {
  readonly function: { readonly name: string; readonly arguments: unknown };
  readonly [field: string]: unknown;
}

/** Calls of a list, of one, or of either as JSON text; none where there is null or nothing in it. */
function callsOf(value: unknown, where: string): ToolCall[] {
  if (value === undefined || value === null) return [];
  if (typeof value === "string") return value.trim() ? callsOf(jsonOf(value, where), where) : [];
  if (!Array.isArray(value)) return [toolCall(value, where)];
  return value.map((call, i) => toolCall(call, `${where}[${i}]`));
}

function toolCall(value: unknown, where: string): ToolCall {
  const fields = fieldsOf(typeof value === "string" ? jsonOf(value, where) : value);
  if (fields === undefined) throw new BadRow(`${where}: expected a tool call, found ${describe(value)}`);
  const isBare = fields["function"] === undefined || fields["function"] === null;
  const described = isBare ? fields : fieldsOf(fields["function"]);
  if (typeof described?.["name"] !== "string")
    throw new BadRow(`${where}: expected the function's name, found ${describe(described?.["name"])}`);
  const { name, arguments: args, parameters, ...more } = described;
  const given = args ?? parameters ?? {};
  if (typeof given !== "string" && fieldsOf(given) === undefined)
    throw new BadRow(`${where}: expected arguments as an object or as JSON text, found ${describe(given)}`);
  const withoutNull = (record: Record<string, unknown>): Record<string, unknown> =>
    Object.fromEntries(Object.entries(record).filter(([, field]) => field !== null));
  if (isBare) {
    const { id, type: _, ...rest } = withoutNull(more);
    return {
      ...(id !== undefined && { id }),
      type: "function",
      function: { name, arguments: given, ...rest },
    };
  }
  return { ...withoutNull(fields), function: { name, arguments: given, ...withoutNull(more) } };
}

function jsonOf(text: string, where: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new BadRow(`${where}: expected JSON, found ${describe(text)} (${messageOf(error)})`);
  }
}

/**
 * Definitions of tools: a list, one alone, or JSON text of either, whole or each.
 * @param wrapsBare make OpenAI's form of definitions that are the function alone, as LLaMA-Factory does
 */
export function toTools(value: unknown, where: string, wrapsBare: boolean): unknown[] | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "string")
    return value.trim() ? toTools(jsonOf(value, where), where, wrapsBare) : undefined;
  const tools = (Array.isArray(value) ? (value as unknown[]) : [value]).map((tool, i) => {
    const found = typeof tool === "string" ? jsonOf(tool, `${where}[${i}]`) : tool;
    const fields = fieldsOf(found);
    if (fields === undefined)
      throw new BadRow(`${where}[${i}]: expected a tool's definition, found ${describe(tool)}`);
    const isBare = wrapsBare && typeof fields["name"] === "string" && fields["function"] === undefined;
    return isBare ? { type: "function", function: found } : found;
  });
  const filled = tools.filter((tool) => Object.keys(fieldsOf(tool)!).length > 0);
  return filled.length > 0 ? filled : undefined;
}
