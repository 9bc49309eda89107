// An actor's file with enums, decorators and parameter properties, in the controller and in its processes.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { environment, root } from "../programs.ts";

const dir = mkdtempSync(join(tmpdir(), "torchforge-typed-actor-"));
after(() => rmSync(dir, { recursive: true, force: true }));
writeFileSync(join(dir, "package.json"), '{"type": "module"}');
const torchforge = JSON.stringify(join(root, "src", "index.ts"));
writeFileSync(
  join(dir, "fancy.ts"),
  `import { BaseForgeActor } from ${torchforge};
enum Mode { Fast = "fast", Slow = "slow" }
function twice(method: () => string, _: ClassMethodDecoratorContext): () => string {
  return function (this: unknown) { return method.call(this).repeat(2); };
}
class Setting { constructor(readonly mode: Mode) {} }
export class Fancy extends BaseForgeActor {
  #setting = new Setting(Mode.Fast);
  setup(): void {}
  @twice text(): string { return this.#setting.mode; }
  run(): string {
    if (this.config.job.description === "fail") {
      throw new RangeError("as asked");
    }
    return this.text();
  }
  cleanup(): void {}
}
`,
);
const config = (description: string): string =>
  `{ model: { hf_assets_path: "none" }, job: { description: "${description}" } }`;

function node(args: readonly string[], name: string, text: string) {
  const file = join(dir, name);
  writeFileSync(file, text);
  return spawnSync(process.execPath, [...args, file], {
    env: environment,
    encoding: "utf8",
    timeout: 60_000,
  });
}

void test("an actor file that a program imports when torchforge is there", { timeout: 120_000 }, () => {
  const { stdout, stderr } = node(
    [],
    "later.ts",
    `import { Config, runActor } from ${torchforge};
const { Fancy } = await import("./fancy.ts");
console.log(await runActor(Fancy, Config.create(${config("")})));
`,
  );
  assert.match(stdout, /fastfast/, stderr);
});

void test(
  "--import torchforge/typescript for all of a program's files; errors have its lines",
  { timeout: 120_000 },
  () => {
    const hook = join(root, "src", "typescript", "index.ts");
    const { stdout, stderr } = node(
      ["--import", hook],
      "static.ts",
      `import { Config, runActor } from ${torchforge};
import { Fancy } from "./fancy.ts";
enum Answer { Yes = 1 }
const error = await runActor(Fancy, Config.create(${config("fail")})).catch((error: Error) => error);
console.log(Answer.Yes, (error as Error).stack);
`,
    );
    assert.match(stdout, /1 RangeError: as asked/, stderr);
    assert.match(stdout, /fancy\.ts:13:\d+/);
  },
);
