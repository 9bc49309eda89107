// Adapters merged into the model that they adapt: in float32, added up, rounded once. Also how a model answers with an adapter:
// merged in memory, which costs nothing while it generates.
import { existsSync } from "node:fs";
import { join } from "node:path";

import { digestOfWeights, loadAdapter, StepCheckpoint } from "../checkpoint/index.ts";
import { adapterNames, adaptersOf, blockSpecs, tunedBlocks, type ModelConfig } from "../models/index.ts";
import { parametersOf, tiedNames, type AdapterSpec } from "../nn/index.ts";
import { empty, float32, noGrad, scope, type Tensor } from "../torch/index.ts";
import { expandHome } from "../util/index.ts";
import { adapterIn } from "./assembly/trained-blocks.ts";
import type { SavedRun } from "./trainer/saved-run.ts";

/** An adapter in memory, in float32. */
export interface LoadedAdapter {
  readonly adapters: readonly AdapterSpec[];
  /** By our names: the adapter's, and modules that were trained themselves. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** How much of it is merged. */
  readonly weight: number;
}

/**
 * Loads an adapter of a model, in the current scope.
 * @param key what named it, for messages
 * @throws UserError where it isn't one of this model
 */
export function openAdapter(path: string, model: ModelConfig, key: string, weight = 1): LoadedAdapter {
  const adapter = adapterIn(path, key);
  const blocks = tunedBlocks(blockSpecs(model), { trainable: [], adapter });
  const saved = [...parametersOf(blocks).values()].filter((spec) => spec.saved);
  const tensors = new Map(saved.map(({ name, shape }) => [name, empty(shape, { dtype: float32 })]));
  loadAdapter(expandHome(path), tensors, { tied: tiedNames(blocks) });
  return { adapters: [...adaptersOf(blocks).values()], tensors, weight };
}

/** A sentence where an adapter of ours was trained on other weights than these; undefined where it fits, or doesn't say. */
export function otherBaseNote(path: string, base: string): string | undefined {
  const folder = expandHome(path);
  if (!existsSync(join(folder, "state.json"))) return undefined;
  const saved = (new StepCheckpoint(folder).manifest.run as unknown as SavedRun | undefined)?.base;
  if (saved === undefined || saved.digest === digestOfWeights(base)) return undefined;
  return `${path}: was trained on the weights in ${saved.path}, and those in ${base} are others: what comes out is right only where the two differ in nothing but their type`;
}

/** Adds each adapter's part, times its weight, to the parameters of the model. */
export function mergeAdapters(
  parameters: ReadonlyMap<string, Tensor>,
  adapters: readonly LoadedAdapter[],
): void {
  const names = new Set(adapters.flatMap((one) => [...changedBy(one)]));
  noGrad(() => {
    for (const name of names) {
      using _ = scope();
      const own = parameters.get(name)!;
      const base = own.detach().to({ device: "cpu", dtype: float32 });
      const merged = adapters.reduce((sum, one) => {
        const after = withAdapter(name, base, one);
        return after === undefined ? sum : sum.add(after.sub(base), { alpha: one.weight });
      }, base);
      own.copy_(merged);
    }
  });
}

/** The parameters of the model that an adapter changes. */
function changedBy({ adapters, tensors }: LoadedAdapter): Set<string> {
  const own = new Set(adapters.flatMap(({ module }) => Object.values(adapterNames(module))));
  const themselves = [...tensors.keys()].filter((name) => !own.has(name));
  return new Set([...adapters.map(({ module }) => `${module}.weight`), ...themselves]);
}

/** A parameter as the adapter has it; undefined where it leaves it as it is. */
function withAdapter(name: string, base: Tensor, { adapters, tensors }: LoadedAdapter): Tensor | undefined {
  const found = adapters.find(({ module }) => name === `${module}.weight`);
  if (found === undefined) return tensors.get(name);
  const names = adapterNames(found.module);
  const sum = base.addmm(tensors.get(names.b)!, tensors.get(names.a)!, { alpha: found.scale });
  const magnitude = tensors.get(names.magnitude);
  if (magnitude === undefined) return sum;
  const norms = sum.square().sum([1]).sqrt();
  return sum.mul(magnitude.div(norms).unsqueeze(1));
}
