// Writes apps/sft/interactive_config_notebook.ipynb from the Markdown beside it, which is what people edit and review: each
// ```ts block is a cell, the text between two of them another. ```ts WORD gives the cell that tag. With --check it writes
// nothing, and fails where the notebook differs.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const folder = resolve(import.meta.dirname, "..", "apps", "sft");
const name = "interactive_config_notebook";

interface Cell {
  readonly cell_type: "code" | "markdown";
  readonly id: string;
  readonly metadata: { readonly tags?: readonly string[] };
  readonly source: readonly string[];
}

/** A notebook of nbformat 4.5 without outputs. */
function notebookOf(markdown: string): object {
  const cells: Cell[] = [];
  const add = (kind: Cell["cell_type"], text: string, tag?: string): void => {
    const trimmed = text.replaceAll(/^\n+|\s+$/g, "");
    if (trimmed === "") return;
    const source = trimmed.split("\n").map((line, i, all) => (i < all.length - 1 ? `${line}\n` : line));
    const common = {
      id: `${kind}-${cells.length + 1}`,
      metadata: tag === undefined ? {} : { tags: [tag] },
      source,
    };
    cells.push(
      kind === "code"
        ? ({ cell_type: kind, execution_count: null, ...common, outputs: [] } as Cell)
        : { cell_type: kind, ...common },
    );
  };
  let at = 0;
  for (const block of markdown.matchAll(/^```ts(?: ([\w-]+))?\n(.*?)^```$/gms)) {
    add("markdown", markdown.slice(at, block.index));
    add("code", block[2]!, block[1]);
    at = block.index + block[0].length;
  }
  add("markdown", markdown.slice(at));
  return {
    cells,
    metadata: {
      kernelspec: { display_name: "TypeScript (torchforge)", language: "typescript", name: "torchforge" },
      language_info: { file_extension: ".ts", mimetype: "text/x.typescript", name: "typescript" },
    },
    nbformat: 4,
    nbformat_minor: 5,
  };
}

const target = join(folder, `${name}.ipynb`);
const text = `${JSON.stringify(notebookOf(readFileSync(join(folder, `${name}.md`), "utf8")), null, 1)}\n`;
if (!existsSync(target) || readFileSync(target, "utf8") !== text) {
  if (process.argv.includes("--check")) {
    console.error(
      `apps/sft/${name}.ipynb differs from ${name}.md; run \`node scripts/generate-notebook.ts\``,
    );
    process.exit(1);
  }
  writeFileSync(target, text);
  console.log(`wrote apps/sft/${name}.ipynb`);
}
