// The `forge` program: parses arguments, loads and runs one command (see commands.ts), and turns errors into exit codes. Never
// loads libtorch.
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { Command, CommanderError } from "commander";

import { UserError } from "../util/index.ts";
import { commands } from "./commands.ts";
import { withSuggestion } from "./suggest.ts";

/** Runs `forge ...args`. Returns the exit code: 0, 1 for a failed run, 2 for wrong arguments or configuration. */
export async function runCli(args: readonly string[]): Promise<number> {
  const program = new Command("forge")
    .description("Fine-tune Hugging Face language models from TypeScript, on libtorch.")
    .version(packageVersion(), "-v, --version")
    .usage("<command> [options]")
    .addHelpText(
      "after",
      "\nExample:\n  $ npx torchforge doctor\n\n`npx torchforge <command> --help` shows a command's options.",
    );
  const requestedName = args.find((arg) => !arg.startsWith("-"));
  for (const { name, summary, load } of commands) {
    const isRequested = name === requestedName || (requestedName === "help" && args.includes(name));
    const command = isRequested ? (await load()).command() : new Command(name);
    program.addCommand(command.description(summary));
  }
  configureErrors(program, args);
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

/** Makes wrong arguments of a command and its subcommands throw, with a hint, instead of exiting. */
function configureErrors(command: Command, args: readonly string[]): void {
  command
    .exitOverride()
    .showHelpAfterError("(add --help for the options)")
    .configureOutput({ outputError: (text, write) => write(withSuggestion(text, args)) });
  for (const inner of command.commands) configureErrors(inner, args);
}

/** Prints only the message of a user's mistake; anything else is a bug, and is printed with its stack. */
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
