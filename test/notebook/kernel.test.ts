// The kernel as a process, spoken to over its sockets: what cells print and give, errors, redeclaration, imports, display,
// order. Interrupts have a file of their own.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { root } from "../programs.ts";
import { textOf } from "../../src/notebook/kernel/protocol/message.ts";
import { KernelClient, type Executed } from "./kernel-client.ts";

const timeout = 120_000;

describe("a kernel", { timeout }, () => {
  let kernel: KernelClient;
  let folder: string;

  before(
    async () => {
      folder = mkdtempSync(join(tmpdir(), "torchforge-notebook-"));
      writeFileSync(
        join(folder, "helper.ts"),
        "export const answer: number = 42;\nexport default class Helper {}\n",
      );
      writeFileSync(
        join(folder, "typed.ts"),
        "export enum Colour { Red = 3 }\nexport class Point {\n  constructor(readonly x: number) {}\n  fail(): never {\n    throw new RangeError('line 5');\n  }\n}\n",
      );
      const esm = join(folder, "node_modules", "only-exports");
      mkdirSync(esm, { recursive: true });
      writeFileSync(
        join(esm, "package.json"),
        '{ "name": "only-exports", "type": "module", "exports": { "./deep": { "import": "./file.js" } } }',
      );
      writeFileSync(join(esm, "file.js"), "export const deep = 1;\n");
      writeFileSync(join(folder, "data.json"), '{ "rows": 3 }');
      kernel = await KernelClient.start({ cwd: folder });
    },
    { timeout },
  );
  after(async () => {
    await kernel[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const ok = async (code: string): Promise<Executed> => {
    const executed = await kernel.execute(code);
    assert.equal(executed.status, "ok", executed.traceback);
    return executed;
  };

  test("gives the last expression's value, and prints", async () => {
    assert.equal((await ok("1 + 1")).result, "2");
    assert.equal((await ok("const silent = 1;")).result, undefined);
    assert.equal((await ok("({ a: [1, 2], b: 'text' })")).result, "{ a: [ 1, 2 ], b: 'text' }");
    assert.equal((await ok("await Promise.resolve('done')")).result, "'done'");
    assert.equal((await ok("undefined")).result, undefined);
    assert.equal((await ok("null")).result, "null");
    const printed = await ok(
      "console.log('out', { a: 1 }); console.error('err'); process.stdout.write('raw\\n'); console.table([[1]])",
    );
    assert.match(printed.stdout, /^out \{ a: 1 \}\nraw\n┌/);
    assert.equal(printed.stderr, "err\n");
  });

  test("results and prints come before the reply's idle, in order", async () => {
    const { published } = await ok("console.log('a'); display('b'); console.log('c'); 'd'");
    assert.deepEqual(
      published.map(({ header, content }) => content["execution_state"] ?? header.msg_type),
      ["busy", "execute_input", "stream", "display_data", "stream", "execute_result", "idle"],
    );
  });

  test("a hundred cells in a row lose nothing", async () => {
    const cells = Array.from({ length: 100 }, (_, i) => kernel.execute(`console.log("line ${i}"); ${i} * 2`));
    for (const [i, executed] of (await Promise.all(cells)).entries()) {
      assert.equal(executed.stdout, `line ${i}\n`);
      assert.equal(executed.result, String(i * 2));
    }
  });

  test("a cell prints ten thousand lines, and loses none", async () => {
    const { stdout } = await ok("for (let i = 0; i < 10_000; i++) console.log(i)");
    assert.equal(stdout, Array.from({ length: 10_000 }, (_, i) => `${i}\n`).join(""));
  });

  test("TypeScript is TypeScript: types, enums, decorators, parameter properties, using", async () => {
    const { result, stdout } = await ok(`
      type Pair<T> = [T, T];
      interface Named { readonly name: string }
      enum Color { Red, Green = 5 }
      const enum Small { One = 1 }
      namespace Space { export const inside = 7 }
      function logged(method: Function, context: ClassMethodDecoratorContext) {
        return function (this: unknown, ...args: unknown[]) {
          console.log("calling", String(context.name));
          return method.apply(this, args);
        };
      }
      class Person implements Named {
        constructor(readonly name: string) {}
        @logged greet(): string { return "hello " + this.name }
      }
      { using held = { [Symbol.dispose]: () => console.log("released") } }
      const pair: Pair<number> = [Color.Green, Small.One] as const satisfies Pair<number>;
      [new Person("Ada").greet(), pair, Space.inside]
    `);
    assert.equal(result, "[ 'hello Ada', [ 5, 1 ], 7 ]");
    assert.equal(stdout, "released\ncalling greet\n");
  });

  test("names can be declared again, as anything, also after an error", async () => {
    await ok("const again = 1; let other = 2; function fn() { return 'first' } class Kind { static n = 1 }");
    await ok("const again = 2; var other = 3; const fn = () => 'second'; class Kind { static n = 2 }");
    assert.equal((await ok("[again, other, fn(), Kind.n]")).result, "[ 2, 3, 'second', 2 ]");
    const failed = await kernel.execute("const again = (() => { throw new Error('no value') })()");
    assert.equal(failed.status, "error");
    assert.equal((await ok("again")).result, "2", "a cell that fails leaves the value as it was");
    assert.equal(
      (
        await ok(
          "const again = 4; const { again: [first, ...rest], ...others } = { again: [1, 2, 3], x: 4 }; [again, first, rest, others]",
        )
      ).result,
      "[ 4, 1, [ 2, 3 ], { x: 4 } ]",
    );
    await ok("function early() { return late() }\nfunction late() { return 'old' }");
    await ok("function late() { return 'new' }");
    assert.equal((await ok("early()")).result, "'new'");
  });

  test("an imported file may be any TypeScript, and errors have its lines", async () => {
    const { result } = await ok("import { Colour, Point } from './typed.ts'; [Colour.Red, new Point(7).x]");
    assert.equal(result, "[ 3, 7 ]");
    assert.match((await kernel.execute("new Point(1).fail()")).traceback, /typed\.ts:5:/);
  });

  test("imports: all kinds, from the notebook's folder, types left out", async () => {
    assert.equal((await ok("import { answer } from './helper.ts'; answer")).result, "42");
    assert.equal(
      (await ok("import Helper, * as all from './helper.ts'; [Helper.name, all.answer]")).result,
      "[ 'Helper', 42 ]",
    );
    assert.equal(
      (
        await ok(
          "import { answer as renamed, type Missing } from './helper.ts';\nimport type { Nothing } from 'no-such-module';\nrenamed",
        )
      ).result,
      "42",
    );
    assert.equal((await ok("import { deep } from 'only-exports/deep'; deep")).result, "1");
    assert.equal((await ok("import data from './data.json' with { type: 'json' }; data.rows")).result, "3");
    assert.equal(
      (await ok("import 'node:fs'; export const exported = 1; export default exported;")).result,
      "1",
    );
    assert.equal((await ok("const { join } = await import('node:path'); join('a', 'b')")).result, "'a/b'");
    assert.equal((await ok("import.meta.dirname")).result, `'${folder}'`);
    assert.equal((await ok("require('node:path').sep")).result, "'/'");
    const wrong = await kernel.execute("\nimport { anwser } from './helper.ts'");
    assert.match(wrong.traceback, /does not provide an export named 'anwser'\n {4}at async cell-\d+\.ts:2:1/);
    const missing = await kernel.execute("import x from './missing.ts'");
    assert.match(missing.traceback, /Cannot find module '.*missing\.ts'/);
    assert.equal(missing.stderr, "");
  });

  test("torchforge comes from the kernel's own package where the folder has none", async () => {
    const { result } = await ok(
      "import { UserError } from 'torchforge/config';\nimport { Config } from 'torchforge/config';\ntypeof Config.create",
    );
    assert.equal(result, "'function'");
    const wrong = await kernel.execute("import {} from 'torchforge/util'");
    assert.match(wrong.traceback, /Cannot find package 'torchforge'/);
  });

  test("errors: the cell's own lines, with an arrow", async () => {
    const failed = await kernel.execute(
      "interface Gone {\n  x: number;\n}\nfunction inner(x: Gone | undefined) {\n  return x!.x;\n}\n\ninner(undefined)",
    );
    const { execution_count: n } = failed.reply.content;
    assert.equal(failed.ename, "TypeError");
    assert.equal(
      failed.traceback,
      [
        "TypeError: Cannot read properties of undefined (reading 'x')",
        `    at inner (cell-${n}.ts:5:13)`,
        `    at cell-${n}.ts:8:1`,
        "",
        "5 |   return x!.x;",
        "  |             ^",
      ].join("\n"),
    );
    const later = await kernel.execute(
      "async function deep() {\n  await 1;\n  throw new RangeError('deep');\n}\n\nawait deep()",
    );
    const m = later.reply.content["execution_count"];
    assert.match(
      later.traceback,
      new RegExp(
        `^RangeError: deep\n {4}at deep \\(cell-${m}\\.ts:3:9\\)\n {4}at async cell-${m}\\.ts:6:1\n`,
      ),
    );
    const caught = await ok("try {\n  null.x\n} catch (error) {\n  console.log(error.stack)\n}");
    assert.match(caught.stdout, /at cell-\d+\.ts:2:8\n$/);
    assert.equal((await kernel.execute("throw { code: 3 }")).traceback, "Uncaught { code: 3 }");
    assert.match(
      (await kernel.execute("throw new Error('a', { cause: new Error('b') })")).traceback,
      /\[cause\]: Error: b/,
    );
  });

  test("syntax errors: message, line and arrow", async () => {
    const failed = await kernel.execute("const fine = 1;\nconst broken = 3 +* 4;");
    const n = failed.reply.content["execution_count"];
    assert.equal(failed.ename, "SyntaxError");
    assert.equal(
      failed.traceback,
      [
        "SyntaxError: Expression expected.",
        `    at cell-${n}.ts:2:19`,
        "",
        "2 | const broken = 3 +* 4;",
        "  |                   ^",
      ].join("\n"),
    );
    assert.match(
      (await kernel.execute("1;\n\n  break;")).traceback,
      /Illegal break statement\n {4}at cell-\d+\.ts:3:3/,
    );
  });

  test("a user's mistake is its message, without a stack", async () => {
    const failed = await kernel.execute(
      "import { Config } from 'torchforge/config';\nConfig.create({ training: { stepz: 3 } })",
    );
    assert.match(failed.traceback, /training\.stepz/);
    assert.doesNotMatch(failed.traceback, /config\.ts/);
    assert.match(failed.traceback, /\n2 \| Config\.create/);
  });

  test("a configuration's misspelled names, and what is assigned to it, are errors", async () => {
    await kernel.execute(
      "import { Config } from 'torchforge'; const cfg = Config.create({ model: { hf_assets_path: 'm' } });",
    );
    for (const [code, said] of [
      ["cfg.trainin", "config.trainin: there is no such section; did you mean config.training?"],
      [
        "cfg.trainin = { steps: 5 }",
        "config.trainin: there is no such section; did you mean config.training?",
      ],
      [
        "cfg.training.steps = 5",
        'training.steps: a configuration doesn\'t change; make another one: const next = config.with(["training.steps=5"])',
      ],
      ["cfg.training.stpes = 5", "Cannot add property stpes"],
    ] as const) {
      const { status, traceback } = await kernel.execute(code);
      assert.equal(status, "error", code);
      assert.ok(traceback.includes(said), traceback);
    }
  });

  test("what a cell leaves running keeps its place, and can't end the kernel", async () => {
    const { reply } = await ok(
      "new Promise((go) => (globalThis.go = go)).then(() => {\n" +
        "  console.log('late');\n  setTimeout(() => { throw new Error('uncaught') });\n" +
        "  void Promise.reject(new Error('unhandled'));\n});\n0",
    );
    const id = (reply.parent as { msg_id: string }).msg_id;
    await ok("go(); 'another cell'");
    const texts = async (wanted: string): Promise<void> => {
      const found = await kernel.until(({ content }) => textOf(content["text"]).includes(wanted));
      assert.equal((found.parent as { msg_id: string }).msg_id, id);
    };
    await texts("late\n");
    await texts("Unhandled rejection in the background: Error: unhandled\n    at cell-");
    await texts("Uncaught exception in the background: Error: uncaught\n    at Timeout._onTimeout (cell-");
    assert.equal((await ok("1")).result, "1");
  });

  test("process.exit() in a cell is an error that says so", async () => {
    const failed = await kernel.execute("process.exit(0)");
    assert.match(failed.traceback, /process\.exit\(\) in a cell would end the kernel/);
    assert.equal((await ok("1")).result, "1");
  });

  test("display: bundles, rich values, update by id, clear", async () => {
    const rich = await ok(
      "({ [Symbol.for('Jupyter.display')]: async () => ({ 'text/html': '<b>x</b>', 'text/plain': 'x' }) })",
    );
    assert.deepEqual(rich.shown[0]!.content["data"], { "text/html": "<b>x</b>", "text/plain": "x" });
    const { shown } = await ok(
      "import { html } from 'torchforge/notebook';\n" +
        "const handle = display(html('<i>1</i>')); handle.update(html('<i>2</i>'));\n" +
        "display({ 'application/json': { a: 1 }, 'image/png': new Uint8Array([1, 2]) }, { raw: true });\n" +
        "display({ [Symbol.for('Jupyter.display')]: async () => { await new Promise((done) => setTimeout(done, 30)); return { 'text/plain': 'slow' } } });",
    );
    assert.deepEqual(
      shown.map(({ type, content }) => [type, content["data"]]),
      [
        ["display_data", { "text/html": "<i>1</i>", "text/plain": "<i>1</i>" }],
        ["update_display_data", { "text/html": "<i>2</i>", "text/plain": "<i>2</i>" }],
        ["display_data", { "application/json": { a: 1 }, "image/png": "AQI=" }],
        ["display_data", { "text/plain": "slow" }],
      ],
    );
    assert.deepEqual(shown[0]!.content["transient"], shown[1]!.content["transient"]);
    const cleared = await ok(
      "import { clearOutput } from 'torchforge/notebook'; clearOutput({ wait: true })",
    );
    assert.deepEqual(cleared.published.find(({ header }) => header.msg_type === "clear_output")!.content, {
      wait: true,
    });
  });

  test("a class of a cell says so: the script of its source is named after the cell", async () => {
    const { result } = await ok(`
      class InACell {}
      const { Session } = await import("node:inspector/promises");
      const session = new Session();
      session.connect();
      const scripts = new Map();
      session.on("Debugger.scriptParsed", ({ params }) => scripts.set(params.scriptId, params.url));
      await session.post("Debugger.enable");
      globalThis.inspected = InACell;
      const { result } = await session.post("Runtime.evaluate", { expression: "inspected" });
      const { internalProperties } = await session.post("Runtime.getProperties", { objectId: result.objectId });
      const location = internalProperties.find(({ name }) => name === "[[FunctionLocation]]").value.value;
      session.disconnect();
      scripts.get(location.scriptId)
    `);
    assert.match(result!, /^'cell-\d+\.ts'$/);
  });

  test("a failed cell stops those that wait, unless it shouldn't", async () => {
    const [failed, waiting] = await Promise.all([
      kernel.execute("throw new Error('x')"),
      kernel.execute("1"),
    ]);
    assert.deepEqual([failed.status, waiting.status], ["error", "aborted"]);
    const [goes, on] = await Promise.all([
      kernel.execute("throw new Error('x')", { stop_on_error: false }),
      kernel.execute("1"),
    ]);
    assert.deepEqual([goes.status, on.status], ["error", "ok"]);
    assert.equal((await ok("2")).result, "2");
  });

  test("IPython's magics are told, with TypeScript that does the same", async () => {
    const told = async (code: string): Promise<string> => {
      const { status, traceback } = await kernel.execute(code);
      assert.equal(status, "error", code);
      return traceback;
    };
    for (const code of [
      "!ls",
      "!ls -a",
      "const a = 1\n!echo hello",
      "%pip install x",
      "%%time\n1",
      "%cd data",
    ])
      assert.match(await told(code), /is IPython's, and cells are TypeScript\. To [a-z ]+:\n/, code);
    assert.match(await told("%matplotlib inline"), /`%matplotlib inline` is IPython's/);
    for (const unknown of ["%constructor", "%%bash"]) assert.doesNotMatch(await told(unknown), /undefined/);
    for (const [magic, stdout] of [
      ["!echo hello", /^hello\n/],
      ["%time 1 + 1", /^cell: /],
    ] as const) {
      const instead = (await told(magic)).split(/To [a-z ]+:\n/)[1]!;
      const done = await kernel.execute(instead);
      assert.equal(done.status, "ok", done.traceback);
      assert.match(done.stdout, stdout);
    }
    assert.doesNotMatch(await told("!nothing.like(it)"), /IPython/);
    assert.equal((await ok("const isReady = false;\n!isReady")).result, "true");
  });

  test("is_complete, history, kernel_info, comm_info, user expressions, heartbeat", async () => {
    const status = async (code: string) =>
      (await kernel.request("shell", "is_complete_request", { code })).reply.content;
    assert.deepEqual(await status("1 + 1"), { status: "complete" });
    assert.deepEqual(await status("if (true) {"), { status: "incomplete", indent: "  " });
    assert.deepEqual(await status("const x = )"), { status: "invalid" });
    assert.deepEqual(await status("`open"), { status: "incomplete", indent: "" });
    await ok("'remember me'");
    const history = await kernel.request("shell", "history_request", {
      hist_access_type: "tail",
      n: 1,
      output: true,
      raw: true,
    });
    assert.deepEqual((history.reply.content["history"] as unknown[][])[0]![2], [
      "'remember me'",
      "'remember me'",
    ]);
    const info = (await kernel.request("control", "kernel_info_request")).reply.content;
    assert.equal((info["language_info"] as { name: string }).name, "typescript");
    assert.deepEqual((await kernel.request("shell", "comm_info_request")).reply.content, {
      status: "ok",
      comms: {},
    });
    const { reply } = await kernel.execute("const u = 2", {
      user_expressions: { double: "u * 2", wrong: "nope" },
    });
    const values = reply.content["user_expressions"] as Record<string, { status: string; data: unknown }>;
    assert.deepEqual(values["double"], { status: "ok", data: { "text/plain": "4" }, metadata: {} });
    assert.equal(values["wrong"]!.status, "error");
    assert.equal(await kernel.heartbeat("beat"), "beat");
  });

  test("silent cells leave no trace", async () => {
    const before = (await ok("0")).reply.content["execution_count"];
    const silent = await kernel.execute("globalThis.touched = 1; 5", { silent: true });
    assert.deepEqual(silent.shown, []);
    assert.equal(silent.reply.content["execution_count"], before);
    assert.equal((await ok("touched")).result, "1");
  });

  test("answers while a cell is busy, and goes on saying that it is", async () => {
    const busy = kernel.execute("import { existsSync } from 'node:fs'; while (!existsSync('flag'));");
    const { published } = await kernel.request("shell", "kernel_info_request");
    writeFileSync(join(folder, "flag"), "");
    assert.deepEqual(
      published.map(({ content }) => content["execution_state"]),
      ["busy", "idle"],
    );
    const states = (await busy).published.map(({ content }) => content["execution_state"]).filter(Boolean);
    assert.deepEqual(states, ["busy", "busy", "idle"]);
  });

  test("ignores messages with a wrong signature, and what was seen before", async () => {
    await ok("globalThis.count = 0");
    const frames = kernel.signer.pack(
      kernel.signer.message("execute_request", { code: "count++", silent: true }),
    );
    kernel.sendRaw("shell", frames.with(1, "0".repeat(64)));
    kernel.sendRaw("shell", frames.with(5, JSON.stringify({ code: "count += 10" })));
    kernel.sendRaw("shell", frames);
    kernel.sendRaw("shell", frames);
    kernel.sendRaw("shell", ["nonsense"]);
    assert.equal((await ok("count")).result, "1");
  });
});

test("in torchforge's own folder cells import its sources", { timeout }, async () => {
  await using kernel = await KernelClient.start({ cwd: join(root, "docs") });
  const { result } = await kernel.execute(
    "import { Config } from 'torchforge/config';\nimport { hostSymbol } from 'torchforge/notebook';\ntypeof globalThis[hostSymbol].display",
  );
  assert.equal(result, "'function'");
});

test(
  "shutdown and restart end the process, also out of a busy cell, and leave nothing",
  { timeout },
  async () => {
    for (const code of ["1", "for (;;);", "await new Promise(() => {})"]) {
      await using kernel = await KernelClient.start();
      const running = kernel.execute(code).catch(() => {});
      if (code === "1") await running;
      const reply = await kernel.shutdown(true);
      assert.deepEqual(reply.content, { status: "ok", restart: true });
      assert.deepEqual([kernel.process.exitCode, kernel.process.signalCode], [0, null], code);
      assert.equal(kernel.terminal.replace(/Waiting for the debugger to disconnect\.\.\.\n/, ""), "");
    }
  },
);
