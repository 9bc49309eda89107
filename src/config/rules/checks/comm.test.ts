import { commChecks } from "./comm.ts";
import { tryChecks } from "./testing.ts";

tryChecks(commChecks, {
  refused: [
    [
      { comm: { backend: "nccl" }, processes: { procs: 2 } },
      "comm.backend (nccl) needs processes.with_gpus (false): NCCL moves tensors of GPUs alone; set it to auto or gloo",
      [["comm.backend=auto"], ["comm.backend=gloo"], ["processes.with_gpus=true"]],
    ],
  ],
  warned: [
    [
      { comm: { save_traces_folder: "traces" } },
      "comm.save_traces_folder (traces) does nothing with comm.trace_buf_size 0; set that to 2000, or remove the folder",
      [["comm.trace_buf_size=2000", "processes.procs=2"], ["~comm.save_traces_folder"]],
    ],
    [
      { comm: { trace_buf_size: 9 } },
      "comm.trace_buf_size (9) does nothing with processes.procs 1: one process calls no other",
      [["processes.procs=2"], ["~comm.trace_buf_size"]],
    ],
  ],
});
