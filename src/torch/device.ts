// Devices: `cpu`, `cuda`, `cuda:1`, `meta`. All of libtorch's names are known, whatever this build supports.
import { ArgumentError } from "./errors.ts";

// c10::DeviceType
const codes = new Map([
  ...([
    ["cpu", 0],
    ["cuda", 1],
    ["xpu", 12],
    ["mps", 13],
    ["meta", 14],
    ["hpu", 15],
  ] as const),
  ...([
    ["mtia", 18],
    ["privateuse1", 20],
  ] as const),
] as [string, number][]);
const names = new Map([...codes].map(([name, code]) => [code, name]));

/** A device. Equal devices are the same object: compare with `===`. */
export class Device {
  /** `cpu`, `cuda`, `meta`, … */
  readonly type: string;
  /** Index among the devices of this type; undefined: the current device. */
  readonly index: number | undefined;
  /** c10::DeviceType. @internal */
  readonly code: number;

  constructor(type: string, index: number | undefined, code: number) {
    this.type = type;
    this.index = index;
    this.code = code;
  }
  toString(): string {
    return this.index === undefined ? this.type : `${this.type}:${this.index}`;
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `device(type='${this.type}'${this.index === undefined ? "" : `, index=${this.index}`})`;
  }
}

const cache = new Map<string, Device>();

/**
 * Parses a device's name, such as `cuda:1`.
 * @throws ArgumentError if it isn't a device's name
 *
 * @example
 * ```ts
 * import { device } from "torchforge/torch";
 *
 * console.log(device("cuda:1").type, device("cuda:1").index); // cuda 1
 * ```
 */
export function device(name: string | Device): Device {
  if (name instanceof Device) return name;
  const found = cache.get(name);
  if (found) return found;
  const match = /^([a-z0-9]+?)(?::(\d{1,2}))?$/.exec(String(name));
  const code = match ? codes.get(match[1]!) : undefined;
  if (!match || code === undefined) {
    throw new ArgumentError(
      `device: expected one of ${[...codes.keys()].join(", ")}, with an index like cuda:1 where there are several; found ${JSON.stringify(name)}`,
    );
  }
  const created = new Device(match[1]!, match[2] === undefined ? undefined : Number(match[2]), code);
  cache.set(name, created);
  return created;
}

export function deviceOfCode(code: number, index: number): Device {
  const name = names.get(code) ?? "privateuse1";
  return device(index < 0 ? name : `${name}:${index}`);
}
