// The Modelfile of Ollama: where the weights are, how a conversation is written, where an answer ends.
import { writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import { chatTemplateOf, loadTokenizer, type ChatTemplate, type Message } from "../data/index.ts";

/**
 * Writes `Modelfile` beside a GGUF file.
 * @returns a line for the user
 */
export function writeModelfile(folder: string, ggufFile: string): string {
  const tokenizer = loadTokenizer(folder);
  const template = chatTemplateOf(tokenizer);
  const own = template === undefined ? undefined : goTemplate(template);
  const stops = tokenizer.stopIds.flatMap((id) => tokenizer.pieceOf(id) ?? []);
  const lines = [
    `FROM ./${basename(ggufFile)}`,
    ...(own === undefined ? [] : [`TEMPLATE """${own}"""`]),
    ...stops.map((stop) => `PARAMETER stop ${JSON.stringify(stop)}`),
    "",
  ];
  const path = join(dirname(ggufFile), "Modelfile");
  writeFileSync(path, lines.join("\n"));
  const note =
    own === undefined && template !== undefined
      ? " Its chat template can't be said as turns one after another, so Ollama takes the one in the file where it knows it."
      : "";
  return `${path}: ollama create ${basename(ggufFile, ".gguf").toLowerCase()} -f ${path}${note}`;
}

const roles = ["system", "user", "assistant"] as const;
const marks = { system: "\u0001S\u0001", user: "\u0001U\u0001", assistant: "\u0001A\u0001" };

/**
 * A chat template as Ollama's: what stands before and after each role's text, and before an answer. Undefined where a conversation
 * isn't its turns one after another; it is tried on conversations with and without a system turn.
 */
export function goTemplate(template: ChatTemplate): string | undefined {
  const render = (turns: readonly (typeof roles)[number][], addGenerationPrompt: boolean): string => {
    const messages: Message[] = turns.map((role) => ({ role, content: marks[role] }));
    return template.render(messages, { addGenerationPrompt });
  };
  let parts: {
    readonly start: string;
    readonly around: Record<string, readonly [string, string]>;
    readonly answer: string;
  };
  try {
    const one = render(["user"], false);
    const two = render(["user", "assistant"], false);
    const three = render(["user", "assistant", "user"], false);
    const withSystem = render(["system", "user", "assistant", "user"], false);
    if (!two.startsWith(one) || !three.startsWith(two) || !withSystem.endsWith(three.slice(one.length)))
      return undefined;
    const userTurn = three.slice(two.length);
    const start = one.slice(0, one.length - userTurn.length);
    const system = withSystem.slice(start.length, withSystem.length - (three.length - start.length));
    const cut = (turn: string, mark: string): [string, string] | undefined => {
      const [before, after, ...more] = turn.split(mark);
      return after === undefined || more.length > 0 ? undefined : [before!, after];
    };
    const around = {
      system: cut(system, marks.system),
      user: cut(userTurn, marks.user),
      assistant: cut(two.slice(one.length), marks.assistant),
    };
    const { system: s, user: u, assistant: a } = around;
    if (s === undefined || u === undefined || a === undefined || one !== start + userTurn) return undefined;
    const answer = render(["user"], true).slice(one.length);
    parts = { start, around: { system: s, user: u, assistant: a }, answer };
  } catch {
    return undefined; // a template that refuses a role
  }
  const { start, around, answer } = parts;
  const composed = (turns: readonly (typeof roles)[number][]): string =>
    start + turns.map((role) => around[role]!.join(marks[role])).join("") + answer;
  const tried = [
    ["user"],
    ["system", "user"],
    ["system", "user", "assistant", "user", "assistant", "user"],
  ] as const;
  if (tried.some((turns) => composed(turns) !== render(turns, true))) return undefined;
  const branches = roles.map(
    (role, i) =>
      `{{- ${i === 0 ? "if" : "else if"} eq .Role "${role}" }}${escape(around[role]![0])}{{ .Content }}${escape(around[role]![1])}`,
  );
  return `${escape(start)}{{- range .Messages }}\n${branches.join("\n")}\n{{- end }}\n{{- end }}${escape(answer)}`;
}

/** Text that Go's templates take as it is, also where it begins or ends with white space beside an action that trims. */
function escape(text: string): string {
  return text === "" ? "" : `{{ ${JSON.stringify(text)} }}`;
}
