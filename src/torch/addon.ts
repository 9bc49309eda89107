// The native addon as TypeScript sees it: functions without arguments around one buffer of doubles. It is loaded at
// the first operation, never at import. Nothing outside src/torch and src/comm touches it.
import { loadAddon } from "./addon/load.ts";
import { raise, type NativeFailure } from "./errors.ts";

type Call = () => NativeFailure | undefined;

/** The functions of native/core/addon.cc; comm adds its own. */
export interface Addon {
  buffer: ArrayBuffer;
  call: Call;
  op(name: string, overload: string): NativeFailure | undefined;
  intern(text: string): NativeFailure | undefined;
  release: Call;
  pressure: Call;
  info(): string;
  schemas(): string[];
  from(data: ArrayBufferView, share: boolean): NativeFailure | undefined;
  copyBytes(data: Uint8Array, toTensor: boolean): NativeFailure | undefined;
  meta: Call;
  item: Call;
  bytes(): ArrayBuffer | NativeFailure;
  storageResize: Call;
  storageInfo: Call;
  backward: Call;
  grad: Call;
  gradientGet: Call;
  gradientSet: Call;
  requiresGradSet: Call;
  retainGrad: Call;
  gradModeSet: Call;
  inferenceModePush: Call;
  inferenceModePop: Call;
  version: Call;
  seedAll: Call;
  generatorNew: Call;
  generatorDefault: Call;
  generatorSeed: Call;
  generatorGetState: Call;
  generatorSetState: Call;
  threads: Call;
  deterministic: Call;
  memory: Call;
  synchronize: Call;
}

/** Arguments and results. Undefined until the addon is loaded: call `addon()` (or `begin`) first. */
export let f64: Float64Array;
/** The same memory, for 64-bit integers beyond 2^53. */
export let i64: BigInt64Array;

let loaded: Addon | undefined;
const onLoad: (() => void)[] = [];

export function addon(): Addon {
  return loaded ?? load();
}

/** Whether libtorch is in this process yet. */
export function isLoaded(): boolean {
  return loaded !== undefined;
}

/** Runs once the addon is there: for settings that must be applied before the first operation. */
export function whenLoaded(action: () => void): void {
  if (loaded) action();
  else onLoad.push(action);
}

function load(): Addon {
  const found = loadAddon() as Addon;
  f64 = new Float64Array(found.buffer);
  i64 = new BigInt64Array(found.buffer);
  loaded = found;
  for (const action of onLoad) action();
  return found;
}

/** Throws what a native function returned, if it failed. */
export function check(failure: NativeFailure | undefined): void {
  if (failure !== undefined) raise(failure);
}
