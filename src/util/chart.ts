// Line charts as SVG text: for `forge plot`, the notebook and the dashboard. No library, no script, no fonts but the
// viewer's. Not a plotting library: linear axes, lines, a legend.
// Numbers that are not finite make a gap in the line.

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
  const across = Math.min(columns, charts.length);
  const down = Math.ceil(charts.length / across);
  const cells = charts.map(
    (chart, i) =>
      `<g transform="translate(${(i % across) * width} ${Math.floor(i / across) * height})">${drawChart({ ...chart, width, height })}</g>`,
  );
  const [w, h] = [across * width, down * height];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" font-family="system-ui, sans-serif" font-size="11" role="img">`,
    `<title>${escapeXml(charts.map(({ title }) => title).join(", "))}</title>`,
    `<rect width="${w}" height="${h}" fill="#fff"/>`,
    ...cells,
    "</svg>",
    "",
  ].join("\n");
}

function drawChart(chart: Chart & { width: number; height: number }): string {
  const { width, height } = chart;
  const right = width - margin.right;
  const bottom = height - margin.bottom;
  const all = chart.series.flatMap(({ points }) => points.filter(isFinitePoint));
  const parts = [
    `<text x="${margin.left}" y="20" font-size="13" font-weight="600" fill="#222">${escapeXml(chart.title)}</text>`,
  ];
  if (all.length === 0) {
    parts.push(
      `<text x="${(margin.left + right) / 2}" y="${height / 2}" text-anchor="middle" fill="#777">no values</text>`,
    );
    return parts.join("\n");
  }
  const xTicks = ticks(...extent(all.map(([x]) => x)), 6);
  const yTicks = ticks(...padded(extent(all.map(([, y]) => y))), 5);
  const [x0, x1] = extent(all.map(([x]) => x));
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
  const named = chart.series.filter(({ faint }) => faint !== true);
  parts.push(...legend(named, colorOf, right, right - margin.left - chart.title.length * 8));
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
    const at = thin(run, pixels).map(([x, y]) => `${round(scaleX(x))},${round(scaleY(y))}`);
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

/** Beside the title where there is room (in pixels), else over the lines, one name below the other. */
function legend(
  series: readonly Series[],
  colorOf: (one: Series) => string,
  right: number,
  room: number,
): string[] {
  if (series.length < 2) return [];
  const names = series.map(({ name }) => (name.length > 40 ? `${name.slice(0, 39)}…` : name));
  const widths = names.map((name) => name.length * 6.2 + 12);
  const isBeside = widths.reduce((sum, width) => sum + width, 0) <= room;
  let x = right;
  return names.map((_, i) => {
    // From the right end leftwards, or from the top down.
    const at = isBeside ? names.length - 1 - i : i;
    const text = `text-anchor="end" fill="${colorOf(series[at]!)}" stroke="#fff" stroke-width="3" paint-order="stroke"`;
    const place = isBeside ? `x="${round(x)}" y="20"` : `x="${right - 4}" y="${margin.top + 12 + 14 * i}"`;
    if (isBeside) x -= widths[at]!;
    return `<text ${place} ${text}>${escapeXml(names[at]!)}</text>`;
  });
}

/** Exponentially smoothed values, corrected for the start; weight 0 changes nothing, near 1 smooths much. */
export function smooth(points: readonly Point[], weight: number): Point[] {
  let mean = 0;
  let sum = 0;
  return points.map(([x, y]) => {
    if (!Number.isFinite(y)) return [x, y];
    mean = weight * mean + (1 - weight) * y;
    sum = weight * sum + (1 - weight);
    return [x, mean / sum];
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

/** At most two points a pixel: the lowest and the highest of each stretch, so that no spike is lost. */
function thin(points: readonly Point[], pixels: number): readonly Point[] {
  const stretches = Math.floor(pixels);
  if (points.length <= 2 * stretches) return points;
  const kept: Point[] = [points[0]!];
  for (let s = 0; s < stretches; s++) {
    const from = Math.floor((s * points.length) / stretches);
    const to = Math.floor(((s + 1) * points.length) / stretches);
    let [low, high] = [from, from];
    for (let i = from; i < to; i++) {
      if (points[i]![1] < points[low]![1]) low = i;
      if (points[i]![1] > points[high]![1]) high = i;
    }
    for (const i of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) kept.push(points[i]!);
  }
  kept.push(points.at(-1)!);
  return kept;
}

function unbroken(points: readonly Point[]): Point[][] {
  const runs: Point[][] = [[]];
  for (const point of points) {
    if (isFinitePoint(point)) runs.at(-1)!.push(point);
    else if (runs.at(-1)!.length > 0) runs.push([]);
  }
  return runs.filter((run) => run.length > 0);
}

const isFinitePoint = ([x, y]: Point): boolean => Number.isFinite(x) && Number.isFinite(y);

function extent(values: readonly number[]): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

function padded([low, high]: [number, number]): [number, number] {
  if (low !== high) return [low, high];
  const by = Math.abs(low) * 0.1 || 1;
  return [low - by, high + by];
}

const round = (value: number): number => Math.round(value * 10) / 10;

/** Text for XML and HTML, in content and in quoted attributes. */
export function escapeXml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
