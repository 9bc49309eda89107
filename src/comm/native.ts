// Types of the addon's functions for process groups (native/comm/register.cc). This file and operators.ts are the only ones
// in this folder that call libtorch.
import { checkNative, nativeAddon, type NativeFailure, raiseNative } from "../torch/index.ts";
import type { Failure } from "./errors.ts";

interface CommAddon {
  commStoreOpen(
    host: string,
    port: number,
    server: boolean,
    timeoutMs: number,
    prefix: string,
    local: boolean,
  ): Promise<number>;
  commStorePort(store: number): number;
  commStorePrefix(store: number, prefix: string): number;
  commStoreClose(store: number): Promise<void>;
  commStoreSet(store: number, key: string, value: string | Uint8Array): Promise<void>;
  commStoreGet(store: number, key: string, timeoutMs: number): Promise<Uint8Array>;
  commStoreAdd(store: number, key: string, amount: number): Promise<number>;
  commStoreCompareSet(
    store: number,
    key: string,
    expected: string | Uint8Array,
    desired: string | Uint8Array,
  ): Promise<Uint8Array>;
  commStoreWait(store: number, keys: readonly string[], timeoutMs: number): Promise<void>;
  commStoreCheck(store: number, keys: readonly string[]): Promise<boolean>;
  commStoreDelete(store: number, key: string): Promise<boolean>;
  commStoreNumKeys(store: number): Promise<number>;
  commHeartbeatStart(store: number, rank: number, worldSize: number): Promise<void>;
  commHeartbeatStop(): Promise<void>;
  commGroupCreate(
    store: number,
    name: string,
    backend: string,
    globalRank: number,
    ranks: readonly number[],
    timeoutMs: number,
    verify: boolean,
    device: number,
    initTimeoutMs: number,
  ): Promise<void>;
  commGroupSimulate(name: string, backend: string, globalRank: number, ranks: readonly number[]): void;
  commSimulatedCalls(): Uint8Array;
  commGroupDestroy(name: string): Promise<void>;
  commWorkWait(work: number): Failure | undefined;
  commWorkWaitAsync(work: number): Promise<Failure | undefined>;
  commWorkDone(work: number): boolean;
  commWorkRelease(work: number): void;
  commWorksLive(): number;
  commWorkWaited(): number;
  commGroupsTimeout(timeoutMs: number): void;
  commTraceStart(capacity: number, rank: number, worldSize: number): void;
  commTraceFolder(folder: string): void;
  commTraceSite(site: string): void;
  commTraceDump(reason: string, final: boolean): boolean;
}

/** The addon's functions. The first call loads libtorch. */
export function native(): CommAddon {
  return nativeAddon() as unknown as CommAddon;
}

function isNativeFailure(value: unknown): value is NativeFailure {
  return typeof value === "object" && value !== null && "operation" in value && "arguments" in value;
}

/** Returns the value of a synchronous native call, or throws the error that it returned. */
export function checked<T>(value: T): T {
  if (isNativeFailure(value)) checkNative(value);
  return value;
}

/** Awaits a native call on another thread; a rejection becomes a TorchError. */
export async function awaitNative<T>(promise: Promise<T>): Promise<T> {
  try {
    return await checked(promise);
  } catch (error) {
    if (isNativeFailure(error)) raiseNative(error);
    throw error;
  }
}
