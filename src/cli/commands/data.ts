// `forge data preview | stats`: shows the training data as the model will see it, before a run. Loads the tokenizer, but neither
// weights nor libtorch.
import { writeFileSync } from "node:fs";

import { Command, InvalidArgumentError } from "commander";
import pc from "picocolors";

import type { Config } from "../../config/index.ts";
import {
  dataStats,
  firstBatches,
  formatNote,
  modelTokenizer,
  previewHtml,
  previewText,
  trainingData,
  type DataStats,
} from "../../data/index.ts";
import { UserError } from "../../util/index.ts";
import { configFrom, configOption, overridesArgument } from "../config-from.ts";

interface PreviewOptions {
  readonly config?: string;
  readonly batches: number;
  readonly html?: string;
}

interface StatsOptions {
  readonly config?: string;
  readonly json?: boolean;
}

export function command(): Command {
  const data = new Command("data").addHelpText(
    "after",
    "\nExamples:\n  $ npx torchforge data preview --config recipes/smollm2_135m.yaml --html batch.html\n" +
      "  $ npx torchforge data stats --config recipes/smollm2_135m.yaml training.seq_len=1024",
  );
  withConfig(data.command("preview"))
    .description("show the first batches of a run as the model gets them, trained tokens coloured")
    .option("--batches <n>", "how many batches", positive, 1)
    .option("--html <file>", "write a page with every id, label and document instead")
    .action(async (overrides: string[], options: PreviewOptions) => preview(options, overrides));
  withConfig(data.command("stats"))
    .description("what becomes of every row, lengths in tokens, how full sequences get")
    .option("--json", "as one JSON object")
    .action(async (overrides: string[], options: StatsOptions) => stats(options, overrides));
  return data;
}

const withConfig = (command: Command): Command =>
  command.option(...configOption).argument(...overridesArgument);

function positive(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError("expected a whole number from 1 on.");
  return n;
}

const onWarning = (message: string): void => console.error(`${pc.yellow("warning:")} ${message}`);

const configOf = (file: string | undefined, overrides: readonly string[]): Config =>
  configFrom(file, overrides, { allowUnsupported: true });

async function preview(options: PreviewOptions, overrides: readonly string[]): Promise<void> {
  const config = configOf(options.config, overrides);
  const { batches, tokenizer, placeOf } = await firstBatches(config.spec, options.batches, onWarning);
  if (options.html !== undefined) {
    const { length } = batches;
    const title = `The first ${length === 1 ? "batch" : `${length} batches`} of ${options.config ?? "the training data"}`;
    writeHtml(options.html, previewHtml(batches, tokenizer, { title, placeOf }));
    console.log(`Wrote ${options.html}: ${length} ${length === 1 ? "batch" : "batches"}.`);
    return;
  }
  const mark = pc.isColorSupported
    ? (text: string) => (text ? pc.green(pc.bold(text)) : "")
    : (text: string) => (text ? `«${text}»` : "");
  for (const batch of batches) console.log(previewText(batch, tokenizer, { mark, heading: pc.dim, placeOf }));
  console.log(pc.isColorSupported ? `${mark("Green")}: trained.` : "«…»: trained.");
}

function writeHtml(file: string, html: string): void {
  try {
    writeFileSync(file, html);
  } catch (error) {
    throw new UserError(`--html: ${file} can't be written`, { cause: error, exitCode: 2 });
  }
}

async function stats(options: StatsOptions, overrides: readonly string[]): Promise<void> {
  const config = configOf(options.config, overrides);
  const tokenizer = await modelTokenizer(config.model.hf_assets_path, config.model.chat_template);
  const { spec } = config;
  const loading = {
    ...trainingData(spec, tokenizer, { rank: 0, worldSize: spec.dataParallelSize }),
    onWarning,
  };
  const isLive = process.stderr.isTTY && options.json !== true;
  const found = await dataStats(loading, (done, rows) => {
    if (isLive) process.stderr.write(`\r${done} of ${rows} rows`);
  });
  if (isLive) process.stderr.write("\r\u001b[K");
  console.log(options.json === true ? JSON.stringify(asJson(found), null, 2) : statsText(found, config));
}

function asJson({ ledger, ...rest }: DataStats): Record<string, unknown> {
  const { rows, trained, truncated, dropped, bad, reasons } = ledger;
  return { rows, trained, truncated, dropped, bad, reasons, ...rest };
}

/** The ledger and the statistics as text. */
export function statsText(found: DataStats, config: Config): string {
  const { ledger, lengths } = found;
  const { seq_len, packed } = config.training;
  const count = (n: number): string => n.toLocaleString("en-US").padStart(12);
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const used = packed ? found.packed : found.padded;
  const perStep = config.spec.globalBatchSize;
  return [
    ...[...new Set(found.formats)].map((format) => `form      ${formatNote(format)}`),
    `rows      ${count(ledger.rows)}`,
    `trained   ${count(ledger.trained)}`,
    `truncated ${count(ledger.truncated)}`,
    `dropped   ${count(ledger.dropped)}`,
    `bad       ${count(ledger.bad)}`,
    ...ledger.lines.map((line) => `  ${line}`),
    "",
    `tokens of a row     min ${lengths.min}, median ${lengths.median}, mean ${lengths.mean.toFixed(1)}, 95 % ${lengths.p95}, max ${lengths.max}`,
    `tokens of an epoch  ${found.tokens.toLocaleString("en-US")}, of them trained ${found.trainedTokens.toLocaleString("en-US")} (${percent(found.tokens === 0 ? 0 : found.trainedTokens / found.tokens)})`,
    `packed              ${found.packed.sequences} sequences of ${seq_len}, ${percent(found.packed.efficiency)} of the positions hold tokens`,
    `not packed          ${found.padded.sequences} sequences, ${percent(found.padded.efficiency)} (batches of ${config.training.local_batch_size} padded to their longest)`,
    `an epoch is         ${Math.ceil(used.sequences / perStep)} steps of ${perStep} sequences${packed ? "" : " (training.packed is false)"}`,
  ].join("\n");
}
