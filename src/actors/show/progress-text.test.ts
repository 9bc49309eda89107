import assert from "node:assert/strict";
import test from "node:test";

import { ProgressText } from "./progress-text.ts";

function lines(total: number, label: string, text = new ProgressText()): string[] {
  const shown: string[] = [];
  for (let done = 1; done <= total; done++) {
    const line = text.next(done, total, label);
    if (line !== undefined) shown.push(line);
  }
  return shown;
}

test("a line every tenth of the way, the last one among them", () => {
  assert.deepEqual(lines(3, "loading"), ["loading 1/3", "loading 2/3", "loading 3/3"]);
  assert.equal(lines(1000, "").length, 10);
  assert.equal(lines(1000, "").at(-1), "1000/1000");
});

test("another label, or a new beginning, starts again", () => {
  const text = new ProgressText();
  assert.equal(lines(20, "a", text).length, 10);
  assert.equal(lines(20, "a", text).length, 10);
  assert.equal(lines(20, "b", text).length, 10);
  assert.equal(text.next(1, 0, "c"), undefined);
});
