// The names of a chart's lines, as SVG text: beside the title where they fit, else in rows below the plot; never over it.
import { escapeXml } from "./escape-xml.ts";

export interface LegendEntry {
  readonly name: string;
  readonly color: string;
  /** It is points, with or without a line. */
  readonly dots?: boolean | undefined;
}

export interface Legend {
  /** Pixels that it needs below the plot. */
  readonly height: number;
  /** @param right where it ends beside the title; @param below where the space below the plot begins */
  readonly draw: (right: number, below: number) => string[];
}

const rowHeight = 15;
const swatch = 12;
const gap = 12;
/** A generous estimate, at 11 pixels: what draws it brings its own font. */
const characterWidth = 6.8;

/** @param room pixels beside the title; @param width pixels of a row below the plot. One line alone needs no name. */
export function legendOf(entries: readonly LegendEntry[], room: number, width: number): Legend {
  if (entries.length < 2) return { height: 0, draw: () => [] };
  const named = entries.map(({ name, ...look }) => {
    const text = shortened(name, Math.floor((width - swatch) / characterWidth));
    return { ...look, text, width: swatch + textWidth(text) + gap };
  });
  const whole = named.reduce((sum, one) => sum + one.width, 0) - gap;
  const isBeside = whole <= room;
  let [x, row] = [0, 0];
  const places = named.map((one) => {
    if (!isBeside && x > 0 && x + one.width - gap > width) [x, row] = [0, row + 1];
    const place = { ...one, x, row };
    x += one.width;
    return place;
  });
  return {
    height: isBeside ? 0 : (row + 1) * rowHeight,
    draw: (right, below) =>
      places.map(({ text, color, dots, ...at }) => {
        const x = Math.round(at.x + (isBeside ? right - whole : right - width));
        const y = isBeside ? 20 : below + 8 + at.row * rowHeight;
        const sign =
          dots === true
            ? `<circle cx="${x + 4}" cy="${y - 4}" r="3" fill="${color}"/>`
            : `<line x1="${x}" x2="${x + 8}" y1="${y - 4}" y2="${y - 4}" stroke="${color}" stroke-width="3"/>`;
        return `${sign}<text x="${x + swatch}" y="${y}" fill="#222">${escapeXml(text)}</text>`;
      }),
  };
}

function textWidth(text: string): number {
  let width = 0;
  for (const character of text) width += character.codePointAt(0)! >= 0x1100 ? 12 : characterWidth;
  return width;
}

/** Cut in its middle: names of runs differ at the beginning, those of data sets at the end. */
function shortened(name: string, longest: number): string {
  if (name.length <= longest) return name;
  const half = Math.floor((longest - 1) / 2);
  return `${name.slice(0, half)}…${name.slice(-half)}`;
}
