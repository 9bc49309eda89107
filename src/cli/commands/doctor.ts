// `forge doctor`: checks this machine, and says what to do about each problem.
import { Command } from "commander";
import pc from "picocolors";

import { examine } from "./doctor/checks.ts";
import type { Finding, Status } from "./doctor/finding.ts";

export function command(): Command {
  return new Command("doctor")
    .option("--json", "print it as one JSON object")
    .addHelpText(
      "after",
      "\nEnds with 1 when something keeps torchforge from training.\n\nExample:\n  $ npx torchforge doctor",
    )
    .action((options: { json?: boolean }) => {
      const findings = examine();
      console.log(options.json === true ? JSON.stringify(asJson(findings), null, 2) : asText(findings));
      if (findings.some(({ status }) => status === "bad")) process.exitCode = 1;
    });
}

const marks: Record<Status, () => string> = {
  ok: () => pc.green("ok  "),
  note: () => pc.yellow("note"),
  bad: () => pc.red("BAD "),
};

export function asText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  const lines = findings.map(
    ({ name, status, text }) => `${marks[status]()}  ${name.padEnd(width)}  ${text}`,
  );
  const todos = findings.flatMap(({ name, todo }) =>
    todo === undefined ? [] : [`  ${name}: ${todo.replaceAll("\n", "\n    ")}`],
  );
  const bad = findings.filter(({ status }) => status === "bad").length;
  if (todos.length > 0) lines.push("", bad > 0 ? "What to do:" : "Good to know:", ...todos);
  lines.push("", bad === 0 ? "torchforge can train here." : "torchforge can't train here yet.");
  return lines.join("\n");
}

/** `{ok, libtorch: {status, text, todo, …data}, …}`: keys are the findings' names with underscores. */
export function asJson(findings: readonly Finding[]): Record<string, unknown> {
  const entries = findings.map(({ name, status, text, todo, data }) => [
    name.replaceAll(" ", "_"),
    { status, text, todo: todo ?? null, ...data },
  ]);
  return { ok: findings.every(({ status }) => status !== "bad"), ...Object.fromEntries(entries) };
}
