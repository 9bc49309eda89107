// The worker's program: takes one job over Node's IPC channel, tells what happens, ends. It never prints results itself.
import { Worker } from "node:worker_threads";

import type { FromWorker, Job, ToWorker } from "../actors/index.ts";
import { UserError } from "../util/index.ts";
import type { JobContext } from "./jobs/context.ts";

const kinds: Record<string, () => Promise<{ run: (job: never, context: JobContext) => Promise<unknown> }>> = {
  sft: () => import("./jobs/sft.ts"),
  "dry-run": () => import("./jobs/dry-run.ts"),
  quickstart: () => import("./jobs/quickstart.ts"),
  generate: () => import("./jobs/generate.ts"),
  eval: () => import("./jobs/eval.ts"),
};

const send = (message: FromWorker): Promise<void> =>
  new Promise((resolve) => {
    if (!process.connected) return resolve();
    process.send!(message, undefined, undefined, () => resolve());
  });

let onStop: (() => void) | undefined;
let stopped = false;
const context: JobContext = {
  note: (text) => void send({ type: "note", text }),
  text: (text) => void send({ type: "text", text }),
  record: (record) => void send({ type: "record", record }),
  onStop: (action) => {
    onStop = action;
    if (stopped) action();
  },
};

function stop(): void {
  stopped = true;
  onStop?.();
}

async function work(job: Job): Promise<void> {
  try {
    const load = kinds[job.kind];
    if (!load) throw new Error(`no job of kind ${job.kind}`);
    const value = await (await load()).run(job as never, context);
    await send({ type: "result", value });
  } catch (error) {
    const known = error instanceof Error ? error : new Error(String(error));
    const isUserError = known instanceof UserError;
    await send({
      type: "error",
      error: {
        name: known.name,
        message: known.message,
        stack: known.stack,
        isUserError,
        exitCode: isUserError ? known.exitCode : 1,
        cause: undefined,
      },
    });
    process.exitCode = 1;
  }
  // Threads of libtorch would keep the process.
  process.exit();
}

// The terminal sends Ctrl-C to the whole group; the controller decides what it means.
process.on("SIGINT", () => undefined);
process.on("SIGTERM", stop);
process.on("disconnect", () => process.exit(1));
// A long operation keeps this thread from hearing that; another thread notices that the parent has changed.
new Worker(
  `const parent = process.ppid;
   setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, "SIGKILL"); }, 1000);`,
  { eval: true, execArgv: [] },
).unref();
process.on("message", (message: ToWorker) => {
  if (message.type === "stop") stop();
  else void work(message.job);
});
