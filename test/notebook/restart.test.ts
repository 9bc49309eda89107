// A kernel that ends while it trains, because it is restarted, shut down or killed: its workers end within five seconds, and
// nothing that they were writing stays.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";

import { children } from "../actors/setting.ts";
import { gone, makePlace } from "../cli/forge.ts";
import { root } from "../programs.ts";
import { KernelClient } from "./kernel-client.ts";

const timeout = 300_000;
const limitSeconds = 5;
const tiny = makePlace();
after(() => rmSync(tiny.folder, { recursive: true, force: true }));

const ways: Readonly<Record<string, (kernel: KernelClient) => Promise<unknown>>> = {
  restarted: (kernel) => kernel.shutdown(true),
  "shut down": (kernel) => kernel.shutdown(false),
  // As Jupyter does with one that doesn't answer, or the system for want of memory.
  killed: async (kernel) => {
    kernel.process.kill("SIGKILL");
    await new Promise((resolve) => kernel.process.once("exit", resolve));
  },
};

void suite("a kernel that ends while it trains", { timeout }, () => {
  for (const [how, end] of Object.entries(ways)) {
    test(how, { timeout }, async () => {
      const name = how.replace(" ", "-");
      const temporary = join(tiny.folder, `temporary-${name}`);
      mkdirSync(temporary);
      await using kernel = await KernelClient.start({ cwd: root, env: { TMPDIR: temporary } });
      // A save after every step, so that it is likely to be under way.
      const running = kernel.execute(
        `import { runActor, TrainerActor, Config } from "torchforge";
        const cfg = Config.fromYaml(${JSON.stringify(tiny.config)}, [
          "training.steps=100000", "processes.procs=2", "checkpoint.interval=1", "job.name=${name}",
        ]);
        await runActor(TrainerActor, cfg, {
          onEvent: (event) => { if (event.type === "record" && event.record.step === 3) console.log("trains"); },
        });`,
        {},
      );
      const failed = running.then(
        ({ traceback }) => assert.fail(traceback),
        () => undefined,
      );
      await Promise.race([failed, kernel.until(({ content }) => String(content["text"]).includes("trains"))]);
      const workers = children(kernel.process.pid);
      assert.equal(workers.length, 2);
      await end(kernel);
      for (const worker of workers)
        assert.notEqual(await gone(worker, limitSeconds), undefined, `worker ${worker} is still there`);
      await failed;
      assert.deepEqual(readdirSync(temporary), []);
      const run = join(tiny.folder, "outputs", name);
      const half = readdirSync(run, { recursive: true }).filter((file) => /\.tmp(-\d+)?$/.test(String(file)));
      assert.deepEqual(half, []);
      assert.ok(existsSync(join(run, "checkpoint")));
      assert.ok(!/Error/.test(readFileSync(join(run, "logs", "rank-0.log"), "utf8")));
    });
  }
});
