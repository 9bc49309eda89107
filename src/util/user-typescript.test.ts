import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";

import { acceptTypeScript, needsTransform, transpileFile } from "./user-typescript.ts";

const dir = mkdtempSync(join(tmpdir(), "torchforge-typescript-"));
after(() => rmSync(dir, { recursive: true, force: true }));
writeFileSync(join(dir, "package.json"), '{"type": "module"}');

/** All that node's own type stripping refuses, in one file. */
const everything = `import { readFileSync, type Stats } from "node:fs";
enum Colour { Red = 1, Green }
const enum Size { Small = 3 }
namespace Geometry { export const pi = 3; }
function double(method: (this: Shape) => number, _: ClassMethodDecoratorContext): (this: Shape) => number {
  return function () { return 2 * method.call(this); };
}
export class Shape {
  constructor(private readonly side: number, public colour: Colour = Colour.Green) {}
  accessor name: string = "square";
  @double area(): number { return this.side * this.side * Geometry.pi; }
  fail(): never {
    throw new RangeError("line 13");
  }
}
export const all = () => { const s = new Shape(Size.Small); return [s.area(), s.colour, s.name]; };
export type Found = Stats; void readFileSync;
`;

test("files with more than types are transpiled, with their own lines in stacks", async () => {
  const file = join(dir, "shape.ts");
  writeFileSync(file, everything);
  acceptTypeScript();
  acceptTypeScript();
  const { all, Shape } = (await import(pathToFileURL(file).href)) as {
    all: () => unknown;
    Shape: new (side: number) => { fail(): never };
  };
  assert.deepEqual(all(), [54, 2, "square"]);
  const error = ((): Error => {
    try {
      return new Shape(1).fail();
    } catch (thrown) {
      return thrown as Error;
    }
  })();
  assert.match(error.stack!, /shape\.ts:13:\d+/);
});

test("what node can do is left to it", () => {
  const plain = { major: 26, strips: true };
  for (const text of [
    "/** @param x the number */\nexport const f = (x: number): number => x;",
    "export class A {\n  readonly x = 1;\n  private y = 2;\n}",
    'import type { A } from "a";\nconst mail = "someone@example.org";',
    "export interface Enumeration { enumerable: boolean }",
    "using x = f();",
  ])
    assert.equal(needsTransform(text, plain), false, text);
  assert.equal(needsTransform("const x = 1;", { major: 22, strips: false }), true);
  assert.equal(needsTransform("await using x = f();", { major: 22, strips: true }), true);
  for (const text of [
    "export enum A { B }",
    "declare module M { }",
    "@sealed\nclass A {}",
    "export @sealed class A {}",
    "class A { @logged run() {} }",
    "class A { constructor(readonly x: number) {} }",
    'import fs = require("fs");',
    "class A { static accessor x = 1; }",
  ])
    assert.equal(needsTransform(text, plain), true, text);
});

test("a mistake is named with its line; CommonJS stays what it is", () => {
  assert.throws(() => transpileFile("a.ts", "enum A {\n  B = ,\n}"), {
    name: "SyntaxError",
    message: "Expression expected. (a.ts:2)",
  });
  assert.match(transpileFile("a.cts", "export enum A { B }").source, /exports\.A/);
});

test("node --import makes a program's own file one; files of packages are node's", () => {
  const program = join(dir, "program.ts");
  writeFileSync(program, `${everything}\nconsole.log(JSON.stringify(all()));\n`);
  const hook = pathToFileURL(resolve(import.meta.dirname, "..", "typescript", "index.ts")).href;
  const { stdout, stderr } = spawnSync(process.execPath, ["--import", hook, program], { encoding: "utf8" });
  assert.equal(stdout, '[54,2,"square"]\n', stderr);

  const inside = join(dir, "node_modules", "one");
  mkdirSync(inside, { recursive: true });
  writeFileSync(join(inside, "index.ts"), "export enum A { B }");
  const refused = spawnSync(process.execPath, ["--import", hook, join(inside, "index.ts")], {
    encoding: "utf8",
  });
  assert.match(refused.stderr, /ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING/);
});
