// Dividing a model's blocks into pipeline stages: runs of blocks whose most expensive one costs as little as possible. Counts only;
// which rank has which stage is the schedule's.

export interface Stage {
  readonly index: number;
  /** Blocks `start` up to but not including `end`, as blockSpecs lists them: embedding, layers, head. */
  readonly start: number;
  readonly end: number;
}

/**
 * The division with the smallest largest sum, and of those with equal ones that with the smallest sum of squares, so that
 * the rest is even, too. Every stage has a block.
 * @throws RangeError for more stages than blocks
 */
export function splitStages(costs: readonly number[], stages: number): Stage[] {
  const count = costs.length;
  if (stages < 1 || stages > count)
    throw new RangeError(`expected between 1 and ${count} stages, one block each at least, found ${stages}`);
  const sums = [0];
  for (const cost of costs) sums.push(sums.at(-1)! + cost);
  interface Best {
    readonly largest: number;
    readonly squares: number;
    readonly from: number;
  }
  // best[k][end]: of the blocks before `end` in k stages.
  const best: (Best | undefined)[][] = [[{ largest: 0, squares: 0, from: 0 }]];
  for (let k = 1; k <= stages; k++) {
    const row: (Best | undefined)[] = [];
    for (let end = k; end <= count; end++) {
      for (let from = k - 1; from < end; from++) {
        const before = best[k - 1]![from];
        if (before === undefined) continue;
        const cost = sums[end]! - sums[from]!;
        const largest = Math.max(before.largest, cost);
        const squares = before.squares + cost * cost;
        const found = row[end];
        const isBetter =
          found === undefined ||
          largest < found.largest ||
          (largest === found.largest && squares < found.squares);
        if (isBetter) row[end] = { largest, squares, from };
      }
    }
    best.push(row);
  }
  const found: Stage[] = [];
  for (let k = stages, end = count; k > 0; k--) {
    const { from } = best[k]![end]!;
    found.unshift({ index: k - 1, start: from, end });
    end = from;
  }
  return found;
}
