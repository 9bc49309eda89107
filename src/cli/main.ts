// The entry point of `torchforge` and `forge` (bin/torchforge.js). Turns on Node's compile cache, also for child processes, before
// it loads program.ts: parsing torchforge/torch takes longer than anything else before the first step.
import { enableCompileCache } from "node:module";
import { join } from "node:path";

import { cacheDir } from "../util/index.ts";

process.env["NODE_COMPILE_CACHE"] ??= join(cacheDir(), "compiled");
enableCompileCache?.(process.env["NODE_COMPILE_CACHE"]); // since Node 22.8

// A closed pipe, as in `forge … | head`, is no error: the command exits, but a training continues.
const trains = ["sft", "quickstart"].includes(process.argv[2] ?? "");
let hasReported = false;
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") throw error;
    if (!trains) process.exit();
    if (!hasReported)
      console.error(
        "note: nobody reads this output any more; training goes on, and the run's folder says how",
      );
    hasReported = true;
  });
}

const { runCli } = await import("./program.ts");
process.exitCode = await runCli(process.argv.slice(2));
