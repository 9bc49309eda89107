// Random numbers: libtorch's generators, so that a seed gives the numbers that PyTorch gives.
import { addon, check, f64 } from "./addon.ts";
import { TensorBase } from "./base.ts";
import { device, type Device } from "./device.ts";
import type { Tensor } from "./tensor.ts";
import { scalar } from "./wire.ts";

function begun(values: readonly number[]): void {
  addon();
  for (const [i, value] of values.entries()) f64[i] = value;
}

/** A stream of random numbers on one device, with its own state. */
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
    scalar(1, seed, "seed");
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

/** Seeds the default generators of all devices. */
export function manualSeed(seed: number | bigint): void {
  addon();
  scalar(0, seed, "seed");
  check(addon().seedAll());
}
/** State of the default CPU generator. */
export function getRngState(): Tensor {
  return defaultGenerator().getState();
}
export function setRngState(state: Tensor): void {
  defaultGenerator().setState(state);
}
