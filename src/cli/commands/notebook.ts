// `forge notebook`: installs the kernel, copies the notebook and starts JupyterLab. JupyterLab starts the kernel; both end with
// this command.
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { createInterface } from "node:readline";

import { Command, InvalidArgumentError } from "commander";

import { installKernelSpec, jupyterDataDir, vsCodeDataDir } from "../../notebook/index.ts";
import { ensureJupyterLab, progressLine, type JupyterLab } from "../../setup/index.ts";
import { makeFolder, UserError } from "../../util/index.ts";

interface Options {
  readonly kernelOnly?: boolean;
  readonly browser: boolean;
  readonly port: number;
}

const packageFolder = resolve(import.meta.dirname, "..", "..", "..");
const template = join(packageFolder, "apps", "sft", "interactive_config_notebook.ipynb");
/** Time limit for JupyterLab and its kernels to exit. */
const endMs = 10_000;

export function command(): Command {
  return new Command("notebook")
    .argument("[dir]", "folder for the notebook; made if it is not there", ".")
    .option(
      "--kernel-only",
      "only install the kernel: for VS Code, and for a Jupyter that you start yourself",
    )
    .option("--no-browser", "print the address, open nothing")
    .option("--port <n>", "port on this machine; the next free one when it is taken", port, 8888)
    .addHelpText(
      "after",
      '\nInstalls the kernel "TypeScript (torchforge)" for this user, puts a copy of the interactive configuration\n' +
        "notebook into the folder (one that is there stays as it is), and opens it in JupyterLab: yours if `jupyter-lab`\n" +
        "is on PATH, else one in torchforge's cache. It listens on this machine only, with a token. Ctrl-C ends it.\n" +
        "\nExamples:\n" +
        "  $ npx torchforge notebook my-run\n" +
        "  $ npx torchforge notebook --kernel-only",
    )
    .action(async (dir: string, options: Options) => {
      // VS Code looks only in the home folder, even if JUPYTER_DATA_DIR is set.
      const dataDirs = new Set([jupyterDataDir(), ...(options.kernelOnly ? [vsCodeDataDir()] : [])]);
      for (const dataDir of dataDirs) {
        const { folder: kernel, changed } = installKernelSpec(dataDir);
        console.log(`kernel    ${kernel}${changed ? "" : " (was there)"}`);
      }
      if (options.kernelOnly) {
        console.log('In VS Code or Jupyter choose the kernel "TypeScript (torchforge)".');
        return;
      }
      const folder = resolve(dir);
      const notebook = copyNotebook(folder);
      const progress = progressLine();
      let lab: JupyterLab;
      try {
        lab = await ensureJupyterLab({ onProgress: progress.update });
      } finally {
        progress.end();
      }
      await runLab(lab, folder, notebook, options);
    });
}

/** Copies the notebook unless it exists. */
function copyNotebook(folder: string): string {
  makeFolder(folder);
  const notebook = join(folder, basename(template));
  const wasThere = existsSync(notebook);
  if (!wasThere) copyFileSync(template, notebook);
  console.log(`notebook  ${notebook}${wasThere ? " (was there)" : ""}`);
  return notebook;
}

/** Runs JupyterLab until it ends, or until Ctrl-C. */
async function runLab(lab: JupyterLab, folder: string, notebook: string, options: Options): Promise<void> {
  const token = randomBytes(24).toString("hex");
  const [program, ...first] = lab.command;
  const args = [
    ...first,
    "--ServerApp.ip=127.0.0.1",
    `--ServerApp.port=${options.port}`,
    `--ServerApp.root_dir=${folder}`,
    ...(options.browser && hasDisplay() ? [] : ["--no-browser"]),
    ...(process.getuid?.() === 0 ? ["--allow-root"] : []), // root is common in containers; it listens on loopback only
    notebook,
  ];
  // In a process group of its own, because JupyterLab would ask for confirmation at Ctrl-C.
  const child = spawn(program!, args, {
    cwd: folder,
    env: { ...process.env, JUPYTER_TOKEN: token },
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  const end = endOnSignals(child);
  const lines: string[] = [];
  let address: string | undefined;
  createInterface({ input: child.stderr }).on("line", (line) => {
    lines.push(line);
    if (lines.length > 30) lines.shift();
    const found = /http:\/\/127\.0\.0\.1:\d+\//.exec(line)?.[0]; // the port may differ from options.port
    if (found === undefined || address !== undefined) return;
    address = `${found}lab/tree/${basename(notebook)}?token=${token}`;
    console.log(`JupyterLab (${lab.from}) at\n  ${address}\nCtrl-C ends it.`);
  });
  const code = await new Promise<number | null>((done, fail) => {
    child.once("error", fail);
    child.once("close", done);
  });
  if (end.wasRequested()) return;
  if (code !== 0)
    throw new UserError(`JupyterLab ended with code ${code}. Its last lines:\n${lines.join("\n")}`);
}

/** The first signal asks JupyterLab to exit with its kernels, the second kills them. */
function endOnSignals(child: ChildProcess): { wasRequested: () => boolean } {
  let isEnding = false;
  const kill = (signal: NodeJS.Signals, group: boolean): void => {
    try {
      if (child.pid !== undefined) process.kill(group ? -child.pid : child.pid, signal);
    } catch {
      // it has ended
    }
  };
  const end = (): void => {
    if (isEnding) return kill("SIGKILL", true);
    isEnding = true;
    console.log("\nending JupyterLab");
    kill("SIGTERM", false);
    setTimeout(() => kill("SIGKILL", true), endMs).unref();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, end);
  return { wasRequested: () => isEnding };
}

function hasDisplay(): boolean {
  return process.platform !== "linux" || Boolean(process.env["DISPLAY"] || process.env["WAYLAND_DISPLAY"]);
}

function port(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0 && value < 65_536) return value;
  throw new InvalidArgumentError(`expected a port, found ${text}`);
}
