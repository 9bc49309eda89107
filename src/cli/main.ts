#!/usr/bin/env node
// The executable `torchforge` (and `forge`). Everything is in program.ts.
import { runCli } from "./program.ts";

process.exitCode = await runCli(process.argv.slice(2));
