// Jupyter for tests: an environment of its own with JupyterLab, nbclient and the kernels' conformance test (made once, in torchforge's cache), and a folder
// in which only this repository's kernel is known. Nothing of the user's Jupyter is read or written.
import { execFile, spawn, type ChildProcess } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { installKernelSpec } from "../../src/notebook/index.ts";
import { withLock } from "../../src/setup/index.ts";
import { cacheDir } from "../../src/util/index.ts";
import { environment, root, run } from "../programs.ts";

const packages = ["jupyterlab==4.6.6", "nbclient==0.11.0", "jupyter_kernel_test==0.7.0"];
const exec = promisify(execFile);

/** The Python of that environment. */
export async function jupyterPython(): Promise<string> {
  const folder = join(cacheDir(), `jupyter-${packages.map((one) => one.split("==")[1]).join("-")}`);
  const python = join(folder, "bin", "python");
  if (existsSync(python)) return python;
  // Several files of tests want it at once.
  return await withLock(`${folder}.lock`, async () => {
    if (existsSync(python)) return python;
    const beside = `${folder}.${process.pid}.tmp`;
    try {
      await exec(process.env["PYTHON"] ?? "python3", ["-m", "venv", beside], { timeout: 300_000 });
      // Programs of the environment are started as modules, so that it may be renamed.
      const install = ["-m", "pip", "install", "--quiet", "--no-compile", ...packages];
      await exec(join(beside, "bin", "python"), install, { timeout: 1_200_000 });
      renameSync(beside, folder);
    } finally {
      rmSync(beside, { recursive: true, force: true });
    }
    return python;
  });
}

/** A folder with Jupyter's own files, and one for notebooks in it. */
export class JupyterPlace implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "torchforge-jupyter-"));
  readonly work = join(this.folder, "work");
  readonly env: NodeJS.ProcessEnv;

  constructor(env: NodeJS.ProcessEnv = {}) {
    const path = (name: string): string => {
      const made = join(this.folder, name);
      mkdirSync(made, { recursive: true });
      return made;
    };
    mkdirSync(this.work);
    this.env = {
      ...environment,
      HOME: path("home"),
      TORCHFORGE_CACHE: cacheDir(),
      JUPYTER_CONFIG_DIR: path("config"),
      JUPYTER_DATA_DIR: path("data"),
      JUPYTER_RUNTIME_DIR: path("runtime"),
      ...env,
    };
    installKernelSpec(this.env["JUPYTER_DATA_DIR"]);
    // Every cell is in the page, also those that are scrolled out of sight; nothing asks questions.
    const settings = {
      "@jupyterlab/notebook-extension:tracker": { windowingMode: "none" },
      // Its second may be too short on a machine that does other things, too.
      "@jupyterlab/completer-extension:manager": { providerTimeout: 60_000 },
      "@jupyterlab/apputils-extension:notification": { fetchNews: "false", checkForUpdates: false },
    };
    writeFileSync(
      join(path(join("config", "labconfig")), "default_setting_overrides.json"),
      JSON.stringify(settings),
    );
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

/** JupyterLab on a free port of this machine's own address. */
export class LabServer implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly url: string;
  readonly token: string;

  private constructor(process: ChildProcess, url: string, token: string) {
    this.#process = process;
    this.url = url;
    this.token = token;
  }

  static async start(place: JupyterPlace): Promise<LabServer> {
    const child = spawn(
      await jupyterPython(),
      [
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0",
        `--ServerApp.root_dir=${place.work}`,
        "--LabApp.expose_app_in_browser=True",
      ],
      { cwd: place.work, env: place.env, stdio: ["ignore", "pipe", "pipe"] },
    );
    let said = "";
    const hear = (text: string): void => void (said += text);
    child.stdout.setEncoding("utf8").on("data", hear);
    child.stderr.setEncoding("utf8").on("data", hear);
    const runtime = place.env["JUPYTER_RUNTIME_DIR"]!;
    for (const begin = performance.now(); performance.now() - begin < 300_000;) {
      if (child.exitCode !== null) throw new Error(`JupyterLab ended with ${child.exitCode}:\n${said}`);
      const file = readdirSync(runtime).find((name) => /^jpserver-\d+\.json$/.test(name));
      // It is written a moment before the server listens.
      if (file !== undefined) {
        const { url, token } = JSON.parse(readFileSync(join(runtime, file), "utf8")) as Record<
          string,
          string
        >;
        const answer = await fetch(`${url}api/status?token=${token}`).catch(() => undefined);
        if (answer?.ok === true) return new LabServer(child, url!, token!);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    child.kill("SIGKILL");
    throw new Error(`JupyterLab did not come up:\n${said}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGTERM"); // ends its kernels
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), 30_000);
    await ended;
    clearTimeout(timer);
  }
}

/** A notebook's file, as far as tests look into it. */
export interface Notebook {
  cells: {
    cell_type: "code" | "markdown";
    metadata: { tags?: string[] };
    source: string | string[];
    outputs?: Output[];
  }[];
}

export interface Output {
  output_type: string;
  data?: Record<string, string | string[]>;
  text?: string | string[];
  ename?: string;
  evalue?: string;
  traceback?: string[];
}

const shipped = join(root, "apps", "sft", "interactive_config_notebook.ipynb");

/** The shipped notebook with other parameters: a cell after the one that is tagged "parameters". */
export function notebookWith(parameters: Readonly<Record<string, string | number>>): Notebook {
  const notebook = JSON.parse(readFileSync(shipped, "utf8")) as Notebook;
  const at = notebook.cells.findIndex(({ metadata }) => metadata.tags?.includes("parameters"));
  const source = Object.entries(parameters).map(
    ([name, value]) => `const ${name} = ${JSON.stringify(value)};`,
  );
  const cell = {
    cell_type: "code" as const,
    id: "injected-parameters",
    metadata: { tags: ["injected-parameters"] },
    execution_count: null,
    source: source.join("\n"),
    outputs: [],
  };
  notebook.cells.splice(at + 1, 0, cell);
  return notebook;
}

const execute = `
import sys, nbformat
from nbclient import NotebookClient
path, timeout = sys.argv[1], int(sys.argv[2])
notebook = nbformat.read(path, 4)
nbformat.validate(notebook)
try:
    NotebookClient(notebook, kernel_name="torchforge", timeout=timeout, allow_errors=True).execute()
finally:
    nbformat.write(notebook, path)
`;

/** Runs every cell as Jupyter's own tools do, and gives the notebook with its outputs. */
export async function executeNotebook(
  place: JupyterPlace,
  notebook: Notebook,
  timeoutMs: number,
): Promise<Notebook> {
  const path = join(place.work, "executed.ipynb");
  writeFileSync(path, JSON.stringify(notebook));
  run(await jupyterPython(), ["-c", execute, path, String(Math.ceil(timeoutMs / 1000))], {
    cwd: place.work,
    env: place.env,
    timeoutMs,
  });
  return JSON.parse(readFileSync(path, "utf8")) as Notebook;
}

/** Text that a notebook's file may hold as a list of lines. */
export const whole = (text: string | readonly string[] | undefined): string =>
  typeof text === "string" ? text : (text ?? []).join("");

/** Step and loss that the chart's marked last point stands for. */
export function chartEnd(svg: string): { step: number; loss: number } {
  const found = /<circle [^>]*r="3"[^>]*><title>(\d+): ([\d.e+-]+)<\/title>/.exec(svg);
  if (found === null) throw new Error(`no end is marked in ${svg.slice(0, 300)}`);
  return { step: Number(found[1]), loss: Number(found[2]) };
}
