// `forge verify-resume`: checks, for the user's configuration, that a run that is killed and resumed ends bit for bit like an
// uninterrupted one. Trains a few steps twice, in separate processes, in a temporary folder.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { Command } from "commander";
import pc from "picocolors";

import { formatDuration } from "../../metrics/index.ts";
import { checkpointPath, isResumable, makeWorkFolder, UserError } from "../../util/index.ts";
import { configFrom, configOption, overridesArgument } from "../config-from.ts";
import { compareRuns, type Comparison } from "./verify-resume/compare.ts";
import { train, trainAndKill } from "./verify-resume/runs.ts";

interface Options {
  readonly config?: string;
  readonly steps: string;
  readonly workDir?: string;
  readonly keep?: boolean;
}

export function command(): Command {
  return new Command("verify-resume")
    .option(...configOption)
    .argument(...overridesArgument)
    .option("--steps <n>", "steps to train, even; the second run is killed after half of them", "6")
    .option("--work-dir <folder>", "where to put the two runs (default: the system's temporary folder)")
    .option("--keep", "keep the two runs")
    .addHelpText(
      "after",
      "\nTrains the same steps without interruption, and killed (SIGKILL) and resumed; compares losses, weights,\n" +
        "optimizer, data position and random state bit for bit. Ends with 1 where they differ. Your own\n" +
        "checkpoints stay untouched. Needs disk space for four checkpoints, about three times the model each.\n" +
        "\nExample:\n  $ npx torchforge verify-resume --config recipes/smollm2_135m.yaml",
    )
    .action(async (overrides: string[], options: Options) => {
      if (!(await verify(options, overrides))) process.exitCode = 1;
    });
}

async function verify(options: Options, userOverrides: readonly string[]): Promise<boolean> {
  const steps = Number(options.steps);
  if (!Number.isInteger(steps) || steps < 2 || steps % 2 !== 0) {
    throw new UserError(`--steps: expected an even number from 2 on, found ${options.steps}`, {
      exitCode: 2,
    });
  }
  const begin = performance.now();
  const work = options.keep
    ? mkdtempSync(join(options.workDir ?? tmpdir(), "torchforge-kept-runs-"))
    : makeWorkFolder("verify-resume", options.workDir);
  try {
    const overrides = [...userOverrides, ...verifyOverrides(options.config, userOverrides, steps, work)];
    const run = { config: options.config, overrides, work };
    console.error(`training ${steps} steps without interruption ...`);
    const uninterrupted = await train({ ...run, name: "straight" });
    console.error(`training ${steps} steps, killed after step ${steps / 2}, then resumed ...`);
    const resumed = await trainAndKill({ ...run, name: "resumed" }, steps / 2);
    const comparisons = compareRuns(uninterrupted, resumed, steps);
    const exact = comparisons.every(({ difference }) => difference === undefined);
    const seconds = (performance.now() - begin) / 1000;
    const killed = `${steps} steps, killed (SIGKILL) after step ${steps / 2} and resumed`;
    const what = options.config === undefined ? "" : `${basename(options.config)}: `;
    console.log(`${what}${killed} (${formatDuration(seconds)})\n`);
    console.log(verdict(comparisons, exact));
    return exact;
  } finally {
    if (options.keep) console.error(`the two runs are in ${work}`);
    else rmSync(work, { recursive: true, force: true });
  }
}

/** Overrides that turn the user's configuration into a short run that keeps full checkpoints, in its own folder. */
function verifyOverrides(
  path: string | undefined,
  userOverrides: readonly string[],
  steps: number,
  work: string,
): string[] {
  const changes = [
    `training.steps=${steps}`,
    "training.epochs=null",
    // A warm-up longer than the run is an error.
    `lr_scheduler.warmup_steps=${steps / 2}`,
    `checkpoint.interval=${steps / 2}`,
    "checkpoint.enable=true",
    "checkpoint.load_only=false",
    "checkpoint.load_step=-1",
    "checkpoint.folder=checkpoint",
    "checkpoint.keep_latest_k=0",
    "checkpoint.last_save_in_hf=false",
    "checkpoint.last_save_model_only=false",
    "checkpoint.export_dtype=float32",
    "checkpoint.export=[]",
    "checkpoint.exclude_from_loading=[]",
    "checkpoint.create_seed_checkpoint=false",
    "metric_logging.log_every_n_steps=1",
    `job.dump_folder=${work}`,
  ];
  const config = configFrom(path, [...userOverrides, ...changes]);
  const { initial_load_path: given } = config.checkpoint;
  const initial = given === null ? null : checkpointPath(given);
  if (initial !== null && isResumable(initial)) {
    throw new UserError(
      `checkpoint.initial_load_path: expected weights to begin with, found the checkpoint ${initial}, from which a run would go on; add '~checkpoint.initial_load_path' to the command`,
      { exitCode: 2 },
    );
  }
  // With random seeds the two runs would differ.
  if (config.training.seed === null) changes.push("training.seed=42");
  return changes;
}

export function verdict(comparisons: readonly Comparison[], exact: boolean): string {
  const width = Math.max(...comparisons.map(({ name }) => name.length));
  const lines = comparisons.map(({ name, what, difference }) =>
    difference === undefined
      ? `  ${pc.green("identical")}  ${name.padEnd(width)}  ${what}`
      : `  ${pc.red("DIFFERENT")}  ${name.padEnd(width)}  ${difference}`,
  );
  const end = exact
    ? "A resume is exact with this configuration."
    : "A resume is NOT exact with this configuration. Try training.deterministic=true; if it stays so, please report it.";
  return [...lines, "", end].join("\n");
}
