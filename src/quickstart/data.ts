// The data that ships with the package, for the quickstart and the notebook: rows in Alpaca's form that ask for JSON.
import { fileURLToPath } from "node:url";

const file = (name: string): string =>
  fileURLToPath(new URL(`../../data/quickstart/${name}.jsonl`, import.meta.url));

/** Paths of the training and the held-out rows, in the format `instruction`. */
export const quickstartData = { train: file("train"), heldout: file("heldout") } as const;
