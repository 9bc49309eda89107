import assert from "node:assert/strict";
import { test } from "node:test";

import { CellSyntaxError, completeness, transpile } from "./transpile.ts";

const js = (code: string): string => transpile(code, "cell-1.ts").js.trim();
const names = (code: string): string => transpile(code, "cell-1.ts").names.join(" ");

test("the last expression is returned, unawaited; declarations and generated code are not", () => {
  assert.equal(js("1 + 1;"), "return [1 + 1];");
  assert.match(js("x\n// a comment"), /^return \[x\s+\/\/ a comment\s*\];$/);
  assert.doesNotMatch(js("const x = 1"), /return/);
  assert.doesNotMatch(js("enum E { A }"), /return/);
  assert.equal(js("export default 5"), "return [5];");
});

test("top-level names are assigned, not declared; functions come first", () => {
  assert.equal(js("const a = 1, b = 2;"), "a = 1;\nb = 2;");
  assert.equal(
    names("const { a, b: [c, ...d], e = 1, ...f } = x; let g; var [h] = y; class I {} function j() {}"),
    "a c d e f g h I j",
  );
  assert.match(
    js("go();\nfunction go() { return 1 }"),
    /^go = function \(\) \{ return 1; \};\nreturn \[go\(\)\];$/,
  );
  assert.equal(js("for (const i of [1]) { let inner = i }"), "for (const i of [1]) {\n    let inner = i;\n}");
});

test("imports become import(), types vanish", () => {
  assert.equal(
    js("import d, { a as b, type T } from 'm';"),
    '({ "default": d, "a": b } = await __kernel.import(\'m\', void 0, ["default", "a"], "cell-1.ts:1:1"));',
  );
  assert.equal(
    js("import * as ns from 'm';"),
    "ns = await __kernel.import('m', void 0, [], \"cell-1.ts:1:1\");",
  );
  assert.equal(js("import type { T } from 'm';"), "");
  assert.equal(names("import d, * as ns from 'm'; export { x as y } from 'n';"), "ns d y");
});

test("a cell with `using` gives its last expression; what was there before stays a name of the notebook", () => {
  const cell = js("await using s = f(); const x = 1; x + 1");
  assert.match(cell, /try \{[^]*\n    return \[x \+ 1\];\n\}\ncatch/);
  assert.doesNotMatch(js("using s = f(); g = 1; if (g) h();"), /return \[/);
  assert.doesNotMatch(js("try { 1 } finally { }"), /return \[/);
});

test("an import must have what is used as a value; what may be a type needn't be there", () => {
  const wanted = (code: string): string => /void 0, (\[.*?\])/.exec(js(code))![1]!;
  assert.equal(
    wanted("import { Config, run } from 'm'; let c: Config; c.Config; ({ Config: 1 });"),
    '["run"]',
  );
  assert.equal(wanted("import { Trainer as T } from 'm'; run(T);"), '["Trainer"]');
  assert.equal(wanted("import { Trainer } from 'm'; class Own extends Trainer {}"), '["Trainer"]');
});

test("awaits go through the kernel, with their place", () => {
  assert.equal(js("\n  await f()"), 'return [await __kernel.wait(f(), "cell-1.ts:2:3")];');
  assert.match(js("for await (const x of xs) {}"), /of __kernel\.each\(xs, "cell-1\.ts:1:1"\)/);
  assert.match(js("const f = async () => { await g() }"), /await __kernel\.wait\(g\(\)/);
});

test("a syntax error has line, column and TypeScript's words", () => {
  assert.throws(
    () => transpile("const x = 1;\nconst y = {", "cell-1.ts"),
    (error) => {
      assert.ok(error instanceof CellSyntaxError);
      assert.deepEqual([error.message, error.line, error.column], ["'}' expected.", 2, 12]);
      return true;
    },
  );
});

test("whether a console should ask for another line", () => {
  for (const code of ["1", "const x = 1", "if (a) { b() }", ""]) {
    assert.equal(completeness(code).status, "complete", code);
  }
  for (const code of [
    "f(",
    "if (a) {",
    "class A {\n  b() {",
    "`a",
    "/* a",
    "const x =",
    "import { a } from",
  ]) {
    assert.equal(completeness(code).status, "incomplete", code);
  }
  for (const code of ["const x = )", "'a", "let let = 1 1"])
    assert.equal(completeness(code).status, "invalid", code);
});
