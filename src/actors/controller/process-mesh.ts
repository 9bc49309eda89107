// One worker process per rank, on this machine. Rank 0 opens the TCPStore on a port that the system chooses, and reports it,
// so that two runs never race for a port. A phase that fails on one rank ends on all.
import type { Config } from "../../config/index.ts";
import { UserError } from "../../util/index.ts";
import { attachErrors, appendToMessage } from "../messages/errors.ts";
import type { Mesh } from "./mesh.ts";
import type { LoadRequest, WorkerFunctions } from "../messages/protocol.ts";
import { WorkerProcess, type WorkerOptions } from "./worker-process.ts";

export interface ProcessMeshOptions extends Omit<
  WorkerOptions,
  "rank" | "worldSize" | "onMessage" | "onLine" | "logFile"
> {
  loadRequest: LoadRequest;
  worldSize: number;
  onMessage: (rank: number, ...args: Parameters<WorkerOptions["onMessage"]>) => void;
  onLine: (rank: number, ...args: Parameters<WorkerOptions["onLine"]>) => void;
  logFile: (rank: number) => string | undefined;
}

/** How long the other ranks may take to notice a failed rank and end their phase by themselves. */
const graceSeconds = 3;
/** Time limit of the cleanup after a failure. */
const cleanupSeconds = 30;

type Outcome = { rank: number; value: unknown } | { rank: number; error: Error };

export class ProcessMesh implements Mesh {
  readonly ranks: readonly number[];
  readonly #workers: readonly WorkerProcess[];
  readonly #loadRequest: LoadRequest;
  /** Workers whose phase hasn't ended, so that they can't be asked to clean up. */
  readonly #busy = new Set<WorkerProcess>();
  #created = false;

  constructor(options: ProcessMeshOptions) {
    this.#loadRequest = options.loadRequest;
    const { worldSize } = options;
    this.ranks = Array.from({ length: worldSize }, (_, rank) => rank);
    this.#workers = this.ranks.map(
      (rank) =>
        new WorkerProcess({
          rank,
          worldSize,
          onMessage: (message) => options.onMessage(rank, message),
          onLine: (stream, text) => options.onLine(rank, stream, text),
          logFile: () => options.logFile(rank),
          onLost: options.onLost,
        }),
    );
  }

  /** Process ids by rank. */
  get pids(): readonly (number | undefined)[] {
    return this.#workers.map(({ pid }) => pid);
  }

  async start(): Promise<void> {
    await this.#onAll((worker) => worker.call("load", this.#loadRequest));
    const storeAddress = this.#workers.length > 1 ? await this.#workers[0]!.call("hostStore") : undefined;
    await this.#onAll((worker) => worker.call("create", storeAddress));
    this.#created = true;
  }

  async phase(name: "setup" | "run" | "cleanup"): Promise<unknown> {
    return await this.#onAll((worker) => worker.call("phase", name));
  }

  async configure(config: Config): Promise<void> {
    const transfer = config.toTransfer();
    await this.#onAll((worker) => worker.call("configure", transfer));
  }

  read(rank: number, name: string): Promise<unknown> {
    return this.#one(rank, "read", name);
  }

  call(rank: number, name: string, args: readonly unknown[]): Promise<unknown> {
    return this.#one(rank, "call", name, [...args]);
  }

  stop(): void {
    for (const worker of this.#workers) worker.stop();
  }

  async abandon(): Promise<unknown[]> {
    const errors: unknown[] = [];
    await Promise.all(
      this.#workers.map(async (worker) => {
        if (this.#created && !worker.hasEnded && !this.#busy.has(worker)) {
          const cleaned = worker.call("phase", "cleanup").catch((error: unknown) => errors.push(error));
          await withTimeout(cleanupSeconds, cleaned);
        }
        await worker.end();
      }),
    );
    return errors;
  }

  async end(): Promise<void> {
    // Rank 0 last: it hosts the store that the others are connected to.
    await Promise.all(this.#workers.slice(1).map((worker) => worker.leave()));
    await this.#workers[0]!.leave();
  }

  async kill(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.end()));
  }

  async #one<K extends keyof WorkerFunctions>(
    rank: number,
    name: K,
    ...args: Parameters<WorkerFunctions[K]>
  ): Promise<unknown> {
    const worker = this.#workers[rank];
    if (worker === undefined) {
      throw new UserError(`rank: expected 0 to ${this.ranks.length - 1}, found ${rank}`);
    }
    return await worker.call(name, ...args);
  }

  /** Runs `work` on every rank. After the first failure, the others get a grace period and are then abandoned. */
  async #onAll(work: (worker: WorkerProcess) => Promise<unknown>): Promise<unknown> {
    const failures: Failure[] = [];
    const outcomes: Outcome[] = [];
    const { promise: failed, resolve: fail } = Promise.withResolvers<void>();
    const each = this.#workers.map(async (worker) => {
      this.#busy.add(worker);
      try {
        outcomes.push({ rank: worker.rank, value: await work(worker) });
      } catch (error) {
        failures.push({ worker, error: error as Error });
        fail();
      } finally {
        this.#busy.delete(worker);
      }
    });
    const all = Promise.all(each);
    await Promise.race([all, failed]);
    if (failures.length === 0) {
      const first = outcomes.find(({ rank }) => rank === 0)!;
      return "value" in first ? first.value : undefined;
    }
    await withTimeout(graceSeconds, all);
    // What the worker wrote before it threw is in its pipe now, and is read in the event loop's next turns.
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
    throw combineFailures(failures, [...this.#busy]);
  }
}

interface Failure {
  readonly worker: WorkerProcess;
  readonly error: Error;
}

/**
 * When a rank fails, the others lose their connection, and may report that before the rank reports its own error. So the
 * first error that isn't about communication is the cause, and equal errors of several ranks are reported once.
 * @param busy ranks whose phase did not end, and for which the others may have timed out
 */
function combineFailures(failures: readonly Failure[], busy: readonly WorkerProcess[]): Error {
  const { worker, error: cause } = failures.find(({ error }) => error.name !== "CommError") ?? failures[0]!;
  const withoutRank = (error: Error): string => error.message.replace(/^rank \d+: /, "");
  const others = failures
    .map(({ error }) => error)
    .filter((one) => one !== cause && one.name !== "CommError" && withoutRank(one) !== withoutRank(cause));
  if (cause.name === "CommError" && cause.message.includes("timed out")) {
    appendToMessage(
      cause,
      "\nThe limit is comm.train_timeout_seconds, up to the end of a first step comm.init_timeout_seconds; raise it for a rank that is only slow.",
    );
    for (const worker of busy)
      appendToMessage(
        cause,
        [
          `\nRank ${worker.rank} gave no answer: it hangs, is stopped, or is still computing; the others waited for it.`,
          ...worker.lastOutput,
        ].join("\n"),
      );
  } else if (!(cause instanceof UserError)) {
    appendToMessage(cause, worker.lastOutput.map((line) => `\n${line}`).join(""));
  }
  return attachErrors(cause, others);
}

/** Waits for `work`, but at most that many seconds. */
async function withTimeout(seconds: number, work: Promise<unknown>): Promise<void> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, seconds * 1000);
  await Promise.race([work, over]);
  clearTimeout(timer);
}
