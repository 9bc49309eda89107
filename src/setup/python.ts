// Finds the Python on PATH and its torch. The result is cached, and Python is only started again if the interpreter or a folder
// on its sys.path has changed.
import { createHash } from "node:crypto";
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";

import { cacheDir, makeFolder } from "../util/index.ts";

/** The first executable `name` on PATH. */
export function findOnPath(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  for (const folder of (env["PATH"] ?? "").split(delimiter)) {
    if (folder === "") continue;
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // try the next folder
    }
  }
  return undefined;
}

export function findPython3(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return findOnPath("python3", env);
}

/** The torch package of a venv or conda prefix, without starting its Python. */
export function torchInPrefix(prefix: string): string | undefined {
  const lib = join(prefix, "lib");
  let names: string[];
  try {
    names = readdirSync(lib);
  } catch {
    return undefined;
  }
  for (const name of names) {
    if (!name.startsWith("python3")) continue;
    const torch = join(lib, name, "site-packages", "torch");
    if (existsSync(join(torch, "version.py"))) return torch;
  }
  return undefined;
}

interface TorchLookup {
  readonly torch: string | null;
  /** Modification times of all paths that the result depends on; null if a path didn't exist. */
  readonly witnesses: Record<string, number | null>;
}

const lookupScript = `
import importlib.util, json, sys
spec = importlib.util.find_spec("torch")
print(json.dumps({"torch": spec.origin if spec else None, "path": [p for p in sys.path if p]}))
`;

/** The torch package that `python` would import, or undefined. Doesn't import torch. */
export function torchOfPython(python: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const prefix = dirname(dirname(python));
  if (existsSync(join(prefix, "pyvenv.cfg"))) return torchInPrefix(prefix);

  const file = join(cacheDir(), "python", `${lookupKey(python, env)}.json`);
  const cached = readLookup(file);
  if (cached !== undefined) return cached.torch ?? undefined;
  const answer = runLookup(python, env);
  if (answer === undefined) return undefined;
  try {
    makeFolder(dirname(file));
    const temporary = `${file}.${process.pid}`;
    writeFileSync(temporary, JSON.stringify(answer));
    renameSync(temporary, file);
  } catch {
    // Without a writable cache this is only slower.
  }
  return answer.torch ?? undefined;
}

/** The cache key. A version manager's shim serves many Pythons, chosen by the working folder and variables. */
function lookupKey(python: string, env: NodeJS.ProcessEnv): string {
  const parts = [
    python,
    env["PYTHONPATH"] ?? "",
    env["PYENV_VERSION"] ?? "",
    env["ASDF_PYTHON_VERSION"] ?? "",
  ];
  if (/[\\/]shims[\\/]/.test(python)) parts.push(process.cwd());
  return createHash("sha256").update(parts.join("\0")).digest("hex").slice(0, 24);
}

function mtimeOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? null;
}

function readLookup(file: string): TorchLookup | undefined {
  try {
    const answer = JSON.parse(readFileSync(file, "utf8")) as TorchLookup;
    for (const [path, time] of Object.entries(answer.witnesses)) {
      if (mtimeOf(path) !== time) return undefined;
    }
    if (answer.torch !== null && !existsSync(answer.torch)) return undefined;
    return answer;
  } catch {
    return undefined;
  }
}

function runLookup(python: string, env: NodeJS.ProcessEnv): TorchLookup | undefined {
  // Not imported at the top, because every process that uses a tensor loads this file, and few get this far.
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  const run = spawnSync(python, ["-c", lookupScript], {
    encoding: "utf8",
    env,
    timeout: 20_000,
    stdio: ["ignore", "pipe", "ignore"],
  });
  if (run.status !== 0) return undefined;
  try {
    const output = JSON.parse(run.stdout.trim().split("\n").at(-1)!) as {
      torch: string | null;
      path: string[];
    };
    const paths = [python, ...output.path.filter((path) => path !== process.cwd())];
    return {
      torch: output.torch === null ? null : dirname(output.torch),
      witnesses: Object.fromEntries(paths.map((path) => [path, mtimeOf(path)])),
    };
  } catch {
    return undefined;
  }
}
