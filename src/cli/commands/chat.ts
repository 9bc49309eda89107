// `forge chat`: a conversation with a model, its answers streamed. On a terminal a prompt with a history (arrow keys); from a
// file or a pipe a turn for each line.
import { accessSync, constants, createReadStream, existsSync, statSync } from "node:fs";

import { Command } from "commander";

import { Config } from "../../config/index.ts";
import { checkModel } from "../../hub/index.ts";
import { InferencerActor, type Generated } from "../../train/actors/index.ts";
import { messageOf, UserError } from "../../util/index.ts";
import { withActor } from "../with-actor.ts";
import { Conversation, help } from "./chat/conversation.ts";
import { linesOf } from "./chat/lines.ts";
import {
  adapterOption,
  chatTemplateOption,
  noteGreedy,
  withAnswerOptions,
  type AnswerFlags,
} from "./generate.ts";

interface Options extends AnswerFlags {
  readonly adapter?: string;
  readonly chatTemplate?: string;
  readonly system?: string;
  readonly prompts?: string;
  readonly separate?: boolean;
  readonly json?: boolean;
  readonly gpu?: boolean;
}

export function command(): Command {
  return withAnswerOptions(new Command("chat"))
    .argument("<model>", "model folder, a checkpoint's step-N, or hf://org/name")
    .option(...adapterOption)
    .option(...chatTemplateOption)
    .option("--system <text>", "system prompt")
    .option("--prompts <file>", "a turn for each line of a file; - is standard input")
    .option("--separate", "every line begins a conversation of its own")
    .option("--json", "one JSON object a line for each answer")
    .option("--gpu", "compute on the GPU")
    .addHelpText(
      "after",
      `\nIn a conversation: ${help}. Every other line goes to the model.\n` +
        "\nExamples:\n  $ npx torchforge chat ./model --system 'You are brief.'\n" +
        "  $ npx torchforge chat ./model --prompts questions.txt --separate --json > answers.jsonl",
    )
    .action(async (model: string, options: Options) => {
      const { system, prompts = "-", separate = false, json = false, gpu = false, ...given } = options;
      const { adapter = null, chatTemplate = null, ...answer } = given;
      noteGreedy(answer);
      if (prompts !== "-") checkPrompts(prompts);
      await checkModel(model, { key: "the model" });
      const config = Config.create({
        model: { hf_assets_path: model, chat_template: chatTemplate },
        adapter: { initial_load_path: adapter },
        processes: { procs: 1, with_gpus: gpu },
      });
      const conversation = new Conversation(system);
      await withActor(
        InferencerActor,
        config,
        { notesToStderr: true, showText: !json },
        async ({ actor }) => {
          const isTyped = options.prompts === undefined && process.stdin.isTTY;
          if (isTyped) console.log(`${help}\n`);
          const input = prompts === "-" ? process.stdin : createReadStream(prompts);
          for await (const line of linesOf(input, isTyped ? process.stdout : undefined)) {
            if (conversation.obeys(line, isTyped)) continue;
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

function checkPrompts(path: string): void {
  const refuse = (found: string): never => {
    throw new UserError(`--prompts: expected a file of prompts, a line each, found ${found}`, {
      exitCode: 2,
    });
  };
  if (!existsSync(path)) refuse(`none at ${path}`);
  if (statSync(path).isDirectory()) refuse(`a folder at ${path}`);
  try {
    accessSync(path, constants.R_OK);
  } catch (error) {
    refuse(`one that can't be read: ${messageOf(error)}`);
  }
}

const figuresOf = ({ promptTokens, newTokens, seconds }: Generated): object => ({
  promptTokens,
  newTokens,
  seconds: Number(seconds.toFixed(3)),
});
