// Links to files from a cell's output. Jupyter serves the folder that it was started in, and the notebook's folder is the
// kernel's: what lies below that is linked, anything else is named.
import { isAbsolute, relative, sep } from "node:path";

import { escapeXml, type Rich } from "../view/index.ts";

export function fileLink(path: string, name = path, from = process.cwd()): Rich {
  const way = relative(from, path);
  if (way === "" || isAbsolute(way) || way.split(sep)[0] === "..") {
    return { html: `<code>${escapeXml(name)}</code>`, text: name };
  }
  const target = way.split(sep).map(encodeURIComponent).join("/");
  return { html: `<a href="${escapeXml(target)}" target="_blank">${escapeXml(name)}</a>`, text: name };
}

/** A path, short where it lies below the notebook's folder. */
export function shortPath(path: string, from = process.cwd()): string {
  const way = relative(from, path);
  return way === "" || isAbsolute(way) || way.split(sep)[0] === ".." ? path : way;
}
