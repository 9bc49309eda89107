// Actors in the kernel itself: one interrupt stops a training gently, its cell keeps its result and ends as interrupted, and
// cells queued after it don't run; a second one ends what doesn't heed the first, and no process stays. In either case the next
// cell finds everything in place.
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { after, suite, test } from "node:test";

import { children } from "../actors/setting.ts";
import { makePlace } from "../cli/forge.ts";
import { root } from "../programs.ts";
import { KernelClient, type Executed } from "./kernel-client.ts";

const timeout = 600_000;
const tiny = makePlace();
after(() => rmSync(tiny.folder, { recursive: true, force: true }));

void suite("interrupting an actor", { timeout }, () => {
  test("once: it saves, and the cell goes on; twice: it ends at once", { timeout }, async () => {
    await using kernel = await KernelClient.start({ cwd: root });
    const begun = await kernel.execute(`
      import { runActor, TrainerActor, Config } from "torchforge";
      const cfg = Config.fromYaml(${JSON.stringify(tiny.config)}, ["training.steps=100000", "job.name=interrupted"]);
      let seen = 0;
      const train = (interruptAt) => runActor(TrainerActor, cfg, {
        onEvent: (event) => { if (event.type === "record" && ++seen === interruptAt) console.log("interrupt me"); },
      });`);
    assert.equal(begun.status, "ok", begun.traceback);
    const alive = async (code: string): Promise<string | undefined> => (await kernel.execute(code)).result;

    // As with "Run all": the next cell is in the queue already.
    const [gentle, queued] = await Promise.all([
      interrupted(kernel, "const result = await train(3);\nresult.status", 1),
      kernel.execute("const ranAfter = true"),
    ]);
    assert.equal(gentle.status, "error");
    assert.match(gentle.traceback, /Interrupted: the cell was stopped: .*queued cells do not run/);
    assert.equal(gentle.result, "'stopped'");
    assert.equal(queued.status, "aborted");
    assert.equal(queued.reply.content["execution_count"], undefined);
    assert.equal(await alive("typeof ranAfter"), "'undefined'");
    const checkpoint = (await alive("result.checkpoint"))!.slice(1, -1);
    assert.ok(existsSync(checkpoint));

    const hard = await interrupted(
      kernel,
      `import { Deaf } from "./test/actors/toys/deaf.ts"; await runActor(Deaf, { model: { hf_assets_path: "none" } });`,
      2,
    );
    assert.equal(hard.status, "error");
    assert.equal(await alive("result.status"), "'stopped'");
    // The workers are gone, or about to go.
    while (children(kernel.process.pid).length > 0) await new Promise((resolve) => setTimeout(resolve, 50));
  });
});

/** Runs a cell, and interrupts it so many times once it asks for it. */
async function interrupted(kernel: KernelClient, code: string, times: number): Promise<Executed> {
  const interrupts: Promise<void>[] = [];
  const executed = await kernel.execute(code, {}, ({ content }) => {
    if (interrupts.length > 0 || !String(content["text"]).includes("interrupt me")) return;
    const all = async (): Promise<void> => {
      for (let i = 0; i < times; i++) await kernel.interrupt();
    };
    interrupts.push(all());
  });
  await Promise.all(interrupts);
  return executed;
}
