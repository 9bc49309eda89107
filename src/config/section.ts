// Sections by themselves: `section.training({ steps: 100 })` checks what is written where it is written, as in the cells of
// a notebook, and gives it back as it is. What depends on several sections is checked by Config.create.
import { ConfigError } from "./rules/problems.ts";
import { unknownKeyMessage } from "./rules/suggest.ts";
import type { ConfigInput } from "./schema/schema.ts";
import { copyPlain, type PlainObject } from "./values/tree.ts";
import { validate } from "./rules/validate.ts";

type SectionName = keyof ConfigInput;

export type Sections = {
  readonly [Name in SectionName]-?: (
    values: NonNullable<ConfigInput[Name]>,
  ) => NonNullable<ConfigInput[Name]>;
};

function check<Name extends SectionName>(
  name: Name,
  values: NonNullable<ConfigInput[Name]>,
): NonNullable<ConfigInput[Name]> {
  const given: PlainObject = {
    // Any section may refer to the model, which is not known here.
    model: { hf_assets_path: "not known yet" },
    [name]: copyPlain(values, [name]),
  };
  const { problems } = validate(given, { env: process.env, allowUnsupported: false, only: name });
  if (problems.length > 0) throw new ConfigError(problems);
  return values;
}

const sections: Sections = {
  job: (values) => check("job", values),
  model: (values) => check("model", values),
  processes: (values) => check("processes", values),
  optimizer: (values) => check("optimizer", values),
  lr_scheduler: (values) => check("lr_scheduler", values),
  training: (values) => check("training", values),
  adapter: (values) => check("adapter", values),
  quantize: (values) => check("quantize", values),
  parallelism: (values) => check("parallelism", values),
  checkpoint: (values) => check("checkpoint", values),
  activation_checkpoint: (values) => check("activation_checkpoint", values),
  comm: (values) => check("comm", values),
  eval: (values) => check("eval", values),
  metric_logging: (values) => check("metric_logging", values),
};

/**
 * One function a section. Each takes the section's values and returns them unchanged.
 * @throws ConfigError (exit code 2) with every problem that the section has by itself, or for a section that isn't there
 *
 * @example
 * ```ts
 * import { section } from "torchforge/config";
 *
 * // Checked where it is written; an unknown key names the nearest one.
 * const training = section.training({ dataset: "rows.jsonl", seq_len: 1024, steps: 100 });
 * console.log(training.steps);
 * ```
 */
export const section: Sections = new Proxy(sections, {
  get(known, name) {
    if (typeof name === "symbol" || name in known || name === "then")
      return Reflect.get(known, name) as unknown;
    return () => {
      throw new ConfigError([{ path: [name], message: unknownKeyMessage([name]) }]);
    };
  },
});
