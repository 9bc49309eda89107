// The job section: where a run keeps its files.
import { z } from "zod";

import { key, section } from "../schema/key.ts";

export const job = section("Where a run keeps its files, and what it is called.", {
  dump_folder: key(z.string().min(1), {
    default: "./outputs",
    doc: "Folder that holds one folder per run: metrics.jsonl, TensorBoard files, logs, the resolved configuration and relative checkpoint folders.",
    advice: "`forge runs` lists what lies there.",
  }),
  name: key(z.string().min(1).nullable(), {
    default: null,
    doc: "Name of the run, and of its folder under job.dump_folder. null makes one from the date, the time and the model.",
    advice: "Give a fixed name to a run that is to resume by itself when it is started again.",
  }),
  description: key(z.string(), {
    default: "",
    doc: "Free text that is kept with the run and shown by `forge runs`.",
  }),
});
