// What a chat template wants that rows give in either form: arguments of tool calls as objects or as JSON text, a tool's answer
// likewise, the content of a turn that only calls as null or as empty text. It isn't read from the template: it is asked, once, with
// a conversation of every form, and what it writes is compared.
import { messageOf, UserError } from "../../util/index.ts";
import type { ChatTemplate } from "./chat-template.ts";
import { fieldsOf, type ToolCall } from "./messages.ts";
import { BadRow, describe, type Message } from "../types.ts";
import { parseJson, pythonJson } from "../values.ts";

interface TemplateForms {
  readonly arguments: "object" | "text";
  readonly toolContent: "object" | "text";
  /** Content of an assistant's turn without words. */
  readonly callContent: "null" | "empty";
}

/** Messages as `template` takes them. @throws BadRow where its form can't be made of the row's */
export function forTemplate(template: ChatTemplate, messages: readonly Message[]): readonly Message[] {
  const needsForm = messages.some((message) => "tool_calls" in message || "rawContent" in message);
  if (!needsForm) return messages;
  const forms = formsOf(template);
  const firstTurn = messages.findIndex(({ role }) => role !== "system");
  return messages.map((message, k) => {
    const { rawContent, ...rest } = message;
    const keepsRaw =
      rawContent === null
        ? forms.callContent === "null"
        : rawContent !== undefined && forms.toolContent === "object" && k !== firstTurn;
    const adapted: Message = keepsRaw ? { ...rest, rawContent } : rest;
    const calls = rest["tool_calls"] as readonly ToolCall[] | undefined;
    if (calls === undefined) return adapted;
    const where = (i: number): string => `turn ${k + 1}: tool call ${i + 1}`;
    const given = calls.map((call, i) => withArguments(call, forms.arguments, where(i)));
    return { ...adapted, tool_calls: given };
  });
}

/** A message's content as its row has it, as long as it is the row's own. */
export function asRendered(message: Message): object {
  if (!("rawContent" in message)) return message;
  const { rawContent, ...rest } = message;
  const text = rawContent === null ? "" : pythonJson(rawContent);
  return rest.content === text ? { ...rest, content: rawContent } : rest;
}

function withArguments(call: ToolCall, form: "object" | "text", where: string): ToolCall {
  const { arguments: given } = call.function;
  if (form === "text")
    return typeof given === "string"
      ? call
      : { ...call, function: { ...call.function, arguments: pythonJson(given) } };
  if (typeof given !== "string") return call;
  let value: unknown = given.trim() === "" ? {} : given;
  try {
    // Some files have them as JSON of JSON.
    for (let i = 0; i < 2 && typeof value === "string"; i++) value = parseJson(value);
  } catch (error) {
    throw new BadRow(
      `${where}: the chat template wants arguments as an object; expected JSON text, found ${describe(given)} (${messageOf(error)})`,
    );
  }
  if (fieldsOf(value) === undefined)
    throw new BadRow(`${where}: expected arguments as an object, found ${describe(value)}`);
  return { ...call, function: { ...call.function, arguments: value } };
}

const known = new WeakMap<ChatTemplate, TemplateForms>();
const probe = { probe_key: "probe_value" };
const probeText = '{"probe_key": "probe_value"}';
const probeTools = [
  {
    type: "function",
    function: {
      name: "probe_name",
      description: "A probe.",
      parameters: { type: "object", properties: { probe_key: { type: "string", description: "A text." } } },
    },
  },
];

function formsOf(template: ChatTemplate): TemplateForms {
  const found = known.get(template) ?? ask(template);
  known.set(template, found);
  return found;
}

function ask(template: ChatTemplate): TemplateForms {
  const render = (content: string | null, args: unknown, answer?: unknown): string | undefined => {
    const call = { id: "abcdefghi", type: "function", function: { name: "probe_name", arguments: args } };
    const turns = [
      { role: "user", content: "question" },
      { role: "assistant", content, tool_calls: [call] },
    ];
    const tool = { role: "tool", name: "probe_name", tool_call_id: "abcdefghi", content: answer };
    const messages = answer === undefined ? turns : [...turns, tool];
    try {
      return template.render(messages as unknown as Message[], { tools: probeTools });
    } catch (error) {
      if (error instanceof UserError) throw error;
      return undefined; // it refuses this form
    }
  };
  const isJson = (text: string | undefined): boolean => text?.includes(probeText) === true;
  // As Python writes a dict, or as JSON of JSON, it is there, but nobody wants to learn that.
  const isWritten = (text: string | undefined): boolean =>
    text?.includes("probe_value") === true && !/(?:'|\\")probe_key(?:'|\\"):/.test(text);
  const argumentsForm = (content: string | null): "object" | "text" =>
    isWritten(render(content, probe)) || !isJson(render(content, probeText)) ? "object" : "text";
  const writesCall = (content: string | null): boolean =>
    render(content, argumentsForm(content) === "object" ? probe : probeText)?.includes("probe_value") ===
    true;
  const callContent = writesCall(null) ? null : "";
  const form = argumentsForm(callContent);
  const args = form === "object" ? { other: 1 } : '{"other": 1}';
  return {
    arguments: form,
    toolContent: isJson(render(callContent, args, probe)) ? "object" : "text",
    callContent: callContent === null ? "null" : "empty",
  };
}
