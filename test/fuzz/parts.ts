// The parts of `npm run fuzz` and `npm run soak`, by name. Each is loaded when it runs.
import type { Part } from "./part.ts";

export const parts: Readonly<Record<string, () => Promise<Part>>> = {
  files: async () => (await import("./files.ts")).files,
  flips: async () => (await import("./flips.ts")).flips,
  native: async () => (await import("./native.ts")).native,
  configurations: async () => (await import("./configurations.ts")).configurations,
  faults: async () => (await import("./faults.ts")).faults,
  notebook: async () => (await import("./notebook.ts")).notebook,
  kills: async () => (await import("./kills.ts")).kills,
};

/** What `npm run fuzz` runs where no part is named: what is made of damaged input, in one process. */
export const fuzzParts: readonly string[] = ["files", "flips", "native", "configurations"];
/** What `npm run soak` runs where no part is named. */
export const soakParts: readonly string[] = ["kills", "faults", "notebook", ...fuzzParts];
