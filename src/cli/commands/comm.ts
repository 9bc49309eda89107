// `forge comm`: analyzes the communication between a run's ranks.
import { Command } from "commander";

import { analyze } from "./comm/analyze.ts";
import { readDumps } from "./comm/dumps.ts";
import { analysisLines } from "./comm/text.ts";

export function command(): Command {
  const comm = new Command("comm").addHelpText("after", "\nExample:\n" + example);
  comm
    .command("analyze")
    .description("which rank and which call differ, from the files that a flight recorder left")
    .argument("<folder>", "where the files are: comm_traces of a run's folder, or one of the folders in it")
    .option("--json", "print what was found as JSON")
    .addHelpText(
      "after",
      "\nWith comm.trace_buf_size above 0 each rank of a run remembers its last calls, and writes them down when one fails.\n" +
        "\nExample:\n" +
        example,
    )
    .action((folder: string, { json }: { json?: boolean }) => {
      const found = readDumps(folder);
      const analysis = analyze(found.dumps);
      console.log(
        json
          ? JSON.stringify({ folder: found.folder, ...analysis }, undefined, 2)
          : analysisLines(found.folder, analysis).join("\n"),
      );
    });
  return comm;
}

const example = "  $ npx torchforge comm analyze outputs/run/comm_traces";
