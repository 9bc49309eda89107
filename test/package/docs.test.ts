// The examples of the documentation run: each ```ts block of docs/*.md and README.md, and of an @example in a docstring of
// src/, is a program of its own, type-checked and run from this repository's sources; one that is marked ```ts no-run is only
// type-checked.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { after } from "node:test";
import { makeTinyModel } from "../models/tiny-model.ts";

const root = join(import.meta.dirname, "..", "..");
const pages = ["README.md", ...readdirSync(join(root, "docs")).map((name) => join("docs", name))].filter(
  (name) => name.endsWith(".md"),
);

interface Example {
  page: string;
  line: number;
  code: string;
  runs: boolean;
}

/** The files of src/ whose docstrings have examples. */
const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .map((name) => join("src", name))
  .filter((name) => name.endsWith(".ts") && readFileSync(join(root, name), "utf8").includes("* @example"))
  .sort();

function examplesOf(page: string): Example[] {
  const written = readFileSync(join(root, page), "utf8");
  // A docstring's lines without their stars; the rest of the file as empty lines.
  const text = pages.includes(page)
    ? written
    : written.replaceAll(/^(?:( *\* ?)|.*)(.*)$/gm, (_, star: string | undefined, rest: string) =>
        star === undefined ? "" : rest,
      );
  return [...text.matchAll(/^```ts( [^\n]*)?\n(.*?)^```/gms)].map((match) => ({
    page,
    line: text.slice(0, match.index).split("\n").length + 1,
    code: match[2]!,
    runs: !match[1]?.includes("no-run"),
  }));
}

// Beside src/, whose files take the place of the package's own name. (Not in node_modules: Node strips no types there.)
const folder = join(root, ".docs-examples");
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
after(() => rmSync(folder, { recursive: true, force: true }));
makeTinyModel(join(folder, "model")); // what examples call "./model"

const examples = [...pages, ...sources].flatMap(examplesOf);
const files = examples.map((one, i) => {
  const file = join(folder, `${one.page.replaceAll(/\W/g, "-")}-${one.line}-${i}.ts`);
  const code = one.code.replaceAll(
    /(from|import\() ?"torchforge(?:\/([\w-]+))?"/g,
    (_, how: string, name?: string) => {
      const target = JSON.stringify(`../src/${name === undefined ? "" : `${name}/`}index.ts`);
      return how === "from" ? `from ${target}` : `import(${target}`;
    },
  );
  writeFileSync(file, `${code}\nexport {};\n`);
  return file;
});

test("there are examples", () => assert(examples.length > 5));

test("the examples' types are right", { timeout: 300_000 }, () => {
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../tsconfig.json",
      compilerOptions: { noUnusedLocals: false, types: ["node"] },
      include: ["*.ts"],
      exclude: [],
    }),
  );
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const run = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8", cwd: root });
  assert.equal(run.status, 0, run.stdout);
});

const env = { ...process.env, OMP_NUM_THREADS: "1", NODE_TEST_CONTEXT: "" };

for (const [i, one] of examples.entries()) {
  if (!one.runs || !pages.includes(one.page)) continue;
  test(`${one.page}:${one.line}`, { timeout: 120_000 }, () => {
    execFileSync(process.execPath, [files[i]!], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  });
}

// Those of docstrings are short, and share a process a file.
for (const source of sources) {
  const own = files.filter((_, i) => examples[i]!.page === source && examples[i]!.runs);
  test(`${source}: ${own.length}`, { timeout: 120_000 }, () => {
    const program = `for (const file of ${JSON.stringify(own)}) await import(file);`;
    execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
      cwd: folder,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
  });
}
