// A hub of our own and an empty cache for one test, with the environment put back afterwards.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeHub } from "./server.ts";

const names =
  "HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_ENDPOINT HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_TOKEN_PATH \
HF_HUB_OFFLINE TRANSFORMERS_OFFLINE HF_HUB_ETAG_TIMEOUT HF_HUB_DOWNLOAD_TIMEOUT TORCHFORGE_CACHE".split(
    /\s+/,
  );

export interface Setting {
  readonly hub: FakeHub;
  /** An empty folder; the cache is `home/hub`. */
  readonly home: string;
}

/** Runs `body` with HF_HOME and HF_ENDPOINT of its own. */
export async function inSetting(body: (setting: Setting) => Promise<void>): Promise<void> {
  const saved = names.map((name) => [name, process.env[name]] as const);
  const home = mkdtempSync(join(tmpdir(), "torchforge-hub-"));
  const hub = await FakeHub.start();
  for (const name of names) delete process.env[name];
  process.env["HF_HOME"] = home;
  process.env["HF_ENDPOINT"] = hub.url;
  try {
    await body({ hub, home });
  } finally {
    for (const [name, value] of saved) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    await hub[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
  }
}

/** Files of a model that is complete enough to be loaded. */
export function tinyModel(): Record<string, string | Buffer> {
  return {
    "config.json": '{"model_type":"llama"}',
    "tokenizer.json": '{"version":"1.0"}',
    "README.md": "---\nlicense: mit\n---\n",
    "model.safetensors": Buffer.alloc(300_000, "weights "),
    "pytorch_model.bin": Buffer.alloc(1000, 1),
    "original/consolidated.00.pth": Buffer.alloc(1000, 2),
  };
}
