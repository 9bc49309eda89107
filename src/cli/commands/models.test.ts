import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

import { families } from "../../models/families/index.ts";

const main = join(import.meta.dirname, "..", "main.ts");
const forge = (...args: string[]): ReturnType<typeof spawnSync> =>
  spawnSync(process.execPath, [main, "models", ...args], {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
    timeout: 60_000,
  });

test(
  "models lists every family, tells more of one by either name, and refuses others",
  { timeout: 120_000 },
  () => {
    const all = JSON.parse(String(forge("--json").stdout)) as { modelType: string; sizes: string[] }[];
    assert.deepEqual(
      all.map(({ modelType }) => modelType),
      families.map(({ modelType }) => modelType),
    );
    for (const { modelType, sizes } of all) assert.ok(sizes.length > 0, modelType);
    const one = String(forge("gemma3").stdout);
    assert.match(one, /^gemma3_text: Gemma 3 \(text\)\n/);
    assert.match(one, /sizes {7}gemma3 270M, gemma3 1B/);
    assert.match(one, /example {5}npx torchforge sft .* model\.name=gemma3 model\.flavor=270M/);
    const wrong = forge("gpt2");
    assert.equal(wrong.status, 2);
    assert.match(String(wrong.stderr), /models: expected one of llama, .*, found "gpt2"/);
  },
);
