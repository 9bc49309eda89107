// The folder of a run: its configuration, environment, metrics and status.
//   config.yaml  environment.json  run.json  metrics.jsonl  tensorboard/  checkpoint/
// Relative paths of the configuration (checkpoint.folder, metric_logging.tensorboard.folder) are relative to it.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { cpus, hostname, release, totalmem } from "node:os";
import { basename, isAbsolute, join, relative, resolve } from "node:path";

import { makeFolder, messageOf, UserError } from "../util/index.ts";
import { claimFolder, releaseFolder } from "./claim.ts";
import { isAlive, pidStart, readRunInfo, type RunInfo, type RunStatus } from "./run-info.ts";

export interface RunFolderOptions {
  /** job.dump_folder */
  dumpFolder: string;
  /** job.name; null generates one. */
  name: string | null;
  description?: string;
  /** model.hf_assets_path, of which a generated name has a part. */
  model: string;
  /** What run.json says of it, where that is something else. */
  modelText?: string;
  /** Infinity: not known until `configure`, which then says what the configuration comes to. */
  steps: number;
  /** The complete configuration as YAML. */
  configYaml: string;
  /** Added to the versions in environment.json, e.g. {torch: "2.13.0"}. */
  versions?: Readonly<Record<string, string>>;
  now?: Date;
}

/** A name made of date, time and model: 2026-11-22_23-10-05_smollm2-135m-instruct. */
export function automaticName(model: string, now: Date): string {
  const [date, time] = now.toISOString().slice(0, 19).split("T") as [string, string];
  const short = basename(model.replace(/\/+$/, ""))
    .toLowerCase()
    .replaceAll(/[^a-z0-9.]+/g, "-")
    .replaceAll(/^-+|-+$/g, "");
  return [date, time.replaceAll(":", "-"), short].filter((part) => part !== "").join("_");
}

export class RunFolder {
  readonly path: string;
  #info: RunInfo;
  readonly #claimed: string[] = [];
  /** config.yaml lacks what isn't known yet. */
  #isProvisional = false;

  private constructor(path: string, info: RunInfo) {
    this.path = path;
    this.#info = info;
  }

  /**
   * Creates the folder of a run, or continues in an existing one.
   * @throws UserError if the folder can't be created, or another process is running in it
   */
  static open(options: RunFolderOptions): RunFolder {
    const now = options.now ?? new Date();
    const dump = resolve(options.dumpFolder);
    if (options.name !== null && (/[/\\]/.test(options.name) || [".", ".."].includes(options.name))) {
      throw new UserError(
        `job.name: expected a name without / and \\, found ${options.name}; job.dump_folder says where the folder lies`,
        { exitCode: 2 },
      );
    }
    const path = writingTo(dump, "job.dump_folder", () => {
      const path =
        options.name === null ? newFolder(dump, automaticName(options.model, now)) : join(dump, options.name);
      makeFolder(path);
      return path;
    });
    const previous = readRunInfo(path);
    if (previous !== undefined && isAlive(previous) && previous.pid !== process.pid) {
      const remoteHint = `; if that machine or its process is gone, delete ${join(path, "run.json")}`;
      throw new UserError(
        `job.name: a run is already going on in ${path} (process ${previous.pid} on ${previous.host}); stop it, or give another job.name${previous.host === hostname() ? "" : remoteHint}`,
      );
    }
    const folder = new RunFolder(path, {
      name: basename(path),
      description: options.description ?? "",
      model: options.modelText ?? options.model,
      steps: Number.isFinite(options.steps) ? options.steps : (previous?.steps ?? 0),
      status: "running",
      started: previous?.started ?? now.toISOString(),
      starts: (previous?.starts ?? 0) + 1,
      pid: process.pid,
      ...pidStart(process.pid),
      host: hostname(),
    });
    return writingTo(path, "job.dump_folder", () => {
      // Of two runs that start at once, both have found no other.
      claimFolder(path, "job.name", path, folder.#info);
      folder.#claimed.push(path);
      const isKnown = Number.isFinite(options.steps);
      if (isKnown || !existsSync(join(path, "config.yaml"))) {
        folder.#archiveConfig(options.configYaml);
        writeAtomically(join(path, "config.yaml"), options.configYaml);
        folder.#isProvisional = !isKnown;
      }
      writeAtomically(join(path, "environment.json"), json(environment(options.versions ?? {}, now)));
      folder.#save();
      return folder;
    });
  }

  get name(): string {
    return this.#info.name;
  }

  get metricsPath(): string {
    return join(this.path, "metrics.jsonl");
  }

  /** Resolves a path of the configuration relative to the run folder. */
  resolve(path: string): string {
    return isAbsolute(path) ? path : join(this.path, path);
  }

  /** Records that the run continues with another configuration. */
  configure(configYaml: string, steps: number): void {
    if (!this.#isProvisional) this.#archiveConfig(configYaml);
    this.#isProvisional = false;
    writeAtomically(join(this.path, "config.yaml"), configYaml);
    this.#info = { ...this.#info, steps };
    this.#save();
  }

  /** Records what the training data is. */
  recordData(data: NonNullable<RunInfo["data"]>): void {
    this.#info = { ...this.#info, data };
    this.#save();
  }

  /** Records which checkpoint is the best so far. Doesn't throw: `end` writes it again, and tells what is wrong. */
  recordBest(best: NonNullable<RunInfo["best"]>): void {
    this.#info = { ...this.#info, best };
    try {
      this.#save();
    } catch {
      // A full disk is no reason to end the run.
    }
  }

  /**
   * Claims a folder outside the run folder, which is claimed already, for this run alone, until the run ends.
   * @param key the option that names the folder
   * @throws UserError if another run has claimed it
   */
  claim(folder: string, key: string): void {
    if (!relative(this.path, folder).startsWith("..")) return;
    writingTo(folder, key, () => claimFolder(folder, key, this.path, this.#info));
    this.#claimed.push(folder);
  }

  /**
   * Records how the run ended. Doesn't throw, so that a full disk neither fails a finished run nor hides why one failed.
   * @returns the error, if the status could not be written
   */
  end(status: Exclude<RunStatus, "running">, error?: string): string | undefined {
    this.#info = {
      ...this.#info,
      status,
      ended: new Date().toISOString(),
      ...(error !== undefined && { error }),
    };
    try {
      for (const claimed of this.#claimed) releaseFolder(claimed);
      this.#save();
      return undefined;
    } catch (problem) {
      return `run.json is not written: ${messageOf(problem)}`;
    }
  }

  #save(): void {
    writeAtomically(join(this.path, "run.json"), json(this.#info));
  }

  /** Keeps the previous configuration of a run that continues with another one: config.1.yaml, config.2.yaml, … */
  #archiveConfig(next: string): void {
    const path = join(this.path, "config.yaml");
    if (!existsSync(path) || readFileSync(path, "utf8") === next) return;
    let n = 1;
    while (existsSync(join(this.path, `config.${n}.yaml`))) n += 1;
    renameSync(path, join(this.path, `config.${n}.yaml`));
  }
}

/**
 * Creates the folder that a key names, and checks that it is writable, before any process is started.
 * @throws UserError if it isn't
 */
export function checkFolder(folder: string, key: string): void {
  const absolute = resolve(folder);
  writingTo(absolute, key, () => rmdirSync(mkdtempSync(join(absolute, ".probe-"))));
}

function writingTo<T>(folder: string, key: string, work: () => T): T {
  try {
    makeFolder(folder);
    return work();
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `${key}: can't write in ${folder}: ${messageOf(error)}; give a folder that you can write to`,
      { cause: error, exitCode: 2 },
    );
  }
}

/** Writes a temporary file and renames it, so that a crash leaves the old text or the new one. */
function writeAtomically(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

function newFolder(dump: string, name: string): string {
  const existing = new Set(readdirSync(dump));
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? name : `${name}-${n}`;
    if (existing.has(candidate)) continue;
    try {
      mkdirSync(join(dump, candidate));
      return join(dump, candidate);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error; // created by another run meanwhile
    }
  }
}

/** Environment variables that change what a run does. None is secret, so HF_TOKEN isn't listed. */
const recordedVariables = [
  "CUDA_VISIBLE_DEVICES",
  "HF_ENDPOINT",
  "HF_HOME",
  "HF_HUB_OFFLINE",
  "LOCAL_RANK",
  "MASTER_ADDR",
  "MASTER_PORT",
  "OMP_NUM_THREADS",
  "RANK",
  "TORCHFORGE_LIBTORCH",
  "WORLD_SIZE",
];

/** Removes tokens: environment.json gets shared. */
export function withoutSecrets(args: readonly string[]): string[] {
  return args.map((arg, i) =>
    /^-.*(token|secret|password)$/i.test(args[i - 1] ?? "") || /^hf_\w{8}/.test(arg)
      ? "***"
      : arg.replace(/^(--?[\w-]*(?:token|secret|password)[\w-]*=).*/i, "$1***"),
  );
}

function environment(versions: Readonly<Record<string, string>>, now: Date) {
  const processors = cpus();
  return {
    time: now.toISOString(),
    command: withoutSecrets(process.argv.slice(1)),
    folder: process.cwd(),
    versions: { node: process.versions.node, ...versions },
    machine: {
      host: hostname(),
      system: `${process.platform} ${release()} ${process.arch}`,
      cpu: processors[0]?.model ?? "",
      cores: processors.length,
      memory_mb: Math.round(totalmem() / 2 ** 20),
    },
    variables: Object.fromEntries(
      recordedVariables.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
    ),
  };
}
