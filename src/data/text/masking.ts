// Finds, in the text that a chat template made, the spans that are trained: what the model has to write itself, its
// end token included. Works on characters; the tokenizer maps them to tokens. It never searches for a turn's markers:
// it asks the template, by rendering it on parts of the conversation and on stand-in contents, and compares.
import { messageOf, UserError } from "../../util/index.ts";
import type { ChatTemplate } from "./chat-template.ts";
import { emptyTurns, hasCalls, leftOut, type RenderText } from "./left-out.ts";
import { asRendered, renderWords } from "./template-forms.ts";
import { BadRow, type Message, type TrainOn } from "../types.ts";

/** Characters `start` (inclusive) to `end` (exclusive) of a rendered conversation. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A conversation as text, and its trained spans in order, without overlap. */
export interface MaskedText {
  readonly text: string;
  readonly spans: readonly Span[];
  /** What of the row the text has not, each as "the chat template leaves out …". */
  readonly leftOut: readonly string[];
}

export interface MaskOptions {
  readonly trainOn: TrainOn;
  readonly tools?: readonly unknown[] | undefined;
  /** The tokenizer's added tokens (`<|im_end|>` …): an assistant's turn ends with one of them. */
  readonly addedTokens: readonly string[];
  /** Train what the template's `{% generation %}` marks enclose, where it has some. Default true. */
  readonly generationMarks?: boolean | undefined;
  /** True for turns that are not trained, whatever `trainOn` says: a prompt's, and those that their row takes out. */
  readonly untrained?: readonly boolean[] | undefined;
}

// Finding turns takes renders of the whole conversation for each, so it grows with the square of their number. Beyond this many
// characters (a minute or so; a message counts as some of its own) a row is refused.
const maxRendered = 2e9;
const charactersAMessage = 32;

// Two stand-ins that share no character at either end and that no template trims or looks for.
const standIns = ["\ue000\ue001\ue002", "\ue003\ue004\ue005"] as const;
/** Content of more characters than this that is in the text is there as its turn's, not by chance as another's. */
const longEnoughToBeFound = 20;
const systemStandIn = "\ue006\ue007\ue008";

/**
 * Renders a conversation and finds what is trained: `assistant`: every assistant turn; `last`: the last one;
 * `all`: everything but system turns. A turn's span runs from the end of its generation prompt to its end token; where the
 * template marks what is generated, these marks are the spans.
 * @throws BadRow when the template refuses the conversation, empties a turn, or a turn can't be found exactly.
 */
export function maskConversation(
  template: ChatTemplate,
  messages: readonly Message[],
  options: MaskOptions,
): MaskedText {
  const finder = new TurnFinder(template, messages, options);
  const { text } = finder;
  finder.checkEmptyTurns();
  if (options.trainOn === "all") return { text, spans: finder.allButSystem(), leftOut: finder.leftOut() };
  if (finder.goesByMarks) return finder.marked();
  const assistants = [...messages.keys()].filter((k) => messages[k]!.role === "assistant");
  const wanted = options.trainOn === "last" ? assistants.slice(-1) : assistants;
  const chosen = wanted.filter((k) => options.untrained?.[k] !== true);
  const spans: Span[] = [];
  let appended = text;
  for (const k of chosen) {
    const span = finder.assistantTurn(k);
    if (span.start < (spans.at(-1)?.end ?? 0))
      throw new BadRow(`turn ${k + 1}: found twice in the rendered text`);
    // A template that ends a turn with nothing: the model would never learn to stop, so the eos is put there.
    if (!span.hasEndToken && template.eosToken && k === messages.length - 1) {
      appended = text + template.eosToken;
      spans.push({ start: span.start, end: appended.length });
    } else spans.push({ start: span.start, end: span.end });
  }
  return { text: appended, spans, leftOut: finder.leftOut() };
}

class TurnFinder {
  readonly text: string;
  readonly #template: ChatTemplate;
  readonly #messages: readonly Message[];
  readonly #options: MaskOptions;
  /** Turns of which the text has only the end. */
  readonly #cut = new Set<number>();
  /** Characters that were rendered and searched so far. */
  #rendered = 0;

  constructor(template: ChatTemplate, messages: readonly Message[], options: MaskOptions) {
    this.#template = template;
    this.#messages = messages;
    this.#options = options;
    const text = this.#render(messages);
    if (text instanceof Error) throw new BadRow(`the chat template refuses it: ${text.message}`);
    this.text = text;
  }

  #render(messages: readonly Message[], addGenerationPrompt = false): string | Error {
    return this.#renderWith(this.#options.tools, messages, addGenerationPrompt);
  }

  #renderWith(
    tools: readonly unknown[] | undefined,
    messages: readonly Message[],
    addGenerationPrompt = false,
  ): string | Error {
    try {
      const rendered = messages.map(asRendered) as unknown as Message[];
      const text = this.#template.render(rendered, { addGenerationPrompt, tools });
      this.#count(text.length + messages.length * charactersAMessage);
      return text;
    } catch (error) {
      if (error instanceof BadRow) throw error;
      if (error instanceof UserError) throw error;
      this.#count(messages.length * charactersAMessage);
      return new Error(messageOf(error));
    }
  }

  /** @throws BadRow where finding the turns takes too long. */
  #count(characters: number): void {
    this.#rendered += characters;
    if (this.#rendered > maxRendered)
      throw new BadRow(
        `it takes too long to find what is trained in a conversation of ${this.#messages.length} turns: split it`,
      );
  }

  /** Whether the template says by marks what is trained. */
  get goesByMarks(): boolean {
    const { trainOn, generationMarks = true } = this.#options;
    return trainOn !== "all" && generationMarks && this.#template.hasGenerationMarks;
  }

  /** What the template's marks of generation say of the turns that are trained. */
  marked(): MaskedText {
    const { tools, trainOn, untrained = [] } = this.#options;
    const messages = this.#messages;
    const given = messages.map(asRendered) as unknown as Message[];
    const last = messages.findLastIndex(({ role }) => role === "assistant");
    const isLeftAway = ({ role }: Message, k: number): boolean =>
      role === "assistant" && (untrained[k] === true || (trainOn === "last" && k !== last));
    for (const [k, message] of messages.entries())
      if (message.role === "assistant" && message.content.trim() !== "" && !this.#isWritten(k))
        throw new BadRow(`turn ${k + 1} (assistant) is empty in the text that the chat template makes`);
    const away = messages.flatMap((message, k) => (isLeftAway(message, k) ? [this.#contentOf(k)] : []));
    const spans = this.#template
      .marksOf(given, { tools })
      .filter(
        ({ start, end }) => end > start && away.every((turn) => end <= turn.start || start >= turn.end),
      );
    const leftOut = this.leftOut();
    const isEnd = (at: number): boolean =>
      this.#endOf(at).hasEndToken && !spans.some(({ start }) => start === at);
    if (spans.some(({ end }) => isEnd(end)))
      leftOut.push("the chat template's generation marks leave out the end token of answers");
    return { text: this.text, spans, leftOut };
  }

  /** Where turn k's trained text lies: after its generation prompt, up to and with its end token. */
  assistantTurn(k: number): Span & { readonly hasEndToken: boolean } {
    const content = this.#messages[k]!.content;
    const promptEnd = this.#promptEnd(k);
    // The fast path, which is exact: the content stands literally where generation would begin.
    if (
      promptEnd !== undefined &&
      content !== "" &&
      this.text.startsWith(content, promptEnd) &&
      !this.#hasTools(k)
    ) {
      return { start: promptEnd, ...this.#endOf(promptEnd + content.length) };
    }
    const found = this.#contentOf(k);
    const start = Math.min(promptEnd ?? found.start, found.start);
    if (!squeezed(this.text.slice(start, found.end)).includes(squeezed(content))) this.#cut.add(k);
    return { start, ...this.#endOf(found.end) };
  }

  /** Where the text ends that stands before turn k at generation; `undefined` where the template can't say. */
  #promptEnd(k: number): number | undefined {
    if (k === 0) return undefined;
    const before = this.#messages.slice(0, k);
    const prompt = this.#render(before, true);
    if (prompt instanceof Error || !this.text.startsWith(prompt)) return undefined;
    // A template that knows no generation prompt would put the turn's own header into the trained text.
    return prompt === this.#render(before) ? undefined : prompt.length;
  }

  #hasTools(k: number): boolean {
    return hasCalls(this.#messages[k]!);
  }

  /** As left-out.ts asks. */
  readonly #renderText: RenderText = (messages, tools) => {
    const text = this.#renderWith(tools, messages);
    return text instanceof Error ? undefined : text;
  };

  /** @throws BadRow for an answer of which the template writes nothing: the model would learn to say nothing. */
  checkEmptyTurns(): void {
    const { tools } = this.#options;
    const [first] = emptyTurns(this.text, this.#messages, tools, this.#renderText);
    if (first === undefined) return;
    const what = this.#hasTools(first) ? "tool calls" : "thoughts";
    throw new BadRow(
      `turn ${first + 1} (assistant) is empty in the text that the chat template makes: it leaves out its ${what}`,
    );
  }

  leftOut(): string[] {
    const messages = this.#messages;
    // A long text that is there is no other's; of a short one the template is asked.
    const isWritten = (k: number): boolean => {
      const { content } = messages[k]!;
      this.#count(this.text.length / 16);
      return (
        (content.length > longEnoughToBeFound && this.text.includes(content.trim())) || this.#isWritten(k)
      );
    };
    const found = leftOut(this.text, messages, this.#options.tools, this.#renderText, isWritten);
    if (this.#cut.size > 0 && !found.some((what) => what.includes("thoughts")))
      found.push("the chat template leaves out a part of an answer");
    return found;
  }

  /** Where turn k's content lies, whatever the template made of it (trimmed, split, thoughts removed). */
  #contentOf(k: number): Span {
    const [a, b] = standIns.map((standIn) => {
      const { tool_calls: _, ...plain } = this.#messages[k]!;
      return this.#render(this.#messages.with(k, { ...plain, content: standIn }));
    }) as [string | Error, string | Error];
    const turn = `turn ${k + 1} (${this.#messages[k]!.role})`;
    const call = a instanceof Error && this.#hasTools(k) ? this.#callAtEnd(k) : undefined;
    if (call !== undefined) return call;
    if (a instanceof Error || b instanceof Error)
      throw new BadRow(
        `${turn} can't be found in the rendered text: the template refuses a stand-in for its content`,
      );
    const before = Math.min(commonPrefix(a, b), commonPrefix(a, this.text), commonPrefix(b, this.text));
    const after = Math.min(commonSuffix(a, b), commonSuffix(a, this.text), commonSuffix(b, this.text));
    const wanted = squeezed(this.#messages[k]!.content);
    const end = this.text.length - after;
    const first = a.indexOf(standIns[0]);
    if (before > end || first === -1 || first !== a.lastIndexOf(standIns[0]))
      throw new BadRow(
        `${turn} can't be found in the rendered text: the template doesn't write its content in one place`,
      );
    // A template may set other space, and cut a part (the thoughts of earlier turns), but what is left must be the end of what
    // was said.
    const written = squeezed(this.text.slice(before, end));
    if (written === "" && wanted !== "")
      throw new BadRow(`${turn} is empty in the text that the chat template makes`);
    if (!this.#hasTools(k) && !written.endsWith(wanted) && !wanted.endsWith(written))
      throw new BadRow(`${turn} can't be found in the rendered text: the template rewrites its content`);
    return { start: before, end };
  }

  /**
   * Where turn k's calls lie in a template that wants them before a tool's answer (Mistral's). The conversation up to this turn has them
   * at its end, from where an answer in words would begin; they are then in the whole text, at the same place or once elsewhere
   * (Mistral's tools stand before the last question, wherever that is). Undefined where they aren't.
   */
  #callAtEnd(k: number): Span | undefined {
    const before = this.#messages.slice(0, k);
    const answered = this.#render([...before, { role: "assistant", content: standIns[0] }]);
    const called = this.#render([...before, this.#messages[k]!]);
    if (answered instanceof Error || called instanceof Error) return undefined;
    const whole = called.trimEnd();
    const at = Math.min(answered.indexOf(standIns[0]), commonPrefix(answered, called));
    if (at === -1) return undefined;
    const calls = whole.slice(at);
    const start = this.text.startsWith(whole) ? at : this.text.indexOf(calls);
    if (start === -1 || (start !== at && start !== this.text.lastIndexOf(calls))) return undefined;
    const token = endToken(this.#template, this.#options.addedTokens).find((one) => calls.endsWith(one));
    return { start, end: start + calls.length - (token?.length ?? 0) };
  }

  /** False for a turn that the template leaves out (Mistral's writes system text only before a last question). */
  #isWritten(k: number): boolean {
    const without = this.#render(this.#messages.with(k, { ...this.#messages[k]!, content: standIns[0] }));
    return without instanceof Error || without.includes(standIns[0]);
  }

  /** The end of a turn whose content ends at `at`: after the end token, when one follows. */
  #endOf(at: number): { readonly end: number; readonly hasEndToken: boolean } {
    let end = at;
    while (end < this.text.length && /\s/.test(this.text[end]!)) end++;
    const token = endToken(this.#template, this.#options.addedTokens).find((t) =>
      this.text.startsWith(t, end),
    );
    return token ? { end: end + token.length, hasEndToken: true } : { end: at, hasEndToken: false };
  }

  /** Everything but system turns: given ones, and one that the template writes of its own. */
  allButSystem(): Span[] {
    const first = this.#messages.findIndex((message) => message.role !== "system");
    if (first === -1) return [];
    const firstContent = this.#contentOf(first).start;
    const untrained: Span[] = [];
    for (const [k, message] of this.#messages.entries()) {
      const isSystem = message.role === "system";
      if (!isSystem && this.#options.untrained?.[k] === true) untrained.push(this.#contentOf(k));
      if (!isSystem || !this.#isWritten(k)) continue;
      const span = this.#contentOf(k);
      // A leading system turn goes with its header; one that is written into another turn goes alone.
      if (span.end <= firstContent)
        untrained.push({ start: 0, end: Math.min(this.#endOf(span.end).end, firstContent) });
      else untrained.push(span);
    }
    if (first === 0) untrained.push({ start: 0, end: this.#ownSystemEnd(firstContent) });
    const spans: Span[] = [];
    let from = 0;
    for (const { start, end } of untrained.sort((x, y) => x.start - y.start)) {
      if (start > from) spans.push({ start: from, end: start });
      from = Math.max(from, end);
    }
    if (from < this.text.length) spans.push({ start: from, end: this.text.length });
    return spans;
  }

  /** Where the system turn ends that the template writes of its own before a conversation without one; else 0. */
  #ownSystemEnd(firstContent: number): number {
    const messages = [{ role: "system", content: systemStandIn }, ...this.#messages];
    const withOurs = this.#render(messages);
    if (withOurs instanceof Error) return 0;
    const system = withOurs.indexOf(systemStandIn);
    const otherwise = new TurnFinder(this.#template, messages, this.#options);
    if (system === -1 || system > otherwise.#contentOf(1).start) return 0;
    const ours = withOurs.slice(0, otherwise.#contentOf(1).start);
    const own = this.text.slice(0, firstContent);
    const common = commonSuffix(ours, own);
    // What both have before the first turn's content is its header, and perhaps the system turn's end token.
    const isRightAfter = ours.length - common === system + systemStandIn.length;
    const end = own.length - common;
    return isRightAfter ? Math.min(this.#endOf(end).end, firstContent) : end;
  }
}

/** Text without its space, to compare what templates space otherwise. */
const squeezed = (text: string): string => text.replace(pythonOrOwnSpace, "");
// What Python strips isn't quite what JavaScript calls space.
const pythonOrOwnSpace = /[\s\x1c-\x1f\x85]+/g; // oxlint-disable-line no-control-regex

const endTokens = new WeakMap<ChatTemplate, readonly string[]>();

/**
 * What a template ends an assistant's turn with: none or one, of one or more tokens (Command's are two); every added token where the
 * template can't be asked.
 */
function endToken(template: ChatTemplate, addedTokens: readonly string[]): readonly string[] {
  const known = endTokens.get(template);
  if (known !== undefined) return known;
  // Longest first, so that no token is mistaken for one that it begins with.
  const all = addedTokens.filter((token) => token).sort((a, b) => b.length - a.length);
  const [question, answer, lastAnswer] = [standIns[0], standIns[1], systemStandIn];
  const ends = (...said: string[]): string[][] => {
    const turns = said.map((content, k) => ({ role: k % 2 === 0 ? "user" : "assistant", content }));
    const text = renderWords(template, turns);
    const answers = said.filter((_, k) => k % 2 === 1);
    return answers.map((content) => tokensAt(text.slice(text.lastIndexOf(content) + content.length), all));
  };
  let found = all;
  try {
    const [only = []] = ends(question, answer);
    found = only.slice(0, 1);
    // What follows the last answer may close the whole text, and what follows an earlier one open the next turn.
    const [earlier, last] = ends(question, answer, question, lastAnswer) as [string[], string[]];
    const common = last.findIndex((token, i) => token !== earlier[i]);
    const both = common === -1 ? last : last.slice(0, common);
    if (both.length > 0) found = [both.join("")];
  } catch (error) {
    if (error instanceof UserError) throw error;
    // It refuses this conversation; any added token right after a turn's content then counts as its end.
  }
  endTokens.set(template, found);
  return found;
}

/** The tokens that a text begins with, after space. */
function tokensAt(text: string, tokens: readonly string[]): string[] {
  const found: string[] = [];
  let rest = text.trimStart();
  for (;;) {
    const next = tokens.find((token) => rest.startsWith(token));
    if (next === undefined) return found;
    found.push(next);
    rest = rest.slice(next.length);
  }
}

function commonPrefix(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let n = 0;
  while (n < most && a.charCodeAt(n) === b.charCodeAt(n)) n++;
  return n;
}

function commonSuffix(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let n = 0;
  while (n < most && a.charCodeAt(a.length - 1 - n) === b.charCodeAt(b.length - 1 - n)) n++;
  return n;
}
