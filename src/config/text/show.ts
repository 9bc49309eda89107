// A configuration for a notebook's cell: its YAML, what differs from the defaults in bold with the default beside it, the
// rest pale. Tags alone carry the meaning, so that it also reads where styles are taken out (GitHub, untrusted notebooks).
import { escapeXml } from "../../view/index.ts";
import type { Difference } from "./difference.ts";
import { allKeys } from "../schema/keys.ts";

/** The part of a Config that is shown. */
interface Shown {
  toYaml(options: { markDefaults: boolean }): string;
  changes(): readonly Difference[];
}

/** A key with the comment that writeYaml put behind its value. */
const marked = /^( *)([\w-]+:.*)( # (?:default: .*|no default))$/;
const pale = 'style="opacity:.6"';

export function configHtml(config: Shown): string {
  const keys = allKeys().filter(({ isSection, path }) => !isSection && !path.includes("[]")).length;
  // What stands under a changed key belongs to it: a list, text of several lines.
  let within = Infinity;
  const lines = config
    .toYaml({ markDefaults: true })
    .trimEnd()
    .split("\n")
    .map((line) => {
      const indent = line.search(/\S|$/);
      if (indent > within) return `<b>${escapeXml(line)}</b>`;
      const found = marked.exec(line);
      within = found === null ? Infinity : indent;
      if (found !== null)
        return `${found[1]}<b>${escapeXml(found[2]!)}</b><i ${pale}>${escapeXml(found[3]!)}</i>`;
      return indent === 0 ? escapeXml(line) : `<span ${pale}>${escapeXml(line)}</span>`;
    });
  return (
    `<div>${config.changes().length} of ${keys} keys differ from their defaults, and are in <b>bold</b>:</div>` +
    `<pre style="max-height:32em;overflow:auto;margin:.3em 0;line-height:1.35">${lines.join("\n")}</pre>`
  );
}
