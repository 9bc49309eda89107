import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { asJson, asText } from "../doctor.ts";
import { checkNode } from "./checks.ts";
import { parseGpus } from "./gpus.ts";
import { processor } from "./processor.ts";

const main = join(import.meta.dirname, "..", "..", "main.ts");

function doctor(
  args: string[],
  env: NodeJS.ProcessEnv,
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [main, "doctor", ...args], { encoding: "utf8", env, timeout: 100_000 });
}

test("with nothing there it still shows a screen, and says what to do", { timeout: 60_000 }, () => {
  const cache = mkdtempSync(join(tmpdir(), "torchforge-doctor-"));
  try {
    const { status, stdout, stderr } = doctor([], {
      PATH: "",
      HOME: cache,
      TORCHFORGE_CACHE: cache,
      NO_COLOR: "1",
    });
    assert.equal(stderr, "");
    assert.equal(status, 1);
    assert.match(stdout, /^ok\s+node\s+\d+\.\d+\.\d+/m);
    assert.match(stdout, /^BAD\s+libtorch\s+not found$/m);
    assert.match(stdout, /^BAD\s+compiler\s+none$/m);
    assert.match(stdout, /What to do:\n {2}libtorch: Run `npx torchforge setup`/);
    assert.match(stdout, /apt-get install g\+\+/);
    assert.match(stdout, /torchforge can't train here yet\.\n$/);
    assert.ok(stdout.trim().split("\n").length <= 30, "one screen");
  } finally {
    rmSync(cache, { recursive: true });
  }
});

test("a wrong TORCHFORGE_LIBTORCH is a finding, not the end of the doctor", { timeout: 60_000 }, () => {
  const { status, stdout } = doctor(["--json"], { ...process.env, TORCHFORGE_LIBTORCH: "/no/such/folder" });
  const said = JSON.parse(stdout) as { ok: boolean; libtorch: { status: string; todo: string } };
  assert.equal(status, 1);
  assert.equal(said.ok, false);
  assert.equal(said.libtorch.status, "bad");
  assert.match(said.libtorch.todo, /TORCHFORGE_LIBTORCH: expected a libtorch or torch folder, found nothing/);
});

test("on a machine that is set up, --json has every part", { timeout: 120_000 }, () => {
  const { status, stdout, stderr } = doctor(["--json"], process.env);
  const said = JSON.parse(stdout) as Record<string, Record<string, unknown>>;
  assert.equal(status, 0, stdout + stderr);
  assert.equal(said["ok"], true);
  assert.match(String(said["libtorch"]!["version"]), /^2\.\d+\.\d+/);
  assert.equal(said["addon"]!["torchVersion"], String(said["libtorch"]!["version"]).replace(/\+.*/, ""));
  assert.match(String(said["cpu"]!["capability"]), /^(DEFAULT|AVX2|AVX512|SVE256)/);
  assert.equal(typeof said["cpu"]!["nativeBf16"], "boolean");
  assert.ok(Number(said["threads"]!["threads"]) >= 1);
  assert.ok(Number(said["memory"]!["freeBytes"]) > 0);
  assert.ok(Number(said["disk"]!["cacheFreeBytes"]) > 0);
  assert.ok(Array.isArray(said["gpu"]!["gpus"]));
  assert.equal(typeof said["hugging_face"]!["cacheDir"], "string");
  assert.equal(typeof said["compiler"]!["found"], "boolean");
});

test("Bun and Deno, which can't train, are bad", () => {
  const { status, text, todo } = checkNode("26.3.0", { node: "26.3.0", bun: "1.4.5" });
  assert.equal(status, "bad");
  assert.match(text, /^Bun 1\.4\.5, /);
  assert.equal(
    todo,
    "torchforge needs Node 22 or later, found Bun 1.4.5: training and whatever else starts processes fail.",
  );
});

test("an old Node is bad", () => {
  const finding = checkNode("20.1.0");
  assert.equal(finding.status, "bad");
  assert.equal(finding.todo, "torchforge needs Node 22 or later, found 20.1.0: install a newer one.");
  assert.match(asText([finding]), /What to do:\n {2}node: torchforge needs Node 22/);
  assert.equal(asJson([finding])["ok"], false);
});

function block(id: number, core: number, flags: string): string {
  return `processor\t: ${id}\nmodel name\t: Test CPU\nphysical id\t: 0\ncore id\t\t: ${core}\nflags\t\t: ${flags}\n`;
}

test("the processor's capability, cores and bf16, as libtorch chooses them", () => {
  const avx512 = "fma avx2 avx512f avx512vl avx512bw avx512dq";
  const amx = processor([block(0, 0, `${avx512} avx512_bf16 amx_bf16`), block(1, 0, avx512)].join("\n"));
  assert.deepEqual(
    { model: amx.model, capability: amx.capability, bf16: amx.bf16, cores: amx.physicalCores },
    { model: "Test CPU", capability: "AVX512", bf16: ["amx_bf16", "avx512_bf16"], cores: 1 },
  );
  assert.equal(processor(block(0, 0, "fma avx2 avx512f")).capability, "AVX2");
  assert.equal(processor(block(0, 0, "sse2")).capability, "DEFAULT");
});

test("GPUs, as nvidia-smi prints them", () => {
  assert.deepEqual(parseGpus("0, NVIDIA H100 80GB HBM3, 81559, 81000, 570.12\n"), [
    {
      index: 0,
      name: "NVIDIA H100 80GB HBM3",
      totalBytes: 81559 * 2 ** 20,
      freeBytes: 81000 * 2 ** 20,
      driver: "570.12",
    },
  ]);
  assert.deepEqual(parseGpus("\n"), []);
});
