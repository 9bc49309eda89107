// The metric_logging section: where the numbers of each step go.
import { z } from "zod";

import { key, section } from "../schema/key.ts";

const enable = (where: string, by: boolean) =>
  key(z.boolean(), { default: by, doc: `Write metrics to ${where}.` });

export const metricLogging = section("Where the metrics of the run go.", {
  log_every_n_steps: key(z.int().min(1), {
    default: 1,
    doc: "Steps between two logged steps, in every backend.",
    unit: "steps",
  }),
  console: section("Lines and progress bar in the terminal.", {
    enable: enable("the terminal", true),
    logging_mode: key(z.enum(["global_reduce"]), {
      default: "global_reduce",
      doc: "Metrics are reduced over all ranks, and logged once.",
    }),
  }),
  jsonl: section("metrics.jsonl in the run's folder: one JSON object per logged step.", {
    enable: enable("metrics.jsonl, which `forge plot` and `forge runs` read", true),
  }),
  tensorboard: section("TensorBoard event files.", {
    enable: enable("TensorBoard event files", true),
    folder: key(z.string().min(1), {
      default: "tensorboard",
      doc: "Folder for the event files. A relative folder lies in the run's own folder.",
    }),
  }),
});
