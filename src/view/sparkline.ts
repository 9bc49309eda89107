// A line chart as one line of text, for outputs that can't show a picture.
const bars = "▁▂▃▄▅▆▇█";

/** At most `width` characters, each the mean of a bucket of values. Non-finite values leave a gap. */
export function sparkline(values: readonly number[], width = 40): string {
  const count = Math.min(width, values.length);
  const means = Array.from({ length: count }, (_, i) => {
    const from = Math.floor((i * values.length) / count);
    const bucket = values.slice(from, Math.floor(((i + 1) * values.length) / count)).filter(Number.isFinite);
    return bucket.reduce((sum, value) => sum + value, 0) / bucket.length;
  });
  const finite = means.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  return means
    .map((mean) => {
      if (!Number.isFinite(mean)) return " ";
      const height = high === low ? 0.5 : (mean - low) / (high - low);
      return bars[Math.round(height * (bars.length - 1))];
    })
    .join("");
}
