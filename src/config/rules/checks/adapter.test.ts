import { adapterChecks } from "./adapter.ts";
import { tryChecks } from "./testing.ts";

tryChecks(adapterChecks, {
  refused: [
    [
      { adapter: { rank: 8 } },
      "adapter.rank (8) does nothing with adapter.method none; set that to lora, or remove it",
      [["adapter.method=lora"], ["~adapter.rank"]],
    ],
    [
      { adapter: { initial_load_path: "outputs/run/checkpoint/step-100-hf", rank: 8 } },
      "adapter.rank (8) is what the adapter_config.json of adapter.initial_load_path (outputs/run/checkpoint/step-100-hf) says; remove it",
      [["~adapter.rank"]],
    ],
    [
      { adapter: { method: "lora", init: "orthogonal", rank: 7 } },
      "adapter.init (orthogonal) needs even ranks, and adapter.rank or adapter.rank_pattern has 7; take an even one",
      [["adapter.rank=8"], ["~adapter.init"]],
    ],
    [
      { adapter: { method: "lora" }, checkpoint: { initial_load_in_hf: false } },
      "adapter.method (lora) adapts a trained model, and checkpoint.initial_load_in_hf (false) without checkpoint.initial_load_path starts from random weights; leave checkpoint.initial_load_in_hf out",
      [["~checkpoint.initial_load_in_hf"]],
    ],
  ],
});
