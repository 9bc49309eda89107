// The data that comes with the package: rows in Alpaca's form that ask for JSON, for the quickstart and the notebook.
import { fileURLToPath } from "node:url";

const file = (name: string): string =>
  fileURLToPath(new URL(`../../data/quickstart/${name}.jsonl`, import.meta.url));

/** Paths of the rows to train on, and of those to test with. Their format is `instruction`. */
export const quickstartData = { train: file("train"), heldout: file("heldout") } as const;
