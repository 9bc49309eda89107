// The key-value store through which the processes of a run find each other (c10d's TCPStore). One process hosts it, all
// connect to it. For small values such as addresses and names; no call blocks the event loop.
import { messageOf, UserError } from "../util/index.ts";
import { awaitNative, native, checked } from "./native.ts";

const defaultTimeoutSeconds = 300;
const greetingKey = "run";

export interface StoreOptions {
  /** The store's host. The hosting process listens on this address alone: with 127.0.0.1 no other machine can connect. */
  host: string;
  /** The hosting process may pass 0 for a free port, which is then in `store.port`. */
  port: number;
  /** Whether this process hosts the store. */
  isMaster?: boolean;
  /** Whether all processes are on this machine, so that a name of it means loopback. */
  isLocal?: boolean;
  /** Prefix of every key. */
  prefix?: string;
  /** What this run's processes alone know: part of every key. Who connects to a store of another run is told so. */
  secret?: string;
  /** For connecting, and the default of `get` and `wait`. Default 300. */
  timeoutSeconds?: number;
}

interface WaitOptions {
  timeoutSeconds?: number;
}

export class Store implements AsyncDisposable {
  readonly host: string;
  /** The actual port, even if 0 was passed. */
  readonly port: number;
  readonly timeoutSeconds: number;
  /** @internal */
  readonly id: number;

  private constructor(id: number, host: string, timeoutSeconds: number) {
    this.id = id;
    this.host = host;
    this.port = checked(native().commStorePort(id));
    this.timeoutSeconds = timeoutSeconds;
  }

  /**
   * Hosts a store, or connects to one.
   * @throws UserError if the port is taken, or nobody answers within the timeout
   */
  static async open(options: StoreOptions): Promise<Store> {
    const { host, port, isMaster = false, isLocal = false, secret = "" } = options;
    const prefix = [secret, options.prefix ?? ""].filter(Boolean).join("/");
    const timeoutSeconds = checkTimeout(
      "Store: timeoutSeconds",
      options.timeoutSeconds ?? defaultTimeoutSeconds,
    );
    if (!Number.isInteger(port) || port < 0 || port > 65_535 || (port === 0 && !isMaster)) {
      throw new UserError(
        `Store: expected a port between 1 and 65535${isMaster ? ", or 0 for any free one" : ""}, found ${port}.`,
        { exitCode: 2 },
      );
    }
    let store: Store;
    try {
      const id = await awaitNative(
        native().commStoreOpen(host, port, isMaster, milliseconds(timeoutSeconds), prefix, isLocal),
      );
      store = new Store(id, host, timeoutSeconds);
    } catch (error) {
      throw new UserError(
        isMaster
          ? `Store: can't listen on ${host}:${port}. Is the port taken? Port 0 takes any free one. libtorch said: ${messageOf(error)}`
          : `Store: nobody answered at ${host}:${port} within ${timeoutSeconds} s. Check that the process that hosts the store ` +
              `(rank 0, or the launcher) is running and that this machine can reach it. libtorch said: ${messageOf(error)}`,
        { cause: error },
      );
    }
    if (secret !== "") await store.#greet(isMaster);
    return store;
  }

  /** The first exchange: the store holds what only a process with this run's secret can have put there. */
  async #greet(isMaster: boolean): Promise<void> {
    if (isMaster) return await this.set(greetingKey, "");
    try {
      await this.get(greetingKey);
    } catch (error) {
      await this.close();
      throw new UserError(
        `Store at ${this.host}:${this.port}: expected the store of this run, found one without this run's secret within ` +
          `${this.timeoutSeconds} s. Another run has the port: choose another MASTER_PORT. Or its processes were given ` +
          "different values of TORCHFORGE_STORE_SECRET.",
        { cause: error },
      );
    }
  }

  /** A view of the same store with a longer prefix. */
  withPrefix(prefix: string): Store {
    return new Store(checked(native().commStorePrefix(this.id, prefix)), this.host, this.timeoutSeconds);
  }

  set(key: string, value: string | Uint8Array): Promise<void> {
    return awaitNative(native().commStoreSet(this.id, key, value));
  }

  /** Waits for the key and returns its value. @throws UserError if the key isn't set in time */
  async get(key: string, options: WaitOptions = {}): Promise<string> {
    return new TextDecoder().decode(await this.getBytes(key, options));
  }

  /** Like `get`, without decoding the bytes. */
  async getBytes(key: string, options: WaitOptions = {}): Promise<Uint8Array> {
    const seconds = checkTimeout("get: timeoutSeconds", options.timeoutSeconds ?? this.timeoutSeconds);
    return await this.#waiting(
      [key],
      seconds,
      awaitNative(native().commStoreGet(this.id, key, milliseconds(seconds))),
    );
  }

  /** Adds to a counter, which starts at 0, and returns the sum. */
  add(key: string, amount: number): Promise<number> {
    return awaitNative(native().commStoreAdd(this.id, key, amount));
  }

  /** Waits until all keys are set. @throws UserError if they aren't in time */
  async wait(keys: readonly string[], options: WaitOptions = {}): Promise<void> {
    const seconds = checkTimeout("wait: timeoutSeconds", options.timeoutSeconds ?? this.timeoutSeconds);
    await this.#waiting(
      keys,
      seconds,
      awaitNative(native().commStoreWait(this.id, keys, milliseconds(seconds))),
    );
  }

  /**
   * Sets the key to `desired` if it holds `expected`, or if it doesn't exist and `expected` is empty. Returns the value that
   * it then holds, or `expected` if it doesn't exist.
   */
  async compareSet(key: string, expected: string, desired: string): Promise<string> {
    return new TextDecoder().decode(
      await awaitNative(native().commStoreCompareSet(this.id, key, expected, desired)),
    );
  }

  /** Whether all keys exist. */
  check(keys: readonly string[]): Promise<boolean> {
    return awaitNative(native().commStoreCheck(this.id, keys));
  }

  /** Deletes a key; returns whether it existed. */
  deleteKey(key: string): Promise<boolean> {
    return awaitNative(native().commStoreDelete(this.id, key));
  }

  /** The number of keys in the store, under all prefixes and including c10d's own. */
  numKeys(): Promise<number> {
    return awaitNative(native().commStoreNumKeys(this.id));
  }

  /** Disconnects. If this process hosts the store, the store ends once its process groups are destroyed too. */
  close(): Promise<void> {
    return awaitNative(native().commStoreClose(this.id));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #waiting<T>(keys: readonly string[], seconds: number, call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      if (!/time-?out|timed out/i.test(messageOf(error))) throw error;
      throw new UserError(
        `Store at ${this.host}:${this.port}: ${keys.map((key) => `"${key}"`).join(", ")} ` +
          `${keys.length > 1 ? "were" : "was"} not set within ${seconds} s. Is the process that sets it running?`,
        { cause: error },
      );
    }
  }
}

/** @internal */
export function checkTimeout(name: string, seconds: number): number {
  if (!(seconds > 0 && seconds <= 30 * 24 * 3600)) {
    throw new UserError(`${name}: expected seconds above 0 (at most 30 days), found ${seconds}.`, {
      exitCode: 2,
    });
  }
  return seconds;
}

/** @internal */
export function milliseconds(seconds: number): number {
  return Math.max(1, Math.round(seconds * 1000));
}
