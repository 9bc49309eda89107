// The native addon: functions without arguments that read and write one shared buffer of doubles. It is loaded at the first
// operation, never at import. Only src/torch and src/comm use it.
import { isMainThread } from "node:worker_threads";

import { loadAddon } from "./load.ts";
import { raiseNative, type NativeFailure } from "../errors.ts";

type Call = () => NativeFailure | undefined;

/** The functions of native/core/addon.cc. Those of comm are in src/comm/native.ts. */
export interface Addon {
  buffer: ArrayBuffer;
  call: Call;
  op(name: string, overload: string, layout: string): NativeFailure | undefined;
  intern(text: string): NativeFailure | undefined;
  release: Call;
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
  gradFnName(): string | NativeFailure | undefined;
  seedAll: Call;
  generatorNew: Call;
  generatorDefault: Call;
  generatorSeed: Call;
  generatorGetState: Call;
  generatorSetState: Call;
  threads: Call;
  deterministic: Call;
  memory: Call;
  deviceSet: Call;
  synchronize: Call;
  exitWithin: Call;
}

/** Arguments and results. Undefined until the addon is loaded, so call `addon()` (or `begin`) first. */
export let f64: Float64Array;
/** The same memory, for 64-bit integers beyond 2^53. */
export let i64: BigInt64Array;
/** State that the addon reads. Slot 0: whether a scope is open. */
export let control: Float64Array;

// kBufferSlots and kControlSlots of native/core/env.h
const controlSlots = 8;

let loaded: Addon | undefined;
const onLoad: (() => void)[] = [];

export function addon(): Addon {
  return loaded ?? load();
}

/** Whether libtorch has been loaded into this process. */
export function isLoaded(): boolean {
  return loaded !== undefined;
}

/** Runs `action` as soon as the addon is loaded: for settings that must precede the first operation. */
export function whenLoaded(action: () => void): void {
  if (loaded) action();
  else onLoad.push(action);
}

function load(): Addon {
  const found = loadAddon() as Addon;
  const slots = found.buffer.byteLength / 8 - controlSlots;
  f64 = new Float64Array(found.buffer, 0, slots);
  i64 = new BigInt64Array(found.buffer, 0, slots);
  control = new Float64Array(found.buffer, slots * 8);
  loaded = found;
  if (isMainThread) process.on("exit", limitExit);
  for (const action of onLoad) action();
  return found;
}

/** Time limit of the process's exit, because Node's shutdown can hang (exitWithin in native/core/runtime.cc). */
const exitSeconds = 5;

function limitExit(code: number): void {
  f64[0] = code;
  f64[1] = exitSeconds;
  check(loaded!.exitWithin());
}

/** Throws the failure that a native function returned, if any. */
export function check(failure: NativeFailure | undefined): void {
  if (failure !== undefined) raiseNative(failure);
}
