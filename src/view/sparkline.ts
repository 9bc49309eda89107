// A line of numbers as one line of text, for outputs that are read where no picture is shown.
const bars = "▁▂▃▄▅▆▇█";

/** At most `width` characters, each the mean of its stretch; numbers that are not finite leave a gap. */
export function sparkline(values: readonly number[], width = 40): string {
  const count = Math.min(width, values.length);
  const means = Array.from({ length: count }, (_, i) => {
    const from = Math.floor((i * values.length) / count);
    const stretch = values.slice(from, Math.floor(((i + 1) * values.length) / count)).filter(Number.isFinite);
    return stretch.reduce((sum, value) => sum + value, 0) / stretch.length;
  });
  const finite = means.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  return means
    .map((mean) => {
      if (!Number.isFinite(mean)) return " ";
      const at = high === low ? 0.5 : (mean - low) / (high - low);
      return bars[Math.round(at * (bars.length - 1))];
    })
    .join("");
}
