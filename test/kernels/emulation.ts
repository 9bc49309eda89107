// Compiles the kernels for the CPU (emulate.h) and has the addon launch them in place of its CPU operators, in this process.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { nativeDir, requireCompiler } from "../../src/setup/index.ts";
import { call } from "../../src/torch/index.ts";
import { kernelFiles } from "./instances.ts";

/** From now on `forge::` operators on CPU tensors run the kernels of CUDA devices. */
export function emulateCuda(): void {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-emulation-"));
  try {
    const library = join(folder, "kernels.so");
    writeFileSync(join(folder, "kernels.cc"), source());
    const [program, ...prefix] = requireCompiler(process.env).command;
    const flags = "-std=c++20 -O2 -shared -fPIC -Wall -Werror -Wno-unknown-pragmas".split(" ");
    // A misaligned access is an error of the device, too.
    const checks = ["-fsanitize=alignment,bounds", "-fsanitize-undefined-trap-on-error"];
    const folders = ["-I", join(nativeDir, "cuda", "kernels"), "-I", import.meta.dirname];
    const files = ["-o", library, join(folder, "kernels.cc")];
    execFileSync(program, [...prefix, ...flags, ...checks, ...folders, ...files]);
    call<undefined>("forge::emulate_cuda", library);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function source(): string {
  const entries = kernelFiles.flatMap(({ instances }) =>
    instances.map(
      ([instance, args]) =>
        `  if (name == "${instance}") return run([&] { ${instance}(*static_cast<const ${args}*>(args)); });`,
    ),
  );
  return [
    '#include "emulate.h"',
    ...kernelFiles.map(({ file }) => `#include "${file}.cuh"`),
    "#include <string_view>",
    'extern "C" int launch_emulated(const char* instance, unsigned grid, unsigned block, const void* args) {',
    "  const std::string_view name = instance;",
    "  const auto run = [&](const auto& body) { emulation::launch(grid, block, body); return 0; };",
    ...entries,
    "  return 1;",
    "}",
    "",
  ].join("\n");
}
