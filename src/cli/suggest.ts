// What was meant by a command or an option that isn't there: names of other tools, and keys of the configuration written as
// options.
import { isKnown, parsePath, unknownKeyMessage } from "../config/index.ts";

/** Names that people bring from elsewhere. */
const meanings: Readonly<Record<string, string>> = {
  train: "sft",
  finetune: "sft",
  "fine-tune": "sft",
  tune: "sft",
  run: "sft",
  evaluate: "eval",
  infer: "generate",
  inference: "generate",
  ask: "generate",
  predict: "generate",
  export: "import",
  convert: "import",
  lab: "notebook",
  list: "runs",
  ls: "runs",
};

/** Adds what was meant to commander's error about a command or an option that it doesn't know. */
export function withSuggestion(text: string, args: readonly string[]): string {
  const command = /unknown command '([^']+)'/.exec(text)?.[1];
  if (command !== undefined) {
    // Misspelled ones are commander's to suggest.
    const near = meanings[command];
    return near === undefined ? text : `error: there is no command ${command}; did you mean ${near}?\n`;
  }
  const option = /unknown option '--([^'=]+)(?:=[^']*)?'/.exec(text)?.[1];
  if (option === undefined || option.startsWith("no-")) return text;
  const key = option.replaceAll("-", "_");
  const path = parsePath(key);
  const at = args.findIndex((one) => one === `--${option}` || one.startsWith(`--${option}=`));
  const written = args[at]?.split("=").slice(1).join("=");
  const next = args[at + 1];
  const value = (written || (next?.startsWith("-") ? undefined : next)) ?? "VALUE";
  if (isKnown(path)) return `error: --${option}: keys are written without dashes: ${key}=${value}\n`;
  const meant = /did you mean ([\w.]+)\?/.exec(unknownKeyMessage(path))?.[1];
  // Options of the command itself are commander's to suggest.
  return meant === undefined || text.includes("Did you mean")
    ? text
    : `error: --${option} is no option; did you mean the key ${meant}=${value}?\n`;
}
