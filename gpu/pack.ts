// Packs what a bare machine with a GPU and without a network lacks to run gpu/run.sh: Node, the packages that the project
// needs, and wheels of the peers that benchmarks compare with. `npm run gpu:pack` writes gpu/packed; the project's own files
// and gpu/packed together go to the machine. Prints the sizes, and fails beyond what such a transfer may take.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";

const limitMiB = 60;
const peers = ["liger-kernel==0.8.5"];

const root = resolve(import.meta.dirname, "..");
const packed = join(root, "gpu", "packed");

function run(command: string, args: readonly string[]): string {
  const { status, stdout, error } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 2 ** 28,
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}`);
  return stdout;
}

/** Node without its symbols; once a version, since compressing takes a minute. */
function packNode(): string {
  const file = join(packed, `node-${process.version}.xz`);
  if (existsSync(file)) return file;
  for (const old of readdirSync(packed)) if (old.startsWith("node-")) rmSync(join(packed, old));
  const work = mkdtempSync(join(tmpdir(), "torchforge-pack-"));
  try {
    copyFileSync(process.execPath, join(work, "node"));
    run("strip", [join(work, "node")]);
    run("xz", ["-9", "-T2", join(work, "node")]);
    copyFileSync(join(work, "node.xz"), file);
  } finally {
    rmSync(work, { recursive: true });
  }
  return file;
}

/** The packages that package.json names as dependencies, with theirs; not those of development. */
function packModules(): string {
  const file = join(packed, "node_modules.tar.xz");
  const folders = run("npm", ["ls", "--all", "--omit=dev", "--parseable"])
    .split("\n")
    .filter((folder) => folder !== "" && resolve(folder) !== root)
    .map((folder) => relative(root, folder))
    .filter((folder, _, all) => !all.some((other) => folder.startsWith(`${other}/`)));
  const without = ["*.map", "*.d.ts", "*.d.mts", "*.d.cts", "*.md"].map((one) => `--exclude=${one}`);
  run("tar", ["-cJf", file, ...without, ...folders]);
  return file;
}

function packWheels(): string[] {
  const folder = join(packed, "wheels");
  run("python3", ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, ...peers]);
  return readdirSync(folder).map((name) => join(folder, name));
}

mkdirSync(packed, { recursive: true });
const mib = (bytes: number): number => bytes / 2 ** 20;
const own = run("git", ["ls-files", "-z"])
  .split("\0")
  .filter((name) => name !== "" && existsSync(join(root, name)))
  .reduce((sum, name) => sum + statSync(join(root, name)).size, 0);
let total = own;
for (const file of [packNode(), packModules(), ...packWheels()]) {
  const { size } = statSync(file);
  total += size;
  console.log(`${mib(size).toFixed(1).padStart(6)} MiB  ${relative(root, file)}`);
}
console.log(`${mib(own).toFixed(1).padStart(6)} MiB  the project's own files`);
console.log(`${mib(total).toFixed(1).padStart(6)} MiB  in all`);
if (mib(total) > limitMiB) throw new Error(`more than ${limitMiB} MiB: leave something out`);
