// Process groups: making and ending them. A group is some ranks of the world that do collectives together. Making one is
// itself collective: its members all call, and all wait for each other. The calls are in collectives.ts.
import { messageOf, UserError } from "../util/index.ts";
import { startRecorder, stopRecorder, type RecorderOptions } from "./flight-recorder.ts";
import { readLaunchEnv } from "./launch-env.ts";
import { later, native, now } from "./native.ts";
import { checkTimeout, milliseconds, Store } from "./store.ts";

/** `gloo` for CPU tensors; `nccl` adds NCCL for CUDA tensors. */
export type Backend = "gloo" | "nccl";

export class ProcessGroup {
  /** Names the group in errors, and for libtorch's own `_c10d_functional` operators. */
  readonly name: string;
  /** The members, as ranks of the world. */
  readonly ranks: readonly number[];
  /** This process's place in `ranks`. */
  readonly rank: number;
  /** This process's rank in the world. */
  readonly globalRank: number;
  readonly backend: Backend;
  /** nccl: this process's CUDA device; -1 where nobody has named one. */
  readonly deviceIndex: number;
  #timeoutSeconds: number;

  /** @internal Made by initProcessGroup and newGroup. */
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

  /** How long a call may wait for the others. */
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

  /** A member's place in the group. @throws UserError for a rank that is no member. */
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
  /** Undefined where the others are simulated. */
  store: Store | undefined;
  /** Whether we opened the store, and so close it. */
  ownsStore: boolean;
  options: { verify: boolean; device: number; initTimeoutSeconds: number };
  groups: Map<string, ProcessGroup>;
  /** How many groups of these very ranks were made: part of the name, so that names agree among the members. */
  made: Map<string, number>;
}

let world: World | undefined;
let starting = false;

export interface InitOptions {
  /** Default `gloo`. */
  backend?: Backend;
  /** A store that all ranks are connected to, with `rank` and `worldSize`. Else `env` says where to meet. */
  store?: Store;
  rank?: number;
  worldSize?: number;
  /** RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and torchrun's variables. Default: process.env. */
  env?: NodeJS.ProcessEnv;
  /** How long a collective may wait for the others. Default 300. */
  timeoutSeconds?: number;
  /** How long making a group may wait for its members: processes start at different times. Default 300. */
  initTimeoutSeconds?: number;
  /**
   * Compare operation, shape and dtype among the ranks before every collective, and report a mismatch instead of
   * waiting or mixing data up. Slow. Default: whether TORCH_DISTRIBUTED_DEBUG is DETAIL, as in PyTorch.
   */
  verify?: boolean;
  /** Remember the last calls of every rank, and write them down when one fails: see flight-recorder.ts. */
  flightRecorder?: RecorderOptions;
  /** nccl: this process's CUDA device. Default: LOCAL_RANK. */
  deviceIndex?: number;
}

/**
 * Joins this process to the others as one rank and gives the group of all. Every rank calls it; it resolves when all are
 * connected.
 * @throws UserError when the arguments or the environment are wrong, or the others didn't come in time.
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

async function join(options: InitOptions): Promise<ProcessGroup> {
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
    ? givenPlace(options.store, options)
    : await meet(env, initTimeoutSeconds);
  const ownsStore = options.store === undefined;
  try {
    if (options.flightRecorder !== undefined)
      await startRecorder(store, rank, worldSize, options.flightRecorder);
    await later(native().commHeartbeatStart(store.id, rank, worldSize));
    const settings = {
      verify: options.verify ?? env["TORCH_DISTRIBUTED_DEBUG"] === "DETAIL",
      device: options.deviceIndex ?? Number(env["LOCAL_RANK"] ?? -1),
      initTimeoutSeconds,
    };
    const ranks = Array.from({ length: worldSize }, (_, i) => i);
    const group = new ProcessGroup("world", ranks, rank, timeoutSeconds, {
      backend,
      deviceIndex: settings.device,
    });
    await create(store, group, settings);
    world = {
      group,
      store,
      ownsStore,
      options: settings,
      groups: new Map([[group.name, group]]),
      made: new Map(),
    };
    return group;
  } catch (error) {
    await later(native().commHeartbeatStop());
    stopRecorder();
    if (ownsStore) await store.close();
    throw error;
  }
}

/**
 * Makes this process one rank of a world whose other ranks aren't there: every call is done at once and leaves what it should
 * fill as it was, and counts its bytes (`simulatedCalls`). For measuring one rank's step; whoever needs others' values gets
 * wrong ones.
 * @param backend what the groups stand for
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
  now(native().commGroupSimulate(group.name, backend, rank, ranks));
  world = {
    group,
    store: undefined,
    ownsStore: false,
    options: { verify: false, device: -1, initTimeoutSeconds: 300 },
    groups: new Map([[group.name, group]]),
    made: new Map(),
  };
  return group;
}

/** Whether the other ranks are simulated. */
export function isSimulated(): boolean {
  return world !== undefined && world.store === undefined;
}

/** What a simulated rank called, of one group and kind. */
export interface SimulatedCalls {
  readonly group: ProcessGroup;
  readonly kind: string;
  readonly calls: number;
  /** Of this rank's inputs: for `all-to-all` what others get of them; for `receive`, of what comes. */
  readonly bytes: number;
  /** Of those, what was waited for before anything else was computed. */
  readonly waitedBytes: number;
}

/** What was called since the last time it was asked. */
export function simulatedCalls(): SimulatedCalls[] {
  const { groups } = requireWorld("simulatedCalls");
  const text = Buffer.from(now(native().commSimulatedCalls())).toString();
  return (JSON.parse(text) as (Omit<SimulatedCalls, "group"> & { group: string })[]).map((one) => ({
    ...one,
    group: groups.get(one.group)!,
  }));
}

function givenPlace(store: Store, options: InitOptions) {
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

/** Meets at MASTER_ADDR:MASTER_PORT. Rank 0 hosts the store, unless the launcher does. */
async function meet(env: NodeJS.ProcessEnv, timeoutSeconds: number) {
  const { rank, worldSize, masterAddr, masterPort, agentStore, restartCount } = readLaunchEnv(env);
  const store = await Store.open({
    host: masterAddr,
    port: masterPort,
    isMaster: rank === 0 && !agentStore,
    // torchrun's store outlives the workers that it restarts.
    prefix: `torchforge/attempt_${restartCount}`,
    timeoutSeconds,
  });
  return { store, rank, worldSize };
}

async function create(store: Store, group: ProcessGroup, settings: World["options"]): Promise<void> {
  const { name, backend, globalRank, ranks, timeoutSeconds } = group;
  try {
    const timeout = milliseconds(timeoutSeconds);
    await later(
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
    const said = messageOf(error);
    if (said.startsWith("the store at ")) {
      const [line] = said.split("\n");
      const what = `${describeGroup(group)} could not be made on rank ${globalRank}`;
      throw new UserError(`${what}: ${line}`, { cause: error });
    }
    throw new UserError(
      `${describeGroup(group)} could not be made on rank ${globalRank} within ${settings.initTimeoutSeconds} s. Check that every one of ` +
        "its ranks is running and makes the same groups in the same order; and on several machines, that they reach each " +
        `other (GLOO_SOCKET_IFNAME names the network interface). libtorch said: ${said}`,
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

/** Whether initProcessGroup has resolved, and destroyProcessGroup hasn't been called since. */
export function isInitialized(): boolean {
  return world !== undefined;
}

/** The group of all ranks. @throws UserError before initProcessGroup. */
export function worldGroup(): ProcessGroup {
  return requireWorld("worldGroup").group;
}

/** The store that the run meets at, for small messages of one's own; choose a prefix. */
export function worldStore(): Store {
  const { store } = requireWorld("worldStore");
  if (store === undefined)
    throw new UserError("worldStore: the other ranks are simulated, so there is no store.");
  return store;
}

/**
 * Makes a group of some ranks of the world, in the order given. All its members call it, and only they; it resolves when
 * they are connected. Members of several groups make them in the same order.
 * @throws UserError for ranks outside the world, twice the same, or when this process isn't among them.
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
  const count = (current.made.get(key) ?? 0) + 1;
  current.made.set(key, count);
  const name = count === 1 ? key : `${key} (${count})`;
  const made = new ProcessGroup(name, [...ranks], group.globalRank, timeoutSeconds, {
    backend: options.backend ?? group.backend,
    deviceIndex: group.deviceIndex,
  });
  if (store === undefined) now(native().commGroupSimulate(name, made.backend, group.globalRank, ranks));
  else await create(store, made, current.options);
  current.groups.set(name, made);
  return made;
}

/**
 * How long calls of all groups that there are, and of those made later, may wait from now on. Not collective.
 * @throws UserError before initProcessGroup
 */
export function setCallTimeout(seconds: number): void {
  const { groups } = requireWorld("setCallTimeout");
  now(native().commGroupsTimeout(milliseconds(checkTimeout("setCallTimeout: seconds", seconds))));
  for (const group of groups.values()) group.timeoutSeconds = seconds;
}

/**
 * Ends a group, or with none given all of them and this process's membership. Not collective: it doesn't wait for the
 * others, so finish what is in flight first (`barrier`). The host of the store should go last.
 */
export async function destroyProcessGroup(group?: ProcessGroup): Promise<void> {
  const current = requireWorld("destroyProcessGroup");
  if (group !== undefined && group !== current.group) {
    if (!current.groups.delete(group.name))
      throw new UserError(`destroyProcessGroup: ${describeGroup(group)} was destroyed already.`);
    await later(native().commGroupDestroy(group.name));
    return;
  }
  world = undefined;
  for (const name of [...current.groups.keys()].reverse()) await later(native().commGroupDestroy(name));
  await later(native().commHeartbeatStop());
  stopRecorder();
  if (current.ownsStore) await current.store?.close();
}
