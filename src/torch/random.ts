// Random numbers: libtorch's generators, so that a seed gives the numbers that PyTorch gives.
import { addon, check, f64 } from "./addon/addon.ts";
import { TensorBase } from "./tensor/base.ts";
import { device, type Device } from "./device.ts";
import type { Tensor } from "./tensor/tensor.ts";
import { ArgumentError } from "./errors.ts";
import { describe } from "./describe.ts";
import { isTensor, scalar } from "./addon/wire.ts";

function begun(values: readonly number[]): void {
  addon();
  for (const [i, value] of values.entries()) f64[i] = value;
}

/** Writes a seed: any 64 bits. */
function putSeed(p: number, seed: number | bigint, fn: string): void {
  if (typeof seed !== "bigint" && !Number.isSafeInteger(seed))
    throw new ArgumentError(`${fn}: argument 'seed': expected a whole number, found ${describe(seed)}`);
  scalar(p, BigInt.asIntN(64, BigInt(seed)), "seed");
}

/**
 * A stream of random numbers on one device, with its own state.
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
  /** Its number in the addon. @internal */
  readonly id: number;
  readonly device: Device;

  /** A new generator on `device`, seeded with libtorch's default seed. */
  constructor(on: Device | string = "cpu", id?: number) {
    this.device = device(on);
    if (id !== undefined) {
      this.id = id;
      return;
    }
    begun([this.device.code, this.device.index ?? -1]);
    check(addon().generatorNew());
    this.id = f64[0]!;
  }

  /** Restarts the stream from a seed. Returns itself. */
  manualSeed(seed: number | bigint): this {
    begun([this.id]);
    putSeed(1, seed, "manualSeed");
    check(addon().generatorSeed());
    return this;
  }
  /** The whole state, a uint8 tensor: with `setState` the stream goes on exactly where it was. */
  getState(): Tensor {
    begun([this.id]);
    check(addon().generatorGetState());
    return TensorBase.fromHandle(f64[0]!);
  }
  setState(state: Tensor): this {
    if (!isTensor(state))
      throw new ArgumentError(`setState: argument 'state': expected a Tensor, found ${describe(state)}`);
    begun([this.id, state.handle]);
    check(addon().generatorSetState());
    return this;
  }
}

const defaults = new Map<string, Generator>();

/** The generator that operators on `on` use when none is given. */
export function defaultGenerator(on: Device | string = "cpu"): Generator {
  const where = device(on);
  const known = defaults.get(where.toString());
  if (known) return known;
  begun([where.code, where.index ?? -1]);
  check(addon().generatorDefault());
  const made = new Generator(where, f64[0]);
  defaults.set(where.toString(), made);
  return made;
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
/** State of the default CPU generator. */
export function getRngState(): Tensor {
  return defaultGenerator().getState();
}
export function setRngState(state: Tensor): void {
  defaultGenerator().setState(state);
}
