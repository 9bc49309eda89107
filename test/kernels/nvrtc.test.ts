// Every kernel compiles by NVRTC, which needs no GPU, for Ampere, Hopper and Blackwell. Where libtorch brought no NVRTC, the
// cache gets one.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

import { ensurePackageVenv, requireLibtorch } from "../../src/setup/index.ts";
import { call } from "../../src/torch/index.ts";
import { kernelFiles } from "./instances.ts";

/** The first whose code fits the three architectures. */
const pinnedNvrtc = "13.0.88";

/** Empty for libtorch's own. */
async function findNvrtc(): Promise<string> {
  if (requireLibtorch().cuda) return "";
  const venv = await ensurePackageVenv({
    name: "nvidia-cuda-nvrtc",
    version: pinnedNvrtc,
    label: "NVRTC",
    withoutPython: ".",
    advice: ".",
  });
  const names = readdirSync(join(venv, "lib"), { recursive: true, encoding: "utf8" });
  const found = names.find((name) => /\blibnvrtc\.so\.\d+$/.test(name));
  assert.ok(found !== undefined, `no libnvrtc.so in ${venv}`);
  return join(venv, "lib", found);
}

void test("kernels compile for sm_80, sm_90 and sm_100", { timeout: 600_000 }, async () => {
  const library = await findNvrtc();
  for (const { file, instances } of kernelFiles) {
    const lines = instances.map(([instance, args, threads]) => `${instance} ${args} ${threads}`).join("\n");
    for (const architecture of ["sm_80", "sm_90", "sm_100"]) {
      const bytes = call<number>("forge::cuda_compile", library, file, lines, architecture);
      assert.ok(bytes > 1000 * instances.length, `${file}: ${bytes} bytes for ${architecture}`);
    }
  }
});

void test("what doesn't compile is told with NVRTC's own words", async () => {
  const library = await findNvrtc();
  assert.throws(
    () =>
      call<number>(
        "forge::cuda_compile",
        library,
        "swiglu",
        "swiglu_forward<int, 1> SwigluArgs 256",
        "sm_90",
      ),
    /NVRTC [\d.]+ can't compile swiglu\.cu for sm_90: NVRTC_ERROR_COMPILATION\n.*: error: /,
  );
});
