// The worker's side of a process mesh: takes calls over Node's IPC channel, drives one actor, and never outlives its
// controller. The other side is worker-process.ts.
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

/** Serves as a worker until the controller lets it go. */
export function serveWorker(world: World): void {
  const place = {
    rank: Number(process.env["RANK"]),
    localRank: Number(process.env["LOCAL_RANK"]),
    worldSize: Number(process.env["WORLD_SIZE"]),
  };
  // A long operation keeps this thread from hearing that the channel is closed.
  const watch = new Worker(orphanWatchProgram, { workerData: process.ppid, execArgv: [] });
  watch.unref();
  /** Where this process may be writing. */
  let folders: string[] = [];
  const runner = new ActorRunner(place, (message) => {
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
    load: (order) => runner.load(order),
    host: () => world.host(runner.config),
    async create(meeting) {
      await world.checkDevice(runner.config, place.localRank, Number(process.env["LOCAL_WORLD_SIZE"]));
      if (meeting !== undefined) await world.join(runner.config, meeting);
      runner.create();
    },
    async phase(name) {
      const result = await telling(runner.phase(name));
      return place.rank === 0 ? result : undefined; // the others' are nobody's
    },
    configure: (config) => runner.configure(Config.create(config, { allowUnsupported: true })),
    read: (name) => runner.read(name),
    call: (name, args) => telling(runner.call(name, args)),
    stop: () => runner.stop(),
    leave: () => void leave(),
  };
  async function telling<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      await world.failed(error);
      throw error;
    }
  }
  async function leave(): Promise<void> {
    try {
      await world.leave();
    } finally {
      await sending;
      // Threads of libtorch would keep the process.
      process.exit();
    }
  }

  const rpc = connect<ControllerFunctions, WorkerFunctions>(
    functions,
    {
      // Not awaited by birpc's calls: what matters is that all is sent before the process ends.
      post: (data) => {
        outbox.flush(); // an answer comes after what was said before it
        const sent = new Promise<void>((resolve, reject) => {
          if (!process.connected) return resolve();
          process.send!(data, undefined, undefined, (error) => (error ? reject(error) : resolve()));
        });
        sending = Promise.allSettled([sending, sent]).then(() => undefined);
        return sent;
      },
      listen: (listener) => process.on("message", listener),
    },
    (wire) => fromWire(wire, place.rank),
  );

  // The terminal sends Ctrl-C to the whole group; the controller decides what it means.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => runner.stop());
  process.on("disconnect", () => {
    for (const folder of folders) removeLeftovers(folder, process.pid);
    process.exit(1);
  });
}
