// Completion and inspection: types and documentation from TypeScript over the cells run so far, joined with what is in memory.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { KernelClient } from "./kernel-client.ts";

const timeout = 120_000;

describe("completion and inspection", { timeout }, () => {
  let kernel: KernelClient;
  before(
    async () => {
      kernel = await KernelClient.start();
      const run = async (code: string): Promise<void> => {
        const { status, traceback } = await kernel.execute(code);
        assert.equal(status, "ok", traceback);
      };
      await run(
        "import { Config } from 'torchforge/config';\nconst rows: number = 5;\ninterface Row { name: string }\n" +
          "const anything: any = { alpha: 1, beta: { gamma: 2 } };",
      );
      await run(
        "const rows = 'text'; const list: Row[] = [];\nclass Cat {\n  /** Says it. */\n  meow(times: number): string { return '' }\n}",
      );
    },
    { timeout },
  );
  after(async () => kernel[Symbol.asyncDispose]());

  const complete = async (code: string) => {
    const request = { code, cursor_pos: Array.from(code).length };
    const { content } = (await kernel.request("shell", "complete_request", request)).reply;
    return { ...content, matches: content["matches"] as string[] } as {
      matches: string[];
      cursor_start: number;
      cursor_end: number;
    };
  };
  const inspect = async (code: string): Promise<string | undefined> => {
    const request = { code, cursor_pos: code.length, detail_level: 0 };
    const { content } = (await kernel.request("shell", "inspect_request", request)).reply;
    assert.equal(content["status"], "ok");
    return content["found"] === true ? (content["data"] as Record<string, string>)["text/plain"] : undefined;
  };

  test("names of other cells, members by their types, the last declaration counts", async () => {
    assert.ok((await complete("ro")).matches.includes("rows"));
    assert.deepEqual((await complete("rows.charC")).matches, ["charCodeAt"]);
    assert.deepEqual((await complete("list[0].na")).matches, ["name"]);
    assert.deepEqual((await complete("new Cat().")).matches, ["meow"]);
    assert.ok((await complete("dis")).matches.includes("display"));
  });

  test("the configuration's keys, with their documentation", async () => {
    assert.ok((await complete("Config.create({ training: { st")).matches.includes("steps"));
    const steps = (await inspect("Config.create({ training: { steps"))!;
    assert.match(
      steps,
      /^\(property\) TrainingInput\.steps\?: number \| "\$\{…\}" \| undefined\n\nOptimizer steps of the whole run/,
    );
  });

  test("what only memory knows", async () => {
    assert.deepEqual((await complete("anything.")).matches, ["alpha", "beta"]);
    assert.deepEqual((await complete("anything.beta.g")).matches, ["gamma"]);
    assert.match((await inspect("rows"))!, /^const rows: "text"\n\nnow: text$/);
  });

  test("positions count code points", async () => {
    const { matches, cursor_start, cursor_end } = await complete("'🙂'; rows.toU");
    assert.deepEqual([matches, cursor_start, cursor_end], [["toUpperCase"], 10, 13]);
  });

  test("signatures, documentation, and nothing for what nobody knows", async () => {
    assert.match((await inspect("new Cat().meow"))!, /^\(method\) Cat\.meow\(times: number\): string/);
    assert.match((await inspect("new Cat().meow("))!, /Cat\.meow\(times: number\): string/);
    assert.equal(await inspect("nosuchname"), undefined);
  });

  test("while a cell is busy, and without side effects", async () => {
    await kernel.execute("let touched = 0; const trap = { get danger() { touched++; return {} } };");
    const busy = kernel.execute("console.log('now'); for (;;);");
    await kernel.until(({ content }) => content["text"] === "now\n");
    assert.deepEqual((await complete("anything.al")).matches, ["alpha"]);
    await complete("trap.danger.");
    await kernel.interrupt();
    assert.equal((await busy).ename, "Interrupted");
    assert.equal((await kernel.execute("touched")).result, "0");
  });
});
