// Rows as an HTML table that fits a notebook, and as aligned text. Cells are text, or HTML that was made here.
import { escapeXml } from "../util/index.ts";

/** HTML in place of a cell's text; `text` is what it says. */
export interface Rich {
  readonly html: string;
  readonly text: string;
}

export type Cell = string | Rich;

const htmlOf = (cell: Cell): string => (typeof cell === "string" ? escapeXml(cell) : cell.html);
const textOf = (cell: Cell): string => (typeof cell === "string" ? cell : cell.text);
const style = 'style="text-align:left;vertical-align:top;white-space:pre-wrap"';

export function tableHtml(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const heads = head.map((cell) => `<th ${style}>${escapeXml(cell)}</th>`).join("");
  const body = rows.map(
    (row) => `<tr>${row.map((cell) => `<td ${style}>${htmlOf(cell)}</td>`).join("")}</tr>`,
  );
  return `<table>${head.length > 0 ? `<thead><tr>${heads}</tr></thead>` : ""}<tbody>${body.join("")}</tbody></table>`;
}

export function tableText(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const all = [...(head.length > 0 ? [head] : []), ...rows].map((row) => row.map(textOf));
  const widths = all.reduce<number[]>(
    (most, row) =>
      row.map((cell, i) => Math.max(most[i] ?? 0, ...cell.split("\n").map((line) => line.length))),
    [],
  );
  return all
    .map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
