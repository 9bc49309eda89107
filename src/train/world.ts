// Joins an actor's process to the others of its run: the store, the process group, the device. Everything that an actor's
// process needs of libtorch before its setup; loaded when it is needed, since an actor alone on the CPU needs none.
import { isAbsolute, join } from "node:path";

import type { World } from "../actors/index.ts";
import type { Store } from "../comm/index.ts";
import type { Config } from "../config/index.ts";
import { messageOf, UserError } from "../util/index.ts";

const comm = () => import("../comm/index.ts");

const loopback = "127.0.0.1";
let hosted: Store | undefined;
let joined = false;

const groupOptions = ({ comm, processes, job }: Config) => ({
  backend: processes.with_gpus ? ("nccl" as const) : ("gloo" as const),
  timeoutSeconds: comm.train_timeout_seconds,
  initTimeoutSeconds: comm.init_timeout_seconds,
  ...(comm.trace_buf_size > 0 && {
    flightRecorder: {
      entries: comm.trace_buf_size,
      // Until the run has a folder (build.ts), and for actors whose runs have none.
      folder: isAbsolute(comm.save_traces_folder)
        ? comm.save_traces_folder
        : join(job.dump_folder, comm.save_traces_folder),
    },
  }),
});

export const world: World = {
  async host(config) {
    const { Store } = await comm();
    hosted = await Store.open({
      host: loopback,
      port: 0,
      isMaster: true,
      timeoutSeconds: config.comm.init_timeout_seconds,
    });
    return { host: loopback, port: hosted.port };
  },

  async join(config, meeting) {
    joined = true;
    const { initProcessGroup, Store } = await comm();
    if (meeting === undefined) {
      await initProcessGroup(groupOptions(config));
      return;
    }
    const timeoutSeconds = config.comm.init_timeout_seconds;
    const store = (hosted ??= await Store.open({ ...meeting, timeoutSeconds }));
    const [rank, worldSize] = [Number(process.env["RANK"]), Number(process.env["WORLD_SIZE"])];
    await initProcessGroup({ ...groupOptions(config), store, rank, worldSize });
  },

  async leave() {
    if (!joined) return;
    const { destroyProcessGroup, isInitialized } = await comm();
    if (isInitialized()) await destroyProcessGroup();
    await hosted?.close();
    hosted = undefined;
  },

  async failed(error) {
    // A failed call has written what it knows, and asked the others.
    if (!joined || (error as Error).name === "CommError") return;
    const { dumpFlightRecorder } = await comm();
    dumpFlightRecorder(`rank ${process.env["RANK"]}: ${messageOf(error)}`, { final: true });
  },

  async checkDevice({ processes }, localRank, localWorldSize) {
    if (!processes.with_gpus) return;
    const { info, setDevice } = await import("../torch/index.ts");
    const { accelerator, deviceCount, torchVersion } = info();
    const found = accelerator === "cuda" ? deviceCount : 0;
    if (localRank < found) {
      setDevice(`cuda:${localRank}`);
      return;
    }
    throw new UserError(
      `processes.procs: expected at most as many processes as GPUs with processes.with_gpus: true, found ${localWorldSize} ` +
        `${localWorldSize === 1 ? "process" : "processes"} and ${found} ${found === 1 ? "GPU" : "GPUs"} (libtorch ${torchVersion}). ` +
        "Check that there are enough GPUs (nvidia-smi, CUDA_VISIBLE_DEVICES), that libtorch can use them (npx torchforge doctor), " +
        "and that no other process has them; or lower processes.procs, or set processes.with_gpus: false.",
      { exitCode: 2 },
    );
  },
};
