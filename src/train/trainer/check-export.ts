// The parity gate of a run's exported adapter: it is read again, put on the base that is in memory, and must compute what the
// model that was trained computes.
import { loadAdapter } from "../../checkpoint/index.ts";
import type { RunSpec } from "../../config/index.ts";
import type { Tokenizer } from "../../data/index.ts";
import { adaptersOf, Decoder, formatsOf, type ModelConfig } from "../../models/index.ts";
import { tiedNames, type BlockSpec } from "../../nn/index.ts";
import type { Ranks, Strategy } from "../../parallel/index.ts";
import { emptyLike, scope } from "../../torch/index.ts";
import { checkParity, logitsOfTexts } from "../parity.ts";

export interface ExportParts {
  readonly spec: RunSpec;
  readonly modelConfig: ModelConfig;
  readonly blocks: readonly BlockSpec[];
  readonly strategy: Strategy;
  readonly model: Decoder;
  readonly tokenizer: Tokenizer;
  readonly ranks: Ranks;
}

/**
 * Compares an exported adapter with the model in memory. Every rank calls it.
 * @returns a line for the user
 * @throws UserError where they differ by more than the type of the export explains
 */
export async function checkExport(folder: string, parts: ExportParts): Promise<string> {
  const { spec, modelConfig, blocks, strategy, model, tokenizer, ranks } = parts;
  const { region, relay, exchange } = strategy;
  if ([region, relay, exchange].some((one) => one !== undefined))
    return "parity      not compared: this rank has a part of each layer, or some of the layers; forge merge compares what it reads";
  strategy.gatherAll();
  try {
    return await ranks.fromRank0(() => {
      using _ = scope();
      const fresh = new Map(
        [...strategy.saved.keys()].map((name) => [name, emptyLike(strategy.full.get(name)!)]),
      );
      loadAdapter(folder, fresh, { tied: tiedNames(blocks) });
      const { device, dtype } = model;
      const reloaded = new Decoder(modelConfig, {
        dtype,
        device,
        parameters: new Map([...strategy.full, ...fresh]),
        adapters: adaptersOf(blocks),
        formats: formatsOf(blocks),
      });
      const [found, expected] = [reloaded, model].map((one) => logitsOfTexts(one, tokenizer));
      return checkParity(found!, expected!, spec.checkpoint.exportDtype, folder);
    });
  } finally {
    strategy.release();
  }
}
