// Reads a checkpoint back, bit for bit, into tensors that exist already. Strict, unlike the loading of foreign weights:
// names, shapes and dtypes must be the run's own, and every tensor's checksum must agree.
import { crc32 } from "node:zlib";
import {
  openModelWeights,
  openSafetensors,
  type SafetensorsDtype,
  type TensorSource,
} from "../safetensors/index.ts";
import type { Tensor } from "../torch/index.ts";
import { UserError } from "../util/index.ts";
import { join } from "node:path";
import { safetensorsDtype } from "./dtypes.ts";
import { fill } from "./hf-load.ts";
import { withoutAliases } from "./hf-save.ts";
import { optimizerName, readManifest, type Manifest } from "./manifest.ts";
import { restoreRandom } from "./random.ts";

export class StepCheckpoint {
  readonly path: string;
  readonly manifest: Manifest;

  /** @throws UserError when the folder isn't a complete checkpoint of ours */
  constructor(path: string) {
    this.path = path;
    this.manifest = readManifest(path);
  }

  get step(): number {
    return this.manifest.step;
  }

  /** Fills the weights. Of tensors that share memory the first is filled. @throws UserError, see the file's head */
  loadModel(model: ReadonlyMap<string, Tensor>): void {
    using source = openModelWeights(this.path);
    this.#load("model", source, withoutAliases(model));
  }

  /** Fills the optimizer's state (`AdamW.state()`; hand it to `loadState` afterwards). @throws UserError */
  loadOptimizer(state: ReadonlyMap<string, Tensor>): void {
    if (this.manifest.kind !== "full") {
      throw new UserError(
        `${this.path}: holds the weights alone (checkpoint.last_save_model_only), and can't be resumed from. Start a new run from it with checkpoint.initial_load_path.`,
      );
    }
    using source = openSafetensors(join(this.path, optimizerName));
    this.#load("optimizer", source, state);
  }

  /** Puts the random streams back where they were. */
  restoreRandom(): void {
    restoreRandom(this.manifest.random);
  }

  #load(group: "model" | "optimizer", source: TensorSource, targets: ReadonlyMap<string, Tensor>): void {
    const problems = compare(source, targets);
    if (problems.length > 0) {
      const more = problems.length > 8 ? [`and ${problems.length - 8} more`] : [];
      throw new UserError(
        `${this.path}: the ${group} in this checkpoint is not the one of this run. Resume with the configuration that it was saved with, or use another checkpoint.folder.\n${[...problems.slice(0, 8), ...more].map((line) => `  ${line}`).join("\n")}`,
      );
    }
    for (const [name, target] of targets) {
      const checked = new CheckedSource(source);
      fill(checked, name, source.info(name), target, undefined);
      const expected = this.manifest.checksums[`${group}/${name}`];
      if (checked.checksum !== expected) {
        throw new UserError(
          `${source.fileOf(name)}: damaged: tensor ${name} is not what was saved (checksum ${checked.checksum}, expected ${expected}). Choose an earlier checkpoint with checkpoint.load_step, or remove this one.`,
        );
      }
    }
  }
}

/** Every difference in names, shapes and dtypes, in words. */
function compare(source: TensorSource, targets: ReadonlyMap<string, Tensor>): string[] {
  const problems: string[] = [];
  const words = (dtype: SafetensorsDtype, shape: readonly number[]): string =>
    `${dtype} [${shape.join(", ")}]`;
  for (const [name, target] of targets) {
    if (!source.has(name)) {
      problems.push(`${name}: expected, not found`);
      continue;
    }
    const info = source.info(name);
    const expected = words(safetensorsDtype(target.dtype), target.shape);
    const found = words(info.dtype, info.shape);
    if (expected !== found) problems.push(`${name}: expected ${expected}, found ${found}`);
  }
  for (const name of source.names) if (!targets.has(name)) problems.push(`${name}: found, not expected`);
  return problems;
}

/** A source that adds up the checksum of what is read, which must be one tensor in order. */
class CheckedSource implements Pick<TensorSource, "readInto"> {
  checksum = 0;
  readonly #source: TensorSource;
  constructor(source: TensorSource) {
    this.#source = source;
  }
  readInto(name: string, into: Uint8Array, byteOffset?: number): void {
    this.#source.readInto(name, into, byteOffset);
    this.checksum = crc32(into, this.checksum);
  }
}
