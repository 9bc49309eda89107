// Line charts as SVG text: for `forge plot`, the notebook and the dashboard. No library, no script, no fonts but the
// viewer's. Not a plotting library: linear axes, lines, a legend.
// Numbers that are not finite make a gap in the line. Runs draw it while they train: it makes little garbage.
import { escapeXml } from "./escape-xml.ts";
import { legendOf, type Legend } from "./legend.ts";

export type Point = readonly [x: number, y: number];

export interface Series {
  name: string;
  points: readonly Point[];
  /** Default: the next color of the palette. */
  color?: string;
  /** Drawn thin and pale, without a place in the legend: the raw values behind a smoothed line. */
  faint?: boolean;
  /** Draw a dot at each point: for few points. */
  dots?: boolean;
  /** Draw a dot at the last point, whose tooltip says its values in full. */
  end?: boolean;
}

export interface Chart {
  title: string;
  xLabel?: string;
  series: readonly Series[];
  width?: number;
  height?: number;
}

/** Okabe and Ito's colors, which color-blind readers can tell apart; each is readable on white. */
export const palette = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F"] as const;

const margin = { top: 34, right: 14, bottom: 38, left: 62 };

/** A whole SVG document with one chart. */
export function chartSvg(chart: Chart): string {
  return chartGrid([chart], 1);
}

/** A whole SVG document with charts side by side and below each other. Each is 480 × 280 unless it says otherwise. */
export function chartGrid(charts: readonly Chart[], columns = 2): string {
  const width = Math.max(...charts.map((chart) => chart.width ?? 480), 1);
  const height = Math.max(...charts.map((chart) => chart.height ?? 280), 1);
  const legends = charts.map((chart) => legendFor(chart, width));
  // Those below the plots add to the height: all plots are as large as without them.
  const across = Math.min(columns, charts.length);
  const down = Math.ceil(charts.length / across);
  const cellHeight = height + Math.max(...legends.map((legend) => legend.height), 0);
  const cells = charts.map(
    (chart, i) =>
      `<g transform="translate(${(i % across) * width} ${Math.floor(i / across) * cellHeight})">${drawChart({ ...chart, width, height }, legends[i]!)}</g>`,
  );
  const [w, h] = [across * width, down * cellHeight];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" font-family="system-ui, sans-serif" font-size="11" role="img">`,
    `<title>${escapeXml(charts.map(({ title }) => title).join(", "))}</title>`,
    `<rect width="${w}" height="${h}" fill="#fff"/>`,
    ...cells,
    "</svg>",
    "",
  ].join("\n");
}

function legendFor({ series, title }: Chart, width: number): Legend {
  const colorOf = colors(series);
  const named = series.filter(({ faint }) => faint !== true);
  const across = width - margin.left - margin.right;
  return legendOf(
    named.map((one) => ({ name: one.name, color: colorOf(one), dots: one.dots })),
    across - title.length * 8,
    across,
  );
}

function drawChart(chart: Chart & { width: number; height: number }, legend: Legend): string {
  const { width, height } = chart;
  const right = width - margin.right;
  const bottom = height - margin.bottom;
  const parts = [
    `<text x="${margin.left}" y="20" font-size="13" font-weight="600" fill="#222">${escapeXml(chart.title)}</text>`,
  ];
  const all = boundsOf(chart.series);
  if (all === undefined) {
    parts.push(
      `<text x="${(margin.left + right) / 2}" y="${height / 2}" text-anchor="middle" fill="#777">no values</text>`,
    );
    return parts.join("\n");
  }
  const { x0, x1 } = all;
  const xTicks = ticks(x0, x1, 6);
  const yTicks = ticks(...padded(all.y0, all.y1), 5);
  const [y0, y1] = [yTicks[0]!, yTicks.at(-1)!];
  const scaleX = (x: number) =>
    x1 === x0 ? (margin.left + right) / 2 : margin.left + ((x - x0) / (x1 - x0)) * (right - margin.left);
  const scaleY = (y: number) => bottom - ((y - y0) / (y1 - y0)) * (bottom - margin.top);

  for (const y of yTicks) {
    const at = round(scaleY(y));
    parts.push(
      `<line x1="${margin.left}" x2="${right}" y1="${at}" y2="${at}" stroke="#e5e5e5"/>`,
      `<text x="${margin.left - 6}" y="${at + 4}" text-anchor="end" fill="#555">${tickText(y, yTicks)}</text>`,
    );
  }
  for (const x of xTicks.filter((tick) => tick >= x0 && tick <= x1)) {
    parts.push(
      `<text x="${round(scaleX(x))}" y="${bottom + 16}" text-anchor="middle" fill="#555">${tickText(x, xTicks)}</text>`,
    );
  }
  parts.push(`<line x1="${margin.left}" x2="${right}" y1="${bottom}" y2="${bottom}" stroke="#888"/>`);
  if (chart.xLabel !== undefined) {
    parts.push(
      `<text x="${(margin.left + right) / 2}" y="${height - 6}" text-anchor="middle" fill="#555">${escapeXml(chart.xLabel)}</text>`,
    );
  }
  const colorOf = colors(chart.series);
  for (const series of chart.series) {
    parts.push(...drawSeries(series, colorOf(series), scaleX, scaleY, right - margin.left));
  }
  parts.push(...legend.draw(right, height));
  return parts.join("\n");
}

function colors(series: readonly Series[]): (one: Series) => string {
  // A faint line has the color of the series of its name.
  const names = [...new Set(series.map(({ name }) => name))];
  return (one) => one.color ?? palette[names.indexOf(one.name) % palette.length]!;
}

function drawSeries(
  series: Series,
  color: string,
  scaleX: (x: number) => number,
  scaleY: (y: number) => number,
  pixels: number,
): string[] {
  const parts: string[] = [];
  const style = series.faint === true ? 'stroke-width="1" opacity="0.3"' : 'stroke-width="1.6"';
  for (const run of unbroken(series.points)) {
    const at = thin(series.points, run, pixels).map(
      (point) => `${round(scaleX(point[0]))},${round(scaleY(point[1]))}`,
    );
    if (at.length > 1) {
      parts.push(
        `<polyline points="${at.join(" ")}" fill="none" stroke="${color}" ${style} stroke-linejoin="round"/>`,
      );
    }
    if (series.dots === true || at.length === 1) {
      for (const point of at) {
        const [x, y] = point.split(",");
        parts.push(`<circle cx="${x}" cy="${y}" r="2.5" fill="${color}"/>`);
      }
    }
  }
  const last = series.end === true ? series.points.findLast(isFinitePoint) : undefined;
  if (last !== undefined) {
    const [x, y] = [round(scaleX(last[0])), round(scaleY(last[1]))];
    parts.push(
      `<circle cx="${x}" cy="${y}" r="3" fill="${color}"><title>${last[0]}: ${last[1]}</title></circle>`,
    );
  }
  return parts;
}

/** Exponentially smoothed values, corrected for the start; weight 0 changes nothing, near 1 smooths much. */
export function smooth(points: readonly Point[], weight: number): Point[] {
  let mean = 0;
  let sum = 0;
  return points.map((point) => {
    if (!Number.isFinite(point[1])) return point;
    mean = weight * mean + (1 - weight) * point[1];
    sum = weight * sum + (1 - weight);
    return [point[0], mean / sum];
  });
}

/** Round numbers that cover [low, high]: multiples of 1, 2 or 5 times a power of ten. */
export function ticks(low: number, high: number, count: number): number[] {
  if (low === high) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999_999) ?? 10 * power;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function tickText(value: number, all: readonly number[]): string {
  const step = all.length > 1 ? all[1]! - all[0]! : Math.abs(value) || 1;
  const largest = Math.max(...all.map(Math.abs));
  if (value === 0) return "0";
  if (largest >= 1e6 || largest < 1e-3)
    return value
      .toExponential(2)
      .replace(/\.?0+e/, "e")
      .replace("e+", "e");
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return value.toFixed(Math.min(decimals, 6));
}

/** Indices of points, the last not included. */
interface Run {
  readonly from: number;
  readonly to: number;
}

/** At most a point a pixel: the lowest and the highest of each stretch of two, so that no spike is lost. */
function thin(points: readonly Point[], { from, to }: Run, pixels: number): readonly Point[] {
  const stretches = Math.floor(pixels / 2);
  const length = to - from;
  if (length <= 2 * stretches) return points.slice(from, to);
  const kept: Point[] = [points[from]!];
  for (let s = 0; s < stretches; s++) {
    const first = from + Math.floor((s * length) / stretches);
    const end = from + Math.floor(((s + 1) * length) / stretches);
    let [low, high] = [first, first];
    for (let i = first; i < end; i++) {
      const y = points[i]![1];
      if (y < points[low]![1]) low = i;
      if (y > points[high]![1]) high = i;
    }
    kept.push(points[Math.min(low, high)]!);
    if (low !== high) kept.push(points[Math.max(low, high)]!);
  }
  kept.push(points[to - 1]!);
  return kept;
}

/** The stretches of points that are finite. */
function unbroken(points: readonly Point[]): Run[] {
  const runs: Run[] = [];
  let from = 0;
  for (let i = 0; i <= points.length; i++) {
    if (i < points.length && isFinitePoint(points[i]!)) continue;
    if (i > from) runs.push({ from, to: i });
    from = i + 1;
  }
  return runs;
}

const isFinitePoint = (point: Point): boolean => Number.isFinite(point[0]) && Number.isFinite(point[1]);

/** Of the points that are finite; undefined where there are none. */
function boundsOf(series: readonly Series[]): { x0: number; x1: number; y0: number; y1: number } | undefined {
  let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { points } of series)
    for (const point of points) {
      if (!isFinitePoint(point)) continue;
      x0 = Math.min(x0, point[0]);
      x1 = Math.max(x1, point[0]);
      y0 = Math.min(y0, point[1]);
      y1 = Math.max(y1, point[1]);
    }
  return x0 <= x1 ? { x0, x1, y0, y1 } : undefined;
}

function padded(low: number, high: number): [number, number] {
  if (low !== high) return [low, high];
  const by = Math.abs(low) * 0.1 || 1;
  return [low - by, high + by];
}

const round = (value: number): number => Math.round(value * 10) / 10;
