// Holds src/ to layers.json: who may import whom, that nobody imports past a folder's index.ts, that every grant is used and
// every layer and room is there, and that files don't import each other in circles. Everyone may import util. Types count.
// Tests obey the same rules.
import { existsSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";

import { layerOf, layers, readImports, root, src } from "./layers.ts";

/**
 * The one type that what it is made of speaks of: Tensor's methods are functions of tensors. Imports of this type make no
 * circle that runs, and none that a reader has to untangle.
 */
const ownType = join(src, "torch", "tensor", "tensor.ts");

const { files, imports } = readImports();
const named = (file: string): string => relative(root, file);
const isTest = (file: string): boolean => file.endsWith(".test.ts");
const breaches: string[] = [];

for (const file of files) {
  const layer = layerOf(file);
  if (layer !== undefined && !(layer in layers))
    breaches.push(`${named(file)}: folder src/${layer} is not in layers.json`);
}

const used = new Set<string>();
for (const { from, to, kind } of imports) {
  const [layer, target] = [layerOf(from), layerOf(to)];
  // src/index.ts only re-exports.
  if (layer === undefined || target === undefined || layer === target || !(layer in layers)) continue;
  const grants = layers[layer]!.imports;
  const isLazy = grants.includes(`~${target}`);
  if (isLazy && kind === "value" && !isTest(from))
    breaches.push(
      `${named(from)}: imports src/${target} when it is loaded; use import type, or import() where it works`,
    );
  if (target !== "util" && !isLazy && !grants.includes(target))
    breaches.push(
      `${named(from)}: src/${layer} may not import src/${target}; allowed: ${["util", ...grants].join(", ")}`,
    );
  else if (to !== join(src, target, "index.ts"))
    breaches.push(`${named(from)}: imports past the face of src/${target}; import src/${target}/index.ts`);
  used.add(`${layer} ${target}`);
}

for (const [name, { imports: grants, rooms = {} }] of Object.entries(layers)) {
  const folder = join(src, name);
  if (!existsSync(folder)) {
    breaches.push(`layers.json: ${name}: there is no folder src/${name}`);
    continue;
  }
  for (const grant of grants)
    if (!used.has(`${name} ${grant.replace("~", "")}`))
      breaches.push(`layers.json: ${name}: nothing in src/${name} imports ${grant}; take the grant away`);
  const found = roomsIn(name);
  for (const room of found)
    if (!(room in rooms))
      breaches.push(`layers.json: ${name}: say under rooms what src/${name}/${room} holds`);
  for (const room of Object.keys(rooms))
    if (!found.includes(room)) breaches.push(`layers.json: ${name}: there is no folder src/${name}/${room}`);
}

/** A layer's folders at any depth, without those that are layers themselves. */
function roomsIn(layer: string, room = ""): string[] {
  return readdirSync(join(src, layer, room), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(room, entry.name))
    .filter((inner) => !(join(layer, inner) in layers))
    .flatMap((inner) => [inner, ...roomsIn(layer, inner)]);
}

for (const circle of circles())
  breaches.push(`files that import each other in a circle: ${circle.map(named).sort().join(", ")}`);

/** Groups of files each of which reaches the others by imports that run when a file is loaded, or are of types. (Tarjan 1972) */
function circles(): string[][] {
  const next = Map.groupBy(
    imports.filter(({ to, kind }) => kind !== "lazy" && !(kind === "type" && to === ownType)),
    ({ from }) => from,
  );
  const found: string[][] = [];
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const visit = (file: string): void => {
    order.set(file, order.size);
    lowest.set(file, order.get(file)!);
    open.push(file);
    for (const { to } of next.get(file) ?? []) {
      if (!order.has(to)) visit(to);
      if (open.includes(to)) lowest.set(file, Math.min(lowest.get(file)!, lowest.get(to)!));
    }
    if (lowest.get(file) !== order.get(file)) return;
    const group = open.splice(open.indexOf(file));
    if (group.length > 1) found.push(group);
  };
  for (const file of files) if (!order.has(file)) visit(file);
  return found;
}

if (breaches.length > 0) {
  console.error(breaches.join("\n"));
  process.exit(1);
}
