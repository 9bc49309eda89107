// Evaluation: its data set, and when it happens.
import { type Check } from "./check.ts";

export const evalChecks: readonly Check[] = [
  {
    keys: ["eval.eval_every_n_steps", "eval.max_eval_steps", "eval.datasets"],
    severity: "error",
    rule: "the other keys of eval need eval.datasets",
    run: ({ eval: e }) =>
      (["eval_every_n_steps", "max_eval_steps"] as const)
        .filter((name) => e[name] !== null && e.datasets.length === 0)
        .map((name) => ({
          path: ["eval", name],
          message: `eval.${name} (${e[name]}) needs eval.datasets, which is empty; add e.g. {path: yahma/alpaca-cleaned, split: "train[95%:]"}`,
        })),
  },
  {
    keys: ["eval.datasets", "training.datasets", "training.dataset"],
    severity: "warning",
    rule: "evaluation data should not be training data",
    run: ({ eval: e }, { data }) =>
      e.datasets.flatMap((held, i) =>
        data.datasets.some((t) => t.path === held.path && t.subset === held.subset && t.split === held.split)
          ? [
              `eval.datasets[${i}] (${held.path}, split ${held.split}) is also training data (training.dataset or training.datasets): its loss says nothing about new rows; use splits such as train[:95%] and train[95%:]`,
            ]
          : [],
      ),
  },
];
