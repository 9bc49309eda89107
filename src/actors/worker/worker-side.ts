// The worker's side of a process mesh: answers calls over Node's IPC channel, drives one actor, and never outlives its
// controller. The controller's side is worker-process.ts.
import { Worker } from "node:worker_threads";

import { Config } from "../../config/index.ts";
import { removeLeftovers } from "../../util/index.ts";
import { ActorRunner } from "./actor-runner.ts";
import { fromWire } from "../messages/errors.ts";
import { connect } from "../messages/ipc.ts";
import { Outbox } from "./outbox.ts";
import { orphanWatchProgram } from "../controller/programs.ts";
import type { ControllerFunctions, WorkerFunctions } from "../messages/protocol.ts";
import { runFolders } from "../controller/run-folders.ts";
import type { World } from "../world.ts";

/** Serves calls until the controller releases this process. */
export function serveWorker(world: World): void {
  const rankInfo = {
    rank: Number(process.env["RANK"]),
    localRank: Number(process.env["LOCAL_RANK"]),
    worldSize: Number(process.env["WORLD_SIZE"]),
  };
  // A thread of its own, because a long operation would keep this one from noticing that the channel is closed.
  const watch = new Worker(orphanWatchProgram, { workerData: process.ppid, execArgv: [] });
  watch.unref();
  /** Folders that may hold this process's unfinished files. */
  let folders: string[] = [];
  const runner = new ActorRunner(rankInfo, (message) => {
    if (message.type === "folder") {
      folders = runFolders(message.path, runner.config);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      watch.postMessage(folders);
    }
    outbox.push(message);
  });
  const outbox = new Outbox((messages) => void rpc.emit.asEvent(messages));
  process.on("exit", () => outbox.flush());
  let sending = Promise.resolve();

  const functions: WorkerFunctions = {
    load: (request) => runner.load(request),
    hostStore: () => world.hostStore(runner.config),
    async create(store) {
      const { localRank, worldSize: localWorldSize } = rankInfo;
      await world.checkDevice(runner.config, { localRank, localWorldSize, isLaunched: false });
      if (store !== undefined) await world.join(runner.config, store);
      runner.create();
    },
    async phase(name) {
      const result = await reportingFailure(runner.phase(name));
      return rankInfo.rank === 0 ? result : undefined; // only rank 0's result is used
    },
    configure: (config) => runner.configure(Config.fromTransfer(config)),
    read: (name) => runner.read(name),
    call: (name, args) => reportingFailure(runner.call(name, args)),
    stop: () => runner.stop(),
    leave: () => void leave(),
  };
  async function reportingFailure<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      await world.reportFailure(error);
      throw error;
    }
  }
  async function leave(): Promise<void> {
    try {
      await world.leave();
    } finally {
      await sending;
      // libtorch's threads would keep the process alive.
      process.exit();
    }
  }

  const rpc = connect<ControllerFunctions, WorkerFunctions>(
    functions,
    {
      // birpc doesn't await this; leave() does, so that everything is sent before the process exits.
      post: (data) => {
        outbox.flush(); // a reply must not overtake earlier messages
        const sent = new Promise<void>((resolve, reject) => {
          if (!process.connected) return resolve();
          process.send!(data, undefined, undefined, (error) => (error ? reject(error) : resolve()));
        });
        sending = Promise.allSettled([sending, sent]).then(() => undefined);
        return sent;
      },
      listen: (listener) => process.on("message", listener),
    },
    (wire) => fromWire(wire, rankInfo.rank),
  );

  // The terminal sends Ctrl-C, and that it was closed, to the whole process group; the controller decides what to do about it.
  for (const signal of ["SIGINT", "SIGHUP"] as const) process.on(signal, () => undefined);
  for (const signal of ["SIGTERM", "SIGUSR1"] as const) process.on(signal, () => runner.stop());
  process.on("disconnect", () => {
    for (const folder of folders) removeLeftovers(folder, process.pid);
    process.exit(1);
  });
}
