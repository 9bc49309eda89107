// The split of a data set, such as `train[:95%]`, read into its parts. Which rows these are is for who knows their number.

/** A split's name, and the part of its rows. Percentages are of the number of rows. */
export interface Split {
  name: string;
  from?: { value: number; unit: "rows" | "percent" } | undefined;
  to?: { value: number; unit: "rows" | "percent" } | undefined;
}

/** Reads a split of a DatasetSpec (already validated). */
export function parseSplit(text: string): Split {
  const match = /^([\w.-]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?$/.exec(text);
  if (match === null) throw new TypeError(`not a split: ${text}`);
  const [from, to] = [bound(match[2]), bound(match[3])];
  return { name: match[1]!, ...(from && { from }), ...(to && { to }) };
}

function bound(found: string | undefined): Split["from"] {
  if (found === undefined) return undefined;
  return { value: Number.parseInt(found, 10), unit: found.endsWith("%") ? "percent" : "rows" };
}
