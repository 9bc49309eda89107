// The `forge` program: parses, loads the one command that was asked for, runs it, and turns errors into exit codes.
// It knows no command by itself (see commands.ts) and never loads libtorch.
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { Command, CommanderError } from "commander";

import { UserError } from "../util/index.ts";
import { commands } from "./commands.ts";

/** Runs `forge ...args`. Returns the exit code: 0, 1 for a run that failed, 2 for wrong arguments or configuration. */
export async function runCli(args: readonly string[]): Promise<number> {
  const program = new Command("forge")
    .description("Fine-tune Hugging Face language models from TypeScript, on libtorch.")
    .version(packageVersion(), "-v, --version")
    .usage("<command> [options]")
    .addHelpText(
      "after",
      "\nExample:\n  $ npx torchforge doctor\n\n`npx torchforge <command> --help` shows a command's options.",
    );
  const wanted = args.find((arg) => !arg.startsWith("-"));
  for (const { name, summary, load } of commands) {
    const own = name === wanted || (wanted === "help" && args.includes(name));
    const command = own ? (await load()).command() : new Command(name);
    program.addCommand(command.description(summary));
  }
  prepare(program);
  try {
    if (args.length === 0) {
      program.outputHelp();
      return 0;
    }
    await program.parseAsync(args, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    return report(error);
  }
}

/** A command and those in it: wrong arguments end in `report`, with a hint. */
function prepare(command: Command): void {
  command.exitOverride().showHelpAfterError("(add --help for the options)");
  for (const inner of command.commands) prepare(inner);
}

/** A user's mistake is its message alone; anything else is a bug and is shown with its stack. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has printed it
  if (error instanceof UserError) {
    console.error(`error: ${error.message}`);
    return error.exitCode;
  }
  console.error(error);
  return 1;
}

export function packageVersion(): string {
  const file = join(import.meta.dirname, "..", "..", "package.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
