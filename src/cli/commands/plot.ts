// `forge plot`: charts of one or several runs, as SVG and as an HTML page.
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { Command } from "commander";

import { findRun, legendNames, plotHtml, plotSvg } from "../../metrics/index.ts";
import { messageOf, UserError } from "../../util/index.ts";

export function command(): Command {
  return new Command("plot")
    .argument("<run...>", "folder or name of a run, or latest; several are drawn over each other")
    .option("--dir <folder>", "folder that holds the runs (job.dump_folder)", "./outputs")
    .option(
      "-o, --output <file>",
      "file ending in .svg or .html (default: plot.svg and plot.html in the run's folder)",
    )
    .addHelpText(
      "after",
      "\nDraws loss, learning rate, gradient norm and tokens/s.\n\nExamples:\n  $ npx torchforge plot latest\n" +
        "  $ npx torchforge plot first-try second-try --output compared.html",
    )
    .action((names: string[], options: { dir: string; output?: string }) => {
      const runs = names.map((name) => {
        const data = findRun(name, options.dir);
        if (!data.records.some(({ kind }) => kind === "train")) {
          throw new UserError(
            `${data.run.path} has no logged steps yet; train at least one step, then plot again`,
          );
        }
        return data;
      });
      const legend = legendNames(runs.map(({ run }) => run));
      const plotted = runs.map((data, i) => ({ ...data, name: legend[i]! }));
      for (const path of targets(options.output, runs[0]!.run.path)) {
        try {
          writeFileSync(path, path.endsWith(".svg") ? plotSvg(plotted) : plotHtml(plotted));
        } catch (error) {
          throw new UserError(`--output: can't write ${path}: ${messageOf(error)}`, { cause: error });
        }
        console.log(path);
      }
    });
}

function targets(output: string | undefined, folder: string): string[] {
  if (output === undefined) return [join(folder, "plot.svg"), join(folder, "plot.html")];
  if (!/\.(svg|html)$/.test(output)) {
    throw new UserError(`--output: expected a file ending in .svg or .html, found ${output}`, {
      exitCode: 2,
    });
  }
  return [resolve(output)];
}
