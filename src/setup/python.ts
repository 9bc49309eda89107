// The Python on PATH, and whether it has torch. Python is started only when the cached answer can't be trusted:
// the interpreter or one of the folders on its sys.path changed.
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
      // not here: the next folder
    }
  }
  return undefined;
}

export function findPython3(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return findOnPath("python3", env);
}

/** `torch` of a venv or conda prefix, without starting its Python. */
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

interface Answer {
  readonly torch: string | null;
  /** Everything that the answer rests on, with its time of change (null: was not there). */
  readonly witnesses: Record<string, number | null>;
}

const question = `
import importlib.util, json, sys
spec = importlib.util.find_spec("torch")
print(json.dumps({"torch": spec.origin if spec else None, "path": [p for p in sys.path if p]}))
`;

/** The torch package that `python` would import, or undefined. torch itself is not imported. */
export function torchOfPython(python: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const prefix = dirname(dirname(python));
  if (existsSync(join(prefix, "pyvenv.cfg"))) return torchInPrefix(prefix);

  const file = join(cacheDir(), "python", `${answerKey(python, env)}.json`);
  const cached = readAnswer(file);
  if (cached !== undefined) return cached.torch ?? undefined;
  const answer = ask(python, env);
  if (answer === undefined) return undefined;
  try {
    makeFolder(dirname(file));
    const temporary = `${file}.${process.pid}`;
    writeFileSync(temporary, JSON.stringify(answer));
    renameSync(temporary, file);
  } catch {
    // A cache that can't be written costs time, nothing else.
  }
  return answer.torch ?? undefined;
}

/** A version manager's shim is one file for many Pythons: the folder and its variables choose. */
function answerKey(python: string, env: NodeJS.ProcessEnv): string {
  const parts = [
    python,
    env["PYTHONPATH"] ?? "",
    env["PYENV_VERSION"] ?? "",
    env["ASDF_PYTHON_VERSION"] ?? "",
  ];
  if (/[\\/]shims[\\/]/.test(python)) parts.push(process.cwd());
  return createHash("sha256").update(parts.join("\0")).digest("hex").slice(0, 24);
}

function changed(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? null;
}

function readAnswer(file: string): Answer | undefined {
  try {
    const answer = JSON.parse(readFileSync(file, "utf8")) as Answer;
    for (const [path, time] of Object.entries(answer.witnesses)) {
      if (changed(path) !== time) return undefined;
    }
    if (answer.torch !== null && !existsSync(answer.torch)) return undefined;
    return answer;
  } catch {
    return undefined;
  }
}

function ask(python: string, env: NodeJS.ProcessEnv): Answer | undefined {
  // Loaded here, not at the top: every process that uses a tensor loads this file, and few get this far.
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  const run = spawnSync(python, ["-c", question], {
    encoding: "utf8",
    env,
    timeout: 20_000,
    stdio: ["ignore", "pipe", "ignore"],
  });
  if (run.status !== 0) return undefined;
  try {
    const said = JSON.parse(run.stdout.trim().split("\n").at(-1)!) as {
      torch: string | null;
      path: string[];
    };
    const paths = [python, ...said.path.filter((path) => path !== process.cwd())];
    return {
      torch: said.torch === null ? null : dirname(said.torch),
      witnesses: Object.fromEntries(paths.map((path) => [path, changed(path)])),
    };
  } catch {
    return undefined;
  }
}
