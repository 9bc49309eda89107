// Random numbers from libtorch's generators, so that a seed gives the same numbers as in PyTorch.
import { addon, check, f64 } from "./addon/addon.ts";
import { TensorBase } from "./tensor/base.ts";
import { device, type Device } from "./device.ts";
import type { Tensor } from "./tensor/tensor.ts";
import { ArgumentError } from "./errors.ts";
import { describe } from "./describe.ts";
import { isTensor, scalar } from "./addon/wire.ts";

function writeArguments(values: readonly number[]): void {
  addon();
  for (const [i, value] of values.entries()) f64[i] = value;
}

/** Writes a 64-bit seed. */
function putSeed(p: number, seed: number | bigint, fn: string): void {
  if (typeof seed !== "bigint" && !Number.isSafeInteger(seed))
    throw new ArgumentError(`${fn}: argument 'seed': expected a whole number, found ${describe(seed)}`);
  scalar(p, BigInt.asIntN(64, BigInt(seed)), "seed");
}

/**
 * A random number generator on one device, with its own state.
 *
 * @example
 * ```ts
 * import { Generator, randn } from "torchforge/torch";
 *
 * const generator = new Generator("cpu").manualSeed(7);
 * const state = generator.getState();
 * const first = randn([2], { generator });
 * generator.setState(state); // the same numbers again
 * console.log(randn([2], { generator }).equal(first)); // true
 * ```
 */
export class Generator {
  /** Its id in the addon. @internal */
  readonly id: number;
  readonly device: Device;

  /** A new generator on `device`, seeded with libtorch's default seed. */
  constructor(on: Device | string = "cpu", id?: number) {
    this.device = device(on);
    if (id !== undefined) {
      this.id = id;
      return;
    }
    writeArguments([this.device.code, this.device.index ?? -1]);
    check(addon().generatorNew());
    this.id = f64[0]!;
  }

  /** Sets the seed. Returns itself. */
  manualSeed(seed: number | bigint): this {
    writeArguments([this.id]);
    putSeed(1, seed, "manualSeed");
    check(addon().generatorSeed());
    return this;
  }
  /** The state, a uint8 tensor, from which `setState` continues exactly. */
  getState(): Tensor {
    writeArguments([this.id]);
    check(addon().generatorGetState());
    return TensorBase.fromHandle(f64[0]!);
  }
  setState(state: Tensor): this {
    if (!isTensor(state))
      throw new ArgumentError(`setState: argument 'state': expected a Tensor, found ${describe(state)}`);
    writeArguments([this.id, state.handle]);
    check(addon().generatorSetState());
    return this;
  }
}

const defaultGenerators = new Map<string, Generator>();

/** The generator that operators on the device use by default. */
export function defaultGenerator(on: Device | string = "cpu"): Generator {
  const target = device(on);
  const existing = defaultGenerators.get(target.toString());
  if (existing) return existing;
  writeArguments([target.code, target.index ?? -1]);
  check(addon().generatorDefault());
  const generator = new Generator(target, f64[0]);
  defaultGenerators.set(target.toString(), generator);
  return generator;
}

/**
 * Seeds the default generators of all devices.
 *
 * @example
 * ```ts
 * import { manualSeed, randn } from "torchforge/torch";
 *
 * manualSeed(42);
 * console.log(randn([2]).tolist()); // what torch.manual_seed(42) gives in Python
 * ```
 */
export function manualSeed(seed: number | bigint): void {
  addon();
  putSeed(0, seed, "manualSeed");
  check(addon().seedAll());
}
/** The state of the default CPU generator. */
export function getRngState(): Tensor {
  return defaultGenerator().getState();
}
export function setRngState(state: Tensor): void {
  defaultGenerator().setState(state);
}
