import { evalChecks } from "./eval.ts";
import { tryChecks } from "./testing.ts";

tryChecks(evalChecks, {
  refused: [
    [
      { eval: { eval_every_n_steps: 10 } },
      'eval.eval_every_n_steps (10) needs eval.datasets, which is empty; add e.g. {path: yahma/alpaca-cleaned, split: "train[95%:]"}',
      [['eval.datasets=[{path: yahma/alpaca-cleaned, split: "train[95%:]"}]']],
    ],
  ],
  warned: [
    [
      { training: { dataset: "a.jsonl" }, eval: { datasets: [{ path: "a.jsonl" }] } },
      "eval.datasets[0] (a.jsonl, split train) is also training data (training.dataset or training.datasets): its loss says nothing about new rows; use splits such as train[:95%] and train[95%:]",
      [
        [
          "~training.dataset",
          'training.datasets=[{path: a.jsonl, split: "train[:95%]"}]',
          'eval.datasets=[{path: a.jsonl, split: "train[95%:]"}]',
        ],
      ],
    ],
  ],
});
