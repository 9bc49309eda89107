// How long a fresh process needs until libtorch has done something: importing torchforge/torch and the first operator,
// against Python's `import torch` and the same operator. The package is measured as it is published (dist/).
import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { setup } from "../src/setup/index.ts";
import { alternate, median, medianRatio, pythonWithTorch, quick, report } from "./harness.ts";

const limitMs = 400;
const root = resolve(import.meta.dirname, "..");

await setup();
execute(process.execPath, [join(root, "scripts", "build.ts")]);

const nodeProgram = (entry: string) => `
  const begun = performance.now();
  const before = process.cpuUsage();
  const { ones } = await import(${JSON.stringify(pathToFileURL(join(root, entry)).href)});
  const imported = performance.now();
  if (ones([2]).add(ones([2])).sum().item() !== 4) throw new Error("wrong sum");
  const done = performance.now();
  const { user, system } = process.cpuUsage(before);
  console.log(JSON.stringify({ import_ms: imported - begun, first_ms: done - imported, cpu_ms: (user + system) / 1e3 }));
`;
const pythonProgram = `
import time, json
begun = time.perf_counter()
before = time.process_time()
import torch
imported = time.perf_counter()
assert (torch.ones([2]) + torch.ones([2])).sum().item() == 4
done = time.perf_counter()
print(json.dumps({"import_ms": (imported - begun) * 1e3, "first_ms": (done - imported) * 1e3, "cpu_ms": (time.process_time() - before) * 1e3}))
`;

interface Times {
  readonly import_ms: number;
  readonly first_ms: number;
  /** Processor time of both: what a busy machine doesn't change much. */
  readonly cpu_ms: number;
}

function execute(program: string, args: readonly string[]): string {
  const run = spawnSync(program, [...args], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  if (run.status !== 0) throw new Error(`${program} ended with ${run.status ?? run.signal}`);
  return run.stdout;
}

/** A contender that remembers its parts: the whole is what is compared. */
function contender(program: string, args: readonly string[]) {
  const imports: number[] = [];
  const cpu: number[] = [];
  const processes: number[] = [];
  const measure = () => {
    const begun = performance.now();
    const times = JSON.parse(execute(program, args)) as Times;
    processes.push(performance.now() - begun);
    imports.push(times.import_ms);
    cpu.push(times.cpu_ms);
    return times.import_ms + times.first_ms;
  };
  return { imports, cpu, processes, measure };
}

const node = contender(process.execPath, ["--input-type=module", "-e", nodeProgram("dist/torch/index.js")]);
const sources = contender(process.execPath, ["--input-type=module", "-e", nodeProgram("src/torch/index.ts")]);
const python = contender(pythonWithTorch(), ["-c", pythonProgram]);

const rounds = quick ? 3 : 9;
const whole = await alternate(rounds, {
  torchforge: node.measure,
  sources: sources.measure,
  python: python.measure,
});

report(
  "import",
  {
    torchforge_ms: median(whole.torchforge),
    torchforge_import_ms: median(node.imports.slice(1)),
    torchforge_cpu_ms: median(node.cpu.slice(1)),
    torchforge_process_ms: median(node.processes.slice(1)),
    torchforge_sources_ms: median(whole.sources),
    python_ms: median(whole.python),
    python_import_ms: median(python.imports.slice(1)),
    python_cpu_ms: median(python.cpu.slice(1)),
    python_process_ms: median(python.processes.slice(1)),
    rounds,
  },
  [
    { name: "import and first operator, ms", value: median(whole.torchforge), op: "<=", limit: limitMs },
    { name: "ratio to Python", value: medianRatio(whole.torchforge, whole.python), op: "<=", limit: 1 },
  ],
);
