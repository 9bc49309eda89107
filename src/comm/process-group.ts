// Process groups: creating and destroying them. A group is a subset of the ranks that runs collectives. Creating one is
// itself collective: all members call it, and all wait for each other. The collectives are in collectives.ts.
import { localDevice } from "../torch/index.ts";
import { adoptLauncher, messageOf, UserError, type Environment } from "../util/index.ts";
import { startRecorder, stopRecorder, type RecorderOptions } from "./flight-recorder.ts";
import { readLaunchEnv } from "./launch-env.ts";
import { awaitNative, native, checked } from "./native.ts";
import { checkTimeout, milliseconds, Store } from "./store.ts";

/** `gloo` for CPU tensors; `nccl` adds NCCL for CUDA tensors. */
export type Backend = "gloo" | "nccl";

export class ProcessGroup {
  /** Identifies the group in errors and for libtorch's `_c10d_functional` operators. */
  readonly name: string;
  /** The members' global ranks. */
  readonly ranks: readonly number[];
  /** This process's rank in the group: its index in `ranks`. */
  readonly rank: number;
  /** This process's rank in the world group. */
  readonly globalRank: number;
  readonly backend: Backend;
  /** nccl: this process's CUDA device, or -1 if unknown. */
  readonly deviceIndex: number;
  #timeoutSeconds: number;

  /** @internal Use initProcessGroup or newGroup. */
  constructor(
    name: string,
    ranks: readonly number[],
    globalRank: number,
    timeoutSeconds: number,
    { backend, deviceIndex }: { backend: Backend; deviceIndex: number },
  ) {
    this.name = name;
    this.ranks = ranks;
    this.rank = ranks.indexOf(globalRank);
    this.globalRank = globalRank;
    this.#timeoutSeconds = timeoutSeconds;
    this.backend = backend;
    this.deviceIndex = deviceIndex;
  }

  /** How long a collective may wait for the other ranks. */
  get timeoutSeconds(): number {
    return this.#timeoutSeconds;
  }
  /** @internal See setCallTimeout. */
  set timeoutSeconds(seconds: number) {
    this.#timeoutSeconds = seconds;
  }

  /** The number of members. */
  get size(): number {
    return this.ranks.length;
  }

  /** A member's rank in the group. @throws UserError if the rank isn't a member */
  groupRankOf(globalRank: number): number {
    const rank = this.ranks.indexOf(globalRank);
    if (rank < 0) {
      throw new UserError(`rank ${globalRank} is not in ${describeGroup(this)}.`);
    }
    return rank;
  }

  toString(): string {
    return describeGroup(this);
  }
}

function describeGroup(group: ProcessGroup): string {
  return `group "${group.name}" (ranks ${group.ranks.join(", ")})`;
}

interface World {
  group: ProcessGroup;
  /** Undefined if the other ranks are simulated. */
  store: Store | undefined;
  /** Whether this module opened the store, and so must close it. */
  ownsStore: boolean;
  options: { verify: boolean; device: number; initTimeoutSeconds: number };
  groups: Map<string, ProcessGroup>;
  /** How many groups were created per key. Part of the name, so that members agree on it. */
  groupCounts: Map<string, number>;
}

let world: World | undefined;
let starting = false;

export interface InitOptions {
  /** Default `gloo`. */
  backend?: Backend;
  /** A store that all ranks are connected to; needs `rank` and `worldSize` too. Default: the store that `env` names. */
  store?: Store;
  rank?: number;
  worldSize?: number;
  /** RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and torchrun's variables. Default: process.env. */
  env?: Environment;
  /** How long a collective may wait for the other ranks. Default 300. */
  timeoutSeconds?: number;
  /** How long creating a group may wait for its members, since processes start at different times. Default 300. */
  initTimeoutSeconds?: number;
  /**
   * Compare operation, shape and dtype across ranks before every collective, and report a mismatch instead of hanging or
   * corrupting data. Slow. Default: whether TORCH_DISTRIBUTED_DEBUG is DETAIL, as in PyTorch.
   */
  verify?: boolean;
  /** Records each rank's latest calls, and dumps them when one fails: see flight-recorder.ts. */
  flightRecorder?: RecorderOptions;
  /** nccl: this process's CUDA device. Default: LOCAL_RANK; 0 where it sees one alone. */
  deviceIndex?: number;
}

/**
 * Joins the run as one rank, and returns the world group. Collective: resolves when all ranks are connected.
 * @throws UserError if the arguments or the environment are wrong, or the other ranks don't connect in time
 *
 * @example
 * ```ts no-run
 * import { allReduce, destroyProcessGroup, initProcessGroup } from "torchforge/comm";
 * import { ones } from "torchforge/torch";
 *
 * // Under torchrun, which sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
 * const { rank, size } = await initProcessGroup({ backend: "gloo" });
 * console.log(rank, size, allReduce(ones([1])).item());
 * await destroyProcessGroup();
 * ```
 */
export async function initProcessGroup(options: InitOptions = {}): Promise<ProcessGroup> {
  if (world !== undefined || starting) {
    throw new UserError(
      "initProcessGroup: this process has joined already; call destroyProcessGroup() first.",
    );
  }
  starting = true;
  try {
    return await join(options);
  } finally {
    starting = false;
  }
}

const deviceFor = (backend: string, localRank: string | undefined): number =>
  backend === "nccl" && localRank !== undefined ? localDevice(Number(localRank)) : Number(localRank ?? -1);

async function join(options: InitOptions): Promise<ProcessGroup> {
  if (options.env === undefined) adoptLauncher();
  const env = options.env ?? process.env;
  const backend = options.backend ?? "gloo";
  if (!["gloo", "nccl"].includes(backend)) {
    throw new UserError(`initProcessGroup: backend: expected "gloo" or "nccl", found "${String(backend)}".`, {
      exitCode: 2,
    });
  }
  const timeoutSeconds = checkTimeout("initProcessGroup: timeoutSeconds", options.timeoutSeconds ?? 300);
  const initTimeoutSeconds = checkTimeout(
    "initProcessGroup: initTimeoutSeconds",
    options.initTimeoutSeconds ?? 300,
  );
  const { store, rank, worldSize } = options.store
    ? checkStoreOptions(options.store, options)
    : await openLaunchStore(env, initTimeoutSeconds);
  const ownsStore = options.store === undefined;
  try {
    if (options.flightRecorder !== undefined)
      await startRecorder(store, rank, worldSize, options.flightRecorder);
    await awaitNative(native().commHeartbeatStart(store.id, rank, worldSize));
    const settings = {
      verify: options.verify ?? env["TORCH_DISTRIBUTED_DEBUG"] === "DETAIL",
      device: options.deviceIndex ?? deviceFor(backend, env["LOCAL_RANK"]),
      initTimeoutSeconds,
    };
    const ranks = Array.from({ length: worldSize }, (_, i) => i);
    const group = new ProcessGroup("world", ranks, rank, timeoutSeconds, {
      backend,
      deviceIndex: settings.device,
    });
    await createNative(store, group, settings);
    world = {
      group,
      store,
      ownsStore,
      options: settings,
      groups: new Map([[group.name, group]]),
      groupCounts: new Map(),
    };
    return group;
  } catch (error) {
    await awaitNative(native().commHeartbeatStop());
    stopRecorder();
    if (ownsStore) await store.close();
    throw error;
  }
}

/**
 * Makes this process one rank of a world whose other ranks don't exist. Every collective returns at once, leaves its output
 * as it was, and counts its bytes (`simulatedCalls`). For measuring one rank's step; values from other ranks are wrong.
 * @param backend the backend that is simulated
 */
export function simulateProcessGroup(options: {
  rank: number;
  worldSize: number;
  backend: Backend;
}): ProcessGroup {
  if (world !== undefined || starting)
    throw new UserError(
      "simulateProcessGroup: this process has joined already; call destroyProcessGroup() first.",
    );
  const { rank, worldSize, backend } = options;
  const ranks = Array.from({ length: worldSize }, (_, i) => i);
  const group = new ProcessGroup("world", ranks, rank, 300, { backend, deviceIndex: -1 });
  checked(native().commGroupSimulate(group.name, backend, rank, ranks));
  world = {
    group,
    store: undefined,
    ownsStore: false,
    options: { verify: false, device: -1, initTimeoutSeconds: 300 },
    groups: new Map([[group.name, group]]),
    groupCounts: new Map(),
  };
  return group;
}

/** Whether the other ranks are simulated. */
export function isSimulated(): boolean {
  return world !== undefined && world.store === undefined;
}

/** The collectives that a simulated rank called, per group and kind. */
export interface SimulatedCalls {
  readonly group: ProcessGroup;
  readonly kind: string;
  readonly calls: number;
  /** Bytes of this rank's inputs; for `all-to-all` what it sends to others, for `receive` what it receives. */
  readonly bytes: number;
  /** The part of `bytes` whose communication didn't overlap with computation. */
  readonly waitedBytes: number;
}

/** The calls since the last `simulatedCalls()`. */
export function simulatedCalls(): SimulatedCalls[] {
  const { groups } = requireWorld("simulatedCalls");
  const text = Buffer.from(checked(native().commSimulatedCalls())).toString();
  return (JSON.parse(text) as (Omit<SimulatedCalls, "group"> & { group: string })[]).map((one) => ({
    ...one,
    group: groups.get(one.group)!,
  }));
}

function checkStoreOptions(store: Store, options: InitOptions) {
  const { rank, worldSize } = options;
  if (rank === undefined || worldSize === undefined) {
    throw new UserError("initProcessGroup: with {store}, also pass rank and worldSize.", { exitCode: 2 });
  }
  if (
    !Number.isInteger(worldSize) ||
    worldSize < 1 ||
    !Number.isInteger(rank) ||
    rank < 0 ||
    rank >= worldSize
  ) {
    throw new UserError(
      `initProcessGroup: expected worldSize of 1 or more and rank between 0 and worldSize - 1, found rank ${rank} of ${worldSize}.`,
      { exitCode: 2 },
    );
  }
  return { store, rank, worldSize };
}

/** Connects to MASTER_ADDR:MASTER_PORT. Rank 0 hosts the store, unless the launcher does. */
async function openLaunchStore(env: Environment, timeoutSeconds: number) {
  const { rank, worldSize, localWorldSize, masterAddr, masterPort, agentStore, restartCount, secret } =
    readLaunchEnv(env);
  const isHost = rank === 0 && !agentStore;
  const store = await Store.open({
    host: masterAddr,
    port: masterPort,
    isMaster: isHost,
    isLocal: localWorldSize === worldSize,
    // torchrun's store is torchrun's: nobody has greeted there.
    ...(!agentStore && { secret }),
    // torchrun's store survives a restart of the workers, so each attempt needs its own keys.
    prefix: `torchforge/attempt_${restartCount}`,
    timeoutSeconds,
  });
  return { store, rank, worldSize };
}

async function createNative(store: Store, group: ProcessGroup, settings: World["options"]): Promise<void> {
  const { name, backend, globalRank, ranks, timeoutSeconds } = group;
  try {
    const timeout = milliseconds(timeoutSeconds);
    await awaitNative(
      native().commGroupCreate(
        store.id,
        name,
        backend,
        globalRank,
        ranks,
        timeout,
        settings.verify,
        settings.device,
        milliseconds(settings.initTimeoutSeconds),
      ),
    );
  } catch (error) {
    const message = messageOf(error);
    if (message.startsWith("the store at ")) {
      const [line] = message.split("\n");
      const what = `${describeGroup(group)} could not be made on rank ${globalRank}`;
      throw new UserError(`${what}: ${line}`, { cause: error });
    }
    throw new UserError(
      `${describeGroup(group)} could not be made on rank ${globalRank} within ${settings.initTimeoutSeconds} s. Check that every one of ` +
        "its ranks is running and makes the same groups in the same order; and on several machines, that they reach each " +
        `other (GLOO_SOCKET_IFNAME names the network interface). libtorch said: ${message}`,
      { cause: error },
    );
  }
}

function requireWorld(caller: string): World {
  if (world === undefined) {
    throw new UserError(
      `${caller}: this process has joined no others; call and await initProcessGroup() first.`,
    );
  }
  return world;
}

/** Whether this process is in a world group: after initProcessGroup, before destroyProcessGroup. */
export function isInitialized(): boolean {
  return world !== undefined;
}

/** The group of all ranks. @throws UserError before initProcessGroup */
export function worldGroup(): ProcessGroup {
  return requireWorld("worldGroup").group;
}

/** The run's store, usable for small messages; choose a prefix of your own. */
export function worldStore(): Store {
  const { store } = requireWorld("worldStore");
  if (store === undefined)
    throw new UserError("worldStore: the other ranks are simulated, so there is no store.");
  return store;
}

/**
 * Creates a group of some of the ranks, in the given order. Called by exactly its members (unlike PyTorch's new_group);
 * resolves when they are connected. Members of several groups must create them in the same order.
 * @throws UserError if a rank doesn't exist or is repeated, or this process isn't a member
 */
export async function newGroup(
  ranks: readonly number[],
  options: { timeoutSeconds?: number; backend?: Backend; description?: string } = {},
): Promise<ProcessGroup> {
  const current = requireWorld("newGroup");
  const { group, store } = current;
  for (const [i, rank] of ranks.entries()) {
    if (!Number.isInteger(rank) || rank < 0 || rank >= group.size) {
      throw new UserError(`newGroup: expected ranks between 0 and ${group.size - 1}, found ${rank}.`);
    }
    if (ranks.indexOf(rank) !== i) throw new UserError(`newGroup: rank ${rank} is there twice.`);
  }
  if (!ranks.includes(group.globalRank)) {
    throw new UserError(
      `newGroup: this process is rank ${group.globalRank}, which is not among the group's ranks ${ranks.join(", ")}; only members call newGroup.`,
    );
  }
  const timeoutSeconds = checkTimeout(
    "newGroup: timeoutSeconds",
    options.timeoutSeconds ?? group.timeoutSeconds,
  );
  const key = `${options.description ?? "ranks"} ${ranks.join(",")}`;
  const count = (current.groupCounts.get(key) ?? 0) + 1;
  current.groupCounts.set(key, count);
  const name = count === 1 ? key : `${key} (${count})`;
  const created = new ProcessGroup(name, [...ranks], group.globalRank, timeoutSeconds, {
    backend: options.backend ?? group.backend,
    deviceIndex: group.deviceIndex,
  });
  if (store === undefined)
    checked(native().commGroupSimulate(name, created.backend, group.globalRank, ranks));
  else await createNative(store, created, current.options);
  current.groups.set(name, created);
  return created;
}

/**
 * Sets the timeout of all existing and future groups. Not collective.
 * @throws UserError before initProcessGroup
 */
export function setCallTimeout(seconds: number): void {
  const { groups } = requireWorld("setCallTimeout");
  checked(native().commGroupsTimeout(milliseconds(checkTimeout("setCallTimeout: seconds", seconds))));
  for (const group of groups.values()) group.timeoutSeconds = seconds;
}

/**
 * Destroys a group; without an argument, all groups, after which this process has left the run. Not collective: it doesn't
 * wait for the others, so call `barrier` first if calls may be in flight. The host of the store should leave last.
 */
export async function destroyProcessGroup(group?: ProcessGroup): Promise<void> {
  const current = requireWorld("destroyProcessGroup");
  if (group !== undefined && group !== current.group) {
    if (!current.groups.delete(group.name))
      throw new UserError(`destroyProcessGroup: ${describeGroup(group)} was destroyed already.`);
    await awaitNative(native().commGroupDestroy(group.name));
    return;
  }
  world = undefined;
  for (const name of [...current.groups.keys()].reverse()) await awaitNative(native().commGroupDestroy(name));
  await awaitNative(native().commHeartbeatStop());
  stopRecorder();
  if (current.ownsStore) await current.store?.close();
}
