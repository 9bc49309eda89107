// Reads a checkpoint back, bit for bit, into tensors that exist already. Strict, unlike the loading of foreign weights:
// names, shapes and dtypes must be the run's own, and every tensor's checksum must agree.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import {
  openModelWeights,
  openSafetensors,
  openShardFiles,
  type SafetensorsDtype,
  type ShardSource,
  type TensorSource,
} from "../safetensors/index.ts";
import type { Rows } from "../parallel/index.ts";
import type { Tensor } from "../torch/index.ts";
import { UserError } from "../util/index.ts";
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

  /**
   * Fills the weights, or the `rows` of them that the tensors hold. Of tensors that share memory the first is filled.
   * @throws UserError, see the file's head
   */
  loadModel(model: ReadonlyMap<string, Tensor>, rows?: ReadonlyMap<string, Rows>): void {
    using source = openModelWeights(this.path);
    this.#load("model", source, withoutAliases(model), rows);
  }

  /** Fills the optimizer's state (`AdamW.state()`; hand it to `loadState` afterwards). @throws UserError */
  loadOptimizer(state: ReadonlyMap<string, Tensor>, rows?: ReadonlyMap<string, Rows>): void {
    if (this.manifest.kind !== "full") {
      throw new UserError(
        `${this.path}: holds the weights alone (checkpoint.last_save_model_only), and can't be resumed from. Start a new run from it with checkpoint.initial_load_path.`,
      );
    }
    const single = join(this.path, optimizerName);
    using source = existsSync(single) ? openSafetensors(single) : openShardFiles(this.path, "optimizer");
    this.#load("optimizer", source, state, rows && rowsOfMoments(state.keys(), rows));
  }

  /** Puts the random streams back where they were. */
  restoreRandom(): void {
    restoreRandom(this.manifest.random);
  }

  #load(
    group: "model" | "optimizer",
    source: TensorSource,
    targets: ReadonlyMap<string, Tensor>,
    rows: ReadonlyMap<string, Rows> = new Map(),
  ): void {
    const problems = compare(source, targets, rows);
    if (problems.length > 0) {
      const more = problems.length > 8 ? [`and ${problems.length - 8} more`] : [];
      throw new UserError(
        `${this.path}: the ${group} in this checkpoint is not the one of this run. Resume with the configuration that it was saved with, or use another checkpoint.folder.\n${[...problems.slice(0, 8), ...more].map((line) => `  ${line}`).join("\n")}`,
      );
    }
    for (const [name, target] of targets) {
      const summed = this.#summed(group, source, name);
      const checked = new CheckedSource(
        source,
        summed.flatMap(({ begin, end }) => [begin, end]),
      );
      fill(checked, name, source.info(name), target, rows.get(name));
      for (const { key, begin, end } of summed) {
        const found = checked.checksum(begin, end);
        const expected = this.manifest.checksums[key];
        if (found === undefined || found === expected) continue;
        throw new UserError(
          `${source.fileOf(name)}: damaged: tensor ${name} is not what was saved (checksum ${found}, expected ${expected}). Choose an earlier checkpoint with checkpoint.load_step, or remove this one.`,
        );
      }
    }
  }

  /** The stretches of a tensor's bytes that have a checksum. */
  #summed(group: string, source: TensorSource, name: string): { key: string; begin: number; end: number }[] {
    const { length, shape } = source.info(name);
    if (!("pieces" in source)) return [{ key: `${group}/${name}`, begin: 0, end: length }];
    const perRow = length / (shape[0] ?? 1);
    return (source as ShardSource).pieces(name).map((piece) => ({
      key: `${group}/${name}@${piece.start}`,
      begin: piece.start * perRow,
      end: (piece.start + piece.length) * perRow,
    }));
  }
}

/** A moment is divided as its parameter; a count of steps is whole. */
export function rowsOfMoments(names: Iterable<string>, rows: ReadonlyMap<string, Rows>): Map<string, Rows> {
  const found = new Map<string, Rows>();
  for (const name of names) {
    const own = name.endsWith(".step") ? undefined : rows.get(name.replace(/\.exp_avg(_sq)?$/, ""));
    if (own !== undefined) found.set(name, own);
  }
  return found;
}

/** Every difference in names, shapes and dtypes, in words. */
function compare(
  source: TensorSource,
  targets: ReadonlyMap<string, Tensor>,
  rows: ReadonlyMap<string, Rows>,
): string[] {
  const problems: string[] = [];
  const words = (dtype: SafetensorsDtype, shape: readonly number[]): string =>
    `${dtype} [${shape.join(", ")}]`;
  for (const [name, target] of targets) {
    if (!source.has(name)) {
      problems.push(`${name}: expected, not found`);
      continue;
    }
    const info = source.info(name);
    const { shape } = target;
    const whole = rows.has(name) ? [rows.get(name)!.of, ...shape.slice(1)] : shape;
    const expected = words(safetensorsDtype(target.dtype), whole);
    const found = words(info.dtype, info.shape);
    if (expected !== found) problems.push(`${name}: expected ${expected}, found ${found}`);
  }
  for (const name of source.names) if (!targets.has(name)) problems.push(`${name}: found, not expected`);
  return problems;
}

/** A source that remembers what is read of a tensor, in order, for its checksums. */
class CheckedSource implements Pick<TensorSource, "readInto"> {
  readonly #source: TensorSource;
  readonly #cuts: number[];
  /** Checksums of stretches that were read from beginning to end. */
  readonly #sums = new Map<string, number>();
  #open: { begin: number; at: number; sum: number } | undefined;

  /** @param cuts where stretches with checksums begin and end */
  constructor(source: TensorSource, cuts: readonly number[]) {
    this.#source = source;
    this.#cuts = [...new Set(cuts)].sort((a, b) => a - b);
  }

  readInto(name: string, into: Uint8Array, byteOffset = 0): void {
    this.#source.readInto(name, into, byteOffset);
    for (let done = 0; done < into.length;) {
      const at = byteOffset + done;
      const cut = this.#cuts.find((one) => one > at) ?? Infinity;
      const some = into.subarray(done, Math.min(into.length, cut - byteOffset));
      if (this.#open?.at !== at || this.#cuts.includes(at)) this.#open = { begin: at, at, sum: 0 };
      this.#open = { begin: this.#open.begin, at: at + some.length, sum: crc32(some, this.#open.sum) };
      if (this.#open.at === cut) this.#sums.set(`${this.#open.begin}-${cut}`, this.#open.sum);
      done += some.length;
    }
  }

  /** Undefined for a stretch of which not all was read: its sum can't be known. */
  checksum(begin: number, end: number): number | undefined {
    return begin === end ? crc32("") : this.#sums.get(`${begin}-${end}`);
  }
}
