// `compareRuns(…)`: several runs in the same charts, with a table of their results.
import { inspect } from "node:util";

import {
  findRun,
  formatCount,
  legendNames,
  listRuns,
  plotSvg,
  runCharts,
  type RunData,
} from "../metrics/index.ts";
import { UserError } from "../util/index.ts";
import { RichOutput } from "./rich-output.ts";
import { chartText, escapeXml, tableHtml, tableText } from "../view/index.ts";

export interface CompareOptions {
  /** The folder of the runs (job.dump_folder). Default ./outputs. */
  readonly dir?: string;
}

const maxRuns = 5;
const head = ["run", "status", "step", "loss", "evaluation loss", "tokens", "description"];

/**
 * Compares runs in charts and a table.
 * @param runs names or folders of runs, or their results; default: the newest five with logged steps
 * @throws UserError that lists the runs there are
 * @example
 * ```ts no-run
 * import { compareRuns } from "torchforge/notebook";
 *
 * compareRuns(["baseline", "lower-lr"], { dir: "outputs" }); // the last expression of a cell
 * ```
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
  const requested = runs?.map((run) => {
    const name: unknown = typeof run === "string" ? run : run?.runFolder;
    if (typeof name === "string") return name;
    const found = run instanceof Promise ? "a promise: write await before it" : inspect(run, { depth: 0 });
    throw new UserError(
      `compareRuns: expected a run's name, its folder, or what it returned; found ${found}`,
    );
  });
  const found = (requested ?? listRuns(dir).map(({ path }) => path))
    .map((run) => findRun(run, dir))
    .filter(({ run, records }) => {
      if (records.some(({ kind }) => kind === "train")) return true;
      if (requested === undefined) return false;
      throw new UserError(`${run.path} has no logged steps yet; train at least one step, then compare again`);
    })
    .slice(0, requested === undefined ? maxRuns : undefined);
  if (found.length === 0) {
    throw new UserError(
      `there are no runs with logged steps in ${dir}; train first, or give the folder that holds the runs as {dir}`,
    );
  }
  const rows = found.map(rowOf);
  const names = legendNames(found.map(({ run }) => run));
  const plotted = found.map(({ records }, i) => ({ name: names[i]!, records }));
  const svg = plotSvg(plotted);
  // As an image within HTML, which is shown even if the notebook isn't trusted.
  const picture = `<img alt="${escapeXml(chartText(runCharts(plotted).loss))}" src="data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}">`;
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
