// A chart's legend as SVG text: beside the title if it fits, else in rows below the plot; never over it.
import { escapeXml } from "./escape-xml.ts";

export interface LegendEntry {
  readonly name: string;
  readonly color: string;
  /** The series is drawn as dots, with or without a line. */
  readonly dots?: boolean | undefined;
  readonly dashed?: boolean | undefined;
}

export interface Legend {
  /** Pixels needed below the plot. */
  readonly height: number;
  /** @param right right edge beside the title; @param below top edge below the plot */
  readonly draw: (right: number, below: number) => string[];
}

const rowHeight = 15;
const swatch = 12;
const gap = 12;
/** A generous estimate for 11 pixels: the viewer chooses the font. */
const characterWidth = 6.8;

/** A single series gets no legend. @param titleRoom pixels beside the title; @param width pixels of a row below the plot */
export function layoutLegend(entries: readonly LegendEntry[], titleRoom: number, width: number): Legend {
  if (entries.length < 2) return { height: 0, draw: () => [] };
  const items = entries.map(({ name, ...look }) => {
    const text = truncateMiddle(name, Math.floor((width - swatch) / characterWidth));
    return { ...look, text, width: swatch + textWidth(text) + gap };
  });
  const totalWidth = items.reduce((sum, one) => sum + one.width, 0) - gap;
  const isBeside = totalWidth <= titleRoom;
  let [x, row] = [0, 0];
  const placed = items.map((one) => {
    if (!isBeside && x > 0 && x + one.width - gap > width) [x, row] = [0, row + 1];
    const place = { ...one, x, row };
    x += one.width;
    return place;
  });
  return {
    height: isBeside ? 0 : (row + 1) * rowHeight,
    draw: (right, below) =>
      placed.map(({ text, color, dots, dashed, ...position }) => {
        const x = Math.round(position.x + (isBeside ? right - totalWidth : right - width));
        const y = isBeside ? 20 : below + 8 + position.row * rowHeight;
        const sign =
          dots === true
            ? `<circle cx="${x + 4}" cy="${y - 4}" r="3" fill="${color}"/>`
            : `<line x1="${x}" x2="${x + 8}" y1="${y - 4}" y2="${y - 4}" stroke="${color}" stroke-width="3"${dashed === true ? ' stroke-dasharray="3 2"' : ""}/>`;
        return `${sign}<text x="${x + swatch}" y="${y}">${escapeXml(text)}</text>`;
      }),
  };
}

function textWidth(text: string): number {
  let width = 0;
  for (const character of text) width += character.codePointAt(0)! >= 0x1100 ? 12 : characterWidth;
  return width;
}

/** Cuts the middle out: names of runs differ at the beginning, those of data sets at the end. */
function truncateMiddle(name: string, maxLength: number): string {
  if (name.length <= maxLength) return name;
  const half = Math.floor((maxLength - 1) / 2);
  return `${name.slice(0, half)}…${name.slice(-half)}`;
}
