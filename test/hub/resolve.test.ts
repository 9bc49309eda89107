// From names to folders and files: hf:// models, data sets by name and split, the cache alone, and what each lack says.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { test } from "node:test";
import { obtainSmolLM2 } from "../../src/quickstart/index.ts";
import { download, hubEnvironment, resolveDataset, resolveModel } from "../../src/hub/index.ts";
import { inSetting, tinyModel } from "./setting.ts";

const limit = { timeout: 30_000 };
const reference = "hf://org/tiny";

void test("hf:// downloads what a model needs and nothing else", limit, async () => {
  await inSetting(async ({ hub }) => {
    const repo = hub.add("model", "org/tiny", tinyModel());
    const folder = await resolveModel(reference);
    assert.equal(basename(folder), repo.commit);
    const asked = hub.log.flatMap((entry) => /resolve\/[^/]+\/(.*)$/.exec(entry.path)?.[1] ?? []);
    assert.deepEqual(asked.sort(), ["config.json", "model.safetensors", "tokenizer.json"]);
    assert.equal(await resolveModel(`${reference}@${repo.commit}`), folder);
  });
});

void test("a model in the cache needs no network", limit, async () => {
  await inSetting(async ({ hub }) => {
    const repo = hub.add("model", "org/tiny", tinyModel());
    const folder = await resolveModel(reference);
    hub.log.length = 0;
    assert.equal(await resolveModel(`${reference}@${repo.commit}`), folder); // a commit never changes
    process.env["HF_HUB_OFFLINE"] = "1";
    assert.equal(await resolveModel(reference), folder);
    assert.equal(hub.log.length, 0);
    delete process.env["HF_HUB_OFFLINE"];
    process.env["HF_ENDPOINT"] = "http://127.0.0.1:9"; // the discard port: nobody is there
    const said: string[] = [];
    assert.equal(await resolveModel(reference, { onStatus: (message) => said.push(message) }), folder);
    assert.deepEqual(said, ["http://127.0.0.1:9 cannot be reached; using org/tiny as the cache has it"]);
  });
});

void test("a branch that moved on is downloaded anew", limit, async () => {
  await inSetting(async ({ hub }) => {
    const repo = hub.add("model", "org/tiny", tinyModel());
    const first = await resolveModel(reference);
    repo.commit = "e".repeat(40);
    const second = await resolveModel(reference);
    assert.notEqual(first, second);
    assert.equal(realpathSync(join(first, "config.json")), realpathSync(join(second, "config.json")));
  });
});

void test("offline, what is lacking is named", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    hub.add("model", "org/tiny", tinyModel());
    const folder = await resolveModel(reference);
    process.env["HF_HUB_OFFLINE"] = "1";
    await assert.rejects(resolveModel("hf://org/other"), {
      name: "UserError",
      message:
        `model.hf_assets_path: hf://org/other is needed, HF_HUB_OFFLINE forbids the network, and revision main of it is not in the cache ${join(home, "hub")}. ` +
        "Models there: org/tiny. Unset HF_HUB_OFFLINE once to download it.",
    });
    rmSync(join(folder, "model.safetensors"));
    await assert.rejects(resolveModel(reference), { message: /the cache lacks model\.safetensors of it/ });
  });
});

void test("a sharded model is complete with its last shard", limit, async () => {
  await inSetting(async ({ hub }) => {
    const { "model.safetensors": _, ...rest } = tinyModel();
    const index = {
      weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" },
    };
    hub.add("model", "org/tiny", {
      ...rest,
      "model.safetensors.index.json": JSON.stringify(index),
      "model-00001-of-00002.safetensors": "one",
      "model-00002-of-00002.safetensors": "two",
    });
    const folder = await resolveModel(reference);
    assert.equal(readFileSync(join(folder, "model-00002-of-00002.safetensors"), "utf8"), "two");
    rmSync(join(folder, "model-00002-of-00002.safetensors"));
    assert.equal(await resolveModel(reference), folder);
    assert.equal(readFileSync(join(folder, "model-00002-of-00002.safetensors"), "utf8"), "two");
  });
});

void test(
  "a mirror that lists a part of a model's shards is told before they are fetched",
  limit,
  async () => {
    await inSetting(async ({ hub, home }) => {
      const { "model.safetensors": _, ...rest } = tinyModel();
      const shards = [1, 2, 3, 4, 5].map((i) => `model-0000${i}-of-00005.safetensors`);
      const index = { weight_map: Object.fromEntries(shards.map((shard, i) => [`t${i}`, shard])) };
      hub.add("model", "org/tiny", {
        ...rest,
        "model.safetensors.index.json": JSON.stringify(index),
        [shards[0]!]: "one",
      });
      const message =
        `org/tiny: its model.safetensors.index.json names ${shards[1]}, ${shards[2]}, ${shards[3]} and 1 more, which ${hub.url} doesn't list: ` +
        "it has a part of the model. Use the hub itself or another mirror (HF_ENDPOINT)";
      const outputDir = join(home, "out");
      for (const attempt of [1, 2]) {
        await assert.rejects(resolveModel(reference), { name: "UserError", message }, String(attempt));
        await assert.rejects(download("org/tiny", { outputDir }), { name: "UserError", message });
      }
      assert.ok(hub.log.every(({ path }) => !path.endsWith(".safetensors")));
      const without = await download("org/tiny", { outputDir, ignorePatterns: ["*.safetensors"] });
      assert.ok(without.files.length > 0);
    });
  },
);

void test("a repository without weights that can be read", limit, async () => {
  await inSetting(async ({ hub }) => {
    hub.add("model", "org/tiny", { "config.json": "{}", "tokenizer.json": "{}", "m.gguf": "x" });
    await assert.rejects(resolveModel(reference, { key: "model.path" }), {
      name: "UserError",
      message:
        "model.path: hf://org/tiny has no model.safetensors; expected a model with config.json, tokenizer.json and safetensors weights",
    });
  });
});

void test("folders, and what is mistaken for one", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    const folder = join(home, "model");
    mkdirSync(folder);
    await assert.rejects(resolveModel(folder), {
      exitCode: 2,
      message: `model.hf_assets_path: expected config.json in ${folder}, found nothing`,
    });
    writeFileSync(join(folder, "config.json"), "{}");
    assert.equal(await resolveModel(folder), folder);
    await assert.rejects(resolveModel("org/tiny"), {
      name: "UserError",
      message:
        /expected a model folder, found nothing at .*org\/tiny\. For a model of the hub write hf:\/\/org\/tiny\.$/,
    });
    const gguf = join(home, "m.gguf");
    writeFileSync(gguf, "");
    await assert.rejects(resolveModel(gguf), {
      message: `model.hf_assets_path: expected a model folder, found a file: ${gguf}. Convert it first: forge import ${gguf} --output-dir DIR`,
    });
    await assert.rejects(resolveModel("hf://org/tiny@"), {
      exitCode: 2,
      message: /Expected hf:\/\/org\/name or/,
    });
    assert.equal(hub.log.length, 0);
  });
});

void test("a data set by its name and split", limit, async () => {
  await inSetting(async ({ hub }) => {
    const repo = hub.add("dataset", "org/rows", {
      "README.md": "# Rows\n",
      "data/train-00000-of-00002.parquet": "a",
      "data/train-00001-of-00002.parquet": "b",
      "data/test-00000-of-00001.parquet": "c",
    });
    const train = await resolveDataset("org/rows", "train");
    assert.equal(train.format, "parquet");
    assert.equal(train.commit, repo.commit);
    assert.deepEqual(
      train.files.map((file) => readFileSync(file, "utf8")),
      ["a", "b"],
    );
    const asked = hub.log.filter((entry) => entry.cdn).map((entry) => entry.path);
    assert.ok(
      asked.every((path) => path.includes("train-")),
      asked.join(),
    ); // the other split stays where it is
    await assert.rejects(resolveDataset("org/rows", "validation"), {
      name: "UserError",
      message: "org/rows: expected the split validation, found train, test",
    });

    process.env["HF_HUB_OFFLINE"] = "1";
    assert.deepEqual((await resolveDataset("hf://datasets/org/rows", "train")).files, train.files);
    rmSync(train.files[1]!);
    await assert.rejects(resolveDataset("org/rows", "train"), {
      message: "org/rows: the cache holds 1 of the 2 files of the split train, and the network can't be used",
    });
    await assert.rejects(resolveDataset("org/none", "train"), {
      message: /revision main of it is not in the cache .* Data sets there: org\/rows\./,
    });
  });
});

void test("a data set whose README declares its files", limit, async () => {
  await inSetting(async ({ hub }) => {
    hub.add("dataset", "org/rows", {
      "README.md":
        "---\nconfigs:\n- config_name: main\n  default: true\n  data_files:\n  - split: train\n    path: rows/*.jsonl\n---\n",
      "rows/x.jsonl": "{}",
      "train.csv": "not this one",
    });
    const { files, format } = await resolveDataset("org/rows", "train");
    assert.equal(format, "jsonl");
    assert.deepEqual(
      files.map((file) => basename(file)),
      ["x.jsonl"],
    );
  });
});

void test("the quickstart's model is taken from the hub, then from the cache", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    process.env["TORCHFORGE_CACHE"] = join(home, "torchforge");
    hub.add("model", "HuggingFaceTB/SmolLM2-135M-Instruct", tinyModel());
    const first = await obtainSmolLM2();
    assert.equal(first.source, "hub");
    process.env["HF_HUB_OFFLINE"] = "1";
    assert.deepEqual(await obtainSmolLM2(), { folder: first.folder, source: "huggingface-cache" });
  });
});

void test(
  "forge download prints the folder; a failure exits with 1 and its reason",
  { timeout: 120_000 },
  async () => {
    await inSetting(async ({ hub, home }) => {
      hub.add("model", "org/tiny", tinyModel());
      const main = join(import.meta.dirname, "..", "..", "src", "cli", "main.ts");
      const run = async (...args: string[]): Promise<{ code: number | null; out: string; err: string }> => {
        const child = spawn(process.execPath, [main, "download", ...args], {
          stdio: ["ignore", "pipe", "pipe"],
        });
        let out = "";
        let err = "";
        child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
        child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
        const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
        return { code, out, err };
      };
      const folder = join(home, "out");
      const good = await run("org/tiny", "--output-dir", folder);
      assert.equal(good.err.includes("error"), false, good.err);
      assert.equal(good.code, 0);
      assert.match(
        good.out,
        new RegExp(
          `^${folder}\n4 files, 0\\.3 MB \\(4 fetched\\)\n2 files left out, 0\\.0 MB; --ignore-patterns "" takes all`,
        ),
      );
      assert.match((await run("org/tiny", "--output-dir", folder)).out, /all there already/);
      assert.match(
        (await run("org/tiny", "--output-dir", folder, "--ignore-patterns", "")).out,
        /6 files, .* \(2 fetched\)/,
      );
      hub.add("model", "org/gguf", { "tiny.Q4_0.gguf": "x" });
      const gguf = await run("org/gguf", "--output-dir", join(home, "gguf"));
      assert.equal(gguf.code, 0);
      assert.match(
        gguf.err,
        /^note: it has no config\.json, tokenizer\.json, model\.safetensors, which a model needs to be trained or asked\. Convert it with: forge import .*tiny\.Q4_0\.gguf --output-dir DIR$/m,
      );
      assert.doesNotMatch(good.err, /note: it has no/);
      const bad = await run("org/absent");
      assert.equal(bad.code, 1);
      assert.match(bad.err, /^error: There is no model org\/absent on /m);
      const wrong = await run("org/tiny", "--repo-type", "space");
      assert.equal(wrong.code, 2);
      assert.match(wrong.err, /--repo-type: expected model or dataset, found space/);
    });
  },
);

void test("the environment is read as huggingface_hub reads it", () => {
  const home = "/home/someone";
  const at = (env: Record<string, string>): string =>
    relative(home, hubEnvironment({ HOME: home, ...env }).cacheDir);
  assert.equal(at({}), ".cache/huggingface/hub");
  assert.equal(at({ XDG_CACHE_HOME: "/home/someone/x" }), "x/huggingface/hub");
  assert.equal(at({ HF_HOME: "~/hf" }), "hf/hub");
  assert.equal(at({ HF_HOME: "~/hf", HUGGINGFACE_HUB_CACHE: "~/old" }), "old");
  assert.equal(at({ HF_HUB_CACHE: "~/new", HUGGINGFACE_HUB_CACHE: "~/old" }), "new");
  assert.equal(
    hubEnvironment({ HOME: home, HF_ENDPOINT: "https://hub.test//" }).endpoint,
    "https://hub.test",
  );
  assert.equal(hubEnvironment({ HOME: home, HF_HUB_OFFLINE: "yes" }).offline, true);
  assert.equal(hubEnvironment({ HOME: home, HF_HUB_OFFLINE: "0" }).offline, false);
  assert.equal(hubEnvironment({ HOME: home, HF_TOKEN: " hf_a\n" }).token, "hf_a");
});
