// Draws layers.json into docs/architecture.md, between marker comments: the tree of folders, and who may import whom.
// Without arguments it fails when the page is an old one; with --fix it redraws it.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { layers as given, root } from "./layers.ts";

const file = join(root, "docs", "architecture.md");
const bare = (name: string): string => name.replace("~", "");
/** Without what is imported lazily: that is drawn by itself. */
const layers: Record<string, string[]> = Object.fromEntries(
  Object.entries(given).map(([name, { imports }]) => [name, imports.filter((to) => !to.startsWith("~"))]),
);

/** Whether `from` reaches `to` through some other folder: then the direct arrow says nothing new. */
function reachesIndirectly(from: string, to: string): boolean {
  const seen = new Set<string>();
  const queue = (layers[from] ?? []).filter((next) => next !== to);
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (next === to) return true;
    if (seen.has(next)) continue;
    seen.add(next);
    queue.push(...(layers[next] ?? []));
  }
  return false;
}

function reaches(from: string, to: string): boolean {
  return layers[from]!.includes(to) || reachesIndirectly(from, to);
}

/** Mermaid takes no / in a name. */
const node = (name: string): string => (name.includes("/") ? `${name.replaceAll("/", "_")}[${name}]` : name);

function picture(): string {
  const dotted = Object.entries(given).flatMap(([from, { imports }]) =>
    imports.filter((to) => to.startsWith("~")).map((to) => [from, bare(to)] as const),
  );
  const arrows = Object.entries(layers).flatMap(([from, targets]) =>
    targets.filter((to) => !reachesIndirectly(from, to)).map((to) => `  ${node(from)} --> ${node(to)}`),
  );
  arrows.push(
    ...dotted
      .filter(
        ([from, to]) => !dotted.some(([other, via]) => other === from && via !== to && reaches(via, to)),
      )
      .map(([from, to]) => `  ${node(from)} -.-> ${node(to)}`),
  );
  const alone = Object.keys(layers).filter(
    (name) => !arrows.some((arrow) => arrow.split(" ").includes(node(name))),
  );
  const table = Object.entries(given).map(([name, { imports }]) => {
    const lazy = imports.filter((to) => to.startsWith("~")).map(bare);
    const eager = layers[name]!.join(", ") || "–";
    return `| ${name} | ${eager}${lazy.length > 0 ? `; lazily: ${lazy.join(", ")}` : ""} |`;
  });
  return [
    "```mermaid",
    "graph TD",
    ...alone.map((name) => `  ${node(name)}`),
    ...arrows,
    "```",
    "",
    "| folder | may import (besides util) |",
    "|---|---|",
    ...table,
  ].join("\n");
}

/** A line a folder: `src/` with its layers and their rooms. */
function tree(): string {
  const lines: (readonly [path: string, holds: string])[] = [];
  for (const [name, { holds, rooms = {} }] of Object.entries(given)) {
    const depth = name.split("/").length - 1;
    lines.push([`${"  ".repeat(depth + 1)}${name.split("/").at(-1)}/`, holds]);
    for (const [room, what] of Object.entries(rooms)) {
      const path = room.split("/");
      lines.push([`${"  ".repeat(depth + 1 + path.length)}${path.at(-1)}/`, what]);
    }
  }
  const width = Math.max(...lines.map(([path]) => path.length)) + 2;
  return ["```text", "src/", ...lines.map(([path, holds]) => path.padEnd(width) + holds), "```"].join("\n");
}

let text = readFileSync(file, "utf8");
const before = text;
for (const [name, drawn] of [
  ["tree", tree()],
  ["layers", picture()],
] as const) {
  const markers = new RegExp(
    `(<!-- ${name}: drawn from layers\\.json -->\\n)[\\s\\S]*?(<!-- end of ${name} -->)`,
  );
  if (!markers.test(text)) throw new Error(`docs/architecture.md has lost its ${name} markers`);
  text = text.replace(markers, (_, begin: string, end: string) => `${begin}${drawn}\n${end}`);
}
if (text !== before) {
  if (process.argv.includes("--fix")) writeFileSync(file, text);
  else {
    console.error("docs/architecture.md does not show layers.json as it is; run `npm run fix`");
    process.exit(1);
  }
}
