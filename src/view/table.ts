// Tables as HTML for a notebook, and as aligned text. A cell is plain text, which is escaped, or trusted HTML.
import { escapeXml } from "./escape-xml.ts";

/** A cell with HTML, and with `text` for tables in text. */
export interface HtmlCell {
  readonly html: string;
  readonly text: string;
}

export type Cell = string | HtmlCell;

const htmlOf = (cell: Cell): string => (typeof cell === "string" ? escapeXml(cell) : cell.html);
const textOf = (cell: Cell): string => (typeof cell === "string" ? cell : cell.text);
// Long words break, so that they don't squeeze the other columns.
const style =
  'style="text-align:left;vertical-align:top;white-space:pre-wrap;overflow-wrap:anywhere;min-width:5em"';

export function tableHtml(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const heads = head.map((cell) => `<th ${style}>${escapeXml(cell)}</th>`).join("");
  const body = rows.map(
    (row) => `<tr>${row.map((cell) => `<td ${style}>${htmlOf(cell)}</td>`).join("")}</tr>`,
  );
  return `<table>${head.length > 0 ? `<thead><tr>${heads}</tr></thead>` : ""}<tbody>${body.join("")}</tbody></table>`;
}

export function tableText(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const all = [...(head.length > 0 ? [head] : []), ...rows].map((row) =>
    row.map((cell) => textOf(cell).split("\n")),
  );
  const widths = (all[0] ?? []).map((_, column) =>
    Math.max(...all.flatMap((row) => row[column]!.map((line) => line.length))),
  );
  return all
    .flatMap((row) =>
      // A row is as high as its highest cell.
      Array.from({ length: Math.max(...row.map((cell) => cell.length)) }, (_, i) =>
        row
          .map((cell, column) => (cell[i] ?? "").padEnd(widths[column]!))
          .join("  ")
          .trimEnd(),
      ),
    )
    .join("\n");
}
