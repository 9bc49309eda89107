// Configurations with wrong values: some keys of a run's are given values of another type, beyond every bound, or that look like
// something else. A configuration is valid, and then its text gives the same one back, or is refused in words.
import { isDeepStrictEqual } from "node:util";

import { Config } from "../../src/config/index.ts";
import { UserError } from "../../src/util/index.ts";
import { random } from "../torch/fuzz/random.ts";
import type { Part } from "./part.ts";

const base = "model: {hf_assets_path: model}\ntraining: {dataset: rows.jsonl}\n";

/** Texts of values, as a shell gives them. */
const values: readonly string[] = `
0 1 -1 2 7 1.5 -0 1e9 1e308 9007199254740993 0x10 .inf .nan NaN null ~ true false yes '' text '#' "a" [] {} [null] [[[]]]
[1,2] {a:1} {path:x} [{path:x}] [{path:x,split:'train[:5%]'}] *a !!js : \${training.steps} \${training} \${constructor}
\${__proto__} \${oc.env:NOT_THERE} \${ \${\${a}} __proto__ constructor float32 bfloat16 full selective cosine 1GiB`
  .trim()
  .split(/\s+/)
  .concat([
    "a #b",
    "&a [*a]",
    "!!js x",
    "{a: 1}",
    "[{path: x, split: 'train[:5%]'}]",
    "\t",
    "\u0000",
    "\uD800",
  ]);

function keysOf(value: unknown, path: readonly string[] = []): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [path.join(".")];
  return [
    ...(path.length > 0 ? [path.join(".")] : []),
    ...Object.entries(value).flatMap(([key, inner]) => keysOf(inner, [...path, key])),
  ];
}

export const configurations: Part = {
  unit: "configurations",
  async run({ seed, goesOn, note }) {
    const keys = keysOf(Config.fromYaml(base).toObject());
    const lost: string[] = [];
    let made = 0;
    let valid = 0;
    for (; goesOn(made); made++) {
      const rng = random(seed + made);
      const overrides = Array.from({ length: 1 + rng.below(4) }, () => {
        const key = rng.chance(0.95) ? rng.pick(keys) : `${rng.pick(keys)}.${rng.pick(values)}`;
        return `${key}=${rng.pick(values)}`;
      });
      const again = `npm run fuzz -- configurations --count 1 --seed ${seed + made} (${JSON.stringify(overrides)})`;
      try {
        const config = Config.fromYaml(base, { overrides });
        const { spec } = config;
        const text = config.toYaml();
        if (spec === undefined || !isDeepStrictEqual(Config.fromYaml(text).toObject(), config.toObject()))
          lost.push(`${again}: its text gives another configuration:\n${text}`);
        valid++;
      } catch (error) {
        if (!(error instanceof UserError)) lost.push(`${again}: ${String((error as Error).stack ?? error)}`);
      }
      if (made % 64 === 63) await new Promise((done) => setImmediate(done));
    }
    note(`${made} configurations, of which ${valid} are valid`);
    return { made, lost };
  },
};
