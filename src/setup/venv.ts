// The private venv: a Python environment with the pinned torch, created only if no other torch is found. It is renamed when
// complete, so that an incomplete one is never used.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

import { makeFolder, UserError } from "../util/index.ts";
import { withLock } from "./lock.ts";
import { pinnedVersion, privateVenvDir } from "./locate.ts";
import { freeDisk } from "./machine.ts";
import { findPython3, torchInPrefix } from "./python.ts";

/** torch's CPU wheel unpacks to about 1 GB, and pip also needs the archive. A CUDA wheel needs more. */
const minimumDisk = 2 * 2 ** 30;

/** Arguments of Python. To compile all that is unpacked takes longer than to unpack it, and Python does it where it imports. */
export const pipInstall = ["-m", "pip", "install", "--no-input", "--no-compile", "--progress-bar", "off"];

export interface VenvOptions {
  /** pip's --index-url. Default: pip's own configuration. */
  readonly indexUrl?: string | undefined;
  readonly onProgress?: (line: string) => void;
  readonly env?: NodeJS.ProcessEnv;
}

/** Creates the private venv unless it exists, and returns its folder. */
export async function ensureVenv(options: VenvOptions = {}): Promise<string> {
  const venv = privateVenvDir();
  if (torchInPrefix(venv) !== undefined) return venv;
  const report = options.onProgress ?? (() => {});
  return await withLock(
    `${venv}.lock`,
    async () => {
      if (torchInPrefix(venv) === undefined) await makeVenv(venv, options, report);
      return venv;
    },
    (holder) => report(`waiting for process ${holder.split(" ")[0]}, which is installing torch`),
  );
}

async function makeVenv(venv: string, options: VenvOptions, report: (line: string) => void): Promise<void> {
  const env = options.env ?? process.env;
  const python = findPython3(env);
  if (python === undefined) {
    throw new UserError(
      "torchforge gets libtorch from Python's torch, and there is no python3 on PATH. Install Python 3.10 or later " +
        "with its venv module (Debian, Ubuntu: apt-get install python3 python3-venv; Fedora: dnf install python3; " +
        "macOS: xcode-select --install; conda: conda install python), or set TORCHFORGE_LIBTORCH to an unpacked libtorch.",
    );
  }
  const free = freeDisk(venv);
  if (free < minimumDisk) {
    throw new UserError(
      `Installing torch needs ${gib(minimumDisk)} of disk, found ${gib(free)} free at ${dirname(venv)}. ` +
        `Free some, or set TORCHFORGE_CACHE to a folder on another disk.`,
    );
  }
  const temporary = `${venv}.${process.pid}.tmp`;
  try {
    makeFolder(dirname(venv));
    report("creating a private Python environment");
    const created = await run(python, ["-m", "venv", temporary], env);
    if (created.code !== 0) throw new UserError(venvFailure(python, created.text));
    await installTorch(join(temporary, "bin", "python"), options, report, env);
    rewriteScriptPaths(temporary, venv);
    rmSync(venv, { recursive: true, force: true });
    renameSync(temporary, venv);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

async function installTorch(
  python: string,
  options: VenvOptions,
  report: (line: string) => void,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const index = options.indexUrl === undefined ? [] : ["--index-url", options.indexUrl];
  const started = performance.now();
  let currentStep = "";
  const reportProgress = () => {
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    report(`installing torch ${pinnedVersion} ${seconds} s${currentStep === "" ? "" : ` (${currentStep})`}`);
  };
  const ticker = setInterval(reportProgress, 1_000);
  try {
    reportProgress();
    const packages = [`torch==${pinnedVersion}`, "numpy"];
    const args = [...pipInstall, ...index, ...packages];
    const installed = await run(python, args, env, (line) => (currentStep = stepOf(line) ?? currentStep));
    if (installed.code !== 0) throw new UserError(pipFailure(installed.text));
  } finally {
    clearInterval(ticker);
  }
}

/** pip's current step, from a line of its output. */
function stepOf(line: string): string | undefined {
  if (line.startsWith("Installing collected packages")) return "unpacking";
  const step = /^\s*(Downloading|Processing)\s+(\S+)/.exec(line);
  return step === null ? undefined : `${step[1]!.toLowerCase()} ${step[2]!.split("/").at(-1)!}`;
}

/** A venv's scripts (torchrun, activate) contain the path at which they were created. */
export function rewriteScriptPaths(from: string, to: string): void {
  const bin = join(from, "bin");
  for (const entry of readdirSync(bin, { withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(bin, entry.name);
    const bytes = readFileSync(file);
    if (bytes.includes(0) || !bytes.includes(from)) continue;
    writeFileSync(file, bytes.toString("utf8").replaceAll(from, to));
  }
}

interface ProcessResult {
  readonly code: number | null;
  /** The end of its output. */
  readonly text: string;
}

export function run(
  program: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  onLine: (line: string) => void = () => {},
): Promise<ProcessResult> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    const tail: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        onLine(line);
        tail.push(line);
        if (tail.length > 40) tail.shift();
      });
    }
    child.on("error", fail);
    child.on("close", (code) => done({ code, text: tail.join("\n") }));
  });
}

export function venvFailure(python: string, text: string): string {
  if (/ensurepip|No module named venv/.test(text)) {
    return (
      `${python} can't make virtual environments: its venv module is not installed. ` +
      `Install it (Debian, Ubuntu: apt-get install python3-venv), then run \`npx torchforge setup\` again.`
    );
  }
  return `${python} -m venv failed:\n${lastLines(text)}`;
}

function pipFailure(text: string): string {
  if (/No space left on device/.test(text)) {
    return (
      "Installing torch ran out of disk. Free some at the torchforge cache (TORCHFORGE_CACHE) and at pip's " +
      "temporary folder (TMPDIR), then run `npx torchforge setup` again."
    );
  }
  if (/No matching distribution|Could not find a version/.test(text)) {
    return (
      `pip found no torch ${pinnedVersion} for this Python and machine:\n${lastLines(text)}\n` +
      "Use Python 3.10 or later (64 bit), and check pip's index (`--index-url`, PIP_INDEX_URL, `pip config list`)."
    );
  }
  return (
    `pip could not install torch ${pinnedVersion}:\n${lastLines(text)}\n` +
    "Check the network and pip's index (`--index-url`, PIP_INDEX_URL, `pip config list`), then run " +
    "`npx torchforge setup` again; or set TORCHFORGE_LIBTORCH to a torch that is already there."
  );
}

export function lastLines(text: string): string {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(-6)
    .map((line) => `  ${line}`)
    .join("\n");
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
