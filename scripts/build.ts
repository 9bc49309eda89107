// Makes dist/, which is what the package ships: plain tsc, from empty. Declarations that speak of `Disposable` name the library
// that has it, so that a project with target ES2022 needs no setting. It is built aside and takes its place as a whole, if it
// differs at all: who runs from dist/ meanwhile, tests of another file for example, doesn't notice.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const dist = join(root, "dist");
const fresh = join(root, "node_modules", ".cache", `dist.${process.pid}`);
process.on("exit", () => rmSync(fresh, { recursive: true, force: true }));

const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
const options = ["-p", join(root, "tsconfig.build.json"), "--outDir", fresh];
const { status } = spawnSync(process.execPath, [tsc, ...options], { stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);

for (const name of filesOf(fresh)) {
  if (!name.endsWith(".d.ts")) continue;
  const text = readFileSync(join(fresh, name), "utf8");
  if (!/\b(Async)?Disposable\b|Symbol\.(asyncD|d)ispose\b/.test(text)) continue;
  writeFileSync(join(fresh, name), `/// <reference lib="esnext.disposable" />\n${text}`);
}
// Node reads the nearest package.json for every module, and its exports each time: this one has none.
const { type, sideEffects } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  type: string;
  sideEffects: string[];
};
const inDist = { type, sideEffects: sideEffects.map((path) => path.replace("./dist/", "./")) };
writeFileSync(join(fresh, "package.json"), `${JSON.stringify(inDist)}\n`);
if (!isSame()) {
  const old = `${fresh}.old`;
  if (existsSync(dist)) renameSync(dist, old);
  renameSync(fresh, dist);
  rmSync(old, { recursive: true, force: true });
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted();
}

function isSame(): boolean {
  if (!existsSync(dist)) return false;
  const files = filesOf(fresh);
  return (
    files.join("\n") === filesOf(dist).join("\n") &&
    files.every((name) => readFileSync(join(fresh, name)).equals(readFileSync(join(dist, name))))
  );
}
