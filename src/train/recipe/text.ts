// A recipe as YAML, each value with its reason behind it.
import { stringify } from "yaml";

import type { ChosenRecipe, Choice } from "./choices.ts";

/** @param file its own name, for the command that it begins with */
export function recipeText({ recipe, memory }: ChosenRecipe, file: string): string {
  const lines = [
    "# Made by `torchforge init` from this data and this machine. Change what you know better.",
    `#   npx torchforge sft --config ${file}`,
    `# Memory at the peak, by forecast: ${(memory / 2 ** 30).toFixed(1)} GiB beside the program itself.`,
  ];
  for (const [section, keys] of Object.entries(recipe)) {
    if (lines.length > 3) lines.push("");
    lines.push(`${section}:`);
    for (const [key, choice] of Object.entries(keys)) lines.push(...keyLines(key, choice));
  }
  return `${lines.join("\n")}\n`;
}

function keyLines(key: string, { value, reason }: Choice): string[] {
  if (!Array.isArray(value)) return [`  ${key}: ${stringify(value).trim()} # ${reason}`];
  const entries = value.map((entry: Readonly<Record<string, string>>) =>
    Object.entries(entry).map(
      ([name, one], i) => `    ${i === 0 ? "- " : "  "}${name}: ${stringify(one).trim()}`,
    ),
  );
  return [`  ${key}: # ${reason}`, ...entries.flat()];
}
