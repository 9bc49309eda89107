// The ranges of a chart's axes. A few values far from all others (a spike of the loss, a slow first step) would flatten the
// curve that one wants to see: the axis then ends near the others, and the chart says how far those values go.

/** Of the data: x0 ≤ x1, y0 ≤ y1. */
export interface Bounds {
  readonly x0: number;
  readonly x1: number;
  readonly y0: number;
  readonly y1: number;
  /** The lowest and the highest value, which may lie outside of y0 and y1. */
  readonly lowest: number;
  readonly highest: number;
}

/** With fewer values none of them is called far off. */
const fewest = 30;
/** The percentiles are those of about so many values: charts are drawn during training, and sorting costs the most of it. */
const mostSorted = 1000;
/** In spreads between the tenth and the ninetieth percentile: how far off a value may be, and where the axis ends otherwise. */
const [tolerated, shown] = [4, 1.5];

/** The points with values that are far off moved to the bounds: what is smoothed is no longer pulled by a spike. */
export function withinBounds(points: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const bounds = boundsOf([points]);
  if (bounds === undefined) return [...points];
  return points.map(([x, y]) => [x, Math.max(bounds.y0, Math.min(bounds.y1, y))]);
}

/** The bounds of the finite points; undefined if there are none. */
export function boundsOf(lines: readonly (readonly (readonly [number, number])[])[]): Bounds | undefined {
  let [x0, x1, lowest, highest] = [Infinity, -Infinity, Infinity, -Infinity];
  let count = 0;
  for (const points of lines)
    for (const [x, y] of points) {
      if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
      x0 = Math.min(x0, x);
      x1 = Math.max(x1, x);
      lowest = Math.min(lowest, y);
      highest = Math.max(highest, y);
      count += 1;
    }
  if (count === 0) return undefined;
  const ys = sampleOf(lines, Math.ceil(count / mostSorted));
  const [p10, p90] = [ys[Math.floor((ys.length - 1) * 0.1)]!, ys[Math.ceil((ys.length - 1) * 0.9)]!];
  const spread = p90 - p10;
  const judges = count >= fewest && spread > 0;
  const y0 = judges && lowest < p10 - tolerated * spread ? p10 - shown * spread : lowest;
  const y1 = judges && highest > p90 + tolerated * spread ? p90 + shown * spread : highest;
  return { x0, x1, y0, y1, lowest, highest };
}

/** Every `stride`-th of the finite values, sorted. */
function sampleOf(lines: readonly (readonly (readonly [number, number])[])[], stride: number): Float64Array {
  const ys: number[] = [];
  let next = 0;
  for (const points of lines)
    for (const [x, y] of points)
      if (Number.isFinite(x) && Number.isFinite(y) && next++ % stride === 0) ys.push(y);
  return Float64Array.from(ys).sort();
}
