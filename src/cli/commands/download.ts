// `forge download`: downloads a repository of the hub into the Hugging Face cache or a folder.
import { Command } from "commander";

import { download, type DownloadProgress, missingModelFiles } from "../../hub/index.ts";
import { progressLine } from "../../setup/index.ts";
import { otherModelFormat, UserError } from "../../util/index.ts";

interface Options {
  readonly outputDir?: string;
  readonly hfToken?: string;
  readonly ignorePatterns?: string[];
  readonly revision?: string;
  readonly repoType: string;
}

export function command(): Command {
  return new Command("download")
    .argument("<repo>", "org/name on the hub (hf://org/name is the same)")
    .option("--output-dir <folder>", "put plain files there, and not into the Hugging Face cache")
    .option(
      "--hf-token <token>",
      "token for gated and private repositories (default: HF_TOKEN, or the stored one)",
    )
    .option(
      "--ignore-patterns <patterns...>",
      'files to leave out, for example "*.bin" "original/*"; "" for none (default: weights in other formats, where there are safetensors)',
    )
    .option("--revision <revision>", "branch, tag or commit", "main")
    .option("--repo-type <type>", "model or dataset", "model")
    .addHelpText(
      "after",
      "\nA download that was broken off goes on where it stopped. HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and\n" +
        "HF_HUB_OFFLINE are honoured, and so is a proxy in HTTPS_PROXY.\n" +
        "\nExample:\n  $ npx torchforge download HuggingFaceTB/SmolLM2-135M-Instruct --output-dir models/smollm2",
    )
    .action(async (repo: string, options: Options) => {
      const { repoType } = options;
      if (repoType !== "model" && repoType !== "dataset") {
        throw new UserError(`--repo-type: expected model or dataset, found ${repoType}`, { exitCode: 2 });
      }
      const line = progressLine();
      const started = performance.now();
      try {
        const result = await download(repo.replace(/^hf:\/\/(datasets\/|models\/)?/, ""), {
          repoType,
          outputDir: options.outputDir,
          token: options.hfToken,
          ignorePatterns: options.ignorePatterns?.filter((pattern) => pattern !== ""),
          revision: options.revision,
          onProgress: throttled((progress) => line.update(describe(progress, started))),
        });
        line.end();
        const bytes = result.files.reduce((sum, file) => sum + file.size, 0);
        const summary = result.fetchedFiles === 0 ? "all there already" : `${result.fetchedFiles} fetched`;
        console.log(`${result.folder}\n${result.files.length} files, ${megabytes(bytes)} (${summary})`);
        if (result.skipped.length > 0) {
          const skippedBytes = result.skipped.reduce((sum, file) => sum + file.size, 0);
          console.log(
            `${result.skipped.length} files left out, ${megabytes(skippedBytes)}; --ignore-patterns "" takes all`,
          );
        }
        const leftOut = new Set(result.skipped.map(({ path }) => path));
        const missing = missingModelFiles(result.folder).filter((name) => !leftOut.has(name));
        if (repoType === "model" && missing.length > 0)
          console.error(
            `note: it has no ${missing.join(", ")}, which a model needs to be trained or asked.${otherModelFormat(result.folder)}`,
          );
      } finally {
        line.end();
      }
    });
}

/** Limits reports to ten a second, since a fast network delivers thousands of chunks. */
function throttled(report: (progress: DownloadProgress) => void): (progress: DownloadProgress) => void {
  let last = 0;
  return (progress) => {
    const now = performance.now();
    if (now - last < 100 && progress.doneBytes < progress.totalBytes) return;
    last = now;
    report(progress);
  };
}

function describe(progress: DownloadProgress, started: number): string {
  const { doneBytes, totalBytes, doneFiles, totalFiles } = progress;
  const percent = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes);
  const seconds = Math.round((performance.now() - started) / 1000);
  return `Downloading ${seconds} s: ${percent} % of ${megabytes(totalBytes)}, ${doneFiles} of ${totalFiles} files`;
}

function megabytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
