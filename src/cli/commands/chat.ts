// `forge chat`: a conversation with a model, its answers streamed. On a terminal a prompt with a history (arrow keys); from a
// file or a pipe a turn for each line.
import { createReadStream, existsSync } from "node:fs";
import { createInterface } from "node:readline";

import { Command } from "commander";

import { Config } from "../../config/index.ts";
import { checkModel } from "../../hub/index.ts";
import { InferencerActor, type Generated } from "../../train/actors/index.ts";
import { UserError } from "../../util/index.ts";
import { noteGreedy, withAnswerOptions, type AnswerFlags } from "./generate.ts";
import { withActor } from "../with-actor.ts";

interface Options extends AnswerFlags {
  readonly system?: string;
  readonly prompts?: string;
  readonly separate?: boolean;
  readonly json?: boolean;
  readonly gpu?: boolean;
}

const help =
  "/reset begins anew, /system TEXT sets the system prompt and begins anew, /history shows the conversation, /exit ends";

export function command(): Command {
  return withAnswerOptions(new Command("chat"))
    .argument("<model>", "model folder, a checkpoint's step-N, or hf://org/name")
    .option("--system <text>", "system prompt")
    .option("--prompts <file>", "a turn for each line of a file; - is standard input")
    .option("--separate", "every line begins a conversation of its own")
    .option("--json", "one JSON object a line for each answer")
    .option("--gpu", "compute on the GPU")
    .addHelpText(
      "after",
      `\nIn a conversation: ${help}.\n` +
        "\nExamples:\n  $ npx torchforge chat ./model --system 'You are brief.'\n" +
        "  $ npx torchforge chat ./model --prompts questions.txt --separate --json > answers.jsonl",
    )
    .action(async (model: string, options: Options) => {
      const { system, prompts, separate = false, json = false, gpu = false, ...answer } = options;
      noteGreedy(answer);
      if (prompts !== undefined && prompts !== "-" && !existsSync(prompts))
        throw new UserError(`--prompts: expected a file of prompts, a line each, found none at ${prompts}`, {
          exitCode: 2,
        });
      await checkModel(model, { key: "the model" });
      const config = Config.create({
        model: { hf_assets_path: model },
        processes: { procs: 1, with_gpus: gpu },
      });
      const conversation = new Conversation(system);
      await withActor(
        InferencerActor,
        config,
        { notesToStderr: true, showText: !json },
        async ({ actor }) => {
          const isTyped = prompts === undefined && process.stdin.isTTY;
          if (isTyped) console.log(`${help}\n`);
          for await (const line of linesOf(prompts, isTyped)) {
            if (conversation.obeys(line)) continue;
            if (line.trim() === "/exit") break;
            if (separate) conversation.reset();
            const made = await actor.chat(conversation.ask(line), answer);
            conversation.answered(made);
            console.log(json ? JSON.stringify({ prompt: line, answer: made.text, ...figuresOf(made) }) : "");
          }
        },
      );
    });
}

const figuresOf = ({ promptTokens, newTokens, seconds }: Generated): object => ({
  promptTokens,
  newTokens,
  seconds: Number(seconds.toFixed(3)),
});

/** The lines of a file, a pipe or a terminal; empty ones are left out. */
async function* linesOf(prompts: string | undefined, isTyped: boolean): AsyncGenerator<string> {
  const input = prompts === undefined || prompts === "-" ? process.stdin : createReadStream(prompts);
  const lines = createInterface({ input, ...(isTyped ? { output: process.stdout, prompt: "> " } : {}) });
  // Ctrl-C and Ctrl-D at the prompt end the conversation.
  lines.on("SIGINT", () => lines.close());
  if (isTyped) lines.prompt();
  for await (const line of lines) {
    if (line.trim() !== "") yield line;
    if (isTyped) lines.prompt();
  }
}

class Conversation {
  #system: string | undefined;
  #messages: { role: string; content: string }[] = [];

  constructor(system: string | undefined) {
    this.#system = system;
    this.reset();
  }

  reset(): void {
    this.#messages = this.#system === undefined ? [] : [{ role: "system", content: this.#system }];
  }

  ask(content: string): readonly { role: string; content: string }[] {
    this.#messages.push({ role: "user", content });
    return this.#messages;
  }

  answered({ text }: Generated): void {
    this.#messages.push({ role: "assistant", content: text });
  }

  /** Whether a line is a command other than /exit; then it is done. */
  obeys(line: string): boolean {
    const [, name, rest = ""] = /^\/(\w+)(?:\s+(.*))?$/.exec(line.trim()) ?? [];
    switch (name) {
      case "reset":
        break;
      case "system":
        this.#system = rest === "" ? undefined : rest;
        break;
      case "history":
        for (const { role, content } of this.#messages) console.error(`${role}: ${content}`);
        return true;
      case undefined:
      case "exit":
        return false;
      default:
        console.error(help);
        return true;
    }
    this.reset();
    console.error(
      name === "reset"
        ? "begun anew"
        : `begun anew, ${rest === "" ? "without a system prompt" : "with this system prompt"}`,
    );
    return true;
  }
}
