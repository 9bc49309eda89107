// Adapters: what their kind takes, and the weights that they adapt.
import { isDeepStrictEqual } from "node:util";

import { type Check, when } from "./check.ts";
import { adapter } from "../../sections/adapter.ts";

export const adapterChecks: readonly Check[] = [
  {
    keys: [
      "adapter.method",
      "adapter.initial_load_path",
      "adapter.rank",
      "adapter.alpha",
      "adapter.target_modules",
      "adapter.rank_pattern",
      "adapter.alpha_pattern",
      "adapter.modules_to_save",
      "adapter.layers",
      "adapter.dropout",
      "adapter.lora_plus_ratio",
      "adapter.init",
    ],
    severity: "error",
    rule: "the other keys of adapter need adapter.method, and adapter.initial_load_path says itself what kind of adapter it is",
    run({ adapter: a }) {
      const isOther = (name: keyof typeof a): boolean =>
        !isDeepStrictEqual(a[name], adapter.shape[name].parse(undefined));
      const kind = [
        "rank",
        "alpha",
        "target_modules",
        "rank_pattern",
        "alpha_pattern",
        "modules_to_save",
        "layers",
        "init",
      ] as const;
      const training = ["dropout", "lora_plus_ratio"] as const;
      if (a.initial_load_path !== null)
        return kind.filter(isOther).map((name) => ({
          path: ["adapter", name],
          message: `adapter.${name} (${JSON.stringify(a[name])}) is what the adapter_config.json of adapter.initial_load_path (${a.initial_load_path}) says; remove it`,
        }));
      if (a.method !== "none") return [];
      return [...kind, ...training].filter(isOther).map((name) => ({
        path: ["adapter", name],
        message: `adapter.${name} (${JSON.stringify(a[name])}) does nothing with adapter.method none; set that to lora, or remove it`,
      }));
    },
  },
  {
    keys: ["adapter.init", "adapter.rank", "adapter.rank_pattern"],
    severity: "error",
    rule: "adapter.init orthogonal needs even ranks",
    run({ adapter: a }) {
      const odd = [a.rank, ...Object.values(a.rank_pattern)].find((rank) => rank % 2 !== 0);
      return when(
        a.init === "orthogonal" && odd !== undefined,
        () =>
          `adapter.init (orthogonal) needs even ranks, and adapter.rank or adapter.rank_pattern has ${odd}; take an even one`,
      );
    },
  },
  {
    keys: ["adapter.method", "checkpoint.initial_load_in_hf", "checkpoint.initial_load_path"],
    severity: "error",
    rule: "an adapter needs the weights of a model: checkpoint.initial_load_in_hf or checkpoint.initial_load_path",
    run: ({ checkpoint: c }, { adapter: a }) =>
      when(
        a !== undefined && !c.initial_load_in_hf && c.initial_load_path === null,
        () =>
          `adapter.method (${a!.method}) adapts a trained model, and checkpoint.initial_load_in_hf (false) without checkpoint.initial_load_path starts from random weights; leave checkpoint.initial_load_in_hf out`,
      ),
  },
];
