import assert from "node:assert/strict";
import { test } from "node:test";

import { chartGrid, chartSvg, chartText, smooth, ticks, type Point } from "./chart.ts";

const line = (...ys: number[]): Point[] => ys.map((y, i) => [i, y]);

test("ticks are round and cover the range", () => {
  assert.deepEqual(ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(ticks(1, 97, 5), [0, 20, 40, 60, 80, 100]);
  assert.deepEqual(ticks(3, 3, 5), [3]);
  for (const [low, high] of [
    [0.011, 0.017],
    [-3, 1e6],
    [1e-9, 2e-9],
  ] as const) {
    const all = ticks(low, high, 5);
    assert.ok(all[0]! <= low + 1e-15 && all.at(-1)! >= high - 1e-15 && all.length <= 9, all.join(" "));
  }
});

test("the lowest value lies at the bottom axis, the highest at the top, left to right", () => {
  const svg = chartSvg({ title: "t", series: [{ name: "a", points: line(0, 10) }], width: 300, height: 200 });
  // 62 to 286 across, 162 (bottom) to 34 (top).
  assert.match(svg, /<polyline points="62,162 286,34"/);
  assert.match(svg, /viewBox="0 0 300 200"/);
});

test("a value that is not finite makes a gap; a lone point becomes a dot", () => {
  const svg = chartSvg({
    title: "t",
    series: [{ name: "a", points: line(1, 2, Number.NaN, 3, Infinity, 2, 1) }],
  });
  assert.equal(svg.match(/<polyline /g)!.length, 2);
  assert.equal(svg.match(/<circle /g)!.length, 1);
  assert.doesNotMatch(svg, /NaN|Infinity/);
});

test("nothing to draw, and a single constant, are drawn all the same", () => {
  assert.match(chartSvg({ title: "t", series: [] }), /no values/);
  const constant = chartSvg({ title: "t", series: [{ name: "a", points: line(5, 5, 5) }] });
  assert.match(constant, /<polyline points="[^"]+"/);
  assert.doesNotMatch(constant, /NaN/);
  assert.doesNotMatch(chartSvg({ title: "t", series: [{ name: "a", points: [[3, 1]] }] }), /NaN/);
});

test("a long line is thinned, and keeps its spikes", () => {
  const ys = Array.from({ length: 100_000 }, (_, i) => (i === 54_321 ? 1000 : Math.sin(i)));
  const svg = chartSvg({ title: "t", series: [{ name: "a", points: line(...ys.slice(0, 60_000)) }] });
  assert.ok(svg.length < 40_000, String(svg.length));
  assert.match(svg, /,34 /); // the spike reaches the top
});

test("texts are escaped; the legend names what is not faint", () => {
  const svg = chartSvg({
    title: "<loss> & co",
    series: [
      { name: "raw", points: line(1, 2), faint: true },
      { name: "raw", points: line(1, 2) },
      { name: 'b"', points: line(2, 1) },
    ],
  });
  assert.match(svg, /&lt;loss&gt; &amp; co/);
  assert.equal(svg.match(/>raw</g)!.length, 1);
  assert.match(svg, />b&quot;</);
});

test("two spikes don't flatten a curve: the axis ends near the rest, and says how far they go", () => {
  const ys = Array.from({ length: 200 }, (_, i) => 2 + Math.exp(-i / 40));
  const draw = (values: number[]) =>
    chartSvg({ title: "t", series: [{ name: "a", points: line(...values) }] });
  const height = (svg: string): number => {
    const at = [...svg.matchAll(/<polyline points="([^"]+)"/g)].flatMap(([, points]) =>
      points!.split(" ").map((point) => Number(point.split(",")[1])),
    );
    // From the first value to the last.
    return at.at(-1)! - at[0]!;
  };
  assert.doesNotMatch(draw(ys), /up to|down to/);
  const spiked = draw(ys.map((y, i) => (i === 70 || i === 130 ? 500 : y)));
  assert.match(spiked, />▲ up to 500</);
  assert.ok(height(spiked) > 0.3 * height(draw(ys)), `${height(spiked)} of ${height(draw(ys))}`);
  assert.match(draw(ys.map((y, i) => (i === 3 ? -90 : y))), />▼ down to -90</);
  // A curve that falls far is none of spikes.
  assert.doesNotMatch(draw(Array.from({ length: 200 }, (_, i) => 2 + 8 * Math.exp(-i / 20))), /up to/);
});

test("a chart is told in words, and drawn for light and dark pages", () => {
  const chart = { title: "loss", series: [{ name: "training", points: line(3.123456, Number.NaN, 2) }] };
  assert.equal(chartText(chart), "loss: training: 3.1235 at 0 to 2 at 2");
  assert.equal(chartText({ title: "loss", series: [] }), "loss: no values");
  const svg = chartSvg(chart);
  assert.ok(svg.includes(`<desc>${chartText(chart)}</desc>`));
  // Colors of lines alone are fixed; there is no background.
  assert.deepEqual([...new Set(svg.match(/#[0-9a-f]{3,6}\b/gi))], ["#7a7a7a", "#0072B2"]);
  assert.doesNotMatch(svg, /<rect/);
});

test("values show under the mouse where that is asked for", () => {
  const chart = {
    title: "loss",
    series: [{ name: "a", points: line(...Array.from({ length: 1000 }, (_, i) => i)) }],
  };
  assert.doesNotMatch(chartSvg(chart), /class="value"/);
  const values = [...chartSvg({ ...chart, hover: true }).matchAll(/class="value"[^>]*><title>([^<]+)</g)];
  assert.ok(values.length > 50 && values.length <= 81, String(values.length));
  assert.equal(values.at(-1)![1], "a, 999: 999");
});

test("a grid places charts side by side and below each other", () => {
  const chart = { title: "t", series: [] };
  const svg = chartGrid([chart, chart, chart], 2);
  assert.deepEqual(
    [...svg.matchAll(/translate\((\d+) (\d+)\)/g)].map(([, x, y]) => [x, y]),
    [
      ["0", "0"],
      ["480", "0"],
      ["0", "280"],
    ],
  );
});

test("smoothing starts at the first value and skips what is not finite", () => {
  assert.deepEqual(
    smooth(line(4, 4, 4), 0.9).map(([, y]) => Math.round(y * 1e9) / 1e9),
    [4, 4, 4],
  );
  const [first, second, third] = smooth(line(2, Number.NaN, 4), 0.5);
  assert.equal(first![1], 2);
  assert.ok(Number.isNaN(second![1]));
  assert.ok(Math.abs(third![1] - 10 / 3) < 1e-12);
});

test("a legend stands beside the title, or below the plot, which stays as large; never over it", () => {
  const named = (names: string[], more: object = {}) =>
    chartSvg({
      title: "loss",
      series: names.map((name, i) => ({ name, points: line(1, 2), dots: i === 1 })),
      ...more,
    });
  assert.match(named(["one", "two"]), / y="20"[^>]*>two</);
  const names = ["2026-11-22_23-10-05_smollm2", "2026-11-22_23-59-59_smollm2", "the third of them"];
  for (const width of [480, 268]) {
    const svg = named(names, { width, height: 280 });
    const [, total] = /viewBox="0 0 \d+ (\d+)"/.exec(svg)!.map(Number) as [number, number];
    const texts = [...svg.matchAll(/<text x="(\d+)" y="(\d+)">([^<]*)</g)].map(([, x, y, text]) => ({
      left: Number(x),
      right: Number(x) + text!.length * 6.8,
      y: Number(y),
    }));
    assert.equal(texts.length, names.length);
    for (const [i, { left, right, y }] of texts.entries()) {
      assert.ok(y >= 280 && y < total - 4 && left >= 62 && right <= width, `${width} ${i}`);
      for (const other of texts.slice(0, i)) assert.ok(other.y < y || other.right < left);
    }
    assert.match(svg, new RegExp(`<polyline points="62,242 ${width - 14},34"`)); // as without a legend
  }
  const both = named([`${"a".repeat(80)} one`, `${"a".repeat(80)} two`]);
  assert.match(both, />a+…a+ one<.*\n.*>a+…a+ two</);
  assert.equal(named(["one", "two"]).match(/<circle [^>]*r="3"/g)!.length, 1); // points have a point there
});

test("the last point of a line can be marked, with its values in full", () => {
  const svg = chartSvg({
    title: "t",
    series: [{ name: "a", points: line(0, 10, 2.123456789, Number.NaN), end: true }],
    width: 300,
    height: 200,
  });
  assert.match(
    svg,
    /<circle cx="[\d.]+" cy="[\d.]+" r="3" fill="#0072B2"><title>2: 2\.123456789<\/title><\/circle>/,
  );
});
