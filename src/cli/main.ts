#!/usr/bin/env node
// The executable `torchforge` (and `forge`). Everything is in program.ts.
import { runCli } from "./program.ts";

// `forge … | head`: the reader has seen enough, which is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2));
