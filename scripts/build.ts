// Makes dist/, which is what the package ships: plain tsc, from empty. Declarations that speak of `Disposable` name the library
// that has it, so that a project with target ES2022 needs no setting.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const dist = join(root, "dist");
rmSync(dist, { recursive: true, force: true });
const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
const { status } = spawnSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json")], {
  stdio: "inherit",
});
for (const name of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
  if (!name.endsWith(".d.ts")) continue;
  const text = readFileSync(join(dist, name), "utf8");
  if (!/\b(Async)?Disposable\b|Symbol\.(asyncD|d)ispose\b/.test(text)) continue;
  writeFileSync(join(dist, name), `/// <reference lib="esnext.disposable" />\n${text}`);
}
process.exitCode = status ?? 1;
