// Draws layers.json into docs/architecture.md, between two marker comments. Without arguments it fails when the
// picture there is an old one; with --fix it redraws it.
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const file = join(root, "docs", "architecture.md");
const given = JSON.parse(readFileSync(join(root, "layers.json"), "utf8")) as Record<string, string[]>;

const bare = (name: string): string => name.replace("~", "");
/** Without what is imported lazily: that is drawn by itself. */
const layers: Record<string, string[]> = Object.fromEntries(
  Object.entries(given).map(([name, targets]) => [name, targets.filter((to) => !to.startsWith("~"))]),
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

const dotted = Object.entries(given).flatMap(([from, targets]) =>
  targets.filter((to) => to.startsWith("~")).map((to) => [from, bare(to)] as const),
);
const arrows = Object.entries(layers).flatMap(([from, targets]) =>
  targets.filter((to) => !reachesIndirectly(from, to)).map((to) => `  ${node(from)} --> ${node(to)}`),
);
arrows.push(
  ...dotted
    .filter(([from, to]) => !dotted.some(([other, via]) => other === from && via !== to && reaches(via, to)))
    .map(([from, to]) => `  ${node(from)} -.-> ${node(to)}`),
);
const alone = Object.keys(layers).filter(
  (name) => !arrows.some((arrow) => arrow.split(" ").includes(node(name))),
);
const table = Object.entries(given).map(([name, targets]) => {
  const lazy = targets.filter((to) => to.startsWith("~")).map(bare);
  const eager = layers[name]!.join(", ") || "–";
  return `| ${name} | ${eager}${lazy.length > 0 ? `; lazily: ${lazy.join(", ")}` : ""} |`;
});
const drawn = [
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

const markers = /(<!-- layers: drawn by scripts\/layer-picture\.ts -->\n)[\s\S]*?(<!-- end of layers -->)/;
const text = readFileSync(file, "utf8");
const expected = text.replace(markers, (_, begin: string, end: string) => `${begin}${drawn}\n${end}`);
if (!markers.test(text)) throw new Error("docs/architecture.md has lost its layer markers");
if (text !== expected) {
  if (process.argv.includes("--fix")) {
    writeFileSync(file, expected);
  } else {
    console.error("docs/architecture.md: the layer picture is not that of layers.json; run `npm run fix`");
    process.exit(1);
  }
}
