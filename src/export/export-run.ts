// What a finished run makes of its exported model: `checkpoint.export`.
import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

import type { RunSpec } from "../config/index.ts";
import { checkGgufExport, exportGguf } from "./gguf/export-gguf.ts";
import type { GgufFileType } from "./gguf/types.ts";

/**
 * Writes the files that aren't there yet.
 * @param folder the exported model, step-N-hf
 * @param onNote called with a line for each
 * @returns all files
 */
export async function exportRun(
  spec: RunSpec,
  folder: string,
  onNote: (text: string) => void,
): Promise<string[]> {
  const outputFolder = join(dirname(folder), basename(folder).replace(/(-hf)?$/, "-gguf"));
  const name = basename(resolve(spec.model.hfAssetsPath.replace(/^hf:\/\//, "")));
  const types = spec.checkpoint.export.map((one) => one.slice("gguf:".length) as GgufFileType);
  const fileOf = (type: GgufFileType): string => join(outputFolder, `${name}-${type}.gguf`);
  const missing = types.filter((type) => !existsSync(fileOf(type)));
  if (missing.length > 0) {
    const { files } = await exportGguf(folder, { types: missing, outputFolder, name });
    for (const { file, bytes, bitsPerWeight, parity } of files)
      onNote(
        `${file}: ${(bytes / 1e6).toFixed(1)} MB, ${bitsPerWeight.toFixed(2)} bits a weight; ${parity.replace(/\s+/, " ")}`,
      );
  }
  return types.map(fileOf);
}

/** @throws UserError where the run's model can't be written so; `folder` is where its config.json is */
export function checkExportOfRun(spec: RunSpec, folder: string): void {
  if (spec.checkpoint.export.length > 0) checkGgufExport(folder, { key: "checkpoint.export" });
}
