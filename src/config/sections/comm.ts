// The comm section: process groups and their time-outs.
import { z } from "zod";

import { key, section } from "../schema/key.ts";

export const comm = section("Communication between the processes.", {
  backend: key(z.enum(["auto", "nccl", "gloo"]), {
    default: "auto",
    doc: "What moves tensors between the processes. auto: nccl between GPUs, gloo between CPUs. gloo also takes GPU tensors, by way of main memory: much slower, but several processes may then share a GPU, which nccl refuses.",
    advice: "gloo on GPUs only to try a division of the work on fewer GPUs than processes.",
  }),
  init_timeout_seconds: key(z.number().positive(), {
    default: 300,
    doc: "How long ranks wait for each other at the start and in the first step.",
    unit: "seconds",
  }),
  train_timeout_seconds: key(z.number().positive(), {
    default: 100,
    doc: "How long a rank waits for the others after the first step before the run is ended with an error.",
    unit: "seconds",
  }),
  trace_buf_size: key(z.int().min(0), {
    default: 0,
    doc: "Collectives, sends and receives that each rank remembers (flight recorder), written out when one fails or a rank ends with an error, for `forge comm analyze`. 0 turns it off.",
    unit: "calls",
    advice: "2000 for a run that hangs or is killed; it costs little.",
  }),
  save_traces_folder: key(z.string().min(1), {
    default: "comm_traces",
    doc: "Folder for these traces, one folder for each start of the run. A relative folder lies in the run's own folder, before the run has one in job.dump_folder.",
  }),
});
