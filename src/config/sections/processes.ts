// The processes section: how many worker processes, and on which devices.
import { z } from "zod";

import { key, section } from "../schema/key.ts";

export const processes = section("The worker processes of a run on this machine.", {
  procs: key(z.int().min(1), {
    default: 1,
    doc: "Number of worker processes; each is one rank.",
    unit: "processes",
    advice:
      "With GPUs, the number of GPUs. A launcher (torchrun, srun, mpirun) sets it through WORLD_SIZE: the value here then gives way.",
  }),
  with_gpus: key(z.boolean(), {
    default: false,
    doc: "Whether each process takes one GPU (its local rank). false trains on the CPU.",
    advice: "true wherever there are GPUs: on a CPU only small models are trained in useful time.",
  }),
  max_restarts: key(z.int().min(0), {
    default: 0,
    doc: "How many times the processes are started again, from the last complete checkpoint, after one of them died.",
    unit: "restarts",
  }),
});
