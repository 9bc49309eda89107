// What a chat template wants that rows give in either form: arguments of tool calls as objects or as JSON text, a tool's answer
// likewise, the content of a turn that only calls as null or as empty text, content as a list of parts. It isn't read from the template: it is asked, once, with
// a conversation of every form, and what it writes is compared.
import { messageOf, UserError } from "../../util/index.ts";
import type { ChatTemplate } from "./chat-template.ts";
import { asParts, fieldsOf, isPartList, textOfParts, type ToolCall } from "./messages.ts";
import { BadRow, describe, type Message } from "../types.ts";
import { parseJson, pythonJson } from "../values.ts";

interface TemplateForms {
  readonly arguments: "object" | "text";
  readonly toolContent: "object" | "text";
  /** Content of an assistant's turn without words. */
  readonly callContent: "null" | "empty";
}

/** Messages as `template` takes them. @throws BadRow where its form can't be made of the row's */
export function forTemplate(template: ChatTemplate, given: readonly Message[]): readonly Message[] {
  const messages = given.map((message) => withContent(template, message));
  const needsForm = messages.some(
    ({ tool_calls: calls, rawContent }) =>
      calls !== undefined || (rawContent !== undefined && !isPartList(rawContent)),
  );
  if (!needsForm) return messages;
  const forms = formsOf(template);
  const firstTurn = messages.findIndex(({ role }) => role !== "system");
  return messages.map((message, k) => {
    const { rawContent, ...rest } = message;
    const keepsRaw =
      rawContent === null
        ? forms.callContent === "null"
        : isPartList(rawContent) ||
          (rawContent !== undefined && forms.toolContent === "object" && k !== firstTurn);
    const adapted: Message = keepsRaw ? { ...rest, rawContent } : rest;
    const calls = rest["tool_calls"] as readonly ToolCall[] | undefined;
    if (calls === undefined) return adapted;
    const where = (i: number): string => `turn ${k + 1}: tool call ${i + 1}`;
    const given = calls.map((call, i) => withArguments(call, forms.arguments, where(i)));
    return { ...adapted, tool_calls: given };
  });
}

/** With parts where the template takes them and the row has them, or where it takes nothing else; else with text. */
function withContent(template: ChatTemplate, message: Message): Message {
  const { rawContent, ...rest } = message;
  const isParts = isPartList(rawContent);
  if ((rawContent !== undefined && !isParts) || message.content === "") return message;
  const takes = contentForms(template);
  if (isParts) return takes.parts ? message : rest;
  return takes.text ? message : { ...rest, rawContent: asParts(message.content) };
}

const contentFormsOf = new WeakMap<ChatTemplate, { readonly text: boolean; readonly parts: boolean }>();

/** Whether a template writes content that is text, and content that is a list of parts (not as Python writes a list). */
export function contentForms(template: ChatTemplate): { readonly text: boolean; readonly parts: boolean } {
  const known = contentFormsOf.get(template);
  if (known !== undefined) return known;
  const writes = (form: (text: string) => unknown): boolean => {
    const turns = ["user", "assistant"].map((role) => ({ role, content: form(`probe_${role}`) }));
    try {
      const text = template.render(turns as unknown as Message[]);
      return /probe_user[^]*probe_assistant/.test(text) && !/['"]text['"]: ['"]probe_/.test(text);
    } catch (error) {
      if (error instanceof UserError) throw error;
      return false;
    }
  };
  const parts = writes(asParts);
  // One that writes neither (it wants a system turn, say) is taken for one of text, as most are.
  const found = { parts, text: !parts || writes((text) => text) };
  contentFormsOf.set(template, found);
  return found;
}

/** A message's content as its row has it, as long as it is the row's own; a stand-in for parts is a part. */
export function asRendered(message: Message): object {
  if (!("rawContent" in message)) return message;
  const { rawContent, ...rest } = message;
  if (isPartList(rawContent))
    return {
      ...rest,
      content: rest.content === textOfParts(rawContent) ? rawContent : asParts(rest.content),
    };
  const text = rawContent === null ? "" : pythonJson(rawContent);
  return rest.content === text ? { ...rest, content: rawContent } : rest;
}

/** The text of a conversation in words, in the form that the template takes. Throws as the template's `render` does. */
export const renderWords = (
  template: ChatTemplate,
  messages: readonly Message[],
  options?: Parameters<ChatTemplate["render"]>[1],
): string =>
  template.render(forTemplate(template, messages).map(asRendered) as unknown as Message[], options);

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
