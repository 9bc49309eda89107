import assert from "node:assert/strict";
import { test } from "node:test";

import { legendNames, plotHtml, plotSvg, runCharts } from "./plot.ts";
import type { MetricRecord } from "./record.ts";
import type { RunSummary } from "./runs.ts";
import { evalRecord, stepRecord } from "./testing.ts";

const records: MetricRecord[] = Array.from({ length: 50 }, (_, i) => stepRecord(i + 1));
records.push(evalRecord(50, 0.5));

test("four charts, with the evaluation in the first", () => {
  const svg = plotSvg([{ name: "run", records }]);
  for (const title of ["loss", "learning rate", "gradient norm", "tokens/s"])
    assert.ok(svg.includes(`>${title}</text>`));
  assert.match(svg, />training<\/text>/);
  assert.match(svg, />evaluation<\/text>/);
  assert.equal(svg.match(/<circle [^>]*r="2.5"/g)!.length, 1);
  assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="960" height="560"/);
});

test("evaluation is drawn dashed, with dots", () => {
  const svg = plotSvg([{ name: "run", records: [...records, evalRecord(60, 0.4)] }]);
  assert.equal(svg.match(/<polyline [^>]*stroke-dasharray/g)!.length, 1);
});

test("a spike of the loss doesn't pull the smoothed line along", () => {
  const spiked = Array.from({ length: 100 }, (_, i) => ({
    ...stepRecord(i + 1),
    loss: i === 50 ? 1000 : 2 - i / 100,
  }));
  const [, smoothed] = runCharts([{ name: "run", records: spiked }]).loss.series;
  const ys = smoothed!.points.map(([, y]) => y);
  assert.ok(Math.max(...ys) < 2.2, String(Math.max(...ys)));
});

test("a legend names runs by their descriptions; by names where they have none, or the same", () => {
  const run = (name: string, description: string) => ({ name, description });
  assert.deepEqual(
    legendNames([run("a", "lower rate"), run("b", " "), run("c", "twice"), run("d", "twice")]),
    ["lower rate", "b", "twice (c)", "twice (d)"],
  );
});

test("runs are drawn over each other with their names", () => {
  const svg = plotSvg([
    { name: "one", records },
    { name: "two", records },
  ]);
  assert.equal(svg.match(/>one<\/text>/g)!.length, 4);
  assert.match(svg, />two evaluation<\/text>/);
});

test("the page escapes what it shows, and needs nothing from elsewhere", () => {
  const run = {
    name: "<b>run</b>",
    status: "finished",
    model: "a & b",
    steps: 100,
    step: 50,
    loss: 0.06,
    evalLoss: 0.5,
  } as RunSummary;
  const html = plotHtml([{ name: run.name, run, records }]);
  assert.ok(!html.includes("<b>"));
  assert.match(
    html,
    /<td>&lt;b&gt;run&lt;\/b&gt;<\/td><td>finished<\/td><td>a &amp; b<\/td><td>50\/100<\/td><td>0\.0600<\/td>/,
  );
  assert.match(html, /<td>25,600<\/td><td>1 min 04 s<\/td>/);
  assert.doesNotMatch(html, /<script|src=|href=/);
  assert.match(html, /<h1>&lt;b&gt;run&lt;\/b&gt;<\/h1>\n<div>\d{4}-\d\d-\d\d \d\d:\d\d UTC<\/div>/);
  assert.match(html, /color-scheme:light dark/);
  assert.match(html, /<title>training, 50: [\d.]+<\/title>/);
});
