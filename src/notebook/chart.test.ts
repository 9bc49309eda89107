import assert from "node:assert/strict";
import { test } from "node:test";

import { chartBundle } from "./chart.ts";
import { sparkline } from "../view/index.ts";
import { stepRecord } from "./testing.ts";

test("the chart ends at the last record, says its loss, and is a document of its own", () => {
  for (const steps of [1, 5, 50]) {
    const records = Array.from({ length: steps }, (_, i) => stepRecord(i + 1));
    const { "image/svg+xml": svg, "text/plain": text } = chartBundle(records);
    const last = records.at(-1)!;
    assert.match(svg!, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    for (const title of [`loss  ${last.loss.toFixed(4)}`, "learning rate  1.00e-5", "tokens/s  400"])
      assert.ok(svg!.includes(`>${title}</text>`), title);
    assert.ok(svg!.includes(`<title>${steps}: ${last.loss}</title>`));
    assert.match(text!, new RegExp(`^step ${steps}/100\nloss .* ${last.loss.toFixed(4)}\n`));
  }
});

test("the marked point is where the line ends", () => {
  const svg = chartBundle([stepRecord(1), stepRecord(2), stepRecord(3)])["image/svg+xml"]!;
  const line = /<polyline points="([^"]+)"/.exec(svg)![1]!.split(" ").at(-1);
  const [, x, y] = /<circle cx="([\d.]+)" cy="([\d.]+)" r="3"[^>]*><title>3: /.exec(svg)!;
  assert.equal(`${x},${y}`, line);
});

test("an evaluation is drawn with the loss, and stands in the text", () => {
  const evaluation = { kind: "eval", step: 2, time: 0, eval_loss: 1.5, num_tokens: 10 } as const;
  const { "image/svg+xml": svg, "text/plain": text } = chartBundle([
    stepRecord(1),
    stepRecord(2),
    evaluation,
  ]);
  assert.match(svg!, />evaluation<\/text>/);
  assert.match(text!, /\nevaluation .* 1\.5000$/);
});

test("a line of numbers as text", () => {
  assert.equal(sparkline([0, 1, 2, 3, 4, 5, 6, 7]), "▁▂▃▄▅▆▇█");
  assert.equal(sparkline([7, 0, Number.NaN, 7]), "█▁ █");
  assert.equal(sparkline([5, 5]), "▅▅");
  assert.equal(sparkline([]), "");
  assert.equal(
    sparkline(
      Array.from({ length: 1000 }, (_, i) => i),
      8,
    ),
    "▁▂▃▄▅▆▇█",
  );
});
