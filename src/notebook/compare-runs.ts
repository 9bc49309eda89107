// `compareRuns(…)`: runs over each other in one chart, with a table of what they came to.
import { inspect } from "node:util";

import { findRun, formatCount, listRuns, plotSvg, type RunData } from "../metrics/index.ts";
import { UserError } from "../util/index.ts";
import { RichOutput } from "./rich-output.ts";
import { tableHtml, tableText } from "../view/index.ts";

export interface CompareOptions {
  /** Folder that holds the runs (job.dump_folder); default ./outputs. */
  readonly dir?: string;
}

const mostRuns = 5;
const head = ["run", "status", "step", "loss", "evaluation loss", "tokens", "description"];

/**
 * @param runs names or folders of runs, or what they returned; default: the newest five that have logged steps
 * @throws UserError naming the runs that are there
 */
export function compareRuns(
  runs?: readonly (string | { readonly runFolder: string })[],
  options: CompareOptions = {},
): RichOutput {
  const { dir = "./outputs" } = options;
  if (runs !== undefined && !Array.isArray(runs))
    throw new UserError(
      `compareRuns: expected a list of runs, ["…", …], found ${inspect(runs, { depth: 0 })}`,
    );
  const wanted = runs?.map((run) => {
    const name: unknown = typeof run === "string" ? run : run?.runFolder;
    if (typeof name === "string") return name;
    const found = run instanceof Promise ? "a promise: write await before it" : inspect(run, { depth: 0 });
    throw new UserError(
      `compareRuns: expected a run's name, its folder, or what it returned; found ${found}`,
    );
  });
  const found = (wanted ?? listRuns(dir).map(({ path }) => path))
    .map((run) => findRun(run, dir))
    .filter(({ run, records }) => {
      if (records.some(({ kind }) => kind === "train")) return true;
      if (wanted === undefined) return false;
      throw new UserError(`${run.path} has no logged steps yet; train at least one step, then compare again`);
    })
    .slice(0, wanted === undefined ? mostRuns : undefined);
  if (found.length === 0) {
    throw new UserError(
      `there are no runs with logged steps in ${dir}; train first, or give the folder that holds the runs as {dir}`,
    );
  }
  const rows = found.map(rowOf);
  const svg = plotSvg(found.map(({ run, records }) => ({ name: run.name, records })));
  // As a picture within HTML, which is shown whether or not the notebook is trusted.
  const picture = `<img alt="charts of ${found.length} runs" src="data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}">`;
  return new RichOutput({
    "text/html": `${tableHtml(head, rows)}${picture}`,
    "text/plain": tableText(head, rows),
  });
}

function rowOf({ run, records }: RunData): string[] {
  const last = records.findLast((record) => record.kind === "train")!;
  return [
    run.name,
    run.status,
    `${run.step}/${run.steps}`,
    last.loss.toFixed(4),
    run.evalLoss?.toFixed(4) ?? "–",
    formatCount(last.num_tokens),
    run.description,
  ];
}
