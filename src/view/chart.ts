// Line charts as SVG text, for `forge plot`, the notebook and the dashboard: linear axes, lines, a legend; no library, script
// or font. Non-finite values leave a gap in the line. Charts are drawn during training, so drawing allocates little. Without a
// background and in one gray (currentColor) for texts and axes, so that light and dark pages can show them.
import { boundsOf, type Bounds } from "./bounds.ts";
import { escapeXml } from "./escape-xml.ts";
import { layoutLegend, type Legend } from "./legend.ts";

export type Point = readonly [x: number, y: number];

export interface Series {
  name: string;
  points: readonly Point[];
  /** Default: the next color of the palette. */
  color?: string;
  /** Drawn thin and pale, and not in the legend: the raw values behind a smoothed line. */
  faint?: boolean;
  /** Draw a dot at each point: for few points. */
  dots?: boolean;
  /** A dashed line. */
  dashed?: boolean;
  /** Draw a dot at the last point, with its exact values as a tooltip. */
  end?: boolean;
}

export interface Chart {
  title: string;
  xLabel?: string;
  series: readonly Series[];
  width?: number;
  height?: number;
  /** Values as tooltips along the lines. Makes the picture larger. */
  hover?: boolean;
}

/** Of texts and axes: readable on white and on black. */
const ink = "#7a7a7a";

/** Okabe and Ito's colors, which color-blind readers can distinguish; each is readable on white and on black. */
export const palette = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F"] as const;

const margin = { top: 34, right: 14, bottom: 38, left: 62 };

/** An SVG document with one chart. */
export function chartSvg(chart: Chart): string {
  return chartGrid([chart], 1);
}

/** An SVG document with charts in a grid. Default size of a chart: 480 × 280. */
export function chartGrid(charts: readonly Chart[], columns = 2): string {
  const width = Math.max(...charts.map((chart) => chart.width ?? 480), 1);
  const height = Math.max(...charts.map((chart) => chart.height ?? 280), 1);
  const legends = charts.map((chart) => legendFor(chart, width));
  // Legends below the plots add to the height, so that all plots keep their size.
  const across = Math.min(columns, charts.length);
  const down = Math.ceil(charts.length / across);
  const cellHeight = height + Math.max(...legends.map((legend) => legend.height), 0);
  const cells = charts.map(
    (chart, i) =>
      `<g transform="translate(${(i % across) * width} ${Math.floor(i / across) * cellHeight})">${drawChart({ ...chart, width, height }, legends[i]!)}</g>`,
  );
  const [w, h] = [across * width, down * cellHeight];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" font-family="system-ui, sans-serif" font-size="11" color="${ink}" fill="currentColor" role="img">`,
    `<title>${escapeXml(charts.map(({ title }) => title).join(", "))}</title>`,
    `<desc>${escapeXml(charts.map(chartText).join("; "))}</desc>`,
    ...cells,
    "</svg>",
    "",
  ].join("\n");
}

/** A chart in words, for those who can't see it: where each line begins and ends. */
export function chartText({ title, series }: Chart): string {
  const lines = series
    .filter(({ faint }) => faint !== true)
    .map(({ name, points }) => {
      const [first, last] = [points.find(isFinitePoint), points.findLast(isFinitePoint)];
      if (first === undefined || last === undefined) return `${name}: no values`;
      return `${name}: ${number(first[1])} at ${first[0]} to ${number(last[1])} at ${last[0]}`;
    });
  return `${title}: ${lines.length === 0 ? "no values" : lines.join(", ")}`;
}

function legendFor({ series, title }: Chart, width: number): Legend {
  const colorOf = colors(series);
  const named = series.filter(({ faint }) => faint !== true);
  const across = width - margin.left - margin.right;
  return layoutLegend(
    named.map((one) => ({ name: one.name, color: colorOf(one), dots: one.dots, dashed: one.dashed })),
    across - title.length * 8,
    across,
  );
}

function drawChart(chart: Chart & { width: number; height: number }, legend: Legend): string {
  const { width, height } = chart;
  const right = width - margin.right;
  const bottom = height - margin.bottom;
  const parts = [
    `<text x="${margin.left}" y="20" font-size="13" font-weight="600">${escapeXml(chart.title)}</text>`,
  ];
  const bounds = boundsOf(chart.series.map(({ points }) => points));
  if (bounds === undefined) {
    parts.push(
      `<text x="${(margin.left + right) / 2}" y="${height / 2}" text-anchor="middle">no values</text>`,
    );
    return parts.join("\n");
  }
  const { x0, x1 } = bounds;
  const xTicks = ticks(x0, x1, 6);
  const yTicks = ticks(...padded(bounds.y0, bounds.y1), 5);
  const [y0, y1] = [yTicks[0]!, yTicks.at(-1)!];
  const clamp = (y: number) => Math.max(y0, Math.min(y1, y));
  const scaleX = (x: number) =>
    x1 === x0 ? (margin.left + right) / 2 : margin.left + ((x - x0) / (x1 - x0)) * (right - margin.left);
  const scaleY = (y: number) => bottom - ((clamp(y) - y0) / (y1 - y0)) * (bottom - margin.top);

  for (const y of yTicks) {
    const at = round(scaleY(y));
    parts.push(
      `<line x1="${margin.left}" x2="${right}" y1="${at}" y2="${at}" stroke="currentColor" stroke-opacity="0.2"/>`,
      `<text x="${margin.left - 6}" y="${at + 4}" text-anchor="end">${tickText(y, yTicks)}</text>`,
    );
  }
  for (const x of xTicks.filter((tick) => tick >= x0 && tick <= x1)) {
    parts.push(
      `<text x="${round(scaleX(x))}" y="${bottom + 16}" text-anchor="middle">${tickText(x, xTicks)}</text>`,
    );
  }
  parts.push(`<line x1="${margin.left}" x2="${right}" y1="${bottom}" y2="${bottom}" stroke="currentColor"/>`);
  if (chart.xLabel !== undefined) {
    parts.push(
      `<text x="${(margin.left + right) / 2}" y="${height - 6}" text-anchor="middle">${escapeXml(chart.xLabel)}</text>`,
    );
  }
  const colorOf = colors(chart.series);
  for (const series of chart.series) {
    parts.push(...drawSeries(series, colorOf(series), scaleX, scaleY, right - margin.left));
    if (chart.hover === true && series.faint !== true) parts.push(...tooltips(series, scaleX, scaleY));
  }
  parts.push(...beyond(bounds, y0, y1, right, bottom));
  parts.push(...legend.draw(right, height));
  return parts.join("\n");
}

/** What is to be said of values outside of the axis. */
function beyond(
  { lowest, highest }: Bounds,
  y0: number,
  y1: number,
  right: number,
  bottom: number,
): string[] {
  const note = (y: number, text: string) => `<text x="${right}" y="${y}" text-anchor="end">${text}</text>`;
  return [
    ...(highest > y1 ? [note(margin.top + 10, `▲ up to ${number(highest)}`)] : []),
    ...(lowest < y0 ? [note(bottom - 4, `▼ down to ${number(lowest)}`)] : []),
  ];
}

const tooltipCount = 80;

/** Invisible circles with the values of up to tooltipCount points; pages make them visible under the mouse. */
function tooltips(
  { name, points }: Series,
  scaleX: (x: number) => number,
  scaleY: (y: number) => number,
): string[] {
  const every = Math.max(1, Math.ceil(points.length / tooltipCount));
  return points
    .filter((point, i) => isFinitePoint(point) && (i % every === 0 || i === points.length - 1))
    .map(
      ([x, y]) =>
        `<circle class="value" cx="${round(scaleX(x))}" cy="${round(scaleY(y))}" r="6" fill-opacity="0"><title>${escapeXml(name)}, ${x}: ${number(y)}</title></circle>`,
    );
}

const number = (value: number): string => String(Number(value.toPrecision(5)));

function colors(series: readonly Series[]): (one: Series) => string {
  // A faint line has the same color as the series with its name.
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
  const dashes = series.dashed === true ? ' stroke-dasharray="6 3"' : "";
  const style = series.faint === true ? 'stroke-width="1" opacity="0.3"' : `stroke-width="1.6"${dashes}`;
  for (const range of finiteRanges(series.points)) {
    const coordinates = downsample(series.points, range, pixels).map(
      (point) => `${round(scaleX(point[0]))},${round(scaleY(point[1]))}`,
    );
    if (coordinates.length > 1) {
      parts.push(
        `<polyline points="${coordinates.join(" ")}" fill="none" stroke="${color}" ${style} stroke-linejoin="round"/>`,
      );
    }
    if (series.dots === true || coordinates.length === 1) {
      for (const point of coordinates) {
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

/** Exponential smoothing with bias correction. Weight 0 changes nothing; near 1 smooths strongly. */
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

/** Ticks that cover [low, high], at multiples of 1, 2 or 5 times a power of ten. */
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

/** Indices of points, `to` excluded. */
interface IndexRange {
  readonly from: number;
  readonly to: number;
}

/** At most one point per pixel: the minimum and the maximum of each two-pixel bucket, so that no spike is lost. */
function downsample(points: readonly Point[], { from, to }: IndexRange, pixels: number): readonly Point[] {
  const buckets = Math.floor(pixels / 2);
  const length = to - from;
  if (length <= 2 * buckets) return points.slice(from, to);
  const result: Point[] = [points[from]!];
  for (let bucket = 0; bucket < buckets; bucket++) {
    const first = from + Math.floor((bucket * length) / buckets);
    const end = from + Math.floor(((bucket + 1) * length) / buckets);
    let [low, high] = [first, first];
    for (let i = first; i < end; i++) {
      const y = points[i]![1];
      if (y < points[low]![1]) low = i;
      if (y > points[high]![1]) high = i;
    }
    result.push(points[Math.min(low, high)]!);
    if (low !== high) result.push(points[Math.max(low, high)]!);
  }
  result.push(points[to - 1]!);
  return result;
}

/** The ranges of consecutive finite points. */
function finiteRanges(points: readonly Point[]): IndexRange[] {
  const ranges: IndexRange[] = [];
  let from = 0;
  for (let i = 0; i <= points.length; i++) {
    if (i < points.length && isFinitePoint(points[i]!)) continue;
    if (i > from) ranges.push({ from, to: i });
    from = i + 1;
  }
  return ranges;
}

const isFinitePoint = (point: Point): boolean => Number.isFinite(point[0]) && Number.isFinite(point[1]);

function padded(low: number, high: number): [number, number] {
  if (low !== high) return [low, high];
  const by = Math.abs(low) * 0.1 || 1;
  return [low - by, high + by];
}

const round = (value: number): number => Math.round(value * 10) / 10;
