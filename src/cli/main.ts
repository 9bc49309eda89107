// The entry point of `torchforge` and `forge` (bin/torchforge.js). Turns on Node's compile cache, also for child processes, before
// it loads program.ts: parsing torchforge/torch takes longer than anything else before the first step.
import { outlivesTerminal, useCompileCache } from "../util/index.ts";
import { endWithNpm } from "./launched-by-npm.ts";

useCompileCache();

// A closed pipe, as in `forge … | head`, is no error: the command exits, but a training continues.
const trains = ["sft", "quickstart"].includes(process.argv[2] ?? "");
let hasReported = false;
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // EIO: the terminal is closed.
    if (!["EPIPE", "EIO", "ERR_STREAM_DESTROYED"].includes(error.code ?? "")) throw error;
    if (!trains) process.exit();
    if (hasReported) return;
    hasReported = true;
    console.error("note: nobody reads this output any more; training goes on, and the run's folder says how");
  });
}

if (outlivesTerminal()) process.on("SIGHUP", () => undefined);
// Without a handler Node opens a debugger's port. Where nothing runs that can be stopped, the command ends, as by default.
process.on("SIGUSR1", () => process.listenerCount("SIGUSR1") === 1 && process.exit(138));
endWithNpm();

const { runCli } = await import("./program.ts");
process.exitCode = await runCli(process.argv.slice(2));
