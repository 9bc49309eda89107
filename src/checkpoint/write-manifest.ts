// Writes state.json, last of all files of a step folder. Knows nothing of tensors, so that a thread without libtorch can
// use it.
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { manifestName, manifestText, type Manifest } from "./manifest.ts";
import { listCheckpoints } from "./step-folder.ts";

export type ManifestContents = Pick<Manifest, "kind" | "step" | "random" | "parts"> & {
  readonly configDigest: string;
};

/** Writes the manifest of a folder that holds everything else. */
export function writeManifest(
  temporary: string,
  folder: string,
  { configDigest, kind, step, random, parts }: ManifestContents,
  checksums: Readonly<Record<string, number>>,
): Manifest {
  const names = readdirSync(temporary).sort();
  const manifest: Manifest = {
    kind,
    step,
    sequence: Math.max(0, ...listCheckpoints(folder).complete.map((one) => one.manifest.sequence)) + 1,
    saved_at: new Date().toISOString(),
    config_digest: configDigest,
    files: Object.fromEntries(names.map((name) => [name, statSync(join(temporary, name)).size])),
    checksums,
    random,
    parts,
  };
  writeFileSync(join(temporary, manifestName), manifestText(manifest));
  return manifest;
}
