// What was meant by a command or an option that isn't there: names of other tools, and keys of the configuration written as
// options.
import { foreignMessage, isKnown, parsePath, takesValue, unknownKeyMessage } from "../config/index.ts";
import { shellWord } from "./shell-word.ts";

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
  convert: "import",
  lab: "notebook",
  list: "runs",
  ls: "runs",
};

/** What makes those needless that have no command. */
const needless: Readonly<Record<string, string>> = {
  export:
    "a finished run's model is a Hugging Face folder already (step-N-hf, unless checkpoint.last_save_in_hf is false)",
};

/** Adds what was meant to commander's error about a command or an option that it doesn't know. */
export function withSuggestion(text: string, args: readonly string[]): string {
  const command = /unknown command '([^']+)'/.exec(text)?.[1];
  if (command !== undefined) {
    // Misspelled ones are commander's to suggest.
    const meant = meanings[command] === undefined ? needless[command] : `did you mean ${meanings[command]}?`;
    return meant === undefined ? text : `error: there is no command ${command}; ${meant}\n`;
  }
  const option = /unknown option '--([^'=]+)(?:=[^']*)?'/.exec(text)?.[1];
  if (option === undefined || option.startsWith("no-")) return text;
  const key = option.replaceAll("-", "_");
  const path = parsePath(key);
  if (isKnown(path))
    return `error: --${option}: keys are written without dashes: ${override(key, option, args)}\n`;
  // Options of the command itself are commander's to suggest.
  if (text.includes("Did you mean")) return text;
  const foreign = foreignMessage(path);
  if (foreign !== undefined) return `error: --${option}: ${foreign}\n`;
  const meant = /did you mean ([\w.]+)\?/.exec(unknownKeyMessage(path))?.[1];
  return meant === undefined
    ? text
    : `error: --${option} is no option; did you mean the key ${override(meant, option, args)}?\n`;
}

/** `key=value` for a shell, with the value that the option was given where the key takes it. */
function override(key: string, option: string, args: readonly string[]): string {
  const at = args.findIndex((one) => one === `--${option}` || one.startsWith(`--${option}=`));
  const [, ...written] = args[at]?.split("=") ?? [];
  const next = args[at + 1];
  const isValue = next !== undefined && !/^-(?!\d)/.test(next) && !next.includes("=");
  const value = written.length > 0 ? written.join("=") : isValue ? next : "";
  return value !== "" && takesValue(key, value) ? shellWord(`${key}=${value}`) : `${key}=VALUE`;
}
