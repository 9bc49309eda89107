// What a chat template leaves out of a conversation: tools, tool calls, thoughts, system turns. Found by asking it: where its text is
// the same without a part of the row, that part isn't in it. A row is trained without what is left out, and that is told.
import type { Message } from "../types.ts";

/** The text of a conversation, or undefined where the template refuses it. */
export type RenderText = (
  messages: readonly Message[],
  tools: readonly unknown[] | undefined,
) => string | undefined;

const thoughtFields = ["reasoning_content", "thinking", "reasoning"];
const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);

/** Whether a turn calls tools. */
export const hasCalls = (message: Message): boolean => !isEmpty(message["tool_calls"]);
const hasThoughtFields = (message: Message): boolean => thoughtFields.some((name) => !isEmpty(message[name]));
const endOfThought = "</think>";

const turnNames = [
  ["system", "a system turn"],
  ["user", "a user's turn"],
  ["tool", "a tool's answer"],
] as const;

/** A turn with nothing in it but its text. */
const emptied = ({ role }: Message): Message => ({ role, content: "" });

function without(message: Message, names: readonly string[]): Message {
  const fields = Object.entries(message).filter(([name]) => !names.includes(name));
  return { ...Object.fromEntries(fields), role: message.role, content: message.content };
}

/**
 * What of the row isn't in `text`, each as "the chat template leaves out …".
 * @param isWritten whether the text holds the turn with this number
 */
export function leftOut(
  text: string,
  messages: readonly Message[],
  tools: readonly unknown[] | undefined,
  render: RenderText,
  isWritten: (turn: number) => boolean,
): string[] {
  const last = messages.findLastIndex(({ role }) => role === "assistant");
  const isSame = (changed: readonly Message[]): boolean => render(changed, tools) === text;
  const changed = (
    isMeant: (message: Message, k: number) => boolean,
    change: (message: Message) => Message,
  ) => messages.map((message, k) => (isMeant(message, k) ? change(message) : message));
  const found: string[] = [];
  if (!isEmpty(tools) && render(messages, undefined) === text) found.push("the row's tools");
  if (messages.some(hasCalls) && isSame(changed(hasCalls, (message) => without(message, ["tool_calls"]))))
    found.push("its tool calls");
  for (const [name, isMeant] of [
    ["thoughts of earlier answers", (k: number) => k < last],
    ["thoughts of the last answer", (k: number) => k === last],
  ] as const) {
    const inField = (message: Message, k: number): boolean => isMeant(k) && hasThoughtFields(message);
    const inText = ({ role, content }: Message, k: number): boolean =>
      isMeant(k) && role === "assistant" && content.includes(endOfThought);
    const answer = ({ content }: Message): string =>
      content.slice(content.lastIndexOf(endOfThought) + endOfThought.length);
    const isLeftOut =
      (messages.some(inField) && isSame(changed(inField, (message) => without(message, thoughtFields)))) ||
      (messages.some(inText) &&
        (isSame(changed(inText, (message) => ({ ...message, content: answer(message) }))) ||
          isSame(changed(inText, (message) => ({ ...message, content: answer(message).trim() })))));
    if (isLeftOut) found.push(name);
  }
  const isLost = ({ role, content }: Message, k: number, wanted: string): boolean =>
    role === wanted && content.trim() !== "" && !isWritten(k);
  for (const [role, name] of turnNames)
    if (messages.some((message, k) => isLost(message, k, role))) found.push(name);
  return found.map((what) => `the chat template leaves out ${what}`);
}

/** The assistant's turns that call or think, and of which the text has nothing. */
export function emptyTurns(
  text: string,
  messages: readonly Message[],
  tools: readonly unknown[] | undefined,
  render: RenderText,
): number[] {
  const mayBe = (message: Message): boolean =>
    message.role === "assistant" &&
    (hasCalls(message) || hasThoughtFields(message) || message.content.includes(endOfThought));
  return [...messages.entries()].flatMap(([k, message]) =>
    mayBe(message) && render(messages.with(k, emptied(message)), tools) === text ? [k] : [],
  );
}
