// Memory of a rank three ways, for the test and for bench:memory: measured in the real trainer, by `forge plan`'s formula,
// and measured in a simulated step; and what it sends. Random weights of a model of any size.
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { Config, type ConfigInput } from "../../src/config/index.ts";
import { readModelConfig } from "../../src/models/index.ts";
import { simulate, type Traffic } from "../../src/train/index.ts";
import { forecastRank } from "../../src/train/plan/forecast.ts";
import { launch } from "../comm/launch.ts";
import { root } from "../programs.ts";
import { writeTokenizer } from "../train/tiny.ts";
import type { Sent } from "./recorded.ts";

export interface Memory {
  readonly stateBytes: number;
  readonly peakBytes: number;
}
export interface Compared {
  readonly name: string;
  /** Of the first rank of each place in the pipeline. */
  readonly ranks: readonly {
    measured: Memory;
    simulated: Memory;
    forecastBytes: number;
    /** What the real step sent, and the simulated one. */
    sent: Sent;
    traffic: Sent;
  }[];
}

/** SmolLM2-135M's, with heads that two ranks can share. */
export const evenHeadSizes = {
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 72,
};

/** A folder with config.json and tokenizer; the run starts from random weights. */
export function makeModelFolder(folder: string, sizes: object): string {
  writeTokenizer(folder, "{% for m in messages %}{{ m.content }}{% endfor %}");
  const json = {
    model_type: "llama",
    vocab_size: 49152,
    max_position_embeddings: 4096,
    tie_word_embeddings: true,
    ...sizes,
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify(json));
  return folder;
}

function byKind(traffic: readonly Traffic[]): Sent {
  const found: Sent = {};
  for (const { kind, calls, sentBytes } of traffic) {
    if (kind === "receive") continue;
    const one = (found[kind] ??= { calls: 0, bytes: 0 });
    one.calls += calls;
    one.bytes += sentBytes;
  }
  return found;
}

/** @param settings beside model, data and folders */
export async function compareMemory(
  name: string,
  model: string,
  procs: number,
  settings: ConfigInput,
): Promise<Compared> {
  const file = join(model, `${name.replaceAll(/\W+/g, "-")}.yaml`);
  const input: ConfigInput = {
    ...settings,
    job: { dump_folder: join(model, "outputs"), name: "memory" },
    model: { hf_assets_path: model },
    processes: { procs },
    training: {
      datasets: [{ path: join(root, "data", "alpaca-python.jsonl") }],
      steps: 10,
      ...settings.training,
    },
    checkpoint: { enable: false, initial_load_in_hf: false },
  };
  writeFileSync(file, JSON.stringify(input));
  const config = Config.fromYaml(file);
  const started = await launch(join(import.meta.dirname, "ranks", "memory"), procs, {
    args: [file],
    limitSeconds: 600,
  });
  const ended = started.map(({ rank, code, signal, stderr }) => `rank ${rank}: ${code ?? signal} ${stderr}`);
  if (started.some(({ code }) => code !== 0)) throw new Error(`${name}: ${ended.join("\n")}`);
  const modelConfig = readModelConfig(model);
  const simulated = await simulate(config.spec, modelConfig);
  return {
    name,
    ranks: simulated.map((one) => ({
      measured: started[one.rank]!.notes.get("memory") as Memory,
      simulated: { stateBytes: one.stateBytes, peakBytes: one.peakBytes },
      forecastBytes: forecastRank(config.spec, modelConfig, one.stage).totalBytes,
      sent: started[one.rank]!.notes.get("sent") as Sent,
      traffic: byKind(one.traffic),
    })),
  };
}
