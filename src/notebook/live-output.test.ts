import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";

import { LiveOutput } from "./live-output.ts";
import { TestScreen } from "./testing.ts";

test("many changes in a moment are drawn once at once, and once when it is over", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const screen = new TestScreen();
  let value = 0;
  const output = new LiveOutput(screen, "id", () => ({ "text/plain": String(value) }));
  for (value = 1; value <= 1000; value++) output.requestUpdate();
  assert.equal(screen.drawn, 1);
  assert.deepEqual(screen.all(), ["1"]);
  context.mock.timers.tick(1000);
  assert.equal(screen.drawn, 2);
  assert.deepEqual(screen.all(), ["1001"]);
  context.mock.timers.tick(10_000);
  assert.equal(screen.drawn, 2);
});

test("the end shows what was not shown yet, and leaves no timer", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const screen = new TestScreen();
  let value = "first";
  const output = new LiveOutput(screen, "id", () => ({ "text/plain": value }));
  output.end();
  assert.equal(screen.drawn, 0);
  output.requestUpdate();
  value = "last";
  output.requestUpdate();
  output.end();
  assert.deepEqual([screen.drawn, ...screen.all()], [2, "last"]);
  context.mock.timers.tick(10_000);
  assert.equal(screen.drawn, 2);
});

test("an output belongs to the cell that it was made in, whoever changes it", () => {
  const cell = new AsyncLocalStorage<string>();
  const cells: unknown[] = [];
  const screen = new (class extends TestScreen {
    override display(message: Parameters<TestScreen["display"]>[0]): void {
      cells.push(cell.getStore());
      super.display(message);
    }
  })();
  const output = cell.run("first", () => new LiveOutput(screen, "id", () => ({ "text/plain": "" })));
  output.flush();
  cell.run("second", () => output.flush());
  assert.deepEqual(cells, ["first", "first"]);
});
