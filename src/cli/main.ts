// What bin/torchforge.js runs: `torchforge` (and `forge`). Everything is in program.ts, loaded with compiled code from the cache, as
// are the processes that it starts: parsing torchforge/torch anew takes longer than anything else before a step.
import { enableCompileCache } from "node:module";
import { join } from "node:path";

import { cacheDir } from "../util/index.ts";

process.env["NODE_COMPILE_CACHE"] ??= join(cacheDir(), "compiled");
enableCompileCache?.(process.env["NODE_COMPILE_CACHE"]); // since Node 22.8

// `forge … | head`: the reader has seen enough, which is no error. Training isn't done for its reader alone: it goes on.
const trains = ["sft", "quickstart"].includes(process.argv[2] ?? "");
let told = false;
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") throw error;
    if (!trains) process.exit();
    if (!told)
      console.error(
        "note: nobody reads this output any more; training goes on, and the run's folder says how",
      );
    told = true;
  });
}

const { runCli } = await import("./program.ts");
process.exitCode = await runCli(process.argv.slice(2));
