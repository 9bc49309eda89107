// `forge setup`: makes libtorch and the addon available, and prints what it found.
import { Command } from "commander";

import { progressLine, setup } from "../../setup/index.ts";

interface Options {
  readonly quiet?: boolean;
  readonly indexUrl?: string;
  readonly libtorch?: string;
}

export function command(): Command {
  return new Command("setup")
    .option("-q, --quiet", "say nothing when there is nothing to do")
    .option("--index-url <url>", "pip's package index for torch, when torch has to be installed")
    .option("--libtorch <folder>", "use this libtorch or torch (the same as TORCHFORGE_LIBTORCH)")
    .addHelpText(
      "after",
      "\nlibtorch is looked for in TORCHFORGE_LIBTORCH, then the torch of the active Python (VIRTUAL_ENV,\n" +
        "CONDA_PREFIX, python3), then torchforge's own cache (TORCHFORGE_CACHE). When there is none, torch is\n" +
        "installed there with pip. The addon is compiled once for each version of torch.\n" +
        "\nExample:\n  $ npx torchforge setup",
    )
    .action(async (options: Options) => {
      if (options.libtorch !== undefined) process.env["TORCHFORGE_LIBTORCH"] = options.libtorch;
      const progress = progressLine();
      try {
        const { libtorch, addon, changed } = await setup({
          indexUrl: options.indexUrl,
          onProgress: progress.update,
        });
        progress.end();
        if (changed || options.quiet !== true) {
          const build = libtorch.cuda ? "CUDA" : "CPU";
          console.log(`libtorch ${libtorch.version} (${build}, from ${libtorch.from}: ${libtorch.root})`);
          console.log(`addon    ${addon}`);
          if (options.libtorch !== undefined) {
            console.log(`To use it, set TORCHFORGE_LIBTORCH=${libtorch.root} where you train.`);
          }
        }
      } finally {
        progress.end();
      }
    });
}
