// `forge sft`: supervised fine-tuning from a configuration.
import { existsSync, rmSync } from "node:fs";
import { basename, isAbsolute, join, resolve } from "node:path";

import { Command } from "commander";

import {
  consoleReporter,
  isLaunchedRank,
  type ResultOf,
  type SpawnActor,
  WorkerDied,
} from "../../actors/index.ts";
import { type Config, launcherOverrides } from "../../config/index.ts";
import { DryRunActor, TrainerActor } from "../../train/actors/index.ts";
import {
  adoptLauncher,
  asError,
  checkpointPath,
  isResumable,
  makeWorkFolder,
  tasksOfBatchScript,
  UserError,
} from "../../util/index.ts";
import { configFrom, configOption, overridesArgument } from "../config-from.ts";
import { shellWord } from "../shell-word.ts";
import { stoppedCode, withActor } from "../with-actor.ts";

interface Options {
  readonly config?: string;
  readonly printConfig?: boolean;
  readonly dryRun?: boolean;
  readonly strictResume?: boolean;
}

type TrainResult = ResultOf<TrainerActor>;

export function command(): Command {
  return new Command("sft")
    .option(...configOption)
    .argument(...overridesArgument)
    .option(
      "--print-config",
      "print the whole configuration, marking what differs from the defaults, and end",
    )
    .option(
      "--strict-resume",
      "as checkpoint.strict_resume=true: refuse to resume with another configuration",
    )
    .option(
      "--dry-run",
      "build everything, run one step on the longest batch, print memory and time, save nothing",
    )
    .addHelpText(
      "after",
      "\nCtrl-C once finishes the step, saves and ends; the same command goes on from there if job.name is set.\n" +
        "\nExamples:\n" +
        "  $ npx torchforge sft --config recipes/smollm2_135m.yaml training.steps=100\n" +
        "  $ npx torchforge sft --config recipes/smollm2_135m.yaml --dry-run\n" +
        "  $ npx torchforge sft model.hf_assets_path=./model training.dataset=./rows.jsonl training.seq_len=512",
    )
    .action(async (given: string[], options: Options) => {
      const overrides = options.strictResume ? [...given, "checkpoint.strict_resume=true"] : given;
      adoptLauncher();
      const all = [...overrides, ...launcherOverrides(process.env)];
      const config = configFrom(options.config, all);
      if (options.printConfig) {
        console.log(config.toYaml({ markDefaults: true }));
        return;
      }
      for (const warning of config.warnings) console.error(`note: ${warning}`);
      const tasks = tasksOfBatchScript();
      if (tasks !== undefined && config.processes.procs === 1)
        console.error(
          `note: Slurm has given this job ${tasks} tasks, and this is its batch script, one process, which trains alone; to train with all of them start it with srun: srun npx torchforge sft …`,
        );
      if (options.dryRun) {
        await dryRun(config);
        return;
      }
      const reporter = consoleReporter(config);
      let spawned: SpawnActor<TrainerActor> | undefined;
      const result = await withActor(TrainerActor, config, { reporter }, (spawner) => {
        spawned = spawner;
        return spawner.run();
      }).catch((error: unknown) => {
        const folder = spawned?.runFolder;
        if (folder === undefined || !isBroken(error)) throw error;
        const again = resumeCommand(config, options.config, overrides, folder);
        throw new UserError(
          `${error.message}\n${whatIsLeft(resolve(folder, config.spec.checkpoint.folder), again)}`,
          { cause: error },
        );
      });
      const isFirst = !isLaunchedRank() || process.env["RANK"] === "0";
      if (isFirst)
        console.log(closingText(result, resumeCommand(config, options.config, overrides, result.runFolder)));
      if (result.status === "stopped" && !config.checkpoint.create_seed_checkpoint)
        process.exitCode = stoppedCode();
    });
}

/** Runs everything but training, in a temporary folder: from where the run would start, saving nothing. */
async function dryRun(config: Config): Promise<void> {
  const folder = makeWorkFolder("dry-run");
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", remove);
  const { dumpFolder, name } = config.spec.job;
  const { folder: checkpoints } = config.spec.checkpoint;
  // What refers to other keys stays what it is; what follows them (the warm-up, say) still does.
  const dryRunConfig = config.pinned(config.changes().map(({ key }) => key)).with({
    job: { dump_folder: folder },
    checkpoint: {
      // Without a name a new run begins, which has no checkpoints.
      folder:
        name === null && !isAbsolute(checkpoints)
          ? checkpoints
          : resolve(dumpFolder, name ?? "", checkpoints),
      load_only: true,
      enable_first_step_checkpoint: false,
      create_seed_checkpoint: false,
    },
  });
  try {
    // Without a reporter: Ctrl-C ends it at once, since there is nothing to save.
    await withActor(DryRunActor, dryRunConfig, {}, ({ actor }) => actor.measure());
  } finally {
    remove();
  }
}

/** The command that resumes a stopped run from its latest checkpoint: the same one, with the run's name. */
function resumeCommand(
  config: Config,
  file: string | undefined,
  overrides: readonly string[],
  runFolder: string,
): string {
  const name = config.job.name === null ? [`job.name=${basename(runFolder)}`] : [];
  const latest = config.checkpoint.load_step === -1 ? [] : ["checkpoint.load_step=-1"];
  const configOption = file === undefined ? [] : ["--config", file];
  return ["npx torchforge sft", ...[...configOption, ...overrides, ...name, ...latest].map(shellWord)].join(
    " ",
  );
}

/** Whether it was another process, or the link to it, that ended the run: then the same command goes on. */
const isBroken = (error: unknown): error is Error =>
  error instanceof WorkerDied || asError(error).name === "CommError";

function whatIsLeft(checkpoints: string, command: string): string {
  const latest = checkpointPath(checkpoints);
  const found = isResumable(latest)
    ? `The latest checkpoint is whole: ${latest}`
    : "No checkpoint was saved yet.";
  const everyRank = isLaunchedRank() ? ", on every rank, as its launcher starts it" : "";
  return `${found}\nThe same command ${isResumable(latest) ? "goes on from there" : "begins anew"}${everyRank}: ${command}`;
}

function closingText(result: TrainResult, command: string): string {
  const { step, status, checkpoint, model, best, runFolder } = result;
  const lines = [""];
  if (status === "stopped") {
    lines.push(
      `stopped after step ${step}${checkpoint ? `; checkpoint ${checkpoint}` : "; nothing was saved"}`,
    );
    if (checkpoint) lines.push(`go on:      ${command}`);
  } else if (checkpoint) {
    lines.push(
      `checkpoint  ${checkpoint}`,
      ...(model === undefined || model === checkpoint ? [] : [`model       ${model}`]),
      `try it:     npx torchforge generate --model ${shellWord(model ?? checkpoint)} --prompt "…"`,
    );
  }
  if (best !== undefined)
    lines.push(
      `best        ${best.checkpoint} (evaluation loss ${best.loss.toFixed(4)} after step ${best.step})`,
    );
  if (existsSync(join(runFolder, "metrics.jsonl")))
    lines.push(`curves:     npx torchforge plot ${shellWord(runFolder)}`);
  return lines.join("\n");
}
