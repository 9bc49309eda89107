// Communication between processes.
import { type Check, when } from "./check.ts";

export const commChecks: readonly Check[] = [
  {
    keys: ["comm.backend", "processes.with_gpus"],
    severity: "error",
    rule: "comm.backend nccl needs processes.with_gpus",
    run: ({ comm: c, processes: p }) =>
      when(
        c.backend === "nccl" && !p.with_gpus,
        () =>
          "comm.backend (nccl) needs processes.with_gpus (false): NCCL moves tensors of GPUs alone; set it to auto or gloo",
      ),
  },
  {
    keys: ["comm.save_traces_folder", "comm.trace_buf_size", "processes.procs"],
    severity: "warning",
    rule: "traces are written with comm.trace_buf_size above 0 and several processes",
    run: ({ comm: c, processes: p }) => [
      ...when(
        c.save_traces_folder !== "comm_traces" && c.trace_buf_size === 0,
        () =>
          `comm.save_traces_folder (${c.save_traces_folder}) does nothing with comm.trace_buf_size 0; set that to 2000, or remove the folder`,
      ),
      ...when(
        c.trace_buf_size > 0 && p.procs === 1,
        () =>
          `comm.trace_buf_size (${c.trace_buf_size}) does nothing with processes.procs 1: one process calls no other`,
      ),
    ],
  },
];
