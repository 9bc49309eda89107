// Reads a checkpoint back, bit for bit, into tensors that exist already. Strict, unlike the loading of foreign weights:
// names, shapes and dtypes must be the run's own, and every checksum must agree.
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
} from "../../safetensors/index.ts";
import { stateName, type OptimizerState } from "../../optim/index.ts";
import { wholeShape, type ShardSlice } from "../../nn/index.ts";
import type { Tensor } from "../../torch/index.ts";
import { UserError, type FolderSums } from "../../util/index.ts";
import { safetensorsDtype } from "../hf/dtypes.ts";
import { fill } from "../hf/load.ts";
import { sourceOfParts, type FilePlaces } from "../hf/joined.ts";
import { withoutAliases } from "../hf/save.ts";
import { sliceOfState } from "../state-slice.ts";
import {
  checksumKey,
  editedNote,
  optimizerName,
  partialNote,
  readManifest,
  sumsIn,
  type Manifest,
} from "../step/manifest.ts";
import { restoreRandom } from "../step/random.ts";

export interface LoadStepOptions {
  /** Which slices the tensors are, where the model is divided; without an entry one is whole. */
  readonly slices?: ReadonlyMap<string, ShardSlice> | undefined;
  /** Parameters that other ranks have and load, if not this one: the checkpoint may hold them. */
  readonly elsewhere?: readonly string[] | undefined;
  /** See LoadOptions. */
  readonly places?: FilePlaces | undefined;
}

const advice = "Choose an earlier checkpoint with checkpoint.load_step, or remove this one.";

export class StepCheckpoint {
  readonly path: string;
  readonly manifest: Manifest;
  readonly #sums: FolderSums | undefined;

  /** @throws UserError when the folder isn't a complete checkpoint of ours */
  constructor(path: string) {
    this.path = path;
    this.manifest = readManifest(path);
    this.#sums = sumsIn(this.manifest, advice);
  }

  get step(): number {
    return this.manifest.step;
  }

  /** A sentence on files beside the weights that aren't what was saved. */
  editedNote(): string | undefined {
    return editedNote(this.path, this.manifest);
  }

  /**
   * Fills the weights, or the slices of them that the tensors are. Of tensors that share memory the first is filled.
   * @throws UserError, see the file's head
   */
  loadModel(
    model: ReadonlyMap<string, Tensor>,
    { slices, elsewhere = [], places }: LoadStepOptions = {},
  ): void {
    const distinct = withoutAliases(model);
    this.#refusePartial([...distinct.keys(), ...elsewhere]);
    using file = openModelWeights(this.path, this.#sums);
    const source = sourceOfParts(file, places);
    this.#load("model", source, distinct, slices, new Set(elsewhere));
  }

  /** Fills the optimizer's state (`Optimizer.state()`; hand it to `loadState` afterwards). @throws UserError */
  loadOptimizer(state: readonly OptimizerState[], { slices, elsewhere = [] }: LoadStepOptions = {}): void {
    if (this.manifest.kind !== "full") {
      throw new UserError(
        `${this.path}: holds the weights alone (checkpoint.last_save_model_only), and can't be resumed from. Start a new run from it with checkpoint.initial_load_path.`,
      );
    }
    const single = join(this.path, optimizerName);
    using source = existsSync(single)
      ? openSafetensors(single, this.#sums)
      : openShardFiles(this.path, "optimizer", this.#sums);
    const parts = [...new Set(state.map(({ part }) => part))];
    const others = elsewhere.flatMap((parameter) => parts.map((part) => stateName({ parameter, part })));
    const targets = new Map(state.map((one) => [stateName(one), one.tensor]));
    this.#load("optimizer", source, targets, slices && slicesOfStates(state, slices), new Set(others));
  }

  /** Puts the random streams back where they were. */
  restoreRandom(): void {
    restoreRandom(this.manifest.random);
  }

  /** A part of a model is no start for all of it. */
  #refusePartial(wanted: readonly string[]): void {
    const { parameters } = this.manifest;
    if (parameters === undefined) return;
    const held = new Set(parameters);
    const missing = [...new Set(wanted)].filter((name) => !held.has(name));
    if (missing.length === 0) return;
    throw new UserError(
      `${this.path}: ${partialNote(parameters.length)}, and ${missing.length} of this run's are not among them:\n${listed(missing)}\nLoad these from the model that it was trained from, and from this checkpoint only what it holds.`,
    );
  }

  #load(
    group: "model" | "optimizer",
    source: TensorSource,
    targets: ReadonlyMap<string, Tensor>,
    slices: ReadonlyMap<string, ShardSlice> = new Map(),
    elsewhere: ReadonlySet<string> = new Set(),
  ): void {
    const problems = compare(source, targets, slices, elsewhere);
    if (problems.length > 0) {
      throw new UserError(
        `${this.path}: the ${group} in this checkpoint is not the one of this run. Resume with the configuration that it was saved with, or use another checkpoint.folder.\n${listed(problems)}`,
      );
    }
    for (const [name, target] of targets) {
      // With checksums of chunks all that is read is checked already, slices too.
      if (this.#sums !== undefined) {
        fill(source, name, source.info(name), target, slices.get(name));
        continue;
      }
      const checksums = new Checksums(this.path, group, source, name);
      fill(checksums, name, source.info(name), target, slices.get(name));
      for (const { key, length, file } of checksums.saved) {
        const found = checksums.of(key, length);
        const expected = this.manifest.checksums[key];
        if (found === undefined || found === expected) continue;
        throw new UserError(
          `${file}: damaged: tensor ${name} is not what was saved (checksum ${found}, expected ${expected}). ${advice}`,
        );
      }
    }
  }
}

/** The slices of optimizer states. */
function slicesOfStates(
  states: readonly OptimizerState[],
  slices: ReadonlyMap<string, ShardSlice>,
): Map<string, ShardSlice> {
  const found = new Map<string, ShardSlice>();
  for (const state of states) {
    const own = sliceOfState(state, slices.get(state.parameter));
    if (own !== undefined) found.set(stateName(state), own);
  }
  return found;
}

/** Lines of a message: the first few, and how many more there are. */
function listed(lines: readonly string[]): string {
  const more = lines.length > 8 ? [`and ${lines.length - 8} more`] : [];
  return [...lines.slice(0, 8), ...more].map((line) => `  ${line}`).join("\n");
}

/** Every difference in names, shapes and dtypes, in words. */
function compare(
  source: TensorSource,
  targets: ReadonlyMap<string, Tensor>,
  slices: ReadonlyMap<string, ShardSlice>,
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
    const whole = wholeShape(target.shape, slices.get(name));
    const expected = words(safetensorsDtype(target.dtype), whole);
    const found = words(info.dtype, info.shape);
    if (expected !== found) problems.push(`${name}: expected ${expected}, found ${found}`);
  }
  for (const name of source.names)
    if (!targets.has(name) && !elsewhere.has(name)) problems.push(`${name}: found, not expected`);
  return problems;
}

const isDivided = (source: TensorSource): source is ShardSource => "pieces" in source;

/** For version 1: reads a tensor and sums up what has a checksum of its own: the whole, or each slice that a rank saved. */
class Checksums implements Pick<TensorSource, "readInto"> {
  readonly saved: readonly { readonly key: string; readonly length: number; readonly file: string }[];
  readonly #source: TensorSource;
  readonly #keyOf: (piece: Piece) => string;
  /** What was read of each from its beginning on; `at` -1: not all, so that its sum can't be known. */
  readonly #read = new Map<string, { at: number; sum: number }>();

  constructor(folder: string, group: string, source: TensorSource, name: string) {
    this.#source = source;
    this.#keyOf = (piece) => checksumKey(group, name, piece);
    this.saved = isDivided(source)
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
    this.#see(this.saved[0]!.key, into, byteOffset);
  }

  #see(key: string, bytes: Uint8Array, at: number): void {
    const { at: done, sum } = this.#read.get(key) ?? { at: 0, sum: 0 };
    if (done < at) this.#read.set(key, { at: -1, sum: 0 });
    else if (done < at + bytes.length)
      this.#read.set(key, { at: at + bytes.length, sum: crc32(bytes.subarray(done - at), sum) });
  }

  /** Undefined where not all was read. */
  of(key: string, length: number): number | undefined {
    if (length === 0) return crc32("");
    const found = this.#read.get(key);
    return found?.at === length ? found.sum : undefined;
  }
}
