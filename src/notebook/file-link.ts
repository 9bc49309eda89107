// Links to files in a cell's output. Jupyter serves only the folder that it was started in, so a file below the notebook's
// folder (the kernel's working folder) is linked, and any other is only named.
import { isAbsolute, relative, sep } from "node:path";

import { escapeXml, type HtmlCell } from "../view/index.ts";

export function fileLink(path: string, name = path, from = process.cwd()): HtmlCell {
  const relativePath = relative(from, path);
  if (relativePath === "" || isAbsolute(relativePath) || relativePath.split(sep)[0] === "..") {
    return { html: `<code>${escapeXml(name)}</code>`, text: name };
  }
  const target = relativePath.split(sep).map(encodeURIComponent).join("/");
  return { html: `<a href="${escapeXml(target)}" target="_blank">${escapeXml(name)}</a>`, text: name };
}

/** A path, relative if it is below the notebook's folder. */
export function shortPath(path: string, from = process.cwd()): string {
  const relativePath = relative(from, path);
  return relativePath === "" || isAbsolute(relativePath) || relativePath.split(sep)[0] === ".."
    ? path
    : relativePath;
}
