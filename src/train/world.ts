// Joins an actor's process to the others of its run: the store, the process group, the device. Everything that an actor's
// process needs of libtorch before its setup; loaded when it is needed, since an actor alone on the CPU needs none.
import { randomBytes } from "node:crypto";
import { isAbsolute, join } from "node:path";

import type { LocalPlace, World } from "../actors/index.ts";
import type { Store } from "../comm/index.ts";
import type { RunSpec } from "../config/index.ts";
import { messageOf, UserError, type Environment } from "../util/index.ts";

const comm = () => import("../comm/index.ts");

const loopback = "127.0.0.1";
let hosted: Store | undefined;
let joined = false;

const groupOptions = ({ comm, backend, job }: RunSpec) => ({
  backend,
  timeoutSeconds: comm.trainTimeoutSeconds,
  initTimeoutSeconds: comm.initTimeoutSeconds,
  ...(comm.traceBufSize > 0 && {
    flightRecorder: {
      entries: comm.traceBufSize,
      // Until the run has a folder (build.ts), and for actors whose runs have none.
      folder: isAbsolute(comm.saveTracesFolder)
        ? comm.saveTracesFolder
        : join(job.dumpFolder, comm.saveTracesFolder),
    },
  }),
});

/** Whether one of the GPUs that a process sees is its own, and no other's; with Gloo processes may share them. */
export const hasGpu = (
  { localRank, isLaunched }: LocalPlace,
  found: number,
  backend: RunSpec["backend"],
  { CUDA_VISIBLE_DEVICES: chosen }: Environment = process.env,
): boolean =>
  localRank < found || (found > 0 && backend === "gloo") || (found === 1 && isLaunched && Boolean(chosen));

export const world: World = {
  async hostStore(config) {
    const { Store } = await comm();
    const secret = randomBytes(16).toString("hex");
    hosted = await Store.open({
      host: loopback,
      port: 0,
      isMaster: true,
      secret,
      timeoutSeconds: config.spec.comm.initTimeoutSeconds,
    });
    return { host: loopback, port: hosted.port, secret };
  },

  async join(config, meeting) {
    joined = true;
    const { initProcessGroup, Store } = await comm();
    if (meeting === undefined) {
      await initProcessGroup(groupOptions(config.spec));
      return;
    }
    const timeoutSeconds = config.spec.comm.initTimeoutSeconds;
    const store = (hosted ??= await Store.open({ ...meeting, timeoutSeconds }));
    const [rank, worldSize] = [Number(process.env["RANK"]), Number(process.env["WORLD_SIZE"])];
    await initProcessGroup({ ...groupOptions(config.spec), store, rank, worldSize });
  },

  async leave() {
    if (!joined) return;
    const { destroyProcessGroup, isInitialized } = await comm();
    if (isInitialized()) await destroyProcessGroup();
    await hosted?.close();
    hosted = undefined;
  },

  async reportFailure(error) {
    // A failed call has written what it knows, and asked the others.
    if (!joined || (error as Error).name === "CommError") return;
    const { dumpFlightRecorder } = await comm();
    dumpFlightRecorder(`rank ${process.env["RANK"]}: ${messageOf(error)}`, { final: true });
  },

  async checkDevice({ spec }, place) {
    if (!spec.withGpus) return;
    const { info, localDevice, setDevice } = await import("../torch/index.ts");
    const { accelerator, deviceCount, torchVersion } = info();
    const found = accelerator === "cuda" ? deviceCount : 0;
    const { localRank, localWorldSize } = place;
    if (hasGpu(place, found, spec.backend)) {
      setDevice(`cuda:${localDevice(localRank, found)}`);
      return;
    }
    throw new UserError(
      `processes.procs: expected at most as many processes as GPUs with processes.with_gpus: true, found ${localWorldSize} ` +
        `${localWorldSize === 1 ? "process" : "processes"} and ${found} ${found === 1 ? "GPU" : "GPUs"} (libtorch ${torchVersion}). ` +
        "Check that there are enough GPUs (nvidia-smi, CUDA_VISIBLE_DEVICES), that libtorch can use them (npx torchforge doctor), " +
        "and that no other process has them; or lower processes.procs, or set processes.with_gpus: false. " +
        "With comm.backend: gloo several processes can share a GPU, slowly.",
      { exitCode: 2 },
    );
  },
};
