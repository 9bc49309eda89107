// Runs on a quantized base: what resumes, what the commands make of such models, and what is refused.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { Config } from "../../src/config/index.ts";
import { parseModelConfig, readModelConfig } from "../../src/models/index.ts";
import { openModelWeights } from "../../src/safetensors/index.ts";
import { trainedBlocks } from "../../src/train/assembly/trained-blocks.ts";
import { readJsonObject } from "../../src/util/index.ts";
import { start } from "../cli/forge.ts";
import { remains, trainingProcess } from "./processes.ts";
import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-quantized-"));
test.after(() => rmSync(work, { recursive: true, force: true }));
const steps = 6;
const model = makeTinyModel(join(work, "model"), { hidden_size: 64, intermediate_size: 128 });
const quantized = join(work, "nf4");
const config = makeTinyConfig(work, model, steps);
const adapter = ["adapter.method=lora", "optimizer.lr=1e-2", "checkpoint.last_save_in_hf=true"];
const rows = join(work, "rows.jsonl");
writeFileSync(rows, `${JSON.stringify({ instruction: "Say hello.", input: "", output: "Hello there." })}\n`);

const lossOf = async (...which: string[]): Promise<number> => {
  const { stdout, stderr } = await start(["eval", ...which, "--data", rows, "--json"]).ended;
  assert.ok(stdout.startsWith("{"), stderr);
  return (JSON.parse(stdout) as { loss: number }).loss;
};

void test(
  "a run on a quantized base resumes exactly, and its export is compared",
  { timeout: 300_000 },
  async () => {
    const overrides = [...adapter, "quantize.base=nf4"];
    const { lines } = await trainingProcess([config, "job.name=straight", ...overrides]);
    assert.ok(lines.some((line) => /^note parity +largest difference of logits 0\.0e\+0/.test(line)));
    const [from, to] = ["straight", "resumed"].map((name) => join(work, "outputs", name)) as [string, string];
    cpSync(from, to, { recursive: true });
    for (const one of readdirSync(join(to, "checkpoint")))
      if (one !== "step-3") rmSync(join(to, "checkpoint", one), { recursive: true });
    const resumed = await trainingProcess([config, "job.name=resumed", ...overrides]);
    assert.ok(resumed.lines.some((line) => line.startsWith("note resumes after step 3 of 6")));
    assert.deepEqual(remains(to, steps), remains(from, steps));
  },
);

void test(
  "quantize writes what is read again; adapters are trained on it, measured and merged",
  { timeout: 300_000 },
  async () => {
    const made = await start(["quantize", model, "--output-dir", quantized, "--data", rows]).ended;
    assert.equal(made.code, 0, made.stderr);
    assert.match(
      made.stdout,
      /nf4: 14 matrices in nf4, with double quantization; [\d.]+ MB → [\d.]+ MB\nparity +largest difference of logits 0\.0e\+0 .*\nloss +\d+\.\d{4} → \d+\.\d{4} on the held-out rows/,
    );
    using weights = openModelWeights(quantized);
    assert.ok(weights.has("model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4"));
    assert.deepEqual(readModelConfig(quantized).quantization, { format: "nf4", doubleQuant: true, skip: [] });

    // Quantized while it is loaded, or in its files: the same weights.
    const run = [config, `model.hf_assets_path=${quantized}`, "job.name=files", ...adapter];
    await trainingProcess(run);
    const exported = join(work, "outputs", "files", "checkpoint", `step-${steps}-hf`);
    const [ofFiles, ofModel] = ["files", "straight"].map((name) =>
      openModelWeights(join(work, "outputs", name, "checkpoint", `step-${steps}`)),
    );
    assert.deepEqual(ofFiles!.names, ofModel!.names);
    for (const name of ofFiles!.names) assert.deepEqual(ofFiles!.read(name), ofModel!.read(name), name);

    const merged = join(work, "merged");
    const { code, stderr } = await start(["merge", "--adapter", exported, "--output-dir", merged]).ended;
    assert.equal(code, 0, stderr);
    assert.equal(readJsonObject(join(merged, "config.json"))["quantization_config"], undefined);
    const [alone, together, whole] = [
      await lossOf("--model", quantized),
      await lossOf("--adapter", exported),
      await lossOf("--model", merged),
    ];
    assert.ok(Math.abs(together - whole) < 1e-5, `${together} ${whole}`);
    assert.ok(Math.abs(together - alone) > 1e-3, `${together} ${alone}`);
  },
);

void test("what can't be quantized is refused, with what to do", async () => {
  const sizes = { ...readJsonObject(join(model, "config.json")) };
  const refused = (changes: object, given: object, message: RegExp): void => {
    const { spec } = Config.create({ model: { hf_assets_path: "model" }, ...given });
    const of = parseModelConfig({ ...sizes, ...changes }, "config.json");
    assert.throws(() => trainedBlocks(spec, of), message);
  };
  const lora = { adapter: { method: "lora" } };
  const nf4 = { quantize: { base: "nf4" } };
  const files = {
    quantization_config: { quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "nf4" },
  };
  refused(
    {},
    nf4,
    /^UserError: quantize\.base \(nf4\): quantized weights can't be trained, .*; train an adapter \(adapter\.method=lora\), or leave quantize\.base out$/,
  );
  refused(files, {}, /its files are in nf4.*train an adapter .* or take the model that it was made from$/);
  refused(
    files,
    { ...lora, quantize: { base: "int8" } },
    /quantize\.base \(int8\): the files .* are in nf4 already/,
  );
  refused(
    { intermediate_size: 100 },
    { ...lora, ...nf4 },
    /quantize\.base \(nf4\): expected matrices whose inputs are a multiple of 64, .* found 100 inputs of model\.layers\.0\.mlp\.down_proj; int8 and fp8 take any number/,
  );
  refused(
    files,
    { adapter: { method: "lora", target_modules: ["q_proj"], modules_to_save: ["v_proj"] } },
    /adapter\.modules_to_save: model\.layers\.0\.self_attn\.v_proj\.weight is quantized in the model's files \(nf4\)/,
  );
  const again = await start(["quantize", quantized, "--output-dir", join(work, "again")]).ended;
  assert.match(again.stderr, /its files are in nf4 already/);
});
