// Reads a checkpoint back, bit for bit, into tensors that exist already. Strict, unlike the loading of foreign weights:
// names, shapes and dtypes must be the run's own, and every tensor's checksum must agree.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import {
  openModelWeights,
  openSafetensors,
  openShardFiles,
  type Piece,
  type SafetensorsDtype,
  type ShardSource,
  type TensorSource,
} from "../safetensors/index.ts";
import { stateName, type OptimizerState } from "../optim/index.ts";
import { wholeShape, type ShardSlice } from "../nn/index.ts";
import type { Tensor } from "../torch/index.ts";
import { UserError } from "../util/index.ts";
import { safetensorsDtype } from "./dtypes.ts";
import { fill } from "./hf-load.ts";
import { withoutAliases } from "./hf-save.ts";
import { checksumKey, optimizerName, readManifest, type Manifest } from "./manifest.ts";
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
   * @param elsewhere parameters of the model that other ranks have and load, if not this one
   * @throws UserError, see the file's head
   */
  loadModel(
    model: ReadonlyMap<string, Tensor>,
    rows?: ReadonlyMap<string, ShardSlice>,
    elsewhere: readonly string[] = [],
  ): void {
    using source = openModelWeights(this.path);
    this.#load("model", source, withoutAliases(model), rows, new Set(elsewhere));
  }

  /** Fills the optimizer's state (`Optimizer.state()`; hand it to `loadState` afterwards). @throws UserError */
  loadOptimizer(
    state: readonly OptimizerState[],
    rows?: ReadonlyMap<string, ShardSlice>,
    elsewhere: readonly string[] = [],
  ): void {
    if (this.manifest.kind !== "full") {
      throw new UserError(
        `${this.path}: holds the weights alone (checkpoint.last_save_model_only), and can't be resumed from. Start a new run from it with checkpoint.initial_load_path.`,
      );
    }
    const single = join(this.path, optimizerName);
    using source = existsSync(single) ? openSafetensors(single) : openShardFiles(this.path, "optimizer");
    const parts = [...new Set(state.map(({ part }) => part))];
    const others = elsewhere.flatMap((parameter) => parts.map((part) => stateName({ parameter, part })));
    const targets = new Map(state.map((one) => [stateName(one), one.tensor]));
    this.#load("optimizer", source, targets, rows && rowsOfStates(state, rows), new Set(others));
  }

  /** Puts the random streams back where they were. */
  restoreRandom(): void {
    restoreRandom(this.manifest.random);
  }

  #load(
    group: "model" | "optimizer",
    source: TensorSource,
    targets: ReadonlyMap<string, Tensor>,
    rows: ReadonlyMap<string, ShardSlice> = new Map(),
    elsewhere: ReadonlySet<string> = new Set(),
  ): void {
    const problems = compare(source, targets, rows, elsewhere);
    if (problems.length > 0) {
      const more = problems.length > 8 ? [`and ${problems.length - 8} more`] : [];
      throw new UserError(
        `${this.path}: the ${group} in this checkpoint is not the one of this run. Resume with the configuration that it was saved with, or use another checkpoint.folder.\n${[...problems.slice(0, 8), ...more].map((line) => `  ${line}`).join("\n")}`,
      );
    }
    for (const [name, target] of targets) {
      const checksums = new Checksums(this.path, group, source, name);
      fill(checksums, name, source.info(name), target, rows.get(name));
      for (const { key, length, file } of checksums.stretches) {
        const found = checksums.of(key, length);
        const expected = this.manifest.checksums[key];
        if (found === undefined || found === expected) continue;
        throw new UserError(
          `${file}: damaged: tensor ${name} is not what was saved (checksum ${found}, expected ${expected}). Choose an earlier checkpoint with checkpoint.load_step, or remove this one.`,
        );
      }
    }
  }
}

/** The rows of optimizer states: an elementwise one is divided as its parameter, any other is whole. */
export function rowsOfStates(
  states: readonly OptimizerState[],
  rows: ReadonlyMap<string, ShardSlice>,
): Map<string, ShardSlice> {
  const found = new Map<string, ShardSlice>();
  for (const state of states) {
    const own = state.isElementwise ? rows.get(state.parameter) : undefined;
    if (own !== undefined) found.set(stateName(state), own);
  }
  return found;
}

/** Every difference in names, shapes and dtypes, in words. */
function compare(
  source: TensorSource,
  targets: ReadonlyMap<string, Tensor>,
  rows: ReadonlyMap<string, ShardSlice>,
  elsewhere: ReadonlySet<string>,
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
    const whole = wholeShape(target.shape, rows.get(name));
    const expected = words(safetensorsDtype(target.dtype), whole);
    const found = words(info.dtype, info.shape);
    if (expected !== found) problems.push(`${name}: expected ${expected}, found ${found}`);
  }
  for (const name of source.names)
    if (!targets.has(name) && !elsewhere.has(name)) problems.push(`${name}: found, not expected`);
  return problems;
}

const isDivided = (source: TensorSource): source is ShardSource => "pieces" in source;

/** Reads a tensor and adds up the checksums of its stretches that have one: of the whole, or of each rank's part. */
class Checksums implements Pick<TensorSource, "readInto"> {
  readonly stretches: readonly { readonly key: string; readonly length: number; readonly file: string }[];
  readonly #source: TensorSource;
  readonly #keyOf: (piece: Piece) => string;
  /** What was read of each from its beginning on; `at` -1: not all, so that its sum can't be known. */
  readonly #read = new Map<string, { at: number; sum: number }>();

  constructor(folder: string, group: string, source: TensorSource, name: string) {
    this.#source = source;
    this.#keyOf = (piece) => checksumKey(group, name, piece);
    this.stretches = isDivided(source)
      ? source.pieces(name).map((piece) => ({
          key: this.#keyOf(piece),
          length: piece.bytes,
          file: join(folder, piece.file),
        }))
      : [
          {
            key: checksumKey(group, name),
            length: source.info(name).length,
            file: source.fileOf(name),
          },
        ];
  }

  readInto(name: string, into: Uint8Array, byteOffset = 0): void {
    if (isDivided(this.#source)) {
      this.#source.readInto(name, into, byteOffset, (piece, bytes, at) =>
        this.#see(this.#keyOf(piece), bytes, at),
      );
      return;
    }
    this.#source.readInto(name, into, byteOffset);
    this.#see(this.stretches[0]!.key, into, byteOffset);
  }

  #see(key: string, bytes: Uint8Array, at: number): void {
    const { at: done, sum } = this.#read.get(key) ?? { at: 0, sum: 0 };
    if (done < at) this.#read.set(key, { at: -1, sum: 0 });
    else if (done < at + bytes.length)
      this.#read.set(key, { at: at + bytes.length, sum: crc32(bytes.subarray(done - at), sum) });
  }

  /** Undefined for a stretch of which not all was read. */
  of(key: string, length: number): number | undefined {
    if (length === 0) return crc32("");
    const found = this.#read.get(key);
    return found?.at === length ? found.sum : undefined;
  }
}
