// `forge runs`: lists the runs in a folder, newest first.
import { Command } from "commander";
import pc from "picocolors";

import { listRuns, type RunSummary } from "../../metrics/index.ts";

export function command(): Command {
  return new Command("runs")
    .option("--dir <folder>", "folder that holds the runs (job.dump_folder)", "./outputs")
    .option("--json", "print them as a JSON list")
    .addHelpText("after", "\nExample:\n  $ npx torchforge runs --dir ./outputs")
    .action((options: { dir: string; json?: boolean }) => {
      const runs = listRuns(options.dir);
      if (options.json === true) console.log(JSON.stringify(runs, null, 2));
      else if (runs.length === 0) console.log(`no runs in ${options.dir}; give another folder with --dir`);
      else console.log(asTable(runs));
    });
}

const colors: Record<RunSummary["status"], (text: string) => string> = {
  running: (text) => pc.cyan(text),
  finished: (text) => pc.green(text),
  interrupted: (text) => pc.yellow(text),
  failed: (text) => pc.red(text),
  died: (text) => pc.red(text),
};

/** A header line, and one line per run. */
export function asTable(runs: readonly RunSummary[]): string {
  const rows = runs.map((run) => [
    run.name,
    run.status,
    `${run.step}/${run.steps}`,
    run.loss?.toFixed(4) ?? "-",
    run.evalLoss?.toFixed(4) ?? "-",
    run.started.slice(0, 16).replace("T", " "),
    run.description,
  ]);
  const all = [["run", "status", "step", "loss", "eval loss", "started (UTC)", ""], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all
    .map((row, i) =>
      row
        .map((cell, column) => {
          const padded = cell.padEnd(widths[column]!);
          return column === 1 && i > 0 ? colors[runs[i - 1]!.status](padded) : padded;
        })
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
