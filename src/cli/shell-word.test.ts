import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";

import { shellWord } from "./shell-word.ts";

test("a shell reads each word back as it was", () => {
  const words = [
    "plain",
    "a b",
    "it's",
    "~training.seed",
    "$HOME",
    '[{path: "x y.jsonl"}]',
    "",
    "a\nb",
    "!",
    "*",
  ];
  const shown = execFileSync("sh", ["-c", `printf '%s\\0' ${words.map(shellWord).join(" ")}`], {
    encoding: "utf8",
  });
  assert.deepEqual(shown.split("\0").slice(0, -1), words);
  assert.equal(shellWord("model.hf_assets_path=./a-b/c_d"), "model.hf_assets_path=./a-b/c_d");
});
